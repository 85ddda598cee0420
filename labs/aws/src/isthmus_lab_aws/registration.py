"""Makes ministack know the lab's own resource types: handlers, replacement, drift, import.

The third and last module that knows ministack's insides, beside `ministack.py` and `gateway.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast

from isthmus_lab_aws.ministack import NativeType, attributes_of, here, module, original
from isthmus_lab_aws.resource import Request, ResourceFailure, ResourceType
from isthmus_lab_aws.schemas import schema


def register(kind: ResourceType) -> None:
    """Make ministack know a type of the lab's own, and what replaces it."""
    if kind.replacing is not None:
        _provisioners()._REPLACING_PROPERTIES[kind.name] = tuple(kind.replacing)
    if not isinstance(kind, NativeType):
        _provisioners()._RESOURCE_HANDLERS[kind.name] = _handlers(kind)
    if _overrides(kind, "read"):
        readers = module("services.cloudformation.drift")._DRIFT_READERS
        readers[kind.name] = (_reader(kind), _AnyProperty())


def compared(
    template: dict[str, Any], parameters: dict[str, Any], name: str, identity: str
) -> dict[str, Any]:
    """What a change set compares: the resources whose condition holds, as AWS does."""
    found = cast(
        "dict[str, Any]", original("_resolve_props_for_diff")(template, parameters, name, identity)
    )
    if not found:
        return found
    conditions = original("_evaluate_conditions")(template, parameters)
    resources = cast("dict[str, dict[str, Any]]", found["Resources"])
    held = {
        logical_id: resource
        for logical_id, resource in resources.items()
        if conditions.get(resource.get("Condition"), True)
    }
    return found | {"Resources": held}


def register_imports(kinds: Iterable[ResourceType]) -> None:
    """Make ministack know which of these types can be imported, and by which identifier.

    Apart from `register`, because it reads the schemas of well over a thousand types.
    """
    for kind in kinds:
        if _overrides(kind, "find"):
            _register_import(kind)


def _overrides(kind: ResourceType, method: str) -> bool:
    mine = getattr(type(kind), method)
    return mine is not getattr(ResourceType, method) and mine is not getattr(NativeType, method)


def _reader(kind: ResourceType) -> Callable[[str, Any], Any]:
    def read(physical_id: str, _: Any) -> Any:
        return kind.read(here(), physical_id)

    return read


class _AnyProperty:
    """A set that holds every name: drift compares whatever a reader gives."""

    def __contains__(self, name: object) -> bool:
        return True


def _register_import(kind: ResourceType) -> None:
    found = schema(kind.name)
    identifiers = cast("list[str]", found.get("primaryIdentifier", [])) if found else []
    keys = tuple(path.removeprefix("/properties/") for path in identifiers)

    def problem(*values: str) -> str | None:
        try:
            kind.find(here(), dict(zip(keys, values, strict=True)))
        except ResourceFailure as failure:
            return str(failure)
        return None

    module("services.cloudformation.changesets")._IMPORT_LOOKUPS[kind.name] = (keys, problem)
    handlers = _provisioners()._RESOURCE_HANDLERS[kind.name]
    handlers["import"] = _handlers(kind)["import"]


def set_replacing(name: str, properties: tuple[str, ...]) -> None:
    """Name the properties whose change replaces a resource of this type."""
    _provisioners()._REPLACING_PROPERTIES[name] = properties


def recreation(resource_type: str, name: str) -> str:
    """Whether a change of that property replaces: ``Always``, ``Conditionally`` or ``Never``.

    As ministack says for the types that it knows; as AWS's schema says for the others, which
    ministack would call conditional throughout.
    """
    if resource_type in _provisioners()._REPLACING_PROPERTIES:
        return str(original("_property_recreation")(resource_type, name))
    found = schema(resource_type) or {}
    path = f"/properties/{name}"

    def listed(key: str) -> bool:
        paths = cast("list[str]", found.get(key, []))
        return any(p == path or p.startswith(f"{path}/") for p in paths)

    if path in cast("list[str]", found.get("createOnlyProperties", [])):
        return "Always"
    inside = listed("createOnlyProperties") or listed("conditionalCreateOnlyProperties")
    return "Conditionally" if inside else "Never"


def _handlers(kind: ResourceType) -> dict[str, Any]:
    def create(logical_id: str, properties: Any, stack: str) -> tuple[str, dict[str, str]]:
        made = kind.create(Request(here(), stack, logical_id, properties))
        return made.id, dict(made.attributes)

    def update(
        physical_id: str, old: Any, new: Any, stack: str, logical_id: str
    ) -> tuple[str, dict[str, str]]:
        attributes = attributes_of(stack, logical_id)
        made = kind.update(
            Request(here(), stack, logical_id, new, physical_id, old, attributes),
        )
        return made.id, dict(made.attributes)

    def delete(physical_id: str, properties: Any, logical_id: str = "") -> None:
        kind.delete(Request(here(), "", logical_id, properties, physical_id))

    def snapshot(physical_id: str, properties: Any) -> None:
        kind.snapshot(Request(here(), "", "", properties, physical_id))

    def find(identifier: Mapping[str, str]) -> tuple[str, dict[str, str]]:
        made = kind.find(here(), identifier)
        return made.id, dict(made.attributes)

    return {
        "create": create,
        "update": update,
        "update_with_logical_id": True,
        "delete": delete,
        "delete_with_logical_id": True,
        "snapshot": snapshot,
        "import": find,
    }


def _provisioners() -> Any:
    return module("services.cloudformation.provisioners")
