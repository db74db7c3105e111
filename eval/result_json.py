"""Results as JSON, which has no number for what is undefined: it is null there, and NaN here."""

import json
import math
from typing import Annotated, Any

from pydantic import BeforeValidator

Number = Annotated[float, BeforeValidator(lambda value: math.nan if value is None else value)]
"""A float that may be NaN; a file of a result holds null for it."""


def to_json(table: dict[str, Any]) -> str:
    """A table as JSON; numbers that are not finite become null.

    Args:
        table: What `json` can write.
    """
    finite = _finite(table)
    return json.dumps(finite, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _finite(value: Any) -> Any:
    match value:
        case dict():
            return {key: _finite(each) for key, each in value.items()}
        case list() | tuple():
            return [_finite(each) for each in value]
        case float() if not math.isfinite(value):
            return None
    return value
