"""NodePool: equal nodes of a Cluster, as many as are wanted, healed and exchanged one by one.

Its offering is the companion of the cluster's blueprint. What can change in place (``x-updatable``)
is changed; any other change makes a new group of servers, a Stack of its own, and the pool moves
from the former group to the new one.
"""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from isthmus.api.meta import (
    AGE,
    GROUP,
    MESSAGE,
    READY_COLUMNS,
    Column,
    Json,
    Model,
    Names,
    Scale,
    fixed,
)
from isthmus.api.node_labels import KEY_SCHEMA, LABELS_SCHEMA, TAINTS_SCHEMA, VALUE_SCHEMA
from isthmus.api.v1alpha1.claim import Claim, ClaimSpec, ClaimStatus

LabelValue = Annotated[str, Field(json_schema_extra=VALUE_SCHEMA)]


class Taint(Model):
    """What keeps pods off that do not tolerate it."""

    key: str = Field(min_length=1, description="Name of the taint.", json_schema_extra=KEY_SCHEMA)
    value: LabelValue = Field(default="", description="Its value.")
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] = Field(
        description="What happens to pods that do not tolerate it."
    )

    def __str__(self) -> str:
        """As the kubelet reads it: ``key=value:effect``."""
        return f"{self.key}={self.value}:{self.effect}"


class Rollout(Model):
    """How nodes are exchanged."""

    max_surge: int = Field(
        default=1, ge=0, description="How many more than `replicas` there may be meanwhile."
    )
    max_unavailable: int = Field(
        default=0, ge=0, description="How many fewer than `replicas` may be usable meanwhile."
    )
    drain_timeout_seconds: int = Field(
        default=600,
        ge=0,
        description="A node whose pods have not moved by then goes nevertheless, in seconds.",
    )


class Heal(Model):
    """When broken nodes are replaced."""

    after_seconds: int = Field(
        default=300,
        ge=0,
        description="How long a node that was ready may be broken before it is replaced, in "
        "seconds; 0: for ever.",
    )
    join_seconds: int = Field(
        default=1200,
        ge=0,
        description="How long a new server may take to become a node that is ready before it is "
        "replaced, in seconds from when it is there; 0, or `afterSeconds: 0`: for ever. Bare metal "
        "takes longer than a VM. Its join token lives as long, a day at most.",
    )
    at_once: int = Field(default=1, ge=1, description="How many are replaced at the same time.")


class NodePoolSpec(ClaimSpec):
    """What the tenant asks for."""

    cluster: str = Field(
        min_length=1,
        description="Name of a Cluster in the same namespace.",
        json_schema_extra=fixed("cannot be changed; create another NodePool"),
    )
    offering: str = Field(
        default="",
        description="Name of the Offering of its nodes. Empty: that of the cluster with `-pool`; "
        "an attached cluster has none, so it must be named.",
    )
    plan: str = Field(
        default="", description="Name of one of the offering's plans. Empty: its first one."
    )
    replicas: int = Field(default=1, ge=0, description="How many nodes are wanted.")
    min: int = Field(default=0, ge=0, description="Never fewer, whatever `replicas` says.")
    max: int | None = Field(default=None, ge=0, description="Never more, whatever `replicas` says.")
    kubernetes_version: str = Field(
        default="",
        description="For example `1.36.2`, never newer than the control plane's, and at most three "
        "minor versions older. Empty: the cluster's (`kubernetesVersion`).",
    )
    flavor: str = Field(default="", description="Size of each server (`flavor`).")
    image: str = Field(default="", description="Image of each server (`image`).")
    labels: dict[str, LabelValue] = Field(
        default={},
        description="Labels of the nodes (`labels`), such as a node may give itself.",
        json_schema_extra=LABELS_SCHEMA,
    )
    taints: tuple[Taint, ...] = Field(
        default=(),
        description="Taints of the nodes (`taints`).",
        json_schema_extra=TAINTS_SCHEMA,
    )
    rollout: Rollout = Field(default=Rollout(), description="How nodes are exchanged.")
    heal: Heal = Field(default=Heal(), description="When broken nodes are replaced.")

    @model_validator(mode="after")
    def _bounds(self) -> Self:
        if self.max is not None and self.max < self.min:
            raise ValueError("max is smaller than min; raise max or lower min")
        return self

    def asked(self) -> Json:
        """Add the typed fields that are set."""
        typed: Json = {
            "kubernetesVersion": self.kubernetes_version,
            "flavor": self.flavor,
            "image": self.image,
            "labels": self.labels,
            "taints": [str(taint) for taint in self.taints],
        }
        return self.parameters | {name: value for name, value in typed.items() if value}


class MemberPhase(StrEnum):
    """How far a member is."""

    JOINING = "Joining"
    READY = "Ready"
    NOT_READY = "NotReady"
    FAILED = "Failed"
    UNKNOWN = "Unknown"
    DRAINING = "Draining"
    REMOVING = "Removing"


class PoolMember(Model):
    """One server of the pool, and the node that it is."""

    name: str = Field(description="Name of its node; before that, of its place in the pool.")
    stack: str = Field(description="The Stack that holds it.")
    index: int = Field(description="Which of that Stack's servers.")
    server_id: str = Field(default="", description="The cloud's id of the server.")
    phase: MemberPhase = Field(description="How far it is.")
    since: datetime = Field(description="When it came to that phase.")
    message: str = Field(default="", description="What keeps it there.")


class NodePoolStatus(ClaimStatus):
    """What was last seen."""

    replicas: int | None = Field(default=None, description="How many members there are.")
    ready: int | None = Field(default=None, description="How many of them run pods.")
    updated: int | None = Field(default=None, description="How many are as the spec wants them.")
    members: tuple[PoolMember, ...] = Field(default=(), description="All of them.")
    join_token: str = Field(
        default="", description="Id of the join token that is valid now; no secret."
    )
    join_token_expires_at: datetime | None = Field(default=None, description="When it ends.")


class NodePool(Claim[NodePoolSpec, NodePoolStatus]):
    """Equal nodes of a Cluster."""

    label = f"{GROUP}/node-pool"
    stack_prefix = "pool-"
    names: ClassVar[Names] = Names(kind="NodePool", plural="nodepools", short=("np",))
    scale: ClassVar[Scale | None] = Scale(spec=".spec.replicas", status=".status.replicas")
    columns: ClassVar[tuple[Column, ...]] = (
        Column(name="Cluster", json_path=".spec.cluster"),
        Column(name="Desired", json_path=".spec.replicas", type="integer"),
        Column(name="Current", json_path=".status.replicas", type="integer"),
        Column(name="Up-to-date", json_path=".status.updated", type="integer"),
        Column(name="Running", json_path=".status.ready", type="integer"),
        *READY_COLUMNS,
        AGE,
        MESSAGE,
    )

    status: NodePoolStatus = Field(default_factory=NodePoolStatus)

    @property
    def stack_name(self) -> str:
        """The name of the Stack of the newest group; others are named by its members."""
        return self.status.stack or super().stack_name
