"""Types of expressions, and which of them the schema of a kind gives to its values.

Source: https://kubernetes.io/docs/reference/using-api/cel/#type-system
"""

from dataclasses import dataclass, field, replace
from typing import Any

from isthmus.apiserver.celnames import escaped
from isthmus.apiserver.jsonvalues import Json, as_list, as_map


@dataclass(frozen=True)
class Type:
    """A type.

    Attributes:
        name: `int`, `list`, `map`, `object`, `optional_type`, `dyn`, ...
        item: Of what a list, a map's values or an optional value are.
        fields: Of an object, as rules name them.
        most: How many letters, bytes, elements or entries a declared value has at most, as an
            estimate of costs takes it; types are equal whatever it is.
        smallest: How many bytes of JSON a declared value has at least.
    """

    name: str
    item: "Type | None" = None
    fields: dict[str, "Type"] = field(default_factory=dict[str, "Type"], compare=False)
    most: int = field(default=0, compare=False)
    smallest: int = field(default=0, compare=False)

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
UINT = Type("uint")
MOMENT, DURATION = Type("google.protobuf.Timestamp"), Type("google.protobuf.Duration")
IP, CIDR = Type("net.IP"), Type("net.CIDR")
QUANTITY, SEMVER, URL, FORMAT = (
    Type(f"kubernetes.{name}") for name in ("Quantity", "Semver", "URL", "NamedFormat")
)
REQUEST = 3 * 1024 * 1024
"""Bytes of a request, which bound whatever a schema does not. Source: k8s.io/apiserver, limits."""
_LONGEST = REQUEST - 2
_BRACKETS, _QUOTES_COLON_COMMA = 2, 4
_RUNE = 4
_OF_FORMAT = {
    "byte": Type("bytes", most=_LONGEST, smallest=2),
    "duration": Type(DURATION.name, most=32, smallest=3),
    "date": Type(MOMENT.name, most=12, smallest=12),
    "date-time": Type(MOMENT.name, most=32, smallest=21),
}
_SIMPLE = {
    "boolean": Type("bool", smallest=4),
    "number": Type("double", smallest=1),
    "integer": Type("int", smallest=1),
}
_WHOLE: Json = {"apiVersion": {"type": "string"}, "kind": {"type": "string"}}
_NAMES: Json = {"name": {"type": "string"}, "generateName": {"type": "string"}}


def list_of(item: Type) -> Type:
    """A list."""
    return Type("list", item)


def optional(item: Type) -> Type:
    """An optional value."""
    return Type("optional_type", item)


def type_of(schema: Any, *, root: bool = False) -> Type | None:
    """The type of the values of a structural schema; None: rules do not see them.

    Args:
        schema: The schema.
        root: Whether these are whole objects.
    """
    raw = as_map(schema)
    kind = raw.get("type")
    if raw.get("x-kubernetes-int-or-string"):
        return Type("dyn", most=_letters(raw, _LONGEST), smallest=1)
    if kind == "array":
        item = _part(raw.get("items"))
        return item and Type("list", item, most=_elements(raw, item), smallest=_BRACKETS)
    if kind == "object":
        return _object(raw, root=root)
    if kind == "string":
        return _text(raw)
    return _SIMPLE.get(str(kind))


def _part(schema: Any) -> Type | None:
    return type_of(schema, root=bool(as_map(schema).get("x-kubernetes-embedded-resource")))


def bound_of(schema: Json, name: str) -> int | None:
    """What a schema says by `maxItems`, `maxLength` or `maxProperties`; None: nothing."""
    bound = schema.get(name)
    return max(0, bound) if isinstance(bound, int) else None


def _letters(raw: Json, otherwise: int) -> int:
    """Letters are counted as the bytes that they may take."""
    bound = bound_of(raw, "maxLength")
    return otherwise if bound is None else bound * _RUNE


def _elements(raw: Json, item: Type) -> int:
    bound = bound_of(raw, "maxItems")
    return (REQUEST - _BRACKETS) // (item.smallest + 1) if bound is None else bound


def _text(raw: Json) -> Type:
    formatted = _OF_FORMAT.get(str(raw.get("format")))
    if formatted is not None:
        bound = bound_of(raw, "maxLength") if formatted == BYTES else None
        return formatted if bound is None else replace(formatted, most=bound)
    values = as_list(raw.get("enum"))
    longest = max((len(v.encode()) for v in values if isinstance(v, str)), default=0)
    return Type("string", most=_letters(raw, longest if values else _LONGEST), smallest=2)


def _object(raw: Json, *, root: bool) -> Type | None:
    others = raw.get("additionalProperties")
    if isinstance(others, dict) and not root:
        item = _part(others)
        return item and Type("map", item, most=_entries(raw, item), smallest=_BRACKETS)
    properties = as_map(raw.get("properties"))
    properties = _with_metadata(properties) if root else properties
    required, smallest = as_list(raw.get("required")), _BRACKETS
    fields: dict[str, Type] = {}
    for name, part in properties.items():
        found, shown = _part(part), escaped(name)
        if found is None:
            continue
        if shown is not None:
            fields[shown] = found
        if name in required and as_map(part).get("default") is None:
            smallest += len(name.encode()) + found.smallest + _QUOTES_COLON_COMMA
    return Type("object", fields=fields, smallest=smallest)


def _entries(raw: Json, item: Type) -> int:
    bound = bound_of(raw, "maxProperties")
    return (REQUEST - _BRACKETS) // (item.smallest + 6) if bound is None else bound


def _with_metadata(properties: Json) -> Json:
    """What rules see of every object, unless its schema says all of it itself."""
    names = as_map(as_map(properties.get("metadata")).get("properties"))
    if _are_texts(properties, _WHOLE) and _are_texts(names, _NAMES):
        return properties
    return {**properties, **_WHOLE, "metadata": {"type": "object", "properties": _NAMES}}


def _are_texts(properties: Json, names: Json) -> bool:
    return all(as_map(properties.get(name)).get("type") == "string" for name in names)
