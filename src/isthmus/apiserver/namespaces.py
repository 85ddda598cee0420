"""Why a namespace that is being deleted is still there, told in its status.

Source: https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/namespace-v1/
"""

from collections import Counter
from collections.abc import Mapping, Sequence

import orjson

from isthmus.apiserver.history import Record
from isthmus.apiserver.jsonvalues import Json, as_list, as_map
from isthmus.apiserver.metadata import timestamp

_WELL = (
    ("NamespaceDeletionDiscoveryFailure", "ResourcesDiscovered",
     "All resources successfully discovered"),
    ("NamespaceDeletionGroupVersionParsingFailure", "ParsedGroupVersions",
     "All legacy kube types successfully parsed"),
    ("NamespaceDeletionContentFailure", "ContentDeleted",
     "All content successfully deleted, may be waiting on finalization"),
)  # fmt: skip


def tell_what_is_left(namespace: Json, left: Mapping[str, Sequence[Record]]) -> None:
    """Write what holds a namespace into its conditions; what has not changed keeps its time.

    Args:
        namespace: The object; altered in place.
        left: Objects in it that a finalizer holds, by their collection.
    """
    counts, holders = Counter[str](), Counter[str]()
    for home, records in left.items():
        group, _, plural = home.partition("/")
        for record in records:
            counts[f"{plural}.{group}"] += 1
            obj: Json = orjson.loads(record.body)
            holders.update(as_list(obj["metadata"].get("finalizers")))
    resources = ", ".join(
        f"{name} has {n} resource instances" for name, n in sorted(counts.items())
    )
    finalizers = ", ".join(
        f"{name} in {n} resource instances" for name, n in sorted(holders.items())
    )
    conditions = [_condition(kind, "False", reason, text) for kind, reason, text in _WELL]
    conditions.append(
        _condition(
            "NamespaceContentRemaining", "True", "SomeResourcesRemain",
            f"Some resources are remaining: {resources}",
        )
    )  # fmt: skip
    conditions.append(
        _condition(
            "NamespaceFinalizersRemaining", "True", "SomeFinalizersRemain",
            f"Some content in the namespace has finalizers remaining: {finalizers}",
        )
    )  # fmt: skip
    status = as_map(namespace.get("status"))
    before = {c["type"]: c for c in as_list(status.get("conditions"))}
    for condition in conditions:
        old = before.get(condition["type"], {})
        if old.get("status") == condition["status"]:
            condition["lastTransitionTime"] = old["lastTransitionTime"]
    namespace["status"] = {**status, "conditions": conditions}


def _condition(kind: str, status: str, reason: str, message: str) -> Json:
    return {
        "type": kind,
        "status": status,
        "lastTransitionTime": timestamp(),
        "reason": reason,
        "message": message,
    }
