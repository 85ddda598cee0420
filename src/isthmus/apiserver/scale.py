"""The `scale` subresource: replicas of any kind under the same three fields.

Source: https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#scale-subresource
"""

from isthmus.apiserver.errors import Cause, bad_request, invalid
from isthmus.apiserver.jsonpath import first
from isthmus.apiserver.jsonvalues import Json, as_map
from isthmus.apiserver.resources import Resource

_METADATA = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")


def read(resource: Resource, obj: Json) -> Json:
    """The Scale of an object."""
    paths = resource.scale or {}
    metadata = obj["metadata"]
    status: Json = {"replicas": first(obj, paths.get("statusReplicasPath", "")) or 0}
    selector = first(obj, paths.get("labelSelectorPath") or "")
    if selector:
        status["selector"] = selector
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {name: metadata[name] for name in _METADATA if name in metadata},
        "spec": {"replicas": first(obj, paths.get("specReplicasPath", "")) or 0},
        "status": status,
    }


def write(resource: Resource, obj: Json, wanted: Json) -> Json:
    """The object with the replicas that a Scale asks for.

    Raises:
        ApiError: 422, the replicas are no number; 400, it is the scale of another object.
    """
    own = obj["metadata"]["name"]
    name = as_map(wanted.get("metadata")).get("name") or own
    if name != own:
        raise bad_request(
            f"the name of the object ({name}) does not match the name on the URL ({own})"
        )
    replicas = as_map(wanted.get("spec")).get("replicas", 0)
    if not isinstance(replicas, int) or isinstance(replicas, bool) or replicas < 0:
        cause = Cause(".spec.replicas", f"{replicas}: should be a non-negative integer")
        raise invalid(resource, obj["metadata"]["name"], [cause])
    *above, last = (resource.scale or {})["specReplicasPath"].strip(".").split(".")
    place = obj
    for name in above:
        if not isinstance(place.setdefault(name, {}), dict):
            cause = Cause(".spec.replicas", f"cannot be set: {name} is no object")
            raise invalid(resource, own, [cause])
        place = place[name]
    place[last] = replicas
    version = as_map(wanted.get("metadata")).get("resourceVersion")
    if version:
        obj["metadata"]["resourceVersion"] = version
    return obj
