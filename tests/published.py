"""Which definitions of a real kube-apiserver's documents the embedded API publishes as its own."""

import json
from collections.abc import Iterator
from typing import Any, cast

from isthmus.apiserver.kinds import builtin_resources
from isthmus.apiserver.reviews import REVIEWS

JsonObject = dict[str, Any]
META = "io.k8s.apimachinery.pkg.apis.meta.v1."
NOT_SERVED = {
    f"{META}ListMeta": "shardInfo",
    f"{META}DeleteOptions": "ignoreStoreReadErrorWithClusterBreakingPotential",
}
"""Fields for features that are not served."""


def group_versions() -> list[str]:
    """Paths of the documents, below `/openapi/v3/`."""
    served = [(r.group, r.version) for r in builtin_resources()]
    served += [(r.group, "v1") for r in REVIEWS] + [("autoscaling", "v1")]
    return sorted({f"apis/{g}/{v}" if g else f"api/{v}" for g, v in served})


def selected(documents: list[JsonObject]) -> str:
    """The definitions as a file: those of kinds that are served, and of what these name."""
    known: JsonObject = {}
    for document in documents:
        known |= document["components"]["schemas"]
    wanted = [name for name, schema in known.items() if _is_served(schema)]
    wanted += [META + "Patch", META + "WatchEvent"]
    found: JsonObject = {}
    while wanted:
        name = wanted.pop()
        if name not in found:
            found[name] = _trimmed(name, known[name])
            wanted += references(found[name])
    return json.dumps(found, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def references(value: Any) -> Iterator[str]:
    """Names of the definitions that a part of a document refers to."""
    if isinstance(value, dict):
        part = cast("JsonObject", value)
        if isinstance(reference := part.get("$ref"), str):
            yield reference.rpartition("/")[2]
        for inner in part.values():
            yield from references(inner)
    elif isinstance(value, list):
        for inner in cast("list[Any]", value):
            yield from references(inner)


def _kinds() -> set[tuple[str, str, str]]:
    served = {(r.group, r.version, r.kind) for r in builtin_resources()}
    served |= {(group, version, f"{kind}List") for group, version, kind in served}
    served |= {(r.group, "v1", r.kind) for r in REVIEWS}
    more = [("", "DeleteOptions"), ("", "Status"), ("autoscaling", "Scale")]
    more += [("authentication.k8s.io", "TokenRequest")]
    return served | {(group, "v1", kind) for group, kind in more}


KINDS = _kinds()


def _is_served(schema: JsonObject) -> bool:
    return any(_place(gvk) in KINDS for gvk in schema.get("x-kubernetes-group-version-kind", ()))


def _place(gvk: JsonObject) -> tuple[str, str, str]:
    return gvk["group"], gvk["version"], gvk["kind"]


def _trimmed(name: str, schema: JsonObject) -> JsonObject:
    """Without fields and groups that are not served."""
    out = dict(schema)
    if name in NOT_SERVED:
        fields = out["properties"]
        out["properties"] = {n: part for n, part in fields.items() if n != NOT_SERVED[name]}
    if named := out.get("x-kubernetes-group-version-kind"):
        core = [gvk for gvk in named if _place(gvk) in KINDS or gvk["kind"] == "WatchEvent"]
        out["x-kubernetes-group-version-kind"] = core[:1]
    return out
