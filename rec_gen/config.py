"""Frozen configurations: one TOML file, `key=value` overrides, errors that name the key."""

import copy
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from rec_gen.errors import ConfigError


class Config(BaseModel):
    """Base of every configuration: immutable, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


C = TypeVar("C", bound=Config)


def load_config(schema: type[C], path: Path, overrides: Sequence[str] = ()) -> C:
    """Read a TOML file, apply overrides and validate.

    Args:
        schema: The configuration class.
        path: The TOML file; relative paths inside it stay relative to the working directory.
        overrides: Strings `dotted.key=value`; the value is TOML, or else a plain string.

    Raises:
        ConfigError: The file cannot be read, or a key is unknown, missing or has a wrong value.
    """
    return parse_config(schema, read_toml(path), overrides, str(path))


def parse_config(
    schema: type[C], table: dict[str, Any], overrides: Sequence[str] = (), origin: str = "config"
) -> C:
    """Validate a table after applying overrides; `origin` names it in errors."""
    table = copy.deepcopy(table)
    for override in overrides:
        _apply(table, override, schema)
    try:
        return schema.model_validate(table)
    except ValidationError as error:
        # a default that could not be made only follows from another error
        errors = [e for e in error.errors() if e["type"] != "default_factory_not_called"]
        first, count = errors[0], len(errors)
        key = ".".join(str(part) for part in first["loc"]) or "(top level)"
        more = f" (and {count - 1} more)" if count > 1 else ""
        raise ConfigError(f"{origin}: key '{key}': {first['msg']}{more}") from error


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file into a table.

    Raises:
        ConfigError: The file is missing, is not UTF-8 or is not TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: is not valid TOML: {error}") from error


def _apply(table: dict[str, Any], override: str, schema: type[Config]) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise ConfigError(f"--set {override}: write it as key=value, for example seed=1")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    *parents, last = _full_key(key, schema).split(".")
    for parent in parents:
        table = table.setdefault(parent, {})
        if not isinstance(table, dict):
            raise ConfigError(f"--set {override}: '{parent}' is not a table")
    table[last] = value


def _full_key(key: str, schema: type[Config]) -> str:
    """`max_steps` stands for `train.max_steps` where no other table has that key.

    Where several do, `users` is a value and `users.id` is inside of a table.
    """
    fields, (first, dot, _) = schema.model_fields, key.partition(".")
    if first in fields:
        return key
    inner = {
        name: field.annotation.model_fields[first].annotation
        for name, field in fields.items()
        if isinstance(field.annotation, type)
        and issubclass(field.annotation, Config)
        and first in field.annotation.model_fields
    }
    fitting = [name for name, annotation in inner.items() if _is_table(annotation) == bool(dot)]
    tables = fitting if len(fitting) == 1 else list(inner)
    if len(tables) > 1:
        choices = " or ".join(f"{table}.{key}" for table in tables)
        raise ConfigError(f"--set {key}: write {choices}")
    return f"{tables[0]}.{key}" if tables else key


def _is_table(annotation: Any) -> bool:
    """Whether values of a type are configurations, or None."""
    kinds = get_args(annotation) or (annotation,)
    return any(isinstance(kind, type) and issubclass(kind, Config) for kind in kinds)


def flat(table: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """A table without inner tables, by dotted keys, so that two can be compared key by key."""
    found: dict[str, Any] = {}
    for key, value in table.items():
        inner = flat(value, f"{prefix}{key}.") if isinstance(value, dict) else None
        found |= inner or {f"{prefix}{key}": value}
    return found
