"""`GET /v1/tools`."""

from typing import Any

from fastapi import APIRouter, Depends

from serving.access import allowed
from serving.responses import JsonAnswer
from serving.routes.common import ERRORS, Parts
from serving.tools.function_schemas import function_schema
from serving.tools.offered import offered_tools

router = APIRouter(tags=["tools"], responses=ERRORS)


@router.get(
    "/v1/tools",
    response_model=list[dict[str, Any]],
    dependencies=[Depends(allowed("recommend"))],
)
async def tools(service: Parts) -> JsonAnswer:
    """What the model can do, as functions of OpenAI's API in its strict mode."""
    engine = service.engine
    offered = offered_tools(engine.tasks, engine.catalog.frame.columns)
    return JsonAnswer([function_schema(tool) for tool in offered])
