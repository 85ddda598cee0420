"""What a Kubernetes cluster in memory is made of."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(slots=True)
class FakeNode:
    """One node."""

    name: str
    uid: str
    joined: datetime
    ready_at: datetime
    provider_id: str
    version: str
    labels: Mapping[str, str]
    address: str
    unschedulable: bool = False
    failure: str = ""
    annotations: dict[str, str] = field(default_factory=dict[str, str])
    upgraded_at: datetime | None = None
    """When the upgrade that it is at will be done."""


@dataclass(slots=True)
class FakePod:
    """One pod. Without a node it waits for one."""

    namespace: str
    name: str
    uid: str
    app: str
    controller: str
    node: str = ""
    static: bool = False
    gone_at: datetime | None = None


@dataclass(slots=True)
class FakeToken:
    """One join token."""

    token: str
    expires_at: datetime
    ours: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """A PodDisruptionBudget: so many pods of an app stay."""

    name: str
    app: str
    min_available: int
    namespace: str = "default"
