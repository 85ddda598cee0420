"""Cluster: a Kubernetes or OpenShift cluster, made by a blueprint or attached by its kubeconfig.

A blueprint is an Offering of category ``cluster``. What its schema declares of the typed fields
here is given to it under the name that stands beside the field.
"""

from datetime import datetime
from enum import StrEnum
from typing import ClassVar, Literal

from pydantic import Field

from isthmus.api.meta import (
    AGE,
    GROUP,
    MESSAGE,
    READY_COLUMNS,
    Column,
    Json,
    Model,
    Names,
    SecretKeyRef,
)
from isthmus.api.v1alpha1.claim import Claim, ClaimSpec, ClaimStatus


class NetworkPlugin(StrEnum):
    """Who connects the pods."""

    FLANNEL = "flannel"
    OVN_KUBERNETES = "ovn-kubernetes"
    NEUTRON = "neutron"


class ClusterNetwork(Model):
    """The network of the pods."""

    plugin: NetworkPlugin | None = Field(
        default=None,
        description="flannel: VXLAN. ovn-kubernetes: OVN. neutron: the cloud's own network. "
        "Absent: the blueprint's choice (`networkPlugin`).",
    )
    pod_cidr: str = Field(default="", description="Addresses of the pods (`podCidr`).")
    service_cidr: str = Field(default="", description="Addresses of Services (`serviceCidr`).")
    mtu: int | None = Field(
        default=None,
        ge=576,
        le=9216,
        description="Largest packet of the nodes' network in bytes; absent: the blueprint's "
        "choice (`mtu`).",
    )
    credentials_secret: str = Field(
        default="",
        description="Name of a Secret in the same namespace with the user of the cloud that the "
        "plugin has need of, with no more rights than that; neutron: the keys "
        "`application-credential-id` and `application-credential-secret`.",
    )


class ControlPlane(Model):
    """The nodes that bear the cluster's API."""

    replicas: Literal[1, 3] | None = Field(
        default=None,
        description="1, or 3 for one that may fail; absent: the plan's (`controlPlaneReplicas`).",
    )


class ClusterSpec(ClaimSpec):
    """What the tenant asks for."""

    offering: str = Field(
        default="",
        description="Name of an Offering of category `cluster`: its blueprint. Empty only with "
        "`kubeconfigSecret`.",
    )
    plan: str = Field(default="", description="Name of one of the blueprint's plans.")
    kubernetes_version: str = Field(
        default="",
        description="For example `1.36.2`; raised by one minor at a time. Empty: the plan's "
        "(`kubernetesVersion`).",
    )
    network: ClusterNetwork = Field(
        default=ClusterNetwork(), description="The network of the pods."
    )
    control_plane: ControlPlane = Field(
        default=ControlPlane(), description="The nodes that bear the cluster's API."
    )
    kubeconfig_secret: SecretKeyRef | None = Field(
        default=None,
        description="Attach a cluster that is there already: the Secret that holds its "
        "kubeconfig. It is looked at, and never made, changed or deleted.",
    )

    def asked(self) -> Json:
        """Add the typed fields that are set."""
        return self.parameters | {name: value for name, (_, value) in self._typed().items()}

    def where(self, parameter: str) -> str:
        """Name the typed field where that is set."""
        typed = self._typed().get(parameter)
        return f"spec.{typed[0]}" if typed is not None else super().where(parameter)

    def _typed(self) -> dict[str, tuple[str, object]]:
        """Return the field and the value of each parameter that has a typed field which is set."""
        network = self.network
        fields: dict[str, tuple[str, object]] = {
            "kubernetesVersion": ("kubernetesVersion", self.kubernetes_version),
            "networkPlugin": ("network.plugin", network.plugin and network.plugin.value),
            "podCidr": ("network.podCidr", network.pod_cidr),
            "serviceCidr": ("network.serviceCidr", network.service_cidr),
            "mtu": ("network.mtu", network.mtu),
            "controlPlaneReplicas": ("controlPlane.replicas", self.control_plane.replicas),
        }
        return {name: field for name, field in fields.items() if field[1]}


class NodeCount(Model):
    """How many nodes there are."""

    total: int = Field(default=0, description="All nodes, those of the control plane included.")
    ready: int = Field(default=0, description="Those that run pods.")


class ClusterStatus(ClaimStatus):
    """What was last seen."""

    endpoint: str = Field(default="", description="URL of the cluster's API.")
    version: str = Field(default="", description="What the API server calls itself.")
    ca_hash: str = Field(
        default="", description="Of the cluster's certificate authority, `sha256:...`."
    )
    nodes: NodeCount = Field(default=NodeCount(), description="How many nodes there are.")
    kubeconfig: str = Field(
        default="", description="Name of the Secret with an administrator's kubeconfig."
    )
    kubeconfig_expires_at: datetime | None = Field(
        default=None, description="When its certificate ends; it is renewed before."
    )
    rotation: str = Field(
        default="", description="Value of the rotate annotation that the kubeconfig answers."
    )
    own_provider: str = Field(
        default="",
        description="Name of the Provider that leads into it: what names that as `spec.provider` "
        "lands in this cluster.",
    )
    bootstrapped: bool = Field(
        default=False,
        description="The control plane was ready once: what it needed to start is withdrawn.",
    )
    key_holders: tuple[str, ...] = Field(
        default=(),
        description="Servers that may hold the key of the cluster's authorities, by the cloud's "
        "ids; none once it is withdrawn.",
    )


class Cluster(Claim[ClusterSpec, ClusterStatus]):
    """A Kubernetes cluster."""

    label = f"{GROUP}/cluster"
    stack_prefix = "cluster-"
    names: ClassVar[Names] = Names(kind="Cluster", plural="clusters", short=("cl",))
    columns: ClassVar[tuple[Column, ...]] = (
        Column(name="Blueprint", json_path=".spec.offering"),
        Column(name="Version", json_path=".status.version"),
        Column(name="Nodes", json_path=".status.nodes.ready", type="integer"),
        *READY_COLUMNS,
        Column(name="Endpoint", json_path=".status.endpoint", priority=1),
        Column(name="Provider", json_path=".status.provider"),
        AGE,
        MESSAGE,
    )

    status: ClusterStatus = Field(default_factory=ClusterStatus)

    @property
    def attached(self) -> bool:
        """Whether it was there before us."""
        return self.spec.kubeconfig_secret is not None
