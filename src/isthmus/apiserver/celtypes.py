"""Types of expressions, and which of them the schema of a kind gives to its values.

Source: https://kubernetes.io/docs/reference/using-api/cel/#type-system
"""

import re
from dataclasses import dataclass, field
from typing import Any

from isthmus.apiserver.celfunctions import RESERVED
from isthmus.apiserver.jsonvalues import Json, as_map

_IDENTIFIER = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_MARKS = {"__": "__underscores__", ".": "__dot__", "-": "__dash__", "/": "__slash__"}
_TO_ESCAPE = re.compile(r"__|[./-]")


@dataclass(frozen=True)
class Type:
    """A type.

    Attributes:
        name: `int`, `list`, `map`, `object`, `optional_type`, `dyn`, ...
        item: Of what a list, a map's values or an optional value are.
        fields: Of an object, as rules name them.
    """

    name: str
    item: "Type | None" = None
    fields: dict[str, "Type"] = field(default_factory=dict[str, "Type"], compare=False)

    def __str__(self) -> str:
        inner = str(self.item or "dyn")
        if self.name in ("list", "optional_type"):
            return f"{self.name}({inner})"
        return f"map(string, {inner})" if self.name == "map" else self.name

    @property
    def element(self) -> "Type":
        """Of what it consists."""
        return self.item or DYN


DYN = Type("dyn")
STRING, INT, BOOL, DOUBLE, BYTES = map(Type, ("string", "int", "bool", "double", "bytes"))
MOMENT, DURATION = Type("google.protobuf.Timestamp"), Type("google.protobuf.Duration")
_OF_FORMAT = {"byte": BYTES, "duration": DURATION, "date": MOMENT, "date-time": MOMENT}
_SIMPLE = {"boolean": BOOL, "number": DOUBLE, "integer": INT}
_METADATA = Type("object", fields={"name": STRING, "generateName": STRING})


def list_of(item: Type) -> Type:
    """A list."""
    return Type("list", item)


def optional(item: Type) -> Type:
    """An optional value."""
    return Type("optional_type", item)


def escaped(name: str) -> str | None:
    """What a rule calls the property `name`; None: it cannot."""
    if name in RESERVED:
        return f"__{name}__"
    out = _TO_ESCAPE.sub(lambda mark: _MARKS[mark[0]], name)
    return out if _IDENTIFIER.fullmatch(out) else None


def type_of(schema: Any, *, root: bool = False) -> Type | None:
    """The type of the values of a structural schema; None: rules do not see them.

    Args:
        schema: The schema.
        root: Whether these are whole objects.
    """
    raw = as_map(schema)
    if raw.get("x-kubernetes-int-or-string"):
        return DYN
    kind = raw.get("type")
    if kind == "array":
        item = type_of(raw.get("items"), root=_embedded(raw.get("items")))
        return list_of(item) if item else None
    if kind == "object":
        return _object(raw, root=root)
    if kind == "string":
        return _OF_FORMAT.get(str(raw.get("format")), STRING)
    return _SIMPLE.get(str(kind))


def _embedded(schema: Any) -> bool:
    return bool(as_map(schema).get("x-kubernetes-embedded-resource"))


def _object(raw: Json, *, root: bool) -> Type | None:
    others = raw.get("additionalProperties")
    if isinstance(others, dict) and not root:
        item = type_of(others, root=_embedded(others))
        return Type("map", item) if item else None
    fields: dict[str, Type] = {}
    for name, part in as_map(raw.get("properties")).items():
        found, shown = type_of(part, root=_embedded(part)), escaped(name)
        if found is not None and shown is not None:
            fields[shown] = found
    if root:
        fields |= {"kind": STRING, "apiVersion": STRING, "metadata": _METADATA}
    return Type("object", fields=fields)
