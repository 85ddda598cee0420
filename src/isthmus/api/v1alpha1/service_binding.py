"""ServiceBinding: one credential for one consumer, delivered as an owned Secret.

The status is the Provisioned Service duck type and the Secret has the form of
https://servicebinding.io/spec/core/1.1.0/
"""

from datetime import datetime
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


class ServiceBindingSpec(Model):
    """Whose credential, for what."""

    instance: str = Field(
        min_length=1, description="Name of a ServiceInstance in the same namespace."
    )
    strategy: str = Field(
        default="",
        description="One of the offering's credential strategies; empty: its first.",
    )
    parameters: Json = Field(
        default={}, description="Checked against the offering's `binding.parameters`."
    )
    secret_name: str = Field(
        default="", description="Name of the Secret; empty: the name of the binding."
    )


class BoundSecret(Model):
    """The duck type of servicebinding.io: where the Secret is."""

    name: str = Field(default="", description="Name of the Secret in the same namespace.")


class Granted(Model):
    """What a credential was made with, so that it can be revoked whatever became of the rest."""

    provider: str = Field(description="Name of the Provider.")
    spec: Json = Field(
        description="The offering's specification of the credential, filled in; no secret is in it."
    )
    parameters: Json = Field(default={}, description="The binding's parameters.")


class ServiceBindingStatus(Status):
    """What was granted."""

    binding: BoundSecret | None = Field(default=None, description="Where the Secret is.")
    instance: str = Field(default="", description="The instance that it was granted on.")
    strategy: str = Field(default="", description="The strategy in use.")
    credential: str = Field(
        default="", description="Public name of the credential: a user or role, never a secret."
    )
    granted: Granted | None = Field(
        default=None, description="What it was made with, and is revoked with."
    )
    former: tuple[str, ...] = Field(
        default=(), description="Former credentials that are still to be revoked."
    )
    rotation: str = Field(
        default="", description="Value of the rotate annotation that the credential answers."
    )
    granted_at: datetime | None = Field(default=None, description="When it was made.")


class ServiceBinding(Resource[ServiceBindingSpec, ServiceBindingStatus]):
    """One credential for one consumer."""

    names: ClassVar[Names] = Names(
        kind="ServiceBinding", plural="servicebindings", short=("sb", "bind")
    )
    columns: ClassVar[tuple[Column, ...]] = (
        Column(name="Instance", json_path=".spec.instance"),
        Column(name="Secret", json_path=".status.binding.name"),
        *READY_COLUMNS,
        Column(name="Credential", json_path=".status.credential", priority=1),
        AGE,
        MESSAGE,
    )

    status: ServiceBindingStatus = Field(default_factory=ServiceBindingStatus)
