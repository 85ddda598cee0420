"""What deletion leaves behind: the mark of an object that is going, and what still holds it.

Source: https://kubernetes.io/docs/concepts/overview/working-with-objects/finalizers/
"""

from functools import lru_cache

import orjson

from isthmus.apiserver.crdnames import tell_leaving
from isthmus.apiserver.crds import CLEANUP_FINALIZER
from isthmus.apiserver.history import Record
from isthmus.apiserver.jsonvalues import Json, as_list, as_map
from isthmus.apiserver.kinds import CRD_COLLECTION, FOREGROUND, NAMESPACE_COLLECTION, ORPHAN
from isthmus.apiserver.metadata import timestamp
from isthmus.apiserver.resources import Resource


def is_leaving(record: Record) -> bool:
    """Whether an object is being deleted; nearly always the bytes alone say no."""
    if not _may_leave(record.body):
        return False
    return bool(orjson.loads(record.body)["metadata"].get("deletionTimestamp"))


@lru_cache(32)
def _may_leave(body: bytes) -> bool:
    """Remembered for the few definitions and namespaces that every creation asks about."""
    return b'"deletionTimestamp":' in body


def finalizers_for_deletion(resource: Resource, metadata: Json, policy: str) -> list[str]:
    """The finalizers of an object together with those that its deletion adds.

    A policy takes the place of that of an earlier deletion; no policy (empty) leaves it.
    """
    finalizers: list[str] = list(as_list(metadata.get("finalizers")))
    if resource.collection == NAMESPACE_COLLECTION and "deletionTimestamp" in metadata:
        return finalizers
    if policy:
        wanted = {"Foreground": FOREGROUND, "Orphan": ORPHAN}.get(policy)
        finalizers = [f for f in finalizers if f == wanted or f not in (FOREGROUND, ORPHAN)]
        if wanted and wanted not in finalizers:
            finalizers.append(wanted)
    if resource.collection == CRD_COLLECTION and "deletionTimestamp" not in metadata:
        finalizers.append(CLEANUP_FINALIZER)  # its objects go first
    return finalizers


def mark_leaving(resource: Resource, obj: Json) -> None:
    """Mark an object as one that is being deleted, in place."""
    metadata = obj["metadata"]
    metadata["deletionTimestamp"] = timestamp()
    if resource.collection == CRD_COLLECTION:
        tell_leaving(obj, metadata["deletionTimestamp"])
        return
    if resource.collection != NAMESPACE_COLLECTION:
        metadata["deletionGracePeriodSeconds"] = 0
    if "generation" in metadata:
        metadata["generation"] += 1
    if resource.collection == NAMESPACE_COLLECTION:
        obj.setdefault("status", {})["phase"] = "Terminating"


def held(resource: Resource, obj: Json) -> bool:
    """Whether a finalizer keeps the object in being."""
    if obj["metadata"].get("finalizers"):
        return True
    is_namespace = resource.collection == NAMESPACE_COLLECTION
    return is_namespace and bool(as_map(obj.get("spec")).get("finalizers"))
