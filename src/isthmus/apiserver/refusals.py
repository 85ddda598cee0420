"""What a schema's validator found wrong, in Kubernetes' words; secret values are never shown."""

from collections.abc import Iterable, Iterator
from typing import Any, cast

import orjson

from isthmus.apiserver import fields, formats, patterns
from isthmus.apiserver.errors import Cause
from isthmus.apiserver.jsonvalues import Json, as_map, same, type_name

_BLOCKING = frozenset((
    "FieldValueRequired", "FieldValueTooLong", "FieldValueTooMany", "FieldValueTypeInvalid",
))  # fmt: skip
UNCHECKED = Cause(
    "<nil>",
    "null: some validation rules were not checked because the object was invalid; correct the"
    " existing errors to complete validation",
)


def keep_from_rules(causes: list[Cause]) -> bool:
    """Whether what is wrong is such that rules cannot be asked any more."""
    return any(cause.reason in _BLOCKING for cause in causes)


def was_so_before(error: Any, obj: Json, old: Json | None) -> bool:
    """Whether an update left the wrong value as it was: a stricter schema must not block it."""
    if old is None:
        return False
    path = list(error.instance_path)
    try:
        return bool(path) and same(_at(old, path), _at(obj, path))
    except (KeyError, IndexError, TypeError):
        return False


def causes_of(errors: Iterable[Any], raw: Json, obj: Json) -> Iterator[Cause]:
    """Kubernetes' words for what the validator found."""
    for error in errors:
        path = list(error.instance_path)
        keyword = str(list(error.schema_path)[-1]) if error.schema_path else ""
        keyword = "pattern" if keyword == patterns.KEYWORD else keyword
        yield _cause(keyword, path, error, raw, obj)


def _cause(keyword: str, path: list[Any], error: Any, raw: Json, obj: Json) -> Cause:
    where = field_path(path)
    *above, rule = _schemas_along(raw, path)
    if keyword not in rule:
        rule = {**rule, **_part_of(raw, list(error.schema_path))}
    value = _at(obj, path)
    shown = _shown(value, [*above, rule])
    if keyword == "required":
        missing = str(error.kind.property)
        return Cause(f"{where}.{missing}" if where else missing, "", "FieldValueRequired")
    if keyword == "enum":
        known = ", ".join(_text(choice) for choice in rule.get("enum", ()) if choice is not None)
        return Cause(where, f"{shown}: supported values: {known}", "FieldValueNotSupported")
    if keyword == "type" or (keyword == "anyOf" and rule.get("x-kubernetes-int-or-string")):
        wanted = rule.get("type") if keyword == "type" else "integer,string"
        found = _type(value)
        why = f'"{found}": {where} in body must be of type {wanted}: "{found}"'
        return Cause(where, why, "FieldValueTypeInvalid")
    if keyword in ("minimum", "maximum") and (why := _beyond(rule, value)):
        return Cause("<nil>", f'"": Checked value must be of type {why} in {where}')
    if keyword == "format":
        why = f"{shown}: {where} in body must be of type {rule['format']}: {shown}"
        return Cause(where, why, "FieldValueTypeInvalid")
    if keyword == "maxLength":
        why = f"may not be more than {rule['maxLength']} bytes"
        return Cause(where, why, "FieldValueTooLong")
    if keyword in ("maxItems", "maxProperties"):
        why = f"{len(value)}: must have at most {rule[keyword]} items"
        return Cause(where, why, "FieldValueTooMany")
    if keyword == "uniqueItems":
        place = _duplicate(value)
        return Cause(f"{where}[{place}]", _text(value[place]), "FieldValueDuplicate")
    return Cause(where, _in_body(keyword, where, rule, value, shown))


def _in_body(keyword: str, where: str, rule: Json, value: Any, shown: str) -> str:
    """The sentence for keywords that only limit a value."""
    if keyword == "oneOf":
        return f'"": "{where}" must validate one and only one schema (oneOf)'
    if keyword in ("minItems", "minProperties"):
        unit = "items" if keyword == "minItems" else "properties"
        return f"{len(value)}: {where} in body should have at least {rule[keyword]} {unit}"
    least, most = rule.get("minimum"), rule.get("maximum")
    says = {
        "pattern": f"should match '{rule.get('pattern')}'",
        "minLength": f"should be at least {rule.get('minLength')} chars long",
        "minimum": f"should be greater than{_or_equal(rule, 'exclusiveMinimum')} {least}",
        "maximum": f"should be less than{_or_equal(rule, 'exclusiveMaximum')} {most}",
        "exclusiveMinimum": f"should be greater than {least}",
        "exclusiveMaximum": f"should be less than {most}",
        "multipleOf": f"should be a multiple of {rule.get('multipleOf')}",
    }.get(keyword, "does not fit its schema")
    return f"{shown}: {where} in body {says}"


def _beyond(rule: Json, value: Any) -> str:
    """The type and format that cannot hold a number; empty when they can."""
    kind, named = rule.get("type"), rule.get("format")
    limits = formats.bounds(str(kind), str(named or ""))
    if limits is None or limits[0] <= value <= limits[1]:
        return ""
    return f"{kind} with format {named}" if named else f"{kind} (default format)"


def _or_equal(rule: Json, exclusive: str) -> str:
    return "" if rule.get(exclusive) else " or equal to"


def _type(value: Any) -> str:
    """What Kubernetes calls the type of a value."""
    if isinstance(value, int) and not isinstance(value, bool):
        return "integer"
    return {"bool": "boolean"}.get(type_name(value), type_name(value))


def _duplicate(values: list[Any]) -> int:
    """Where the first value is that was there before."""
    seen = set[Any]()
    for place, value in enumerate(values):
        number = isinstance(value, int | float) and not isinstance(value, bool)
        known = value if number else orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
        if known in seen:
            return place
        seen.add(known)
    return len(values) - 1


def duplicate_entries(value: Any, schema: Json, path: str = "") -> Iterator[Cause]:
    """Entries of keyed lists that have the keys of an earlier one.

    Args:
        value: A value.
        schema: The part of its schema that leads to such lists, see `keyed_part`.
        path: Where the value is.
    """
    if isinstance(value, dict):
        for name, part in as_map(schema.get("properties")).items():
            if name in value:
                place = f"{path}.{name}" if path else name
                yield from duplicate_entries(value[name], part, place)
        rest = schema.get("additionalProperties")
        if isinstance(rest, dict):
            for name, item in cast("Json", value).items():
                yield from duplicate_entries(item, cast("Json", rest), f"{path}.{name}")
    elif isinstance(value, list):
        seen = set[str]()
        for index, item in enumerate(cast("list[Any]", value)):
            if schema.get("x-kubernetes-list-type") == "map":
                entry = fields.entry(schema, item)
                if entry in seen:
                    yield Cause(f"{path}[{index}]", entry[2:], "FieldValueDuplicate")
                seen.add(entry)
            yield from duplicate_entries(item, as_map(schema.get("items")), f"{path}[{index}]")


def keyed_part(raw: Any) -> Json | None:
    """The part of a schema that leads to lists with keys, so that nothing else is walked."""
    if not isinstance(raw, dict):
        return None
    schema = cast("Json", raw)
    out: Json = {}
    for name in ("items", "additionalProperties"):
        if (part := keyed_part(schema.get(name))) is not None:
            out[name] = part
    below = {name: keyed_part(part) for name, part in as_map(schema.get("properties")).items()}
    kept = {name: part for name, part in below.items() if part is not None}
    if kept:
        out["properties"] = kept
    if schema.get("x-kubernetes-list-type") == "map":
        out |= {name: schema[name] for name in schema if name.startswith("x-kubernetes-list")}
        out["items"] = {**as_map(schema.get("items")), **as_map(out.get("items"))}
    return out or None


def _shown(value: Any, schemas: list[Json]) -> str:
    """A value in an error message: short, and never a password."""
    if any(schema.get("format") == "password" or schema.get("writeOnly") for schema in schemas):
        return "<hidden>"
    text = _text(value)
    return text if len(text) <= 256 else text[:256] + "..."


def _text(value: Any) -> str:
    return orjson.dumps(value).decode()


def field_path(path: Iterable[Any]) -> str:
    """`spec.ports[0].name` for a path of names and positions."""
    out = ""
    for part in path:
        out += f"[{part}]" if isinstance(part, int) else f".{part}"
    return out.removeprefix(".")


def _at(value: Any, path: list[Any]) -> Any:
    for part in path:
        value = value[part]
    return value


def _part_of(schema: Any, path: list[Any]) -> Json:
    """The part of a schema with the keyword at `path`: one of `allOf`, of `anyOf`..."""
    for part in path[:-1]:
        try:
            schema = schema[part]
        except (KeyError, IndexError, TypeError):
            return {}
    return as_map(schema)


def _schemas_along(schema: Json, path: list[Any]) -> list[Json]:
    """The structural schemas of every value from the object down to the one at `path`."""
    found = [schema]
    for part in path:
        if isinstance(part, int):
            below = schema.get("items")
        else:
            below = as_map(schema.get("properties")).get(part) or schema.get("additionalProperties")
        schema = cast("Json", below) if isinstance(below, dict) else {}
        found.append(schema)
    return found
