"""Objects within objects (`x-kubernetes-embedded-resource`): their kind, and their metadata.

What is in them is what the schema says; of whom they are is the same as in any object.

Source: https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#rawextension
"""

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, cast

from isthmus.apiserver import metadata as meta
from isthmus.apiserver.errors import ApiError, Cause, bad_request
from isthmus.apiserver.jsonvalues import Json, as_list, as_map
from isthmus.apiserver.preconditions import undecodable
from isthmus.apiserver.resources import Resource
from isthmus.apiserver.schema import EMBEDDED

_KIND = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_KIND_RULE = (
    "may have mixed case, but should otherwise match: a DNS-1035 label must consist of lower case"
    " alphanumeric characters or '-', start with an alphabetic character, and end with an"
    " alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is"
    " '[a-z]([-a-z0-9]*[a-z0-9])?')"
)
_SAYS_NOTHING: tuple[Any, ...] = ("", 0, None, {}, [])


def _found(value: Any, part: Json, path: str = "") -> Iterator[tuple[Json, str]]:
    """Every embedded object, the outer ones first, with its path.

    Args:
        value: A value.
        part: The part of its schema that leads to embedded objects, see `Schema.embedded`.
        path: Where the value is.
    """
    if isinstance(value, list):
        for index, item in enumerate(cast("list[Any]", value)):
            yield from _found(item, as_map(part.get("items")), f"{path}[{index}]")
    if not isinstance(value, dict):
        return
    obj = cast("Json", value)
    if part.get(EMBEDDED):
        yield obj, path
    properties, rest = as_map(part.get("properties")), part.get("additionalProperties")
    for name, inner in obj.items():
        below = properties.get(name, rest)
        if isinstance(below, dict):
            yield from _found(inner, cast("Json", below), f"{path}.{name}" if path else name)


def coerce(resource: Resource, obj: Json) -> list[str]:
    """Bring the metadata of embedded objects into their form, in place.

    Returns:
        Paths of its fields that are unknown, and gone.

    Raises:
        ApiError: 400, something in it has another type.
    """
    if resource.schema.embedded is None:
        return []
    unknown: list[str] = []
    for inner, path in _found(obj, resource.schema.embedded):
        for name in ("apiVersion", "kind"):
            if not isinstance(inner.get(name, ""), str):
                raise _unusable(resource, f"{path}.{name}: Invalid value: must be a string")
        if "metadata" not in inner:
            continue
        told: Any = {} if inner["metadata"] is None else inner["metadata"]
        if not isinstance(told, dict):
            raise undecodable(resource, told, "value of type v1.ObjectMeta")
        metadata = cast("Json", told)
        strange, wrong = meta.admit(resource, metadata)
        if wrong:
            raise _unusable(resource, f"{path}.{wrong[0].sentence()}")
        unknown += [f"{path}.{name}" for name in strange]
        inner["metadata"] = {k: v for k, v in metadata.items() if v not in _SAYS_NOTHING}
    return sorted(unknown)


def _unusable(resource: Resource, why: str) -> ApiError:
    return bad_request(
        f'{resource.kind} in version "{resource.version}" cannot be handled as a {resource.kind}:'
        f" {why}"
    )


def check(resource: Resource, obj: Json) -> list[Cause]:
    """What is wrong with the kinds and the metadata of embedded objects."""
    if resource.schema.embedded is None:
        return []
    causes: list[Cause] = []
    for inner, path in _found(obj, resource.schema.embedded):
        causes += _check_type(inner, path)
        metadata = as_map(inner.get("metadata"))
        wrong = meta.check_marks(metadata)
        for name in as_list(metadata.get("finalizers")):
            wrong += meta.check_key("metadata.finalizers", name)
        wrong += _check_managers(as_list(metadata.get("managedFields")))
        causes += [replace(cause, field=f"{path}.{cause.field}") for cause in wrong]
        name = str(metadata.get("name") or "")
        for why in meta.segment_faults(name):
            causes.append(Cause(f"{path}.metadata.name", f'"{name}": {why}'))
    return causes


def _check_managers(managers: list[Json]) -> Iterator[Cause]:
    for index, manager in enumerate(managers):
        operation = manager.get("operation") or ""
        if operation not in ("Apply", "Update"):
            where = f"metadata.managedFields[{index}].operation"
            yield Cause(where, f'"{operation}": must be `Apply` or `Update`')


def _check_type(inner: Json, path: str) -> Iterator[Cause]:
    version, kind = inner.get("apiVersion"), inner.get("kind")
    if version is not None and not version:
        yield Cause(f"{path}.apiVersion", '"": must not be empty')
    elif version is not None and str(version).count("/") > 1:
        why = f"unexpected GroupVersion string: {version}"
        yield Cause(f"{path}.apiVersion", f'"{version}": {why}')
    if kind is not None and not kind:
        yield Cause(f"{path}.kind", '"": must not be empty')
    elif kind is not None and not _KIND.fullmatch(str(kind).lower()):
        yield Cause(f"{path}.kind", f'"{kind}": {_KIND_RULE}')
