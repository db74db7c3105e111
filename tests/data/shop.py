"""Small tables of one's own."""

from pathlib import Path
from typing import Any

from rec_gen.config import parse_config
from rec_gen.data.config import DataConfig

ITEMS = "item,title,brand\na,Anvil,Acme\nb,Bucket,Acme\nc,Candle,\n"
INTERACTIONS = "user,item,time\nu,a,1\nu,b,2\nu,c,3\nv,c,1\nv,b,2\nv,a,3\n"


def shop(
    folder: Path,
    interactions: str | bytes = INTERACTIONS,
    items: str | bytes = ITEMS,
    columns: dict[str, Any] | None = None,
    users: str | None = None,
    **settings: Any,
) -> DataConfig:
    """Writes the tables and configures them; `columns` maps those of the interactions."""
    paths = {"interactions": folder / "sales.csv", "items": folder / "goods.csv"}
    for path, content in zip(paths.values(), (interactions, items), strict=True):
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    tables = {name: {"path": path} for name, path in paths.items()}
    tables["interactions"] |= columns or {}
    if users is not None:
        (folder / "people.csv").write_text(users)
        tables["users"] = {"path": folder / "people.csv"}
    return parse_config(DataConfig, {"name": "shop", **tables, **settings})
