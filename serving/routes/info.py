"""`GET /v1/info`."""

from fastapi import APIRouter, Depends

from serving.access import allowed
from serving.responses import JsonAnswer
from serving.routes.common import ERRORS, Parts
from serving.schemas import Info

router = APIRouter(tags=["recommendations"], responses=ERRORS)


@router.get("/v1/info", response_model=Info, dependencies=[Depends(allowed("recommend"))])
async def info(service: Parts) -> JsonAnswer:
    """What is served: the model, its template and tasks, and the catalog as it is now."""
    engine, limits = service.engine, service.config.limits
    catalog, offered = service.catalog.offered()
    content = {
        "name": engine.name,
        "template": engine.template,
        "tasks": sorted(engine.tasks),
        "catalog_version": engine.version,
        "columns": catalog.frame.columns,
        "items": len(catalog),
        "offered": int(offered.sum()),
        "domains": [
            {
                "name": name,
                "template": one.bundle.manifest.prompt.template,
                "columns": one.catalog.frame.columns,
                "items": len(one.catalog),
            }
            for name, one in engine.domains.items()
        ],
        "limits": {"k": limits.k, "history": limits.history},
    }
    return JsonAnswer(content)
