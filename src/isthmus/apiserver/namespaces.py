"""What is particular to namespaces: their own finalizers, and why one that goes is still there.

A namespace is held by `spec.finalizers`, which only its subresource `finalize` writes. `kubernetes`
is always among them and goes once the namespace is empty; others are up to whoever named them.

Source: https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/namespace-v1/
"""

from collections import Counter
from collections.abc import Mapping, Sequence

import orjson

from isthmus.apiserver.admission import Admission
from isthmus.apiserver.errors import Cause
from isthmus.apiserver.history import Record
from isthmus.apiserver.jsonvalues import Json, as_list, as_map
from isthmus.apiserver.metadata import check_finalizer, timestamp

OWN_FINALIZER = "kubernetes"
_WELL = (
    ("NamespaceDeletionDiscoveryFailure", "ResourcesDiscovered",
     "All resources successfully discovered"),
    ("NamespaceDeletionGroupVersionParsingFailure", "ParsedGroupVersions",
     "All legacy kube types successfully parsed"),
    ("NamespaceDeletionContentFailure", "ContentDeleted",
     "All content successfully deleted, may be waiting on finalization"),
)  # fmt: skip


_EMPTY = ("NamespaceContentRemaining", "False", "ContentRemoved",
          "All content successfully removed")  # fmt: skip
_FREE = ("NamespaceFinalizersRemaining", "False", "ContentHasNoFinalizers",
         "All content-preserving finalizers finished")  # fmt: skip


def check(admission: Admission) -> list[Cause]:
    """Complete a Namespace, and say what is wrong with its finalizers or its phase."""
    obj, old, part = admission.obj, admission.old, admission.options.subresource
    labels = as_map(obj["metadata"].get("labels"))
    labels["kubernetes.io/metadata.name"] = obj["metadata"]["name"]
    obj["metadata"]["labels"] = labels
    finalizers: list[str] = list(as_list(as_map(obj.get("spec")).get("finalizers")))
    causes: list[Cause] = []
    if old is None:
        for name in finalizers:
            causes += check_finalizer("spec.finalizers", name)
        if OWN_FINALIZER not in finalizers:
            finalizers.append(OWN_FINALIZER)
        obj["status"] = {"phase": "Active"}
    elif part == "finalize":
        for place, name in enumerate(finalizers):
            causes += check_finalizer(f"spec.finalizers[{place}]", name)
    else:
        finalizers = as_list(as_map(old.get("spec")).get("finalizers"))
    obj["spec"] = {"finalizers": finalizers} if finalizers else {}
    return [*causes, *_check_phase(obj)] if part == "status" else causes


def _check_phase(obj: Json) -> list[Cause]:
    going = bool(obj["metadata"].get("deletionTimestamp"))
    right, when = ("Terminating", "is not") if going else ("Active", "is")
    phase = as_map(obj.get("status")).get("phase") or ""
    why = f"\"{phase}\": may only be '{right}' if `deletionTimestamp` {when} empty"
    return [] if phase == right else [Cause("status.Phase", why)]


def release(namespace: Json) -> None:
    """Take off what held an empty namespace until all was gone; what others named stays."""
    kept = [
        name
        for name in as_list(as_map(namespace.get("spec")).get("finalizers"))
        if name != OWN_FINALIZER
    ]
    namespace["spec"] = {"finalizers": kept} if kept else {}


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
    found = [(kind, "False", reason, text) for kind, reason, text in _WELL]
    found.append(
        ("NamespaceContentRemaining", "True", "SomeResourcesRemain",
         f"Some resources are remaining: {resources}") if resources else _EMPTY
    )  # fmt: skip
    found.append(
        ("NamespaceFinalizersRemaining", "True", "SomeFinalizersRemain",
         f"Some content in the namespace has finalizers remaining: {finalizers}")
        if finalizers else _FREE
    )  # fmt: skip
    status = as_map(namespace.get("status"))
    before = {c["type"]: c for c in as_list(status.get("conditions"))}
    namespace["status"] = {
        **status,
        "conditions": [_condition(before.pop(kind, {}), kind, *said) for kind, *said in found]
        + list(before.values()),
    }


def _condition(old: Json, kind: str, status: str, reason: str, message: str) -> Json:
    since = old["lastTransitionTime"] if old.get("status") == status else timestamp()
    return {
        "type": kind,
        "status": status,
        "lastTransitionTime": since,
        "reason": reason,
        "message": message,
    }
