"""What must be true before an object is written over another."""

import re
from dataclasses import replace
from datetime import datetime
from typing import Any

from isthmus.apiserver.errors import ApiError, Cause, bad_request, conflict, invalid
from isthmus.apiserver.history import Record
from isthmus.apiserver.jsonvalues import Json, as_list, as_map, type_name
from isthmus.apiserver.resources import Resource

_TIMES = ("creationTimestamp", "deletionTimestamp")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d([.,]\d+)?(Z|[+-]\d\d:\d\d)", re.ASCII)


def check_type(resource: Resource, obj: Json) -> None:
    """Refuse an object of another kind or version; what it does not say is filled in.

    Raises:
        ApiError: 400.
    """
    if not resource.custom:
        obj.setdefault("apiVersion", resource.group_version)
        obj.setdefault("kind", resource.kind)
    elif "kind" not in obj:
        raise bad_request(
            f"the object provided is unrecognized (must be of type {resource.kind}): Object 'Kind'"
            " is missing"
        )
    if obj["kind"] != resource.kind and not resource.custom:
        raise bad_request(
            f'{obj["kind"]} in version "{resource.version}" cannot be handled as a {resource.kind}'
        )
    if obj["kind"] != resource.kind:
        cause = Cause("kind", f'"{obj["kind"]}": must be {resource.kind}')
        name = str(as_map(obj.get("metadata")).get("name", ""))
        raise invalid(replace(resource, kind=str(obj["kind"])), name, [cause])
    obj.setdefault("apiVersion", "")
    if obj["apiVersion"] != resource.group_version:
        raise bad_request(
            f"the API version in the data ({obj['apiVersion']}) does not match the expected API"
            f" version ({resource.group_version})"
        )
    if not isinstance(obj.setdefault("metadata", {}), dict):
        raise undecodable(resource, obj["metadata"], "value of type v1.ObjectMeta")


def undecodable(resource: Resource, value: Any, wanted: str) -> ApiError:
    """A value is not of the type that every object has there; `wanted` is Go's name of it."""
    return bad_request(
        f'{resource.kind} in version "{resource.version}" cannot be handled as a {resource.kind}:'
        f" json: cannot unmarshal {type_name(value)} into Go {wanted}"
    )


def _is_time(text: str) -> bool:
    """Whether it is a time as RFC 3339 writes it."""
    if not _TIME.fullmatch(text):
        return False
    try:
        datetime.fromisoformat(text[:19])
    except ValueError:
        return False
    return True


def check_times(
    resource: Resource, metadata: Json, old: Json | None = None, *, patched: bool = False
) -> None:
    """Refuse times of an object's life that are no times, though nobody but the server sets them.

    Raises:
        ApiError: 400; of a patch 422.
    """
    for name in _TIMES:
        told = metadata.get(name)
        if not isinstance(told, str) or told == as_map(old).get(name) or _is_time(told):
            continue
        layout = '"2006-01-02T15:04:05Z07:00"'
        why = f'parsing time "{told}" as {layout}: cannot parse "{told}" as "2006"'
        if patched:
            raise ApiError(422, "Invalid", f' "" is invalid: patch: {why}')
        raise bad_request(
            f'{resource.kind} in version "{resource.version}" cannot be handled as a'
            f" {resource.kind}: {why}"
        )


def _check_immutable(resource: Resource, old: Json, new: Json) -> None:
    """Refuse to mark an object as leaving, or to change how long it has; only deletion does.

    Raises:
        ApiError: 422.
    """
    causes: list[Cause] = []
    if "deletionTimestamp" not in old and new.get("deletionTimestamp"):
        causes.append(_immutable("deletionTimestamp", f'"{new["deletionTimestamp"]}"'))
    grace = new.get("deletionGracePeriodSeconds")
    if grace is not None and grace != old.get("deletionGracePeriodSeconds"):
        causes.append(_immutable("deletionGracePeriodSeconds", grace))
    if causes:
        raise _twice(resource, old["name"], causes)


def _immutable(field: str, value: Any) -> Cause:
    return Cause(f"metadata.{field}", f"{value}: field is immutable")


def _twice(resource: Resource, name: str, causes: list[Cause]) -> ApiError:
    """A refusal whose causes are listed twice, since Kubernetes looks twice at these fields."""
    error = invalid(resource, name, causes)
    error.details["causes"] *= 2
    return error


def check_identity(
    resource: Resource, old: Json, new: Json, *, patched: bool = False
) -> list[Json] | None:
    """Check the preconditions that the metadata of an update carry.

    Returns:
        Its `managedFields`, if it has some.

    Raises:
        ApiError: 409 or 400.
    """
    name = old["name"]
    check_times(resource, new, old, patched=patched)
    if not new.get("name"):
        raise bad_request(
            f"the name of the object ({name} based on URL) was undeterminable: name must be"
            " provided"
        )
    if new["name"] != name:
        raise bad_request(
            f"the name of the object ({new['name']}) does not match the name on the URL ({name})"
        )
    if (new.get("namespace") or old.get("namespace")) != old.get("namespace"):
        raise bad_request(
            "the namespace of the provided object does not match the namespace sent on the request"
        )
    if resource.custom and not new.get("resourceVersion"):
        cause = Cause("metadata.resourceVersion", "0: must be specified for an update")
        raise invalid(resource, name, [cause], named=resource.qualified)
    if new.get("resourceVersion") and new["resourceVersion"] != old["resourceVersion"]:
        raise conflict(resource, name)
    if patched and new.get("uid") != old["uid"]:
        raise _twice(resource, name, [_immutable("uid", f'"{new.get("uid", "")}"')])
    if new.get("uid") and new["uid"] != old["uid"]:
        raise conflict(
            resource,
            name,
            f"Precondition failed: UID in precondition: {new['uid']}, UID in object meta:"
            f" {old['uid']}",
        )
    _check_immutable(resource, old, new)
    return new.get("managedFields")


def check_finalizers(resource: Resource, old: Json, new: Json) -> None:
    """Refuse new finalizers on an object that is being deleted.

    Raises:
        ApiError: 422.
    """
    if not old.get("deletionTimestamp"):
        return
    before = frozenset(as_list(old.get("finalizers")))
    added = [f'"{name}"' for name in as_list(new.get("finalizers")) if str(name) not in before]
    if added:
        why = (
            "no new finalizers can be added if the object is being deleted, found new finalizers"
            f" []string{{{', '.join(added)}}}"
        )
        cause = Cause("metadata.finalizers", why, "FieldValueForbidden")
        raise invalid(resource, old["name"], [cause])


def check_preconditions(resource: Resource, record: Record, wanted: Json) -> None:
    """Check the preconditions of a deletion.

    Raises:
        ApiError: 409.
    """
    version = wanted.get("resourceVersion")
    if wanted.get("uid") and wanted["uid"] != record.uid:
        why = (
            f"the UID in the precondition ({wanted['uid']}) does not match the UID in record"
            f" ({record.uid}). The object might have been deleted and then recreated"
        )
    elif version and version != str(record.version):
        why = (
            f"the ResourceVersion in the precondition ({version}) does not match the"
            f" ResourceVersion in record ({record.version}). The object might have been modified"
        )
    else:
        return
    name, kind = record.key[1], resource.kind + (f".{resource.group}" if resource.group else "")
    message = f'Operation cannot be fulfilled on {kind} "{name}": {why}'
    details: Json = {"name": name, "group": resource.group, "kind": resource.kind}
    raise ApiError(409, "Conflict", message, details)


def unknown_fields(resource: Resource, told: list[str], *, patched: bool) -> ApiError:
    """The refusal of unknown or repeated fields, when the caller wants strictness."""
    listed = ", ".join(told)
    if patched:
        return ApiError(422, "Invalid", f' "" is invalid: patch: strict decoding error: {listed}')
    return bad_request(
        f'{resource.kind} in version "{resource.version}" cannot be handled as a'
        f" {resource.kind}: strict decoding error: {listed}"
    )
