"""Cluster: its secrets, its Stack, its kubeconfig, and what its own API says of it."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import yaml

from isthmus.api.meta import ROTATE, DeletionPolicy, Json, Management
from isthmus.api.v1alpha1 import (
    Cluster,
    ClusterStatus,
    NodeCount,
    NodePool,
    OfferingSpec,
)
from isthmus.controllers.claim import ClaimController
from isthmus.controllers.cluster_access import kubeconfig, opened, reference
from isthmus.controllers.cluster_authorities import AUTHORITY, Authorities
from isthmus.controllers.cluster_credentials import issue, issued_elsewhere
from isthmus.controllers.cluster_provider import ClusterProvider
from isthmus.controllers.cluster_resize import ControlFlavors
from isthmus.controllers.cluster_upgrade import follow
from isthmus.controllers.key_handover import KeyHandover
from isthmus.controllers.owned_secrets import OwnedSecret
from isthmus.controllers.pod_network import PodNetworks
from isthmus.controllers.world import World
from isthmus.core.compose.cluster import KUBECONFIG_KEY, furnished, kubeconfig_name
from isthmus.core.compose.rendered import rendered_from
from isthmus.core.nodes import ClusterNode
from isthmus.core.planner.upgrades import lowest
from isthmus.core.planner.versions import check_step
from isthmus.core.stacks import digest, external_name
from isthmus.errors import InvalidSpec, NotYet, Unavailable
from isthmus.ports import ClusterNodes
from isthmus.runtime import pki
from isthmus.runtime.kinds import api_of
from isthmus.runtime.outcome import Done, Outcome, Progress, done, waiting

MADE_FROM = "isthmus.dev/made-from"
"""Annotation on the kubeconfig's Secret: digest of endpoint, authority and rotation."""
EXPIRES = "isthmus.dev/expires-at"
"""Annotation on the kubeconfig's Secret: when its certificate ends."""
ENDPOINT = "Endpoint"
"""The output of a blueprint that says where the cluster's API is: ``https://host:port``."""
_SOON = timedelta(seconds=3)
_STARTING = timedelta(seconds=10)
_LOOK = timedelta(seconds=30)


class ClusterController(ClaimController[Cluster]):
    """Makes clusters, or looks at those that are there, and hands out their kubeconfig."""

    steps = ("Accepted", "Provisioned", "Reachable", "NodesReady")

    def __init__(self, world: World) -> None:
        super().__init__(world, Cluster)

    async def reconcile(self, obj: Cluster, progress: Progress[ClusterStatus]) -> Outcome:
        """Have the Stack, then the kubeconfig, then ask the cluster itself."""
        check_step(obj.status.version, obj.spec.kubernetes_version)
        if obj.attached:
            progress.reached("Accepted")
        else:
            outcome = await self._provision(obj, progress)
            if not isinstance(outcome, Done):
                return outcome
            await self._hand_out(obj, progress)
        progress.reached("Provisioned")
        try:
            async with opened(self._world, obj) as nodes:
                return await self._ask(obj, nodes, progress)
        except Unavailable:
            if obj.attached or obj.status.bootstrapped:
                raise
            # Its servers boot. That is no failure to come back from later each time.
            return waiting("Its API does not answer yet: its servers start.", after=_STARTING)

    async def release(self, obj: Cluster, progress: Progress[ClusterStatus]) -> Outcome:
        """Take down the pools first, then what is in it, then the Stack; the secrets last.

        What is to be retained stays with its pools and its secrets.
        """
        inside = ClusterProvider(self._world, obj)
        inside.require_free()
        retained = obj.spec.deletion_policy is DeletionPolicy.RETAIN
        left = (
            ("" if retained else await self._release_pools(obj))
            or await inside.release_storage()
            or await PodNetworks(self._world, obj).forget()
            or await inside.release()
        )
        if left or obj.attached:
            return waiting(left, after=_LOOK) if left else done()
        if obj.status.key_holders and retained:
            with suppress(NotYet):  # Its Provider is gone: nobody can any more.
                await KeyHandover(self._world, obj, self.render(obj)).withdraw(progress)
        secrets = Authorities(self._world, obj)
        stack = self._world.stacks.get(obj.metadata.namespace, obj.stack_name)
        if retained and stack is not None:
            await secrets.leave(external_name(stack))
        outcome = await super().release(obj, progress)
        if isinstance(outcome, Done):
            await secrets.delete()  # But for those that were left: they are nobody's.
        return outcome

    async def _release_pools(self, obj: Cluster) -> str:
        """Have the pools go; say what is left, empty: nothing."""
        meta = obj.metadata
        pools = list(self._world.pools.by("cluster", f"{meta.namespace}/{meta.name}"))
        for pool in pools:
            if not pool.deleting:
                await self._world.store.delete(
                    api_of(NodePool), meta.namespace, pool.metadata.name, pool.metadata.uid
                )
        names = ", ".join(pool.metadata.name for pool in pools)
        return f"Its node pools are being deleted first: {names}." if pools else ""

    def furnish(self, claim: Cluster, definition: OfferingSpec) -> Cluster:
        """Give the blueprint references to the cluster's secrets, and the flavors of the moment."""
        claim = ControlFlavors(self._world, claim).furnished(definition)
        return furnished(claim, definition, claim.status.ca_hash)

    async def _provision(self, obj: Cluster, progress: Progress[ClusterStatus]) -> Outcome:
        if not obj.spec.offering:
            raise InvalidSpec(
                "spec.offering: name a blueprint, or attach a cluster with spec.kubeconfigSecret."
            )
        authorities = Authorities(self._world, obj)
        keys = await authorities.known()
        # Not before the spec is known to fit: nothing is made for what is refused.
        rendering = self.render(obj)
        PodNetworks(self._world, obj).check(rendering)
        keys = await authorities.have(keys, rendering.definition, progress.now)
        if AUTHORITY in keys:
            status = {"ca_hash": pki.ca_hash(keys[AUTHORITY])}
            progress.status = progress.status.model_copy(update=status)
            obj = obj.model_copy(update={"status": obj.status.model_copy(update=status)})
        outcome = await super().reconcile(obj, progress)
        settled = obj.status.bootstrapped and not obj.status.key_holders
        if settled or obj.spec.management is Management.OBSERVE:
            return outcome
        # The stack may be waiting for its servers, and they for the key.
        pending = await KeyHandover(self._world, obj, self.render(obj)).step(progress)
        if isinstance(outcome, Done) or outcome.troubled:
            return outcome
        return waiting(pending or outcome.why, after=_SOON if pending else _LOOK)

    async def _hand_out(self, obj: Cluster, progress: Progress[ClusterStatus]) -> None:
        """Write the kubeconfig, where it is missing, about to end, or asked for anew."""
        endpoint = progress.status.outputs.get(ENDPOINT, "")
        keys = await Authorities(self._world, obj).known()
        if not endpoint:
            raise NotYet(f"The blueprint's stack has no output {ENDPOINT!r} yet.")
        rotation = obj.metadata.annotations.get(ROTATE, "")
        progress.status = progress.status.model_copy(
            update={"endpoint": endpoint, "kubeconfig": kubeconfig_name(obj.metadata.name)}
        )
        if AUTHORITY not in keys and not issued_elsewhere(self._world, obj):
            return  # The blueprint has an authority of its own and brings the Secret itself.
        origin = digest(endpoint, keys.get(AUTHORITY, ""), rotation)[:20]
        secret = OwnedSecret(self._world, obj, kubeconfig_name(obj.metadata.name), held=True)
        found = await secret.read()
        notes = found[1] if found is not None else {}
        expires = _time(notes.get(EXPIRES, ""))
        late = expires is None or expires - progress.now <= pki.RENEW_BEFORE
        if late or notes.get(MADE_FROM) != origin:
            if AUTHORITY in keys:
                admin = pki.issue_admin(keys, progress.now)
                text = pki.kubeconfig(obj.metadata.name, endpoint, keys[AUTHORITY], admin)
                expires = admin.expires_at
            else:
                text, expires = await issue(self._world, obj, f"{obj.metadata.uid[:18]}-{origin}")
            notes = {MADE_FROM: origin, EXPIRES: expires.isoformat()}
            await secret.write({KUBECONFIG_KEY: text}, notes)
        progress.status = progress.status.model_copy(
            update={
                "kubeconfig_expires_at": expires,
                "rotation": rotation,
            }
        )

    async def _ask(
        self, obj: Cluster, nodes: ClusterNodes, progress: Progress[ClusterStatus]
    ) -> Outcome:
        """Mirror what the cluster says of itself."""
        version = await nodes.version()
        found = await nodes.nodes()
        progress.reached("Reachable")
        own_provider = await ClusterProvider(self._world, obj).have(reference(obj))
        ready = sum(1 for node in found if node.ready)
        update: dict[str, object] = {
            "version": version if obj.attached else lowest(version, found),
            "own_provider": own_provider,
            "nodes": NodeCount(total=len(found), ready=ready),
        }
        if obj.attached:
            update["kubeconfig"] = reference(obj).name
            update["bootstrapped"] = True  # It is up; its pools may give it its first nodes.
            update["endpoint"] = _server(await kubeconfig(self._world, obj))
        progress.status = progress.status.model_copy(update=update)
        ours = not obj.attached and obj.spec.management is not Management.OBSERVE
        seen = obj.model_copy(update={"status": progress.status})
        network = await PodNetworks(self._world, seen).have() if ours else ""
        if ours and obj.status.bootstrapped:
            changed, resizing = ControlFlavors(self._world, obj).next(found)
            if resizing is not None and changed is None:
                return resizing
            upgrading = await follow(self._values(obj), nodes, found, version, progress)
            if upgrading is not None:
                return upgrading
            if changed is not None and resizing is not None:
                rendering = self.render(changed)
                await self._have(rendering.stack, rendering.former)
                return resizing
        why = self._missing(obj, found)
        if why:
            return waiting(network or why, after=_SOON if not obj.status.bootstrapped else _LOOK)
        if not progress.status.bootstrapped:
            progress.status = progress.status.model_copy(update={"bootstrapped": True})
            return waiting("What started it is withdrawn from its servers.", after=_SOON)
        return waiting(network, after=_LOOK) if network else done(after=_LOOK)

    def _missing(self, obj: Cluster, nodes: tuple[ClusterNode, ...]) -> str:
        """Say which nodes are not there or not ready; empty: all are."""
        bearers = [node for node in nodes if node.control_plane and node.ready]
        planned = int(self._values(obj).get("controlPlaneReplicas") or 1)
        wanted = obj.spec.control_plane.replicas or planned
        # Those that bear the API come first: of them depends all else.
        unready = sorted((n for n in nodes if not n.ready), key=lambda n: not n.control_plane)
        why = unready[0].message or "it does not say why" if unready else ""
        first = f"{unready[0].name} is not ready: {why}" if unready else ""
        if not obj.attached and len(bearers) < wanted:
            count = f"{len(bearers)} of {wanted} nodes of the control plane are ready."
            return f"{count} {first}".rstrip()
        return first if nodes else "There are no nodes yet."

    def _values(self, obj: Cluster) -> Json:
        """Return what the blueprint's parameters are in its Stack."""
        stack = self._world.stacks.get(obj.metadata.namespace, obj.stack_name)
        origin = rendered_from(stack) if stack is not None else None
        return origin.values if origin is not None else {}


def _server(kubeconfig: str) -> str:
    """Return the URL that a kubeconfig leads to; empty where it names none."""
    document = yaml.safe_load(kubeconfig)
    found = cast("dict[str, Any]", document).get("clusters") if isinstance(document, dict) else None
    return str(found[0]["cluster"]["server"]) if found else ""


def _time(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text).astimezone(UTC) if text else None
    except ValueError:
        return None
