"""Network: a network of a cloud, with its way out."""

from typing import ClassVar

from pydantic import Field

from isthmus.api.meta import AGE, GROUP, MESSAGE, READY_COLUMNS, Column, Names
from isthmus.api.v1alpha1.claim import Claim, ClaimSpec, ClaimStatus


class NetworkSpec(ClaimSpec):
    """What the tenant asks for. What these fields do not say is in `parameters`."""

    own: ClassVar[tuple[str, ...]] = ("cidr", "external", "name_servers")

    offering: str = Field(default="network", min_length=1, description="Name of an Offering.")
    plan: str = Field(
        default="routed", min_length=1, description="Name of one of the offering's plans."
    )
    cidr: str = Field(default="", description="Addresses, for example `10.20.0.0/24`.")
    external: str = Field(
        default="", description="Name or id of the cloud's network that leads outside."
    )
    name_servers: tuple[str, ...] = Field(
        default=(), description="Addresses of the name servers that its machines are told."
    )


class NetworkStatus(ClaimStatus):
    """What was last seen."""


class Network(Claim[NetworkSpec, NetworkStatus]):
    """A network of a cloud."""

    label = f"{GROUP}/network"
    stack_prefix = "network-"
    names: ClassVar[Names] = Names(kind="Network", plural="networks", short=("net",))
    columns: ClassVar[tuple[Column, ...]] = (
        Column(name="CIDR", json_path=".spec.cidr"),
        *READY_COLUMNS,
        Column(name="Provider", json_path=".status.provider"),
        AGE,
        MESSAGE,
    )

    status: NetworkStatus = Field(default_factory=NetworkStatus)
