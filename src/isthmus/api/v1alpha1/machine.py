"""Machine: a virtual machine or a physical host, as a cloud gives it."""

from typing import ClassVar

from pydantic import Field

from isthmus.api.meta import AGE, GROUP, MESSAGE, READY_COLUMNS, Column, Model, Names, SecretKeyRef
from isthmus.api.v1alpha1.claim import Claim, ClaimSpec, ClaimStatus


class SecretSource(Model):
    """A value that only a Secret holds."""

    secret_key_ref: SecretKeyRef = Field(description="Which key of which Secret.")


class MachineSpec(ClaimSpec):
    """What the tenant asks for. What these fields do not say is in `parameters`."""

    own: ClassVar[tuple[str, ...]] = ("image", "size", "network", "ssh_key", "user_data")

    offering: str = Field(default="machine", min_length=1, description="Name of an Offering.")
    plan: str = Field(
        default="small", min_length=1, description="Name of one of the offering's plans."
    )
    image: str = Field(
        default="", description="Name or id of the image that it boots. Empty: the plan's."
    )
    size: str = Field(
        default="", description="The cloud's name of its size: a flavor, an instance type."
    )
    network: str = Field(
        default="", description="Name or id of the cloud's network that it is attached to."
    )
    ssh_key: str = Field(default="", description="The cloud's name of the key pair for log-ins.")
    user_data: SecretSource | None = Field(
        default=None, description="What cloud-init does at the first boot."
    )


class MachineStatus(ClaimStatus):
    """What was last seen."""


class Machine(Claim[MachineSpec, MachineStatus]):
    """A virtual machine or a physical host."""

    label = f"{GROUP}/machine"
    stack_prefix = "machine-"
    names: ClassVar[Names] = Names(kind="Machine", plural="machines", short=("vm",))
    columns: ClassVar[tuple[Column, ...]] = (
        Column(name="Size", json_path=".spec.size"),
        Column(name="Image", json_path=".spec.image"),
        *READY_COLUMNS,
        Column(name="Address", json_path=".status.outputs.Address"),
        Column(name="Provider", json_path=".status.provider"),
        AGE,
        MESSAGE,
    )

    status: MachineStatus = Field(default_factory=MachineStatus)
