"""Operation: one day-2 action on one object, like a Job. It runs once and keeps the audit."""

from datetime import datetime
from enum import StrEnum
from typing import ClassVar

from pydantic import Field

from isthmus.api.meta import (
    AGE,
    MESSAGE,
    READY_COLUMNS,
    Column,
    Json,
    Model,
    Names,
    Resource,
    Status,
)


class OperationPhase(StrEnum):
    """How far an operation is."""

    PENDING = "Pending"
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"


class Target(Model):
    """What it acts on, in the same namespace."""

    kind: str = Field(default="ServiceInstance", description="Kind of the target.")
    name: str = Field(min_length=1, description="Name of the target.")


class OperationSpec(Model):
    """Which action, on what. It cannot be changed after creation."""

    target: Target = Field(description="What it acts on.")
    action: str = Field(min_length=1, description="Name of one of the offering's actions.")
    parameters: Json = Field(default={}, description="Checked against the action's schema.")
    ttl_seconds_after_finished: int | None = Field(
        default=None, ge=0, description="Delete the Operation so long after its end; absent: keep."
    )


class OperationStatus(Status):
    """What came of it."""

    phase: OperationPhase = Field(default=OperationPhase.PENDING, description="How far it is.")
    handle: str = Field(default="", description="The cloud's own id of what was started.")
    result: Json = Field(default={}, description="What the action returned; never secrets.")
    started_at: datetime | None = Field(default=None, description="When the cloud accepted it.")
    completed_at: datetime | None = Field(default=None, description="When it ended.")


class Operation(Resource[OperationSpec, OperationStatus]):
    """One day-2 action."""

    names: ClassVar[Names] = Names(kind="Operation", plural="operations", short=("op",))
    columns: ClassVar[tuple[Column, ...]] = (
        Column(name="Target", json_path=".spec.target.name"),
        Column(name="Action", json_path=".spec.action"),
        Column(name="Phase", json_path=".status.phase"),
        *READY_COLUMNS,
        AGE,
        MESSAGE,
    )

    status: OperationStatus = Field(default_factory=OperationStatus)
