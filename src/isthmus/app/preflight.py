"""Whether a cluster has all that the controllers need, before they start; what is missing is named.

https://kubernetes.io/docs/reference/kubernetes-api/authorization-resources/self-subject-access-review-v1/
"""

import asyncio
from collections.abc import Iterable

import orjson

from isthmus.api.meta import API_VERSION, Json
from isthmus.api.v1alpha1 import KINDS
from isthmus.controllers.rights import Right
from isthmus.errors import IsthmusError, NotFound
from isthmus.faces.cli.failures import CommandFailed, Exit
from isthmus.ports import Api, Store
from isthmus.runtime.kube import error_of
from isthmus.runtime.transport import Request, Transport

_REVIEWS = Api("authorization.k8s.io/v1", "selfsubjectaccessreviews", namespaced=False)
_SELVES = Api("authentication.k8s.io/v1", "selfsubjectreviews", namespaced=False)
_EMBEDDED = "+isthmus"
"""How the version of the API of ``isthmus up`` ends."""
_AT_ONCE = 16
_NAMED = 6


async def check_server(transport: Transport) -> None:
    """Have a real cluster that serves our kinds.

    Raises:
        CommandFailed: It is the API of ``isthmus up``, or lacks kinds.
        IsthmusError: It does not answer, or does not know us.
    """
    version = await _read(transport, "/version")
    if str(version.get("gitVersion", "")).endswith(_EMBEDDED):
        raise CommandFailed(
            "--kubeconfig leads to an `isthmus up`, which runs the controllers itself; name a "
            "cluster of Kubernetes",
            Exit.CONFLICT,
        )
    try:
        served = {r["name"] for r in (await _read(transport, f"/apis/{API_VERSION}"))["resources"]}
    except NotFound:
        served = set[str]()
    if missing := sorted({kind.names.plural for kind in KINDS} - served):
        raise CommandFailed(
            f"the cluster does not know {', '.join(missing)} of {API_VERSION}; give it the kinds: "
            "kubectl apply --server-side -f deploy/crds",
            Exit.NOT_FOUND,
        )


async def check_rights(store: Store, rights: Iterable[Right], namespace: str = "") -> None:
    """Have every one of these rights, in a namespace or in all.

    Raises:
        CommandFailed: Some are missing; verb and resource are named.
    """
    gate = asyncio.Semaphore(_AT_ONCE)

    async def missing(right: Right) -> str:
        async with gate:
            answer = await store.create(_REVIEWS, _review(right, namespace))
        return "" if answer["status"].get("allowed") else str(right)

    lacking = [right for right in await asyncio.gather(*map(missing, rights)) if right]
    if lacking:
        where = f"in namespace {namespace}" if namespace else "in the cluster"
        more = f" and {len(lacking) - _NAMED} more" if len(lacking) > _NAMED else ""
        raise CommandFailed(
            f"{await _self(store)} may not {'; '.join(lacking[:_NAMED])}{more}, {where}; apply "
            "deploy/rbac and deploy/cluster, and see that it is bound there",
            Exit.FORBIDDEN,
        )


def _review(right: Right, namespace: str) -> Json:
    resource, _, subresource = right.resource.partition("/")
    attributes = {
        "verb": right.verb,
        "group": right.group,
        "resource": resource,
        "subresource": subresource,
        "name": right.name,
        "namespace": namespace,
    }
    return {
        "apiVersion": _REVIEWS.group_version,
        "kind": "SelfSubjectAccessReview",
        "metadata": {},
        "spec": {"resourceAttributes": attributes},
    }


async def _self(store: Store) -> str:
    """Return by which name the cluster knows us."""
    review: Json = {
        "apiVersion": _SELVES.group_version,
        "kind": "SelfSubjectReview",
        "metadata": {},
    }
    try:
        answer = await store.create(_SELVES, review)
    except IsthmusError:
        return "the user of the kubeconfig"
    return str(answer["status"]["userInfo"]["username"])


async def _read(transport: Transport, path: str) -> Json:
    answer = await transport.request(Request(method="GET", path=path))
    if answer.status >= 300:
        raise error_of(answer)
    return orjson.loads(answer.body)
