"""ServiceInstance: one plan of one offering, realised on one provider."""

from typing import ClassVar

from pydantic import Field

from isthmus.api.meta import AGE, GROUP, MESSAGE, READY_COLUMNS, Column, Names
from isthmus.api.v1alpha1.claim import Claim, ClaimSpec, ClaimStatus


class ServiceInstanceSpec(ClaimSpec):
    """What the tenant asks for."""


class ServiceInstanceStatus(ClaimStatus):
    """What was last seen."""


class ServiceInstance(Claim[ServiceInstanceSpec, ServiceInstanceStatus]):
    """One plan of one offering, realised on one provider."""

    label = f"{GROUP}/instance"
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
