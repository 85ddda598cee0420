"""CustomResourceDefinitions: completed when written, served once committed.

Source: https://kubernetes.io/docs/reference/kubernetes-api/extend-resources/custom-resource-definition-v1/
"""

import copy
import re
from collections.abc import Mapping

import orjson

from isthmus.apiserver import approvals, crdnames
from isthmus.apiserver.admission import encode
from isthmus.apiserver.crdnames import Claims
from isthmus.apiserver.jsonvalues import Json, as_list, as_map, same
from isthmus.apiserver.rereading import Read
from isthmus.apiserver.resources import AGE, Column, Resource
from isthmus.apiserver.schema import Schema

CLEANUP_FINALIZER = "customresourcecleanup.apiextensions.k8s.io"
_VERSION = re.compile(r"v(\d+)(?:(alpha|beta)(\d+))?")
_NEEDED = ("plural", "singular", "kind", "listKind")
_STAGES = {"alpha": 0, "beta": 1, None: 2}


def version_priority(version: str) -> tuple[int, int, int, str]:
    """Sort key that puts the preferred version first: v2, v1, v1beta2, v1alpha1, others."""
    match = _VERSION.fullmatch(version)
    if match is None:
        return (1, 0, 0, version)
    major, stage, minor = match.groups()
    return (0, -_STAGES[stage], -(int(major) * 1000 + int(minor or 0)), version)


def prepare(crd: Json, old: Json | None, claims: Claims, now: str) -> None:
    """Complete a definition as Kubernetes does, its status included.

    Args:
        crd: The definition; completed in place.
        old: What it was before an update.
        claims: The names that the definitions of its group have.
        now: The time.
    """
    spec = crd["spec"]
    names = spec["names"]
    names.setdefault("singular", names["kind"].lower())
    names.setdefault("listKind", names["kind"] + "List")
    spec.setdefault("conversion", {"strategy": "None"})
    status: Json = copy.deepcopy(as_map((old or {}).get("status")))
    stored = list(status.get("storedVersions", ()))
    stored += [v["name"] for v in spec["versions"] if v.get("storage") and v["name"] not in stored]
    crd["status"] = {**status, "storedVersions": stored}
    crdnames.judge(crd, claims, now)
    approvals.tell(crd, now)


def schemas_of(crd: Json) -> dict[str, Schema]:
    """The schemas of all versions, served or not; versions that are alike share one."""
    made: dict[bytes, Schema] = {}
    found: dict[str, Schema] = {}
    for version in crd["spec"]["versions"]:
        raw = version["schema"]["openAPIV3Schema"]
        text = orjson.dumps(raw, option=orjson.OPT_SORT_KEYS)
        if text not in made:
            made[text] = Schema(raw)
        found[version["name"]] = made[text]
    return found


def read_by(schemas: Mapping[str, Schema]) -> Read:
    """How objects of these versions are shown in the version that they are stored in."""

    def read(body: bytes) -> bytes:
        obj: Json = orjson.loads(body)
        schema = schemas.get(str(obj["apiVersion"]).rpartition("/")[2])
        if schema is None or not schema.read(obj) or obj == orjson.loads(body):
            return body
        return encode(obj)

    return read


def collection_of(crd: Json) -> str:
    """Where the store has the objects of a definition."""
    return f"{crd['spec']['group']}/{crd['spec']['names']['plural']}"


def is_served_otherwise(crd: Json, old: Json) -> bool:
    """Whether a change of a definition is one for those who use its objects."""
    return not same(crd["spec"], old["spec"]) or _accepted(crd) != _accepted(old)


def _accepted(crd: Json) -> tuple[Json, bool]:
    return as_map(crd.get("status")).get("acceptedNames", {}), crdnames.is_established(crd)


def resources_of(crd: Json, schemas: Mapping[str, Schema]) -> list[Resource]:
    """What a definition serves, the preferred version first; nothing before it has its names."""
    if not crdnames.is_established(crd):
        return []
    versions = sorted(crd["spec"]["versions"], key=lambda v: version_priority(v["name"]))
    return [_resource(crd, v, schemas) for v in versions if v.get("served", True)]


def _resource(crd: Json, version: Json, schemas: Mapping[str, Schema]) -> Resource:
    spec, names = crd["spec"], _names(crd)
    subresources: Json = as_map(version.get("subresources"))
    declared = as_list(version.get("additionalPrinterColumns"))
    return Resource(
        spec["group"],
        version["name"],
        names["plural"],
        names["kind"],
        schemas[version["name"]],
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
        versions=schemas,
    )


def _names(crd: Json) -> Json:
    """The names that a kind goes by; whoever spoils the status takes none of the needed ones."""
    needed = {name: crd["spec"]["names"][name] for name in _NEEDED}
    return {**needed, **crdnames.plain(as_map(_accepted(crd)[0]))}


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
