"""What must be true before an object is written over another."""

from isthmus.apiserver.errors import ApiError, Cause, bad_request, conflict, invalid
from isthmus.apiserver.jsonvalues import Json, as_list
from isthmus.apiserver.resources import Resource


def check_type(resource: Resource, obj: Json) -> None:
    """Refuse an object of another kind or version; what it does not say is filled in.

    Raises:
        ApiError: 400.
    """
    obj.setdefault("apiVersion", resource.group_version)
    obj.setdefault("kind", resource.kind)
    if obj["apiVersion"] != resource.group_version:
        raise bad_request(
            f"the API version in the data ({obj['apiVersion']}) does not match the expected API"
            f" version ({resource.group_version})"
        )
    if obj["kind"] != resource.kind:
        raise bad_request(
            f"the kind in the data ({obj['kind']}) does not match the expected kind"
            f" ({resource.kind})"
        )
    if not isinstance(obj.setdefault("metadata", {}), dict):
        raise bad_request("metadata must be an object")


def check_identity(resource: Resource, old: Json, new: Json) -> list[Json] | None:
    """Check the preconditions that the metadata of an update carry.

    Returns:
        Its `managedFields`, if it has some.

    Raises:
        ApiError: 409 or 400.
    """
    name = old["name"]
    if new.get("resourceVersion") and new["resourceVersion"] != old["resourceVersion"]:
        raise conflict(resource, name)
    if new.get("uid") and new["uid"] != old["uid"]:
        raise conflict(
            resource,
            name,
            f"Precondition failed: UID in precondition: {new['uid']}, UID in object meta:"
            f" {old['uid']}",
        )
    if new.get("name", name) != name:
        raise bad_request(
            f"the name of the object ({new['name']}) does not match the name on the URL ({name})"
        )
    if (new.get("namespace") or old.get("namespace")) != old.get("namespace"):
        raise bad_request("the namespace of the object does not match the namespace on the URL")
    return new.get("managedFields")


def check_finalizers(resource: Resource, old: Json, new: Json) -> None:
    """Refuse new finalizers on an object that is being deleted.

    Raises:
        ApiError: 422.
    """
    if not old.get("deletionTimestamp"):
        return
    before = as_list(old.get("finalizers"))
    added = [f'"{name}"' for name in as_list(new.get("finalizers")) if name not in before]
    if added:
        why = (
            "no new finalizers can be added if the object is being deleted, found new finalizers"
            f" []string{{{', '.join(added)}}}"
        )
        cause = Cause("metadata.finalizers", why, "FieldValueForbidden")
        raise invalid(resource, old["name"], [cause])


def unknown_fields(resource: Resource, unknown: list[str], *, patched: bool) -> ApiError:
    """The refusal of fields that the schema does not know, when the caller wants strictness."""
    listed = ", ".join(f'unknown field "{field}"' for field in unknown)
    if patched:
        return ApiError(422, "Invalid", f' "" is invalid: patch: strict decoding error: {listed}')
    return bad_request(
        f'{resource.kind} in version "{resource.version}" cannot be handled as a'
        f" {resource.kind}: strict decoding error: {listed}"
    )
