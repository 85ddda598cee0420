"""JSON Schema as the catalog uses it: checks, defaults, updatable and secret properties.

``x-remedy`` beside a rule is said where a value breaks it, instead of the rule itself.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, cast

import jsonschema_rs
import orjson

from isthmus.api.meta import Json
from isthmus.core import addresses
from isthmus.errors import InvalidSpec

UPDATABLE, REMEDY = "x-updatable", "x-remedy"
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
    schema: Json,
    values: Mapping[str, Any],
    *,
    field: str,
    where: Callable[[str], str] | None = None,
) -> None:
    """Hold values against a schema; a secret property must be a ``{secretKeyRef: {name, key}}``.

    Args:
        schema: The schema.
        values: What is given.
        field: Where it is given, for messages.
        where: The field that sets a property, where that is not below ``field``.

    Raises:
        InvalidSpec: Names the first three wrong fields, what is wrong, and what would be right.
    """

    def below(name: str) -> str:
        return f"{field}.{name}"

    of = where or below
    errors = _validator(orjson.dumps(schema)).iter_errors(dict(values))
    found = [f"{_path(field, error, of)}: {_words(schema, error)}" for error in errors]
    problems = sorted({*found} or addresses.conflicts(properties(schema), values, of))
    if problems:
        more = f" ({len(problems) - 3} more)" if len(problems) > 3 else ""
        raise InvalidSpec("; ".join(problems[:3]) + more)


def strict(schema: Json) -> jsonschema_rs.Draft202012Validator:
    """Compile a schema to look into it; a format that nobody knows would hold nothing.

    Raises:
        ValueError: It is no JSON Schema, or names such a format; also jsonschema_rs's own errors.
    """
    return jsonschema_rs.Draft202012Validator(
        schema,
        validate_formats=True,
        formats=dict(addresses.FORMATS),
        ignore_unknown_formats=False,
    )


@lru_cache(maxsize=256)
def _validator(schema: bytes) -> jsonschema_rs.Draft202012Validator:
    """Compile a schema once; every reconcile checks against the same few."""
    return jsonschema_rs.Draft202012Validator(
        _with_references(orjson.loads(schema)),
        validate_formats=True,
        formats=dict(addresses.FORMATS),
        mask=_MASK,
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


def _path(field: str, error: jsonschema_rs.ValidationError, where: Callable[[str], str]) -> str:
    path = [str(part) for part in error.instance_path]
    return ".".join([where(path[0]), *path[1:]]) if path else field


def _words(schema: Json, error: jsonschema_rs.ValidationError) -> str:
    """Say what is wrong: in the schema's own words where it has some."""
    rule: Any = schema
    for part in cast("Sequence[str | int]", error.schema_path[:-1]):
        try:
            rule = rule[part]
        except (KeyError, IndexError, TypeError):
            return error.message  # It is a secret's reference that does not fit.
    remedy: Any = rule.get(REMEDY) if isinstance(rule, dict) else None  # pyright: ignore[reportUnknownMemberType,reportUnknownVariableType]
    if isinstance(remedy, str):
        return remedy
    format_name = str(getattr(error.kind, "format", ""))
    return addresses.REMEDIES.get(format_name, error.message)
