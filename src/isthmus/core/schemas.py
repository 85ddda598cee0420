"""JSON Schema as the catalog uses it: checks, defaults, updatable and secret properties."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, cast

import jsonschema_rs
import orjson

from isthmus.api.meta import Json
from isthmus.errors import InvalidSpec

UPDATABLE = "x-updatable"
_MASK = "the value"
"""Stands for the offending value in messages: it may be a misplaced secret."""


def properties(schema: Json) -> dict[str, Json]:
    """Return the schema's properties."""
    return cast("dict[str, Json]", schema.get("properties", {}))


def defaults(schema: Json) -> Json:
    """Return the defaults of the top-level properties."""
    return {k: p["default"] for k, p in properties(schema).items() if "default" in p}


def secret_names(schema: Json) -> frozenset[str]:
    """Return the names of the properties whose values are secret (``writeOnly: true``)."""
    return frozenset(k for k, p in properties(schema).items() if p.get("writeOnly") is True)


def immutable_names(schema: Json) -> frozenset[str]:
    """Return the names of the properties that cannot change after creation."""
    return frozenset(k for k, p in properties(schema).items() if p.get(UPDATABLE) is not True)


def check(
    schema: Json, values: Mapping[str, Any], *, field: str, own: frozenset[str] = frozenset()
) -> None:
    """Hold values against a schema; a secret property must be a ``{secretKeyRef: {name, key}}``.

    Args:
        schema: The schema.
        values: What is given.
        field: Where it is given, for messages.
        own: Properties that are given beside that field and not below it.

    Raises:
        InvalidSpec: Names the first three wrong fields, what is wrong, and what would be right.
    """
    errors = _validator(orjson.dumps(schema)).iter_errors(dict(values))
    problems = [f"{_path(field, error, own)}: {error.message}" for error in errors]
    if problems:
        more = f" ({len(problems) - 3} more)" if len(problems) > 3 else ""
        raise InvalidSpec("; ".join(sorted(problems)[:3]) + more)


@lru_cache(maxsize=256)
def _validator(schema: bytes) -> jsonschema_rs.Draft202012Validator:
    """Compile a schema once; every reconcile checks against the same few."""
    return jsonschema_rs.Draft202012Validator(
        _with_references(orjson.loads(schema)), validate_formats=True, mask=_MASK
    )


def _with_references(schema: Json) -> Json:
    secret = secret_names(schema)
    known = {k: _REFERENCE if k in secret else p for k, p in properties(schema).items()}
    return {"additionalProperties": False, "type": "object"} | schema | {"properties": known}


_REFERENCE: Json = {
    "type": "object",
    "required": ["secretKeyRef"],
    "additionalProperties": False,
    "properties": {
        "secretKeyRef": {
            "type": "object",
            "required": ["name", "key"],
            "additionalProperties": False,
            "properties": {"name": {"type": "string"}, "key": {"type": "string"}},
        }
    },
}


def _path(field: str, error: jsonschema_rs.ValidationError, own: frozenset[str]) -> str:
    path = [str(part) for part in error.instance_path]
    above = field.rpartition(".")[0] if path and path[0] in own else field
    return ".".join([above, *path])
