"""What a server-side apply may contain, and which part of it counts."""

from typing import Any, cast

from isthmus.apiserver import embedded
from isthmus.apiserver.errors import bad_request
from isthmus.apiserver.jsonvalues import Json
from isthmus.apiserver.metadata import SCHEMA
from isthmus.apiserver.resources import Resource
from isthmus.apiserver.schema import prune
from isthmus.apiserver.targets import Target
from isthmus.apiserver.typedcheck import mismatches

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
        raise bad_request(f"invalid object type: {said[0] or '/'}, Kind={said[1] or ''}")
    wanted["metadata"] = _metadata(resource, target, wanted.get("metadata", {}))
    if target.subresource == "status":
        wanted = {name: part for name, part in wanted.items() if name in _STATUS_PARTS}
    elif resource.has_status:
        wanted.pop("status", None)
    SCHEMA.fill_strings(wanted["metadata"])
    resource.schema.fill_strings(wanted)
    _refuse_untyped(resource, target, wanted)
    return wanted


def _metadata(resource: Resource, target: Target, value: Any) -> Json:
    if not isinstance(value, dict):
        raise bad_request("metadata must be an object")
    metadata = cast("Json", value)
    if metadata.get("managedFields"):
        raise bad_request("metadata.managedFields must be nil")
    name = metadata.get("name", target.name)
    if name != target.name:
        raise bad_request(
            f"the name of the object ({name}) does not match the name on the URL ({target.name})"
        )
    namespace = metadata.get("namespace", target.namespace)
    if resource.namespaced and namespace != target.namespace:
        raise bad_request(
            "the namespace of the provided object does not match the namespace sent on the request"
        )
    return metadata


def _refuse_untyped(resource: Resource, target: Target, wanted: Json) -> None:
    """What the schema does not know, or knows otherwise, can be neither owned nor merged."""
    unknown: list[str] = []
    prune(wanted, resource.schema.raw, unknown, whole=True)
    unknown += embedded.coerce(resource, wanted)
    wrong = [f".{field}: field not declared in schema" for field in unknown]
    wrong += mismatches(wanted, resource.schema.merging)
    if wrong:
        place = f"{target.namespace}/{target.name}; {resource.group_version}"
        raise bad_request(
            f"failed to create typed patch object ({place}, Kind={resource.kind}): "
            + (wrong[0] if len(wrong) == 1 else "errors:\n  " + "\n  ".join(wrong))
        )
