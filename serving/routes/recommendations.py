"""`POST /v1/recommendations`."""

import time
from typing import Annotated

from fastapi import APIRouter, Depends, Request

from serving.access import Caller, allowed
from serving.asking import ask
from serving.errors import ApiError
from serving.queries import ExplainQuery
from serving.request_steps import time_left, unless_left
from serving.responses import JsonAnswer, items_json, usage_json
from serving.routes.common import ERRORS, Parts
from serving.schemas import RecommendationRequest, Recommendations

router = APIRouter(tags=["recommendations"], responses=ERRORS)


@router.post("/v1/recommendations", response_model=Recommendations)
async def recommend(
    body: RecommendationRequest,
    request: Request,
    service: Parts,
    caller: Annotated[Caller, Depends(allowed("recommend"))],
) -> JsonAnswer:
    """Recommend items of the catalog after a history, or after what is kept of a user."""
    began = time.perf_counter()
    engine, domain = service.engine, service.further(body.domain)
    known = engine.template
    template = known if domain is None else engine.domains[domain].bundle.manifest.prompt.template
    if body.template not in (None, template):
        message = f"the model was trained on the template '{template}'"
        raise ApiError(400, message, "other_template", "template")
    if body.adapter is not None and body.adapter not in engine.models:
        raise ApiError(404, f"there is no adapter '{body.adapter}'", "model_not_found", "adapter")
    if body.explain and "explanation" not in engine.tasks:
        raise ApiError(400, "the model has not learnt to explain", "unsupported", "explain")
    asked = await ask(service, request, caller, body, adapter=body.adapter, exposure=body.exposure)
    answer = asked.timed.answer
    items = items_json(answer)
    if body.explain:
        query = ExplainQuery(tuple(asked.history), tuple(item["id"] for item in items))
        left = time_left(service, body.deadline_ms, began)
        reasons = await unless_left(request, service.batcher.submit(query, left))
        for item, reason in zip(items, reasons.answer, strict=True):
            item["explanation"] = reason
        asked = asked.with_time_of(reasons)
    content = {
        "id": f"rec-{request.state.request_id}",
        "model": body.adapter or engine.name,
        "items": items,
        "certified": answer.certified,
        "catalog_version": answer.version if domain is None else 0,
        "usage": usage_json(answer),
    }
    return JsonAnswer(content, headers={"Server-Timing": asked.server_timing})
