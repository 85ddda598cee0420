"""Which fields differ between what is there and what would be."""

from collections.abc import Iterator
from typing import Any, Final, cast

from isthmus.api.meta import Json
from isthmus.drivers.kubernetes.fields import part

_SERVERS_OWN: Final = frozenset(
    {
        "managedFields",
        "resourceVersion",
        "generation",
        "creationTimestamp",
        "uid",
        "selfLink",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
    }
)
_ABSENT: Final = object()


def differing(live: Json, wanted: Json) -> tuple[str, ...]:
    """Return the paths of differing fields, never their values: they may be secret."""
    return tuple(sorted(_paths(_comparable(live), _comparable(wanted), "")))


def _comparable(obj: Json) -> Json:
    meta = part(obj, "metadata")
    kept = {key: value for key, value in meta.items() if key not in _SERVERS_OWN}
    return {k: v for k, v in obj.items() if k != "status"} | {"metadata": kept}


def _paths(one: Any, other: Any, path: str) -> Iterator[str]:
    if one == other:
        return
    if isinstance(one, dict) and isinstance(other, dict):
        left, right = cast("Json", one), cast("Json", other)
        for key in left.keys() | right.keys():
            below = f"{path}.{key}" if path else str(key)
            yield from _paths(left.get(key, _ABSENT), right.get(key, _ABSENT), below)
    elif isinstance(one, list) and isinstance(other, list):
        yield from _in_lists(cast("list[Any]", one), cast("list[Any]", other), path)
    else:
        yield path


def _in_lists(one: list[Any], other: list[Any], path: str) -> Iterator[str]:
    if len(one) != len(other):
        yield path
        return
    for index, (left, right) in enumerate(zip(one, other, strict=True)):
        yield from _paths(left, right, f"{path}[{index}]")
