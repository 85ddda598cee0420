"""Query parameters that are wrong or do not go together, refused in Kubernetes' own words.

Source: https://kubernetes.io/docs/reference/using-api/api-concepts/#semantics-for-get-and-list
"""

import re
from typing import Any, NamedTuple, cast

import orjson

from isthmus.apiserver.errors import Cause, bad_request, invalid_request
from isthmus.apiserver.jsonvalues import Json, as_list, as_map, type_name

_EXACT, _NEWER = "Exact", "NotOlderThan"
_MATCH = "resourceVersionMatch"


_VALIDATIONS = ("", "Ignore", "Strict", "Warn")
_LONGEST_MANAGER = 128
_POLICIES = ("Foreground", "Background", "Orphan")
_DELETE_FIELDS = (
    ("", "gracePeriodSeconds", int, "int64"), ("", "orphanDependents", bool, "bool"),
    ("", "propagationPolicy", str, "v1.DeletionPropagation"), ("", "dryRun", list, "[]string"),
    ("", "preconditions", dict, "v1.Preconditions"), ("preconditions", "uid", str, "types.UID"),
    ("preconditions", "resourceVersion", str, "string"),
)  # fmt: skip
"""Where a field is, its name and type, and Go's name of that."""


def _refuse(kind: str, causes: list[Cause]) -> None:
    if causes:
        raise invalid_request("meta.k8s.io", kind, causes)


def check_write(query: dict[str, str], kind: str) -> None:
    """Refuse wrong parameters of a write.

    Args:
        query: Parameters.
        kind: `CreateOptions`, `UpdateOptions` or `PatchOptions`.

    Raises:
        ApiError: 422.
    """
    causes: list[Cause] = []
    dry_run = query.get("dryRun", "All")
    if dry_run != "All":
        why = f'["{dry_run}"]: supported values: "All"'
        causes.append(Cause("dryRun", why, "FieldValueNotSupported"))
    manager = query.get("fieldManager", "")
    if len(manager) > _LONGEST_MANAGER:
        why = f"may not be more than {_LONGEST_MANAGER} bytes"
        causes.append(Cause("fieldManager", why, "FieldValueTooLong"))
    for place, letter in enumerate(manager):
        if not letter.isprintable():
            shown = orjson.dumps(manager).decode()
            why = f"{shown}: invalid character U+{ord(letter):04X} (at position {place})"
            causes.append(Cause("fieldManager", why))
            break
    validation = query.get("fieldValidation", "")
    if validation not in _VALIDATIONS:
        known = ", ".join(f'"{name}"' for name in _VALIDATIONS)
        why = f'"{validation}": supported values: {known}'
        causes.append(Cause("fieldValidation", why, "FieldValueNotSupported"))
    _refuse(kind, causes)


class DeleteOptions(NamedTuple):
    """How something is deleted.

    Attributes:
        policy: `Background`, `Foreground`, `Orphan` or nothing.
        dry_run: Whether nothing is to change.
        preconditions: `uid` and `resourceVersion` that objects must have.
        told_later: Whether what is not gone at once is answered with 202.
    """

    policy: str
    dry_run: bool
    preconditions: Json
    told_later: bool = False


def delete_options(given: Any, query: dict[str, str]) -> DeleteOptions:
    """What a deletion's body asks for, or, without one, its parameters.

    A body leaves the parameters unread, as in Kubernetes; but who asks there for a dry run gets
    one, lest something is lost.

    Args:
        given: The body, decoded; None if there is none.
        query: Parameters.

    Raises:
        ApiError: 400, the body is something else; 422, what it asks for is not to be had.
    """
    asked = _in_query(query) if given is None else given
    if not isinstance(asked, dict):
        raise bad_request("the body must be DeleteOptions")
    asked = cast("Json", asked)
    kind, version = asked.get("kind"), asked.get("apiVersion") or "meta.k8s.io/v1"
    if kind and kind != "DeleteOptions":
        raise bad_request(f'no kind "{kind}" is registered for version "{version}"')
    for place, name, form, words in _DELETE_FIELDS:
        value = as_map(asked.get(place)).get(name) if place else asked.get(name)
        if not isinstance(value, form | None) or (isinstance(value, bool) and form is int):
            where = f"Preconditions.{place}" if place else "DeleteOptions"
            raise bad_request(
                f"json: cannot unmarshal {type_name(value)} into Go struct field {where}.{name} of"
                f" type {words}"
            )
    policy, orphans = _policy_of(asked)
    dry_run = bool(asked.get("dryRun") or query.get("dryRun"))
    wanted = as_map(asked.get("preconditions"))
    return DeleteOptions(policy, dry_run, wanted, told_later=orphans is False)


def _in_query(query: dict[str, str]) -> Json:
    """DeleteOptions as parameters say them."""
    asked: Json = {}
    seconds = query.get("gracePeriodSeconds", "")
    if seconds and not re.fullmatch(r"[+-]?\d+", seconds, re.ASCII):
        raise bad_request(f'strconv.ParseInt: parsing "{seconds}": invalid syntax')
    if "orphanDependents" in query:
        asked["orphanDependents"] = query["orphanDependents"].lower() not in ("false", "0")
    if "propagationPolicy" in query:
        asked["propagationPolicy"] = query["propagationPolicy"]
    if "dryRun" in query:
        asked["dryRun"] = [query["dryRun"]]
    wanted = {name: query[name] for name in ("uid", "resourceVersion") if query.get(name)}
    return {**asked, "preconditions": wanted} if wanted else asked


def _policy_of(asked: Json) -> tuple[str, bool | None]:
    """What becomes of dependents, and how that was said before there were policies."""
    policy: str | None = asked.get("propagationPolicy")
    orphans: bool | None = asked.get("orphanDependents")
    causes: list[Cause] = []
    if policy is not None and orphans is not None:
        why = f'"{policy}": orphanDependents and deletionPropagation cannot be both set'
        causes.append(Cause("propagationPolicy", why))
    if policy is not None and policy not in _POLICIES:
        known = ", ".join(f'"{name}"' for name in (*_POLICIES, "nil"))
        why = f'"{policy}": supported values: {known}'
        causes.append(Cause("propagationPolicy", why, "FieldValueNotSupported"))
    if any(value != "All" for value in as_list(asked.get("dryRun"))):
        shown = orjson.dumps(asked["dryRun"]).decode()
        why = f'{shown}: supported values: "All"'
        causes.append(Cause("dryRun", why, "FieldValueNotSupported"))
    _refuse("DeleteOptions", causes)
    if orphans is not None:
        return "Orphan" if orphans else "Background", orphans
    return policy or "", None


def need_manager(query: dict[str, str]) -> None:
    """Refuse an apply that does not say on whose behalf.

    Raises:
        ApiError: 422.
    """
    if not query.get("fieldManager"):
        cause = Cause("fieldManager", "is required for apply patch", "FieldValueRequired")
        _refuse("PatchOptions", [cause])


def refuse_force(query: dict[str, str]) -> None:
    """Refuse to force a patch that has no conflicts.

    Raises:
        ApiError: 422.
    """
    if "force" in query:
        why = "may not be specified for non-apply patch"
        _refuse("PatchOptions", [Cause("force", why, "FieldValueForbidden")])


def check_read(query: dict[str, str], *, watch: bool) -> None:
    """Refuse parameters of a list or a watch that contradict each other.

    Raises:
        ApiError: 422.
    """
    if _MATCH not in query and "sendInitialEvents" not in query:
        return
    _refuse("ListOptions", _of_watch(query) if watch else _of_list(query))


def _forbidden(why: str, field: str = _MATCH) -> Cause:
    return Cause(field, why, "FieldValueForbidden")


def _of_list(query: dict[str, str]) -> list[Cause]:
    causes: list[Cause] = []
    match, version = query.get(_MATCH, ""), query.get("resourceVersion", "")
    if match:
        if not version:
            why = "resourceVersionMatch is forbidden unless resourceVersion is provided"
            causes.append(_forbidden(why))
        if query.get("continue"):
            causes.append(_forbidden("resourceVersionMatch is forbidden when continue is provided"))
        if match not in (_EXACT, _NEWER):
            why = f'"{match}": supported values: "{_EXACT}", "{_NEWER}", ""'
            causes.append(Cause(_MATCH, why, "FieldValueNotSupported"))
        if match == _EXACT and version == "0":
            why = 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"'
            causes.append(_forbidden(why))
    if "sendInitialEvents" in query:
        why = "sendInitialEvents is forbidden for list"
        causes.append(_forbidden(why, "sendInitialEvents"))
    return causes


def _of_watch(query: dict[str, str]) -> list[Cause]:
    causes: list[Cause] = []
    match = query.get(_MATCH, "")
    if "sendInitialEvents" in query and match != _NEWER:
        why = f"sendInitialEvents requires setting resourceVersionMatch to {_NEWER}"
        causes.append(_forbidden(why))
    if match:
        if "sendInitialEvents" not in query:
            why = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
            causes.append(_forbidden(why))
        if match != _NEWER:
            why = f'"{match}": supported values: "{_NEWER}"'
            causes.append(Cause(_MATCH, why, "FieldValueNotSupported"))
        if query.get("continue"):
            causes.append(_forbidden("resourceVersionMatch is forbidden when continue is provided"))
    return causes
