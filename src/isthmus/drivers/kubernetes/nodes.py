"""The nodes of a cluster through its API: cordon, evict, forget, and let machines join."""

import base64
import hashlib
import secrets
import string
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Final, cast

import orjson

from isthmus.api.meta import GROUP, Json
from isthmus.core.nodes import ClusterNode, ClusterPod, ControlPlaneWish, Eviction, JoinToken
from isthmus.drivers.kubernetes import kube
from isthmus.drivers.kubernetes.fields import part, parts
from isthmus.drivers.kubernetes.kube import Kube, Ref, refusal
from isthmus.drivers.kubernetes.kubeconfig import Target, parse
from isthmus.drivers.kubernetes.readiness import condition
from isthmus.errors import Forbidden, NotFound
from isthmus.ports import Api, Clock
from isthmus.runtime.clock import SystemClock
from isthmus.runtime.kube import path_of
from isthmus.runtime.transport import Request

_NODES: Final = Api("v1", "nodes", namespaced=False)
_PODS: Final = Api("v1", "pods")
_SECRETS: Final = Api("v1", "secrets")
_SYSTEM: Final = "kube-system"
_OURS: Final = f"{GROUP}/join-token"
_TOKEN_TYPE: Final = "bootstrap.kubernetes.io/token"
_TOKEN_NAME: Final = "bootstrap-token-"
_GROUPS: Final = "system:bootstrappers:kubeadm:default-node-token"
_LETTERS: Final = string.ascii_lowercase + string.digits
_MIRROR: Final = "kubernetes.io/config.mirror"
_WISH: Final = Ref("v1", "ConfigMap", _SYSTEM, "isthmus-control-plane")


class KubernetesNodes:
    """Implements ``isthmus.ports.ClusterNodes``.

    Args:
        api: The cluster's API.
        ca_pem: The cluster's certificate authority, that joining machines shall trust.
        clock: The time.
    """

    def __init__(self, api: Kube, ca_pem: str, clock: Clock) -> None:
        self._kube = api
        self._ca_pem = ca_pem
        self._clock = clock

    async def version(self) -> str:
        """See ``ClusterNodes``."""
        return str((await self._kube.read("/version"))["gitVersion"])

    async def nodes(self) -> tuple[ClusterNode, ...]:
        """See ``ClusterNodes``."""
        found = [_node(raw) for raw in await self._kube.list(_NODES)]
        return tuple(sorted(found, key=lambda node: node.name))

    async def pods(self, node: str) -> tuple[ClusterPod, ...]:
        """See ``ClusterNodes``."""
        query = (("fieldSelector", f"spec.nodeName={node}"),)
        return tuple(_pod(raw) for raw in await self._kube.list(_PODS, query=query))

    async def cordon(self, node: str) -> None:
        """See ``ClusterNodes``."""
        await self._kube.merge(_ref(node), {"spec": {"unschedulable": True}})

    async def uncordon(self, node: str) -> None:
        """See ``ClusterNodes``."""
        await self._kube.merge(_ref(node), {"spec": {"unschedulable": None}})

    async def evict(self, pod: ClusterPod) -> Eviction:
        """See ``ClusterNodes``.

        https://kubernetes.io/docs/concepts/scheduling-eviction/api-eviction/
        """
        body: Json = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": pod.name, "namespace": pod.namespace},
            "deleteOptions": {"preconditions": {"uid": pod.uid}},
        }
        path = path_of(_PODS, pod.namespace, pod.name, "eviction")
        answer = await self._kube.ask(Request(method="POST", path=path, body=orjson.dumps(body)))
        if answer.status < 300 or answer.status in (404, 409):
            # 409: the pod of that name has another uid by now.
            return Eviction(accepted=True)
        if answer.status == 403 and _said(answer.body, "NamespaceTerminating"):
            return Eviction(accepted=True)  # It goes with its namespace, which nothing stops.
        if answer.status == 429 and (words := _said(answer.body, "DisruptionBudget")):
            return Eviction(accepted=False, message=words)
        if answer.status == 500 and (words := _message(answer.body)):
            # More than one budget of a pod: the API calls that an error of its own.
            return Eviction(accepted=False, message=words)
        raise refusal(answer)

    async def delete_node(self, node: str) -> None:
        """See ``ClusterNodes``. The cluster's garbage collector removes the pods."""
        try:
            await self._kube.send("DELETE", path_of(_NODES, name=node))
        except NotFound:
            return

    async def issue_join_token(self, ttl: timedelta) -> JoinToken:
        """See ``ClusterNodes``.

        https://kubernetes.io/docs/reference/access-authn-authz/bootstrap-tokens/
        """
        now = self._clock.now()
        await self._sweep(now)
        token_id, secret = _letters(6), _letters(16)
        expires = (now + ttl).replace(microsecond=0)
        await self._kube.send(
            "POST",
            path_of(_SECRETS, _SYSTEM),
            body={
                "apiVersion": "v1",
                "kind": "Secret",
                "type": _TOKEN_TYPE,
                "metadata": {"name": f"{_TOKEN_NAME}{token_id}", "labels": {_OURS: "true"}},
                "stringData": {
                    "token-id": token_id,
                    "token-secret": secret,
                    "expiration": _written(expires),
                    "usage-bootstrap-authentication": "true",
                    "usage-bootstrap-signing": "true",
                    "auth-extra-groups": _GROUPS,
                    "description": "Made by Isthmus for machines that join now.",
                },
            },
        )
        return JoinToken(
            id=token_id,
            token=f"{token_id}.{secret}",
            ca_hash=ca_hash(self._ca_pem),
            expires_at=expires,
        )

    async def extend_join_token(self, token_id: str, ttl: timedelta) -> datetime:
        """See ``ClusterNodes``."""
        secret = await self._own_token(token_id)
        expires = (self._clock.now() + ttl).replace(microsecond=0)
        version = part(secret, "metadata").get("resourceVersion")
        await self._kube.merge(
            Ref("v1", "Secret", _SYSTEM, f"{_TOKEN_NAME}{token_id}"),
            {
                "metadata": {"resourceVersion": version},
                "stringData": {"expiration": _written(expires)},
            },
        )
        return expires

    async def revoke_join_token(self, token_id: str) -> None:
        """See ``ClusterNodes``."""
        try:
            await self._own_token(token_id)
            await self._kube.send("DELETE", _token_path(token_id))
        except NotFound:
            return

    async def ask_control_plane(self, wish: ControlPlaneWish) -> None:
        """See ``ClusterNodes``. The nodes read a ConfigMap."""
        data = {
            "version": wish.version,
            "mirror": wish.mirror,
            "mirrorSha256": wish.mirror_sha256,
        }
        manifest: Json = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": _WISH.name, "namespace": _WISH.namespace},
            "data": data,
        }
        await self._kube.apply(_WISH, manifest)

    async def _own_token(self, token_id: str) -> Json:
        secret = await self._kube.read(_token_path(token_id))
        if _OURS not in part(part(secret, "metadata"), "labels"):
            raise Forbidden(f"The join token {token_id} is not ours; it stays.")
        return secret

    async def _sweep(self, now: datetime) -> None:
        """Remove expired tokens of ours; the cluster's own cleaner need not run."""
        query = (("labelSelector", _OURS),)
        for secret in await self._kube.list(_SECRETS, _SYSTEM, query):
            expires = _decoded(secret, "expiration")
            if expires and datetime.fromisoformat(expires) <= now:
                await self.revoke_join_token(_decoded(secret, "token-id"))


@asynccontextmanager
async def reach(kubeconfig: str, clock: Clock | None = None) -> AsyncGenerator[KubernetesNodes]:
    """Connect by a kubeconfig. Raises InvalidSpec."""
    target: Target = parse(kubeconfig)
    async with kube.reach(target) as api:
        yield KubernetesNodes(api, target.ca_pem, clock or SystemClock())


def ca_hash(pem: str) -> str:
    """Return what ``kubeadm join --discovery-token-ca-cert-hash`` wants: of the public key."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
    from cryptography.x509 import load_pem_x509_certificate

    key = load_pem_x509_certificate(pem.encode()).public_key()
    written = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return f"sha256:{hashlib.sha256(written).hexdigest()}"


def _ref(node: str) -> Ref:
    return Ref("v1", "Node", "", node)


def _token_path(token_id: str) -> str:
    return path_of(_SECRETS, _SYSTEM, f"{_TOKEN_NAME}{token_id}")


def _written(time: datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")


def _letters(count: int) -> str:
    return "".join(secrets.choice(_LETTERS) for _ in range(count))


def _decoded(secret: Json, key: str) -> str:
    return base64.b64decode(part(secret, "data").get(key, "")).decode()


def _message(body: bytes) -> str:
    """Return what a refusal says of several budgets; empty: it is about something else."""
    words = str(_status(body).get("message") or "")
    return words if "PodDisruptionBudget" in words else ""


def _said(body: bytes, reason: str) -> str:
    """Return what the causes of a refusal say for one reason; a busy API names none."""
    causes = parts(part(_status(body), "details"), "causes")
    return "; ".join(str(c.get("message")) for c in causes if c.get("reason") == reason)


def _status(body: bytes) -> Json:
    """Return the Status of a refusal; empty: something else than the API has answered."""
    try:
        return cast("Json", orjson.loads(body))
    except orjson.JSONDecodeError:
        return {}


def _node(raw: Json) -> ClusterNode:
    meta, status = part(raw, "metadata"), part(raw, "status")
    spec = part(raw, "spec")
    ready = condition(raw, "Ready")
    addresses = cast("list[dict[str, str]]", status.get("addresses") or [])
    up = ready.get("status") == "True"
    return ClusterNode(
        name=meta["name"],
        uid=meta["uid"],
        created_at=datetime.fromisoformat(meta["creationTimestamp"]).astimezone(UTC),
        provider_id=str(spec.get("providerID") or ""),
        addresses=tuple((a["type"], a["address"]) for a in addresses),
        ready=up,
        message="" if up else str(ready.get("message") or "its kubelet has not reported yet"),
        unschedulable=bool(spec.get("unschedulable")),
        version=str(part(status, "nodeInfo").get("kubeletVersion") or ""),
        labels=meta.get("labels") or {},
        annotations=meta.get("annotations") or {},
    )


def _pod(raw: Json) -> ClusterPod:
    meta = cast("dict[str, Any]", raw["metadata"])
    owners = parts(meta, "ownerReferences")
    owner = next((o for o in owners if o.get("controller")), None)
    static = _MIRROR in (meta.get("annotations") or {})
    return ClusterPod(
        namespace=meta["namespace"],
        name=meta["name"],
        uid=meta["uid"],
        node=str(part(raw, "spec").get("nodeName") or ""),
        phase=str(part(raw, "status").get("phase") or "Pending"),
        ready=condition(raw, "Ready").get("status") == "True",
        deleting=bool(meta.get("deletionTimestamp")),
        controller=f"{owner['kind']}/{owner['name']}" if owner and not static else "",
        static=static,
    )
