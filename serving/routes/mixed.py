"""`POST /v1/recommendations/mixed`."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request

from serving.access import Caller, allowed
from serving.mixing import ask_mixed
from serving.responses import JsonAnswer, items_json, usage_json
from serving.routes.common import ERRORS, Parts
from serving.schemas import MixedRecommendations, MixedRequest

router = APIRouter(tags=["recommendations"], responses=ERRORS)


@router.post("/v1/recommendations/mixed", response_model=MixedRecommendations)
async def recommend_mixed(
    body: MixedRequest,
    request: Request,
    service: Parts,
    caller: Annotated[Caller, Depends(allowed("recommend"))],
) -> JsonAnswer:
    """Recommend one list of several catalogs, with as many items of each as the quota says.

    A catalog in which the user has no history is asked with what they chose elsewhere, as far as
    it has the same titles. A title that several catalogs have stands in the list once.
    """
    mixed = await ask_mixed(service, request, caller, body)
    answer = mixed.asked.timed.answer
    items = [
        {**item, "domain": placed.domain}
        for placed, item in zip(mixed.placed, items_json(answer), strict=True)
    ]
    content = {
        "id": f"rec-{request.state.request_id}",
        "model": service.engine.name,
        "items": items,
        "certified": answer.certified,
        "usage": usage_json(answer),
    }
    return JsonAnswer(content, headers={"Server-Timing": mixed.asked.server_timing})
