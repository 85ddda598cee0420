"""What is wrong with a role or a binding.

Source: https://kubernetes.io/docs/reference/access-authn-authz/rbac/
"""

from collections.abc import Iterator

import orjson

from isthmus.apiserver.admission import Admission
from isthmus.apiserver.errors import Cause
from isthmus.apiserver.jsonvalues import Json, as_list
from isthmus.apiserver.kinds import RBAC

_SUBJECTS = ("ServiceAccount", "User", "Group")


def check_role(admission: Admission) -> list[Cause]:
    """Complete a role, and say what is wrong with its rules."""
    if not admission.obj.get("rules"):
        admission.obj["rules"] = None  # as Go writes a list without entries
    return [
        cause
        for index, rule in enumerate(as_list(admission.obj.get("rules")))
        for cause in _check_rule(rule, f"rules[{index}]", namespaced=admission.resource.namespaced)
    ]


def _check_rule(rule: Json, where: str, *, namespaced: bool) -> Iterator[Cause]:
    if not rule.get("verbs"):
        why = "verbs must contain at least one value"
        yield Cause(f"{where}.verbs", why, "FieldValueRequired")
    paths = rule.get("nonResourceURLs")
    if paths:
        shown = orjson.dumps(paths).decode()
        if namespaced:
            why = f"{shown}: namespaced rules cannot apply to non-resource URLs"
            yield Cause(f"{where}.nonResourceURLs", why)
        if rule.get("apiGroups") or rule.get("resources") or rule.get("resourceNames"):
            why = f"{shown}: rules cannot apply to both regular resources and non-resource URLs"
            yield Cause(f"{where}.nonResourceURLs", why)
        return
    if not rule.get("apiGroups"):
        why = "resource rules must supply at least one api group"
        yield Cause(f"{where}.apiGroups", why, "FieldValueRequired")
    if not rule.get("resources"):
        why = "resource rules must supply at least one resource"
        yield Cause(f"{where}.resources", why, "FieldValueRequired")


def check_binding(admission: Admission) -> list[Cause]:
    """Complete a binding, and say what is wrong with it."""
    reference: Json = admission.obj["roleRef"]
    reference.setdefault("apiGroup", RBAC)
    causes: list[Cause] = []
    known = ("Role", "ClusterRole") if admission.resource.namespaced else ("ClusterRole",)
    if reference["kind"] not in known:
        return [_unsupported("roleRef.kind", reference["kind"], known)]
    for index, subject in enumerate(as_list(admission.obj.get("subjects"))):
        if subject["kind"] in ("User", "Group"):
            subject.setdefault("apiGroup", RBAC)
        causes += _check_subject(subject, f"subjects[{index}]")
    if admission.old is not None and admission.old["roleRef"] != reference:
        shown = {name: reference.get(name[0].lower() + name[1:], "") for name in ("Kind", "Name")}
        value = orjson.dumps({"APIGroup": reference["apiGroup"], **shown}).decode()
        causes.append(Cause("roleRef", f"{value}: cannot change roleRef"))
    return causes


def _check_subject(subject: Json, where: str) -> Iterator[Cause]:
    kind = subject["kind"]
    if kind not in _SUBJECTS:
        yield _unsupported(f"{where}.kind", kind, _SUBJECTS)
        return
    wanted = "" if kind == "ServiceAccount" else RBAC
    if subject.get("apiGroup", "") != wanted:
        yield _unsupported(f"{where}.apiGroup", subject["apiGroup"], (wanted,))
    if kind == "ServiceAccount" and not subject.get("namespace"):
        yield Cause(f"{where}.namespace", "", "FieldValueRequired")
    if not subject["name"]:
        yield Cause(f"{where}.name", "", "FieldValueRequired")


def _unsupported(field: str, value: str, known: tuple[str, ...]) -> Cause:
    listed = ", ".join(f'"{name}"' for name in known)
    return Cause(field, f'"{value}": supported values: {listed}', "FieldValueNotSupported")
