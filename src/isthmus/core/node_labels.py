"""Refuse labels and taints with which no server of a pool would ever become a node.

The API refuses them in typed fields already; parameters, and objects that were there before, come
here.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple, cast, get_args

from isthmus.api import node_labels as rules
from isthmus.api.meta import Json
from isthmus.api.v1alpha1 import NodePoolSpec, Taint
from isthmus.errors import InvalidSpec

_KEY: Final = re.compile(rules.KEY)
_VALUE: Final = re.compile(rules.VALUE)
_RESERVED: Final = re.compile(rules.RESERVED)
_OWN: Final = re.compile(rules.OWN)
_TAINT: Final = re.compile(r"([^=:]*)=?([^:]*):([^:]*)", re.DOTALL)
_EFFECTS: Final[tuple[str, ...]] = get_args(Taint.model_fields["effect"].annotation)
_SHOWN: Final = 80


class _Taint(NamedTuple):
    field: str
    key: str
    value: str
    effect: str


def check(spec: NodePoolSpec) -> None:
    """Hold the labels and taints that a pool asks for against the rules.

    Raises:
        InvalidSpec: Names the field, what is wrong with it, and what would be right.
    """
    typed: Json = {"labels": spec.labels, "taints": spec.taints}
    given = {name: value for name, value in spec.parameters.items() if not typed.get(name)}
    _check_labels(spec.labels, "spec.labels")
    _check_labels(given.get("labels"), "spec.parameters.labels")
    _check_taints(
        _Taint(f"spec.taints.{number}", taint.key, taint.value, taint.effect)
        for number, taint in enumerate(spec.taints)
    )
    _check_taints(_written(given.get("taints"), "spec.parameters.taints"))


def _check_labels(labels: object, field: str) -> None:
    """Hold labels against the rules; what is no map of texts is left to the schema."""
    if not isinstance(labels, Mapping):
        return
    for key, value in cast("Mapping[str, Any]", labels).items():
        _check_key(key, field)
        if _RESERVED.fullmatch(key) and not _OWN.fullmatch(key) and key not in rules.OWN_LABELS:
            raise InvalidSpec(f"{field}.{key}: {rules.RESERVED_WORDS}.")
        _check_value(value, f"{field}.{key}")


def _check_taints(taints: Iterable[_Taint]) -> None:
    seen: set[tuple[str, str]] = set()
    for taint in taints:
        _check_key(taint.key, taint.field)
        _check_value(taint.value, taint.field)
        if taint.effect not in _EFFECTS:
            raise InvalidSpec(f"{taint.field}: the effect must be one of {', '.join(_EFFECTS)}.")
        if (taint.key, taint.effect) in seen:
            raise InvalidSpec(f"{taint.field}: {rules.UNIQUE_WORDS}.")
        seen.add((taint.key, taint.effect))


def _written(taints: object, field: str) -> Iterable[_Taint]:
    """Read taints as the kubelet has them."""
    if not isinstance(taints, list | tuple):
        return
    for number, text in enumerate(cast("Iterable[Any]", taints)):
        if not isinstance(text, str):
            continue
        place = f"{field}.{number}"
        found = _TAINT.fullmatch(text)
        if found is None:
            raise InvalidSpec(f"{place}: write it as key=value:effect.")
        yield _Taint(place, *found.groups())


def _check_key(key: str, field: str) -> None:
    if not _KEY.fullmatch(key) or key.find("/") > rules.PREFIX_BYTES:
        raise InvalidSpec(f"{field}: {key[:_SHOWN]!r} is no name; {rules.KEY_WORDS}.")


def _check_value(value: object, field: str) -> None:
    if isinstance(value, str) and not _VALUE.fullmatch(value):
        raise InvalidSpec(f"{field}: {rules.VALUE_WORDS}.")
