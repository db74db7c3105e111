"""The catalog: search it and change it while requests go on."""

import asyncio
from collections import Counter
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query

from rec_gen.catalog import Item
from serving.access import allowed
from serving.errors import ApiError
from serving.item_search import find_items, passing
from serving.responses import JsonAnswer
from serving.routes.common import ERRORS, Domain, Parts, PathId
from serving.schemas import CatalogAnswer, CatalogItems, PutItems, Text
from serving.service import Service

router = APIRouter(tags=["catalog"], responses=ERRORS)
FIXED = "only the first catalog changes"
CHANGERS = [Depends(allowed("catalog"))]


@router.get("/v1/items", response_model=CatalogItems, dependencies=[Depends(allowed("recommend"))])
async def search_items(
    service: Parts,
    query: Annotated[str, Query(max_length=256, description="A part of the title.")] = "",
    where: Annotated[Text | None, Query(description="A rule such as `price < 20`.")] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    domain: Domain = None,
) -> JsonAnswer:
    """Items whose title holds a text and that a rule lets through, in the catalog's order."""
    further = service.further(domain)
    return JsonAnswer(await asyncio.to_thread(_found, service, further, query, where, limit))


def _found(
    service: Service, domain: str | None, query: str, where: str | None, limit: int
) -> dict[str, Any]:
    if domain is None:
        catalog, passed = service.catalog.offered(where)
    else:
        catalog = service.catalog_of(domain)
        passed = passing(catalog, where)
    return find_items(catalog, passed, query, limit)


@router.put("/v1/items", response_model=CatalogAnswer, dependencies=CHANGERS)
async def put_items(body: PutItems, service: Parts, domain: Domain = None) -> JsonAnswer:
    """Add items, or replace those with their ids. All or none; they can be recommended at once."""
    service.first_only(domain, FIXED)
    ((twice, times),) = Counter(item.id for item in body.items).most_common(1)
    if times > 1:
        raise ApiError(400, f"item '{twice}' is put twice", "item_twice", "items")
    items = [Item(item.id, item.title, item.fields) for item in body.items]
    codes = {item.id: item.codes for item in body.items if item.codes is not None}
    return JsonAnswer({"catalog_version": await service.catalog.put(items, codes)})


@router.delete("/v1/items/{item:path}", response_model=CatalogAnswer, dependencies=CHANGERS)
async def remove_item(item: PathId, service: Parts, domain: Domain = None) -> JsonAnswer:
    """Stop recommending an item; histories may still name it."""
    service.first_only(domain, FIXED)
    return JsonAnswer({"catalog_version": await service.catalog.remove(item)})
