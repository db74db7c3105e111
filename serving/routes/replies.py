"""`POST /v1/replies`."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request

from serving.access import Caller, allowed
from serving.asking import ask_reply
from serving.reply_schemas import ReplyAnswer, ReplyRequest
from serving.responses import JsonAnswer, reply_json, usage_json
from serving.routes.common import ERRORS, Parts

router = APIRouter(tags=["conversation"], responses=ERRORS)


@router.post("/v1/replies", response_model=ReplyAnswer)
async def reply(
    body: ReplyRequest,
    request: Request,
    service: Parts,
    caller: Annotated[Caller, Depends(allowed("recommend"))],
) -> JsonAnswer:
    """Reply to a dialogue with a text that names items, where the model has learnt to.

    Wishes that the user states, such as "not horror", hold as filters; `understood` tells them.
    """
    asked = await ask_reply(service, request, caller, body, body, body.messages)
    answer = asked.timed.answer
    content = {
        "id": f"reply-{request.state.request_id}",
        "model": service.engine.name,
        **reply_json(answer),
        "catalog_version": answer.version,
        "usage": usage_json(answer),
    }
    return JsonAnswer(content, headers={"Server-Timing": asked.server_timing})
