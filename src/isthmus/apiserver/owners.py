"""How an object stands with its owners: who is there, who waits for it to go, who is absent.

An owner counts only where the reference says it is: its kind as it is served, by its name, in the
dependent's namespace or in none, with the same uid.

Source: https://kubernetes.io/docs/concepts/architecture/garbage-collection/#owners-dependents
"""

from typing import NamedTuple

import orjson

from isthmus.apiserver.deletion import FOREGROUND
from isthmus.apiserver.history import Record
from isthmus.apiserver.jsonvalues import Json, as_list
from isthmus.apiserver.resources import Registry
from isthmus.apiserver.store import Store


class Standing(NamedTuple):
    """An object's owners.

    Attributes:
        solid: Whether some owner is there, and stays.
        waiting: uids of owners that wait for their dependents to go first.
        absent: uids of owners that are not there.
    """

    solid: bool
    waiting: tuple[str, ...]
    absent: tuple[str, ...]


def standing(store: Store, registry: Registry, namespace: str, obj: Json) -> Standing | None:
    """How an object stands with its owners; None where that cannot be said.

    It cannot where the kind of an owner is not served, or where an object of the whole cluster
    names an owner in some namespace: Kubernetes keeps both.

    Args:
        store: The store.
        registry: What is served.
        namespace: Of the object, empty for the whole cluster.
        obj: The object.
    """
    solid, waiting, absent = False, list[str](), list[str]()
    for reference in as_list(obj["metadata"].get("ownerReferences")):
        kind = registry.of_kind(reference["apiVersion"], reference["kind"])
        if kind is None or (kind.namespaced and not namespace):
            return None
        key = (namespace if kind.namespaced else "", reference["name"])
        owner = store.collection(kind.collection).records.get(key)
        if owner is None or owner.uid != reference["uid"]:
            absent.append(reference["uid"])
        elif waits(owner):
            waiting.append(owner.uid)
        else:
            solid = True
    return Standing(solid, tuple(waiting), tuple(absent))


def waits(owner: Record) -> bool:
    """Whether an object is going, once its dependents are gone."""
    if b'"deletionTimestamp":' not in owner.body:
        return False
    metadata: Json = orjson.loads(owner.body)["metadata"]
    return "deletionTimestamp" in metadata and FOREGROUND in as_list(metadata.get("finalizers"))


def misplaced(store: Store, record: Record) -> str:
    """The uid of an owner that lives in another namespace than its dependent; empty if none."""
    for uid in record.owners:
        found = store.find(uid)
        if found is not None and found[1].key[0] not in ("", record.key[0]):
            return uid
    return ""


def complaint(record: Record, uid: str) -> Json:
    """The Event that tells of a misplaced owner, without its metadata."""
    obj: Json = orjson.loads(record.body)
    namespace = record.key[0]
    wrong = next(o for o in as_list(obj["metadata"]["ownerReferences"]) if o["uid"] == uid)
    named = (
        f"[{wrong['apiVersion']}/{wrong['kind']}, namespace: {namespace}, name: {wrong['name']},"
        f" uid: {uid}]"
    )
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "involvedObject": {
            "apiVersion": obj["apiVersion"],
            "kind": obj["kind"],
            "name": record.key[1],
            **({"namespace": namespace} if namespace else {}),
            "uid": record.uid,
        },
        "type": "Warning",
        "reason": "OwnerRefInvalidNamespace",
        "message": f'ownerRef {named} does not exist in namespace "{namespace}"',
        "source": {"component": "garbage-collector-controller"},
        "count": 1,
    }
