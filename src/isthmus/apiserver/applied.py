"""What a server-side apply may contain, and which part of it counts."""

from typing import Any, cast

from isthmus.apiserver.errors import bad_request
from isthmus.apiserver.jsonvalues import Json
from isthmus.apiserver.resources import Resource
from isthmus.apiserver.schema import prune
from isthmus.apiserver.targets import Target

_STATUS_PARTS = ("apiVersion", "kind", "metadata", "status")


def applied_configuration(resource: Resource, target: Target, value: Any) -> Json:
    """The applied configuration of an object, checked for what only apply refuses.

    Args:
        resource: The kind that the path names.
        target: The object that the path names.
        value: The body, decoded.

    Raises:
        ApiError: 400.
    """
    if not isinstance(value, dict):
        raise bad_request("the applied configuration must be an object")
    wanted = {name: part for name, part in cast("Json", value).items() if part is not None}
    said = (wanted.get("apiVersion"), wanted.get("kind"))
    if said != (resource.group_version, resource.kind):
        raise bad_request(
            f"the applied configuration must be a {resource.kind} of {resource.group_version}"
        )
    wanted["metadata"] = _metadata(resource, target, wanted.get("metadata", {}))
    if target.subresource == "status":
        wanted = {name: part for name, part in wanted.items() if name in _STATUS_PARTS}
    elif resource.has_status:
        wanted.pop("status", None)
    _refuse_unknown(resource, target, wanted)
    return wanted


def _metadata(resource: Resource, target: Target, value: Any) -> Json:
    if not isinstance(value, dict):
        raise bad_request("metadata must be an object")
    metadata = cast("Json", value)
    if metadata.get("managedFields"):
        raise bad_request("metadata.managedFields must be nil")
    if metadata.setdefault("name", target.name) != target.name:
        raise bad_request("the name of the object does not match the name on the URL")
    if resource.namespaced and metadata.setdefault("namespace", target.namespace) != (
        target.namespace
    ):
        raise bad_request("the namespace of the object does not match the namespace on the URL")
    return metadata


def _refuse_unknown(resource: Resource, target: Target, wanted: Json) -> None:
    """An applied field that the schema does not know could be neither owned nor kept."""
    unknown: list[str] = []
    prune(wanted, resource.schema.raw, unknown, whole=True)
    if unknown:
        place = f"{target.namespace}/{target.name}; {resource.group_version}"
        listed = ", ".join(f".{field}: field not declared in schema" for field in unknown)
        raise bad_request(
            f"failed to create typed patch object ({place}, Kind={resource.kind}): {listed}"
        )
