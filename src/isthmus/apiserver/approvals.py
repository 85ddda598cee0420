"""Whether somebody of Kubernetes agreed to a definition in one of its own groups.

Source: https://github.com/kubernetes/enhancements/pull/1111
"""

from typing import NamedTuple
from urllib.parse import urlsplit

import orjson

from isthmus.apiserver.crdnames import set_condition
from isthmus.apiserver.errors import Cause
from isthmus.apiserver.jsonvalues import Json, as_map

_ANNOTATION = "api-approved.kubernetes.io"
_FIELD = f"metadata.annotations[{_ANNOTATION}]"
_OWN_GROUPS = ("k8s.io", "kubernetes.io")
_PROPOSAL = "https://github.com/kubernetes/enhancements/pull/1111"
_NEEDED = f'protected groups must have approval annotation "{_ANNOTATION}"'
_MISSING, _INVALID = "MissingAnnotation", "InvalidAnnotation"


class _Approval(NamedTuple):
    """What the annotation says.

    Attributes:
        reason: Of the condition.
        message: The same in a sentence.
    """

    reason: str
    message: str


def _approval(crd: Json) -> _Approval | None:
    """How a definition stands; None in groups of others, which need no approval."""
    group: str = crd["spec"]["group"]
    if not any(group == own or group.endswith(f".{own}") for own in _OWN_GROUPS):
        return None
    said = str(as_map(crd["metadata"].get("annotations")).get(_ANNOTATION) or "")
    if not said:
        return _Approval(_MISSING, f"{_NEEDED}, see {_PROPOSAL}")
    if said.startswith("unapproved"):
        return _Approval("UnapprovedAnnotation", f"not approved: {orjson.dumps(said).decode()}")
    if _is_url(said):
        return _Approval("ApprovedAnnotation", f"approved in {said}")
    form = 'with either a URL or a reason starting with "unapproved"'
    return _Approval(_INVALID, f"{_NEEDED} {form}, see {_PROPOSAL}")


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return bool(parts.scheme and parts.netloc)


def check(crd: Json, old: Json | None) -> list[Cause]:
    """Refuse a definition that needs an approval; one that needed it before may stay as it is."""
    now, before = _approval(crd), None if old is None else _approval(old)
    if now is None or (before is not None and before.reason == now.reason):
        return []
    if now.reason == _MISSING:
        return [Cause(_FIELD, now.message, "FieldValueRequired")]
    if now.reason == _INVALID:
        said = orjson.dumps(crd["metadata"]["annotations"][_ANNOTATION]).decode()
        return [Cause(_FIELD, f"{said}: {now.message}")]
    return []


def tell(crd: Json, now: str) -> None:
    """Say in the conditions of a definition, in place, whether it was agreed to."""
    found = _approval(crd)
    if found is not None:
        status = str(found.reason == "ApprovedAnnotation")
        set_condition(crd, now, "KubernetesAPIApprovalPolicyConformant", status, *found)
