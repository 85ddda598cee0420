"""CustomResourceDefinitions: completed when written, served once committed.

Source: https://kubernetes.io/docs/reference/kubernetes-api/extend-resources/custom-resource-definition-v1/
"""

import re

from isthmus.apiserver.jsonvalues import Json, as_list, as_map
from isthmus.apiserver.resources import AGE, Column, Resource
from isthmus.apiserver.schema import Schema

CLEANUP_FINALIZER = "customresourcecleanup.apiextensions.k8s.io"
_VERSION = re.compile(r"v(\d+)(?:(alpha|beta)(\d+))?")
_STAGES = {"alpha": 0, "beta": 1, None: 2}


def version_priority(version: str) -> tuple[int, int, int, str]:
    """Sort key that puts the preferred version first: v2, v1, v1beta2, v1alpha1, others."""
    match = _VERSION.fullmatch(version)
    if match is None:
        return (1, 0, 0, version)
    major, stage, minor = match.groups()
    return (0, -_STAGES[stage], -(int(major) * 1000 + int(minor or 0)), version)


def prepare(crd: Json, old: Json | None, now: str) -> None:
    """Complete a definition as Kubernetes does, its status included."""
    spec = crd["spec"]
    names = spec["names"]
    names.setdefault("singular", names["kind"].lower())
    names.setdefault("listKind", names["kind"] + "List")
    spec.setdefault("conversion", {"strategy": "None"})
    status: Json = as_map((old or {}).get("status"))
    stored = list(status.get("storedVersions", ()))
    stored += [v["name"] for v in spec["versions"] if v.get("storage") and v["name"] not in stored]
    conditions = status.get("conditions") or [
        _condition("NamesAccepted", "NoConflicts", "no conflicts found", now),
        _condition(
            "Established", "InitialNamesAccepted", "the initial names have been accepted", now
        ),
    ]
    crd["status"] = {"acceptedNames": names, "storedVersions": stored, "conditions": conditions}


def _condition(kind: str, reason: str, message: str, now: str) -> Json:
    return {
        "type": kind,
        "status": "True",
        "reason": reason,
        "message": message,
        "lastTransitionTime": now,
    }


def resources_of(crd: Json) -> list[Resource]:
    """The resources that a definition serves, the preferred version first."""
    versions = sorted(crd["spec"]["versions"], key=lambda v: version_priority(v["name"]))
    return [_resource(crd["spec"], version) for version in versions if version.get("served", True)]


def _resource(spec: Json, version: Json) -> Resource:
    names = spec["names"]
    subresources: Json = as_map(version.get("subresources"))
    declared = as_list(version.get("additionalPrinterColumns"))
    return Resource(
        spec["group"],
        version["name"],
        names["plural"],
        names["kind"],
        Schema(version["schema"]["openAPIV3Schema"]),
        namespaced=spec["scope"] == "Namespaced",
        singular=names["singular"],
        list_kind=names["listKind"],
        short_names=tuple(as_list(names.get("shortNames"))),
        categories=tuple(as_list(names.get("categories"))),
        subresources=frozenset(name for name, value in subresources.items() if value is not None),
        columns=tuple(_column(column) for column in declared) or (AGE,),
        scale=subresources.get("scale"),
        selectable=frozenset(
            field["jsonPath"].removeprefix(".")
            for field in as_list(version.get("selectableFields"))
        ),
        storage=bool(version.get("storage")),
        stored_as=next((v["name"] for v in spec["versions"] if v.get("storage")), ""),
        custom=True,
        warning=_warning(spec, version),
    )


def _warning(spec: Json, version: Json) -> str:
    """What users of a deprecated version are told."""
    if not version.get("deprecated"):
        return ""
    if version.get("deprecationWarning"):
        return str(version["deprecationWarning"])
    group, kind = spec["group"], spec["names"]["kind"]
    text = f"{group}/{version['name']} {kind} is deprecated"
    better = [
        other["name"]
        for other in spec["versions"]
        if other.get("served")
        and not other.get("deprecated")
        and version_priority(other["name"]) < version_priority(version["name"])
    ]
    if better:
        text += f"; use {group}/{min(better, key=version_priority)} {kind}"
    return text


def _column(declared: Json) -> Column:
    return Column(
        declared["name"],
        declared["type"],
        declared["jsonPath"],
        declared.get("priority", 0),
        declared.get("format", ""),
        declared.get("description")
        or f"Custom resource definition column (in JSONPath format): {declared['jsonPath']}",
    )
