"""Provider: one account or endpoint of one driver, and who may use it."""

from typing import ClassVar

from pydantic import Field

from isthmus.api.meta import (
    AGE,
    READY_COLUMNS,
    Column,
    LabelSelector,
    Model,
    Names,
    Resource,
    SecretRef,
    Status,
)


class ProviderSpec(Model):
    """How to reach the account, and which namespaces may use it."""

    driver: str = Field(
        min_length=1, description="Which driver speaks to it: `aws`, `fake`, or an installed one."
    )
    region: str = Field(default="", description="The region that stacks go to.")
    credentials_secret: SecretRef | None = Field(
        default=None,
        description="Secret with the driver's credentials; absent: the driver's ambient ones.",
    )
    settings: dict[str, str] = Field(
        default={},
        description="Settings of the driver, for example `roleArn`, `externalId`, "
        "`serviceRoleArn`, `endpointUrl` for aws. Unknown ones are refused.",
    )
    namespace_selector: LabelSelector | None = Field(
        default=None,
        description="Which namespaces may use this Provider; absent: all of them.",
    )
    adoption_selector: LabelSelector | None = Field(
        default=None,
        description="Which namespaces may adopt or observe what was not made for them, for example "
        "`{}` for all; absent: none, since whoever adopts a stack may change and delete it.",
    )


class ProviderStatus(Status):
    """What was seen of the account."""

    account: str = Field(default="", description="The cloud's own id of the account.")
    engine: str = Field(default="", description="The stack engine behind it.")
    services: tuple[str, ...] | None = Field(
        default=None,
        description="The services of the cloud that stacks can use, by its own names, for example "
        "`load-balancer`. Absent: nobody has said yet.",
    )
    simulated: bool = Field(default=False, description="True: a lab; nothing here is real.")


class Provider(Resource[ProviderSpec, ProviderStatus]):
    """One account or endpoint of one driver."""

    names: ClassVar[Names] = Names(
        kind="Provider", plural="providers", short=("prov",), namespaced=False
    )
    columns: ClassVar[tuple[Column, ...]] = (
        Column(name="Driver", json_path=".spec.driver"),
        Column(name="Region", json_path=".spec.region"),
        Column(name="Account", json_path=".status.account"),
        *READY_COLUMNS,
        Column(name="Simulated", json_path=".status.simulated", type="boolean"),
        AGE,
    )

    status: ProviderStatus = Field(default_factory=ProviderStatus)
