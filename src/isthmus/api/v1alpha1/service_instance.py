"""ServiceInstance: one plan of one offering, realised on one provider."""

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
    Names,
    Resource,
    Status,
)


class RevisionPolicy(StrEnum):
    """Who takes a new revision of the offering."""

    MANUAL = "Manual"
    AUTOMATIC = "Automatic"


class ServiceInstanceSpec(Managed):
    """What the tenant asks for."""

    offering: str = Field(min_length=1, description="Name of an Offering.")
    plan: str = Field(min_length=1, description="Name of one of the offering's plans.")
    provider: str = Field(
        default="",
        description="Name of the Provider that shall host it. Empty: the only one that this "
        "namespace may use and the offering supports.",
    )
    parameters: Json = Field(
        default={}, description="Overrides of the plan, checked against the offering's parameters."
    )
    revision: str = Field(
        default="",
        description="OfferingRevision to use. Empty: with `revisionPolicy: Manual` the one that "
        "is in use, at first the newest; with `Automatic` always the newest.",
    )
    revision_policy: RevisionPolicy = Field(
        default=RevisionPolicy.MANUAL, description="Who takes a new revision of the offering."
    )


class ServiceInstanceStatus(Status):
    """What was last seen."""

    provider: str = Field(default="", description="The Provider that hosts it.")
    revision: str = Field(default="", description="The OfferingRevision that it was rendered with.")
    stack: str = Field(default="", description="Name of its Stack.")
    simulated: bool = Field(default=False, description="True: it runs in a lab.")
    outputs: dict[str, str] = Field(
        default={}, description="Outputs of the stack, for example `Host` and `Port`."
    )


class ServiceInstance(Resource[ServiceInstanceSpec, ServiceInstanceStatus]):
    """One plan of one offering, realised on one provider."""

    names: ClassVar[Names] = Names(
        kind="ServiceInstance", plural="serviceinstances", short=("si", "inst")
    )
    columns: ClassVar[tuple[Column, ...]] = (
        Column(name="Offering", json_path=".spec.offering"),
        Column(name="Plan", json_path=".spec.plan"),
        *READY_COLUMNS,
        Column(name="Provider", json_path=".status.provider"),
        AGE,
        MESSAGE,
    )

    status: ServiceInstanceStatus = Field(default_factory=ServiceInstanceStatus)
