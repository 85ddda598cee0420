"""What of an object a write to one of its subresources may change, and whose that is then.

Source: https://github.com/kubernetes/community/blob/master/contributors/devel/sig-architecture/api-conventions.md#spec-and-status
"""

from isthmus.apiserver.jsonvalues import Json, as_list, as_map
from isthmus.apiserver.kinds import CRD_COLLECTION, NAMESPACE_COLLECTION
from isthmus.apiserver.resources import Resource

_METADATA = ("labels", "annotations", "finalizers", "ownerReferences")


def is_only_status(resource: Resource) -> bool:
    """Whether writes to `status` leave the metadata alone; those of core kinds do not."""
    return resource.custom or resource.collection == CRD_COLLECTION


def with_status(resource: Resource, old: Json, new: Json) -> Json:
    """The old object with what of the new one a write to `status` changes."""
    metadata = dict(old["metadata"])
    if not is_only_status(resource):
        given = {name: new["metadata"][name] for name in _METADATA if name in new["metadata"]}
        metadata = {k: v for k, v in metadata.items() if k not in _METADATA} | given
    out = {**old, "metadata": metadata}
    if "status" in new:
        out["status"] = new["status"]
    else:
        out.pop("status", None)
    return out


def spec_as_sent(resource: Resource, obj: Json) -> Json | None:
    """The spec of a Namespace before the server writes its own: senders own what they send."""
    if resource.collection != NAMESPACE_COLLECTION:
        return None
    finalizers = list(as_list(as_map(obj.get("spec")).get("finalizers")))
    return {"finalizers": finalizers} if finalizers else {}


def with_spec(obj: Json, spec: Json | None) -> Json:
    """An object as it was sent, with what `spec_as_sent` told before."""
    if spec is None:
        return obj
    sent = {name: part for name, part in obj.items() if name != "spec"}
    return {**sent, "spec": spec} if spec else sent
