"""Stack: a native stack of a cloud's own engine. Everything that can be provisioned becomes one."""

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
    Managed,
    Model,
    Names,
    Resource,
    SecretKeyRef,
    Status,
)


class Phase(StrEnum):
    """How far a stack is. Every native status maps to exactly one of these."""

    ABSENT = "Absent"
    WORKING = "Working"
    READY = "Ready"
    FAILED = "Failed"


class StackParameter(Model):
    """A value for the native template, or where it is kept."""

    value: str | None = Field(default=None, description="The value itself, never a secret one.")
    secret_key_ref: SecretKeyRef | None = Field(
        default=None, description="Where a secret value is kept, in the same namespace."
    )


class StackSpec(Managed):
    """The rendered native stack."""

    provider: str = Field(min_length=1, description="Name of the Provider that hosts it.")
    template: Json = Field(description="The engine's own document, rendered.")
    parameters: dict[str, StackParameter] = Field(
        default={}, description="Native parameters; secret ones only as references."
    )
    stateful: tuple[str, ...] = Field(
        default=(), description="Logical ids whose replacement needs approval."
    )
    pre_delete: tuple[Json, ...] = Field(
        default=(), description="Steps before the deletion, in order."
    )


class StackResource(Model):
    """One native resource of the stack."""

    logical_id: str = Field(description="Its name in the template.")
    type: str = Field(description="The engine's type, for example `AWS::SQS::Queue`.")
    physical_id: str = Field(default="", description="The cloud's own id.")
    status: str = Field(default="", description="The engine's word for its state.")
    reason: str = Field(default="", description="The engine's words for why.")
    drifted: bool = Field(default=False, description="Somebody changed it behind our back.")


class StackEvent(Model):
    """One event of the native engine."""

    id: str = Field(description="The engine's id of the event.")
    time: datetime = Field(description="When it happened.")
    logical_id: str = Field(description="The resource's name in the template.")
    type: str = Field(default="", description="The resource's type.")
    status: str = Field(description="The engine's word for what happened.")
    reason: str = Field(default="", description="The engine's words for why.")


class Drift(Model):
    """What somebody changed behind our back."""

    checked_at: datetime | None = Field(default=None, description="When the engine looked.")
    drifted: bool = Field(default=False, description="Whether anything differs.")
    resources: tuple[str, ...] = Field(
        default=(), description="Logical ids with their changed properties."
    )


class StackStatus(Status):
    """What the native engine said last."""

    external_name: str = Field(default="", description="The engine's name of the stack.")
    native_id: str = Field(default="", description="The engine's own id, for example an ARN.")
    native_status: str = Field(default="", description="For example `UPDATE_COMPLETE`.")
    phase: Phase = Field(default=Phase.ABSENT, description="How far it is.")
    digest: str = Field(default="", description="Digest of the spec that the engine has.")
    outputs: dict[str, str] = Field(default={}, description="Outputs; never secrets.")
    resources: tuple[StackResource, ...] = Field(
        default=(), description="What it consists of, in the engine's words."
    )
    events: tuple[StackEvent, ...] = Field(
        default=(), description="The newest and the failures before them, oldest first."
    )
    drift: Drift | None = Field(default=None, description="The last check for drift.")


class Stack(Resource[StackSpec, StackStatus]):
    """A native stack."""

    names: ClassVar[Names] = Names(kind="Stack", plural="stacks", short=("stk",))
    columns: ClassVar[tuple[Column, ...]] = (
        Column(name="Provider", json_path=".spec.provider"),
        Column(name="Phase", json_path=".status.phase"),
        Column(name="Native", json_path=".status.nativeStatus"),
        *READY_COLUMNS,
        Column(name="External", json_path=".status.externalName", priority=1),
        AGE,
        MESSAGE,
    )

    status: StackStatus = Field(default_factory=StackStatus)
