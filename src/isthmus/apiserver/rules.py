"""Rules of the built-in kinds that a schema cannot say."""

import base64
import binascii
from collections.abc import Callable

from isthmus.apiserver import crds
from isthmus.apiserver.admission import Admission, Rule
from isthmus.apiserver.errors import Cause
from isthmus.apiserver.jsonvalues import Json, as_list, as_map
from isthmus.apiserver.kinds import (
    CRD_COLLECTION,
    NAMESPACE_COLLECTION,
    RBAC,
    SECRET_COLLECTION,
)
from isthmus.apiserver.metadata import timestamp

_DATA_BYTES = 1024 * 1024


def _namespace(admission: Admission) -> list[Cause]:
    obj, old = admission.obj, admission.old
    if old is None:
        obj["spec"] = {"finalizers": ["kubernetes"]}
        obj["status"] = {"phase": "Active"}
    elif admission.options.subresource != "finalize":
        obj["spec"] = old.get("spec", {})
    labels = as_map(obj["metadata"].get("labels"))
    labels["kubernetes.io/metadata.name"] = obj["metadata"]["name"]
    obj["metadata"]["labels"] = labels
    return []


def _immutable(admission: Admission, fields: tuple[str, ...]) -> list[Cause]:
    old, obj = admission.old, admission.obj
    if old is None or not old.get("immutable"):
        return []
    why = "field is immutable when `immutable` is set"
    changed = [name for name in fields if old.get(name) != obj.get(name)]
    if not obj.get("immutable"):
        changed.append("immutable")
    return [Cause(name, why, "FieldValueForbidden") for name in changed]


def _secret(admission: Admission) -> list[Cause]:
    obj, old = admission.obj, admission.old
    plain = obj.pop("stringData", None)
    if plain:
        data = as_map(obj.get("data"))
        for key, value in plain.items():
            data[key] = base64.b64encode(value.encode()).decode()
        obj["data"] = data
    obj.setdefault("type", old["type"] if old else "Opaque")
    causes = _immutable(admission, ("data", "type"))
    if old is not None and old.get("type") != obj["type"]:
        causes.append(Cause("type", "field is immutable"))
    size = 0
    for key, value in as_map(obj.get("data")).items():
        try:
            size += len(base64.b64decode(value, validate=True))
        except binascii.Error:
            causes.append(Cause(f"data[{key}]", "is no base64 text; use stringData for plain text"))
    return causes + _size("data", size)


def _config_map(admission: Admission) -> list[Cause]:
    obj = admission.obj
    size = sum(len(value) for value in as_map(obj.get("data")).values())
    size += sum(len(value) for value in as_map(obj.get("binaryData")).values())
    return _immutable(admission, ("data", "binaryData")) + _size("data", size)


def _size(field: str, size: int) -> list[Cause]:
    if size <= _DATA_BYTES:
        return []
    return [Cause(field, f"must have at most {_DATA_BYTES} bytes", "FieldValueTooLong")]


def _definition(admission: Admission) -> list[Cause]:
    if admission.options.subresource == "status":
        return []
    obj, old = admission.obj, admission.old
    crds.prepare(obj, old, timestamp())
    return crds.check(obj, old)


def _binding(admission: Admission) -> list[Cause]:
    reference: Json = admission.obj["roleRef"]
    reference.setdefault("apiGroup", RBAC)
    for subject in as_list(admission.obj.get("subjects")):
        if subject["kind"] in ("User", "Group"):
            subject.setdefault("apiGroup", RBAC)
    known = ("ClusterRole",) if "Cluster" in admission.resource.kind else ("Role", "ClusterRole")
    if reference["kind"] not in known:
        names = ", ".join(f'"{name}"' for name in known)
        why = f'"{reference["kind"]}": supported values: {names}'
        return [Cause("roleRef.kind", why, "FieldValueNotSupported")]
    if admission.old is not None and admission.old["roleRef"] != reference:
        return [Cause("roleRef", "cannot change roleRef")]
    return []


def builtin_rules(may_grant: Callable[[Admission], list[Cause]]) -> dict[str, Rule]:
    """The rules by collection.

    Args:
        may_grant: Refuses roles and bindings that give more than the caller has.
    """

    def binding(admission: Admission) -> list[Cause]:
        return _binding(admission) or may_grant(admission)

    return {
        NAMESPACE_COLLECTION: _namespace,
        SECRET_COLLECTION: _secret,
        "/configmaps": _config_map,
        CRD_COLLECTION: _definition,
        f"{RBAC}/roles": may_grant,
        f"{RBAC}/clusterroles": may_grant,
        f"{RBAC}/rolebindings": binding,
        f"{RBAC}/clusterrolebindings": binding,
    }
