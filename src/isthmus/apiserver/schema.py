"""Structural schemas: default, prune and validate objects.

An object that is already valid and has no unknown field, which is nearly every one, costs one walk
for defaults and one call of a compiled validator. Only the others are walked in Python to prune
them and to say what is wrong where.

Source: https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/
"""

import copy
from collections.abc import Callable
from functools import cached_property
from typing import Any, cast

import jsonschema_rs

from isthmus.apiserver import formats, patterns, refusals
from isthmus.apiserver.errors import Cause
from isthmus.apiserver.expressions import rules_of
from isthmus.apiserver.fields import METADATA, STRUCT
from isthmus.apiserver.jsonvalues import Json, as_map

TYPE_META = ("apiVersion", "kind", "metadata")
_DROPPED = frozenset((
    "nullable", "default", "description", "example", "externalDocs", "title", "format",
))  # fmt: skip
_EXACT = 2**53
"""Up to here a JSON number of any spelling is exact."""
_PRESERVE = "x-kubernetes-preserve-unknown-fields"
EMBEDDED = "x-kubernetes-embedded-resource"
_STRING: Json = {"type": "string"}
_NAMES = (
    "name", "generateName", "namespace", "uid", "resourceVersion", "selfLink",
    "creationTimestamp", "deletionTimestamp",
)  # fmt: skip
_INNER_METADATA: Json = {
    **METADATA,
    "properties": {**dict.fromkeys(_NAMES, _STRING), **METADATA["properties"]},
}
"""Merge rules of the metadata of embedded objects, of which all is somebody's."""


class Schema:
    """One kind's structural schema, compiled.

    Args:
        raw: The `openAPIV3Schema` of a version; empty accepts any object.
        whole: Whether it describes whole objects, whose `metadata` is checked elsewhere.
        known: What the formats of strings accept; `formats.BUILT_IN` for kinds that Go decodes.

    Raises:
        ValueError: It is no JSON Schema.
    """

    def __init__(
        self,
        raw: Json | None = None,
        *,
        whole: bool = True,
        known: dict[str, Callable[[str], bool]] = formats.CUSTOM,
    ) -> None:
        self.raw: Json = raw or {"type": "object", _PRESERVE: True}
        self._whole = whole
        self._known = known
        declared = as_map(self.raw.get("properties"))
        self._structs = [name for name, part in declared.items() if part.get(STRUCT) == "object"]
        self._defaults = _defaults_of(self.raw)
        self._closed = self._compile(closed=True)
        self._open = None
        self._keyed = refusals.keyed_part(self.raw)
        self.embedded = _embedded_of(self.raw)
        """The part of the schema that leads to objects within objects; None: there are none."""
        self.rules = rules_of(self.raw)

    @cached_property
    def merging(self) -> Json:
        """The schema with the merge rules of `metadata`, for field ownership."""
        whole = _with_metadata(self.raw, self.embedded) if self.embedded else self.raw
        return {**whole, "properties": {**as_map(whole.get("properties")), "metadata": METADATA}}

    def fill_strings(self, obj: Json) -> None:
        """Make nulls in maps of strings empty strings, in place, as Go does for built-in kinds."""
        if self._known is formats.BUILT_IN:
            for name, part in as_map(self.raw.get("properties")).items():
                if as_map(part.get("additionalProperties")).get("type") == "string":
                    values = as_map(obj.get(name))
                    values.update({key: "" for key, value in values.items() if value is None})

    def is_met(self, obj: Json) -> bool:
        """Whether nothing is unknown and no value is wrong; defaults and rules are not tried."""
        return bool(self._closed.is_valid(obj))

    def admit(self, obj: Json, old: Json | None = None) -> tuple[list[str], list[Cause]]:
        """Default and prune `obj` in place, and check it.

        Args:
            obj: The object.
            old: The object before an update, for rules about transitions.

        Returns:
            Paths of the fields that were unknown and are gone, in the order of the object, and what
            is wrong.
        """
        if self._defaults is not None:
            default(obj, self._defaults)
        for name in self._structs:
            if obj.get(name) is None:
                obj[name] = {}
        unknown: list[str] = []
        causes: list[Cause] = []
        if not self._closed.is_valid(obj):
            causes = self._repair(obj, old, unknown)
        if self._keyed is not None:
            causes += refusals.duplicate_entries(obj, self._keyed)
        if not self.rules:
            return unknown, causes
        if refusals.keep_from_rules(causes):
            return unknown, [*causes, refusals.UNCHECKED]
        return unknown, causes + self._broken_rules(obj, old)

    def read(self, obj: Json) -> bool:
        """Make a stored object what readers see, in place: defaulted and pruned, never refused.

        Returns:
            Whether anything of it may be another now; mostly nothing is.
        """
        filled = self._defaults is not None and default(obj, self._defaults)
        return self.trim(obj) or filled

    def trim(self, obj: Json) -> bool:
        """Remove, in place, what is unknown, and nulls that say nothing; False: there was none."""
        if self.is_met(obj):
            return False
        drop_nulls(obj, self.raw)
        prune(obj, self.raw, [], whole=self._whole)
        return True

    def _repair(self, obj: Json, old: Json | None, unknown: list[str]) -> list[Cause]:
        """Prune what is unknown or null, and say what is wrong with the rest."""
        self.fill_strings(obj)
        drop_nulls(obj, self.raw)
        _make_whole(obj, self.raw)
        prune(obj, self.raw, unknown, whole=self._whole)
        if self._open is None:
            self._open = self._compile(closed=False)
        errors = [e for e in self._open.iter_errors(obj) if not refusals.was_so_before(e, obj, old)]
        return list(refusals.causes_of(errors, self.raw, obj))

    def _compile(self, *, closed: bool) -> Any:
        schema = _json_schema(self.raw, closed=closed, top=self._whole)
        return jsonschema_rs.Draft4Validator(
            schema, validate_formats=True, formats=self._known, keywords=patterns.KEYWORDS
        )

    def _broken_rules(self, obj: Json, old: Json | None) -> list[Cause]:
        return list(self.rules.check(obj) if old is None else self.rules.check(obj, old))


def _json_schema(raw: Json, *, closed: bool, top: bool = False) -> Json:
    """The JSON Schema with the meaning of a structural one.

    Args:
        raw: Structural schema.
        closed: Refuse unknown fields wherever they would be pruned.
        top: Whether this is the whole object, whose type and metadata are checked elsewhere.
    """
    out: Json = {}
    for key, value in raw.items():
        _translate(key, value, out, closed=closed)
    if named := formats.known(raw):
        out["format"] = named
    if limits := formats.bounds(str(raw.get("type")), str(raw.get("format", ""))):
        _bound(out, *limits)
    if raw.get("x-kubernetes-int-or-string"):
        out.pop("type", None)
        out.setdefault("anyOf", [{"type": "integer"}, {"type": "string"}])
    if raw.get("nullable") and "type" in out:
        out["type"] = [out["type"], "null"]  # An enum stays as it is: null must be named in it.
    if raw.get("x-kubernetes-list-type") == "set":
        out["uniqueItems"] = True
    if raw.get(EMBEDDED):
        out["required"] = sorted({*out.get("required", ()), "apiVersion", "kind"})
    if top or raw.get(EMBEDDED):
        out["properties"] = {**out.get("properties", {}), **{name: {} for name in TYPE_META}}
    if closed and _closes(raw):
        out["additionalProperties"] = False
    return out


def _translate(key: str, value: Any, out: Json, *, closed: bool) -> None:
    """One keyword of a structural schema."""
    if key == "properties":
        out[key] = {k: _json_schema(v, closed=closed) for k, v in value.items()}
    elif key in ("items", "additionalProperties") and isinstance(value, dict):
        out[key] = _json_schema(cast("Json", value), closed=closed)
    elif key == "not":
        out[key] = _json_schema(value, closed=False)
    elif key in ("allOf", "anyOf", "oneOf"):
        out[key] = [_json_schema(part, closed=False) for part in value]
    elif key == "pattern" and isinstance(value, str):
        out[patterns.keyword_of(value)] = value
    elif key not in _DROPPED and not key.startswith("x-"):
        out[key] = value


def _bound(out: Json, least: Any, most: Any) -> None:
    """Limit a number to what its format can hold, where the schema does not limit it further."""
    if out.get("minimum", least) <= least:
        out |= {"minimum": least, "exclusiveMinimum": False}
    if out.get("maximum", most) >= most:
        out |= {"maximum": most, "exclusiveMaximum": False}


def _closes(raw: Json) -> bool:
    """Whether unknown fields of this object would be pruned."""
    if raw.get(_PRESERVE) or "additionalProperties" in raw:
        return False
    return raw.get("type") == "object" or "properties" in raw


def _defaults_of(raw: Any) -> Json | None:
    """The part of a schema that leads to defaults, so that nothing else is walked; None: none."""
    if not isinstance(raw, dict):
        return None
    schema = cast("Json", raw)
    out: Json = {key: schema[key] for key in ("default", "nullable") if key in schema}
    below = {key: _defaults_of(schema.get(key)) for key in ("items", "additionalProperties")}
    out |= {key: part for key, part in below.items() if part is not None}
    declared = {k: _defaults_of(v) for k, v in as_map(schema.get("properties")).items()}
    others = "additionalProperties" in out  # These must know which names are declared.
    kept = {k: part or {} for k, part in declared.items() if part is not None or others}
    if kept:
        out["properties"] = kept
    return out if out.keys() - {"nullable"} else None


def _embedded_of(raw: Any) -> Json | None:
    if not isinstance(raw, dict):
        return None
    schema = cast("Json", raw)
    below = {key: _embedded_of(schema.get(key)) for key in ("items", "additionalProperties")}
    out: Json = {key: part for key, part in below.items() if part is not None}
    declared = {k: _embedded_of(v) for k, v in as_map(schema.get("properties")).items()}
    if kept := {k: part for k, part in declared.items() if part is not None}:
        out["properties"] = kept
    return {**out, EMBEDDED: True} if schema.get(EMBEDDED) else out or None


def _with_metadata(schema: Json, part: Json) -> Json:
    """A schema in which embedded objects, to which `part` of it leads, declare what they are."""
    out = dict(schema)
    properties = dict(as_map(schema.get("properties")))
    if part.get(EMBEDDED):
        properties |= {"apiVersion": _STRING, "kind": _STRING, "metadata": _INNER_METADATA}
    for name, below in as_map(part.get("properties")).items():
        properties[name] = _with_metadata(properties[name], below)
    for name in ("items", "additionalProperties"):
        if name in part:
            out[name] = _with_metadata(out[name], part[name])
    return {**out, "properties": properties} if properties else out


def default(value: Any, schema: Json) -> bool:
    """Fill in the defaults that `schema` declares, in place; whether there was one to fill in."""
    if isinstance(value, list) and isinstance(schema.get("items"), dict):
        return any([default(item, schema["items"]) for item in cast("list[Any]", value)])
    if not isinstance(value, dict):
        return False
    obj, filled = cast("Json", value), False
    properties: Json = as_map(schema.get("properties"))
    for name, part in properties.items():
        if "default" in part and (
            name not in obj or (obj[name] is None and not part.get("nullable"))
        ):
            obj[name] = copy.deepcopy(part["default"])
            filled = True
        filled |= name in obj and default(obj[name], part)
    rest = schema.get("additionalProperties")
    if isinstance(rest, dict):
        others = [item for name, item in obj.items() if name not in properties]
        filled |= any([default(item, cast("Json", rest)) for item in others])
    return filled


def drop_nulls(value: Any, schema: Json) -> None:
    """Remove the nulls that a schema does not allow; Kubernetes takes them as not said."""
    if isinstance(value, dict):
        obj, rest = cast("Json", value), schema.get("additionalProperties")
        for name, part in as_map(schema.get("properties")).items():
            if name not in obj:
                continue
            if obj[name] is None and not part.get("nullable"):
                del obj[name]
            else:
                drop_nulls(obj[name], part)
        if isinstance(rest, dict):
            others = cast("Json", rest)
            for name, item in tuple(obj.items()):
                if item is None and others.get("type") and not others.get("nullable"):
                    del obj[name]
                else:
                    drop_nulls(item, others)
    elif isinstance(value, list) and isinstance(schema.get("items"), dict):
        for item in cast("list[Any]", value):
            drop_nulls(item, schema["items"])


def _make_whole(value: Any, schema: Json) -> Any:
    """A value, in place, with whole numbers where a schema wants them and `1e3` is written."""
    if isinstance(value, float):
        whole = schema.get("type") == "integer" and value.is_integer() and abs(value) < _EXACT
        return int(value) if whole else value
    if isinstance(value, dict):
        obj, rest = cast("Json", value), as_map(schema.get("additionalProperties"))
        properties = as_map(schema.get("properties"))
        for name, part in obj.items():
            obj[name] = _make_whole(part, properties.get(name, rest))
    elif isinstance(value, list) and isinstance(schema.get("items"), dict):
        items = cast("list[Any]", value)
        items[:] = [_make_whole(item, schema["items"]) for item in items]
    return cast("Any", value)


def prune(
    value: Any, schema: Json, unknown: list[str], path: str = "", *, whole: bool = False
) -> None:
    """Remove the fields that `schema` does not know, in place, and name them in `unknown`."""
    if isinstance(value, dict):
        embedded = whole or bool(schema.get(EMBEDDED))
        _prune_object(cast("Json", value), schema, unknown, path, TYPE_META if embedded else ())
    elif isinstance(value, list) and isinstance(schema.get("items"), dict):
        for index, item in enumerate(cast("list[Any]", value)):
            prune(item, schema["items"], unknown, f"{path}[{index}]")


def _prune_object(
    obj: Json, schema: Json, unknown: list[str], path: str, kept: tuple[str, ...]
) -> None:
    properties: Json = as_map(schema.get("properties"))
    rest = schema.get("additionalProperties")
    keeps = bool(schema.get(_PRESERVE)) or rest is True
    for name in list(obj):
        here = f"{path}.{name}" if path else name
        if name in kept:
            continue
        if name in properties:
            prune(obj[name], properties[name], unknown, here)
        elif isinstance(rest, dict):
            prune(obj[name], cast("Json", rest), unknown, here)
        elif not keeps:
            unknown.append(here)
            del obj[name]
