"""CustomResourceDefinitions: checked when written, served once committed.

Source: https://kubernetes.io/docs/reference/kubernetes-api/extend-resources/custom-resource-definition-v1/
"""

import re
from typing import Any

from isthmus.apiserver.errors import Cause
from isthmus.apiserver.expressions import check_rules
from isthmus.apiserver.jsonvalues import Json, as_list, as_map
from isthmus.apiserver.resources import AGE, Column, Resource
from isthmus.apiserver.schema import Schema

CLEANUP_FINALIZER = "customresourcecleanup.apiextensions.k8s.io"
_VERSION = re.compile(r"v(\d+)(?:(alpha|beta)(\d+))?")
_NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
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


def check(crd: Json, old: Json | None) -> list[Cause]:
    """What is wrong with a definition whose own schema is satisfied."""
    spec = crd["spec"]
    names, versions = spec["names"], spec["versions"]
    causes: list[Cause] = []
    expected = f"{names['plural']}.{spec['group']}"
    if crd["metadata"]["name"] != expected:
        causes.append(
            Cause("metadata.name", f'must be spec.names.plural+"."+spec.group: {expected}')
        )
    if "." not in spec["group"]:
        causes.append(
            Cause("spec.group", f'"{spec["group"]}": should be a domain with at least one dot')
        )
    if spec.get("conversion", {}).get("strategy", "None") != "None":
        why = "conversion webhooks are not served; versions may only differ in their name"
        causes.append(Cause("spec.conversion.strategy", why, "FieldValueNotSupported"))
    if sum(bool(v.get("storage")) for v in versions) != 1:
        causes.append(
            Cause("spec.versions", "must have exactly one version marked as storage version")
        )
    if len({v["name"] for v in versions}) != len(versions):
        causes.append(Cause("spec.versions", "must contain unique version names"))
    for index, version in enumerate(versions):
        causes += _check_version(version, f"spec.versions[{index}]")
    if old is not None:
        causes += [
            Cause(f"spec.{field}", "field is immutable")
            for field in ("group", "scope")
            if old["spec"][field] != spec[field]
        ]
    return causes


def _check_version(version: Json, field: str) -> list[Cause]:
    if not _NAME.fullmatch(version["name"]):
        return [Cause(f"{field}.name", f'"{version["name"]}": must be a DNS label')]
    raw = as_map(version.get("schema")).get("openAPIV3Schema")
    where = f"{field}.schema.openAPIV3Schema"
    if raw is None:
        return [Cause(where, "schemas are required", "FieldValueRequired")]
    if raw.get("type") != "object":
        return [Cause(f"{where}.type", "must be object at the root")]
    causes = _check_structural(raw, where)
    if not causes:
        try:
            causes += check_rules(Schema(raw).rules, where)
        except ValueError as error:
            causes.append(Cause(where, f"is no valid schema: {error}"))
    return causes


def _check_structural(node: Any, field: str) -> list[Cause]:
    """Every node needs a type, and unknown or `$ref` nodes are refused."""
    if not isinstance(node, dict):
        return [Cause(field, "must be an object")]
    raw = as_map(node)
    causes: list[Cause] = []
    if "$ref" in raw:
        causes.append(Cause(f"{field}.$ref", "$ref is not supported", "FieldValueForbidden"))
    typed = raw.get("type") or raw.get("x-kubernetes-int-or-string")
    if not typed and not raw.get("x-kubernetes-preserve-unknown-fields"):
        causes.append(Cause(f"{field}.type", "must not be empty", "FieldValueRequired"))
    properties: Json = as_map(raw.get("properties"))
    for name, part in properties.items():
        causes += _check_structural(part, f"{field}.properties[{name}]")
    for name in ("items", "additionalProperties"):
        if isinstance(raw.get(name), dict):
            causes += _check_structural(raw[name], f"{field}.{name}")
    return causes


def resources_of(crd: Json) -> list[Resource]:
    """The resources that a definition serves, the preferred version first."""
    versions = sorted(crd["spec"]["versions"], key=lambda v: version_priority(v["name"]))
    return [_resource(crd["spec"], version) for version in versions if version.get("served", True)]


def _resource(spec: Json, version: Json) -> Resource:
    names = spec["names"]
    subresources: Json = as_map(version.get("subresources"))
    declared = as_list(version.get("additionalPrinterColumns"))
    deprecated = f"{spec['group']}/{version['name']} {names['kind']} is deprecated"
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
        custom=True,
        warning=version.get("deprecationWarning")
        or (deprecated if version.get("deprecated") else ""),
    )


def _column(declared: Json) -> Column:
    return Column(
        declared["name"],
        declared["type"],
        declared["jsonPath"],
        declared.get("priority", 0),
        declared.get("format", ""),
        declared.get("description", ""),
    )
