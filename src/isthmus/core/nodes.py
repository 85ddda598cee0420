"""The nodes of a Kubernetes cluster as plain values, as its own API describes them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from isthmus.api.meta import GROUP

UPGRADES: Final = f"{GROUP}/upgrades"
"""Annotation that a control plane's node puts on itself if it upgrades itself."""
UPGRADE_FAILED: Final = f"{GROUP}/upgrade-failed"
"""Annotation with version and cause of its last failure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterNode:
    """One node, as the cluster sees it."""

    name: str
    uid: str
    created_at: datetime
    """When it joined, aware, in UTC."""
    provider_id: str = ""
    """The cloud's id of the server behind it, for example ``openstack:///8f4c...``; often empty."""
    addresses: tuple[tuple[str, str], ...] = ()
    """Type and address, for example ``("InternalIP", "10.0.0.5")``, in the cluster's order."""
    ready: bool = False
    """Its kubelet reports, and reports that it runs pods."""
    message: str = ""
    """Why it is not ready, in the kubelet's or the cluster's words."""
    unschedulable: bool = False
    """It is cordoned: no new pod is placed on it."""
    version: str = ""
    """Of its kubelet, for example ``v1.36.2``."""
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    annotations: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def control_plane(self) -> bool:
        """Whether it bears the control plane."""
        return "node-role.kubernetes.io/control-plane" in self.labels

    @property
    def upgrades_itself(self) -> bool:
        """Whether it follows a ``ControlPlaneWish``."""
        return bool(self.annotations.get(UPGRADES))

    @property
    def upgrade_failure(self) -> str:
        """Version and cause of the last try to upgrade it; empty where none failed."""
        return self.annotations.get(UPGRADE_FAILED, "")


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlPlaneWish:
    """What the nodes of a control plane are asked to run; each takes its turn by itself."""

    version: str
    """Without ``v``, for example ``1.36.3``."""
    mirror: str = ""
    """Where they get it, as the blueprint's parameter."""
    mirror_sha256: str = ""
    """Pins what is there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterPod:
    """One pod, as far as it matters to whoever wants to empty its node."""

    namespace: str
    name: str
    uid: str
    node: str
    phase: str = "Running"
    """The cluster's word: Pending, Running, Succeeded, Failed or Unknown."""
    ready: bool = False
    deleting: bool = False
    """Somebody has asked for its end already."""
    controller: str = ""
    """Kind and name of what makes it anew elsewhere, for example ``ReplicaSet/web-5d4``; a pod
    without one is lost when it is evicted."""
    static: bool = False
    """The kubelet runs it from a file; the pod in the API is only its mirror."""

    @property
    def daemon(self) -> bool:
        """Whether a DaemonSet wants it on this very node."""
        return self.controller.startswith("DaemonSet/")

    @property
    def finished(self) -> bool:
        """Whether it has run to its end."""
        return self.phase in ("Succeeded", "Failed")

    @property
    def in_the_way(self) -> bool:
        """Whether a drain has to move it or to wait for its end."""
        return not (self.static or self.daemon or self.finished)


@dataclass(frozen=True, slots=True, kw_only=True)
class Eviction:
    """How the cluster answered to the request to move a pod."""

    accepted: bool
    """The pod is on its way out, or gone. Else a PodDisruptionBudget does not allow it now."""
    message: str = ""
    """What the budget says, naming it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinToken:
    """What a machine needs to become a node, for a short time."""

    id: str
    """Names it in the cluster; no secret."""
    token: str = field(repr=False)
    """The bootstrap token, ``<id>.<secret>``."""
    ca_hash: str
    """Of the cluster's certificate authority: ``sha256:<hex>``, as ``kubeadm join`` wants it."""
    expires_at: datetime
