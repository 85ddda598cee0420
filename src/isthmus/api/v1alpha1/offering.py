"""Offering: a catalog entry, as data. OfferingRevision: one frozen state of it.

Names follow the Open Service Broker API (service, plan, bindable, parameters),
https://github.com/openservicebrokerapi/servicebroker/blob/v2.17/spec.md

In every template string ``${name}`` is the only substitution. The names that may occur:

* a parameter of the offering, for example ``${instanceClass}``;
* ``${isthmus.name}``, ``${isthmus.namespace}``, ``${isthmus.uid}`` of the instance;
* in bindings, actions and pre-delete steps also ``${outputs.X}`` of the stack and
  ``${provider.region}``; in an action also its own parameters as ``${action.X}``; in the keys of a
  binding's Secret ``${credential.X}``; in a credential's spec the binding's ``${binding.X}``; in a
  handover ``${handover.resource}`` and ``${handover.key}``.

A string that is one placeholder keeps the type of its value. Names with ``::`` or with another dot
belong to the engine and stay as they are; ``$${`` writes a literal ``${``.
"""

from datetime import date
from decimal import Decimal
from typing import Annotated, ClassVar

from pydantic import Field, WithJsonSchema

from isthmus.api.meta import (
    AGE,
    READY_COLUMNS,
    Column,
    Json,
    LabelSelector,
    Model,
    Names,
    Resource,
    Status,
)

Money = Annotated[
    Decimal,
    Field(ge=0),
    WithJsonSchema({"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?$"}),
]
"""An exact amount; on the wire a string, since JSON's numbers are not exact."""

IDENTIFIER = r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$"


class Plan(Model):
    """One size of an offering."""

    name: str = Field(pattern=IDENTIFIER, description="What `spec.plan` of an instance says.")
    title: str = Field(min_length=1, description="For people, a few words.")
    description: str = Field(default="", description="For people: whom it suits, what it keeps.")
    parameters: Json = Field(
        default={}, description="Values of the plan; an instance may override those not in `fixed`."
    )
    fixed: tuple[str, ...] = Field(
        default=(), description="Parameters of this plan that an instance may not override."
    )


class PriceComponent(Model):
    """One part of the price by the hour, in the currency of the price list."""

    name: str = Field(description="What is paid for, for example `writer instance`.")
    amount: Money | None = Field(default=None, description="Price of one hour.")
    by: str = Field(default="", description="Parameter whose value picks one of `amounts`.")
    amounts: dict[str, Money] = Field(
        default={}, description="Price of one hour by the value of parameter `by`."
    )
    times: tuple[str, ...] = Field(
        default=(), description="Parameters that multiply it, all of them numbers."
    )
    plans: tuple[str, ...] = Field(default=(), description="Only in these plans; empty: in all.")


class UsagePrice(Model):
    """A price by use, which nobody can know before: it is shown, never added up."""

    name: str = Field(description="What is paid for, for example `storage`.")
    unit: str = Field(description="One of what, for example `GB-month`.")
    amount: Money = Field(description="Price of one unit.")


class PriceList(Model):
    """Public list prices of one region at one date."""

    driver: str = Field(description="Prices of this driver's stack.")
    region: str = Field(description="Prices in this region.")
    currency: str = Field(default="USD", description="ISO 4217 code.")
    as_of: date = Field(description="The day on which the page said so.")
    source: str = Field(description="URL of the public price page.")
    hourly: tuple[PriceComponent, ...] = Field(
        default=(), description="What can be known before: added up by `isthmus plan`."
    )
    usage: tuple[UsagePrice, ...] = Field(default=(), description="What depends on use.")


class CredentialTemplate(Model):
    """One way to make a credential for one binding on one driver."""

    strategy: str = Field(
        pattern=IDENTIFIER, description="For example `sql-user`, `iam-role`, `iam-user`, `static`."
    )
    spec: Json = Field(
        default={}, description="What the strategy needs: grants, a policy, an endpoint."
    )
    keys: dict[str, str] = Field(
        default={},
        description="Keys of the Secret that only this strategy gives, on top of `binding.keys`.",
    )


class Handover(Model):
    """How servers are given a cluster's key, past the stack that would remember it."""

    to: tuple[str, ...] = Field(
        min_length=1,
        description="Logical ids of the resources that get it. One that the stack does not have, "
        "or not yet, is passed over.",
    )
    give: Json = Field(
        description="The native calls that give it, as an action's: `${handover.resource}` is the "
        "cloud's id of the resource, `${handover.key}` the key. Repeated while the cluster starts."
    )
    withdraw: Json = Field(description="The native calls that take it away again.")


class StackTemplate(Model):
    """How one driver realises the offering."""

    template: Json = Field(description="The engine's own document.")
    parameters: dict[str, str] = Field(
        default={},
        description="Parameters of the native template. The only place for a secret parameter: "
        "it stays a reference until the engine is called.",
    )
    stateful: tuple[str, ...] = Field(
        default=(),
        description="Logical ids that hold data, besides those that the driver knows by type: "
        "replacing one needs approval.",
    )
    credentials: tuple[CredentialTemplate, ...] = Field(
        default=(), description="Ways to a credential; a binding that names none gets the first."
    )
    actions: dict[str, Json] = Field(
        default={}, description="The native calls of each of the offering's actions."
    )
    handover: Handover | None = Field(
        default=None, description="Of a blueprint: how its servers get the cluster's key."
    )
    pre_delete: tuple[Json, ...] = Field(
        default=(), description="Steps before the deletion, in order: `{step: empty-bucket, ...}`."
    )


class Action(Model):
    """One day-2 action."""

    name: str = Field(pattern=IDENTIFIER, description="What `spec.action` of an Operation says.")
    title: str = Field(min_length=1, description="For people, a few words.")
    description: str = Field(
        default="", description="For people: what it does, and in which states."
    )
    parameters: Json = Field(default={"type": "object"}, description="JSON Schema of its input.")


class Binding(Model):
    """What a consumer gets."""

    type: str = Field(description="Key `type` of the Secret, as servicebinding.io wants it.")
    keys: dict[str, str] = Field(default={}, description="Keys of the Secret and their templates.")
    parameters: Json = Field(default={"type": "object"}, description="JSON Schema of a binding.")


class OfferingSpec(Model):
    """A catalog entry."""

    title: str = Field(min_length=1, description="For people, a few words.")
    description: str = Field(min_length=1, description="For people: what it is, what it is for.")
    category: str = Field(pattern=IDENTIFIER, description="For example `database`, `network`.")
    documentation: str = Field(default="", description="URL of the cloud's own documentation.")
    reviewed: bool = Field(
        default=True, description="False: written by a generator and read by nobody yet."
    )
    namespace_selector: LabelSelector | None = Field(
        default=None, description="Which namespaces may use it; absent: all of them."
    )
    parameters: Json = Field(
        description="JSON Schema of the parameters. Each property has `title`, `description` and "
        "`x-updatable: true|false`; a secret one has `writeOnly: true` and is given as "
        "`{secretKeyRef: {name, key}}`."
    )
    plans: tuple[Plan, ...] = Field(min_length=1, description="The sizes to choose from.")
    stacks: dict[str, StackTemplate] = Field(
        min_length=1, description="One template a driver, by the driver's name."
    )
    binding: Binding | None = Field(default=None, description="Absent: it cannot be bound.")
    actions: tuple[Action, ...] = Field(default=(), description="Day-2 actions.")
    prices: tuple[PriceList, ...] = Field(default=(), description="Public list prices.")


class OfferingStatus(Status):
    """What became of it."""

    revision: str = Field(default="", description="Name of the OfferingRevision of this spec.")


class Offering(Resource[OfferingSpec, OfferingStatus]):
    """A catalog entry."""

    names: ClassVar[Names] = Names(
        kind="Offering", plural="offerings", short=("off",), namespaced=False
    )
    columns: ClassVar[tuple[Column, ...]] = (
        Column(name="Title", json_path=".spec.title"),
        Column(name="Category", json_path=".spec.category"),
        *READY_COLUMNS,
        Column(name="Revision", json_path=".status.revision", priority=1),
        Column(name="Reviewed", json_path=".spec.reviewed", type="boolean", priority=1),
        AGE,
    )

    status: OfferingStatus = Field(default_factory=OfferingStatus)


class OfferingRevisionSpec(Model):
    """One frozen state of an Offering."""

    offering: str = Field(description="Name of the Offering.")
    definition: OfferingSpec = Field(description="Its spec as it was.")


class OfferingRevision(Resource[OfferingRevisionSpec, Status]):
    """What an instance was rendered with: an edited Offering never changes it by itself."""

    names: ClassVar[Names] = Names(
        kind="OfferingRevision", plural="offeringrevisions", short=("offrev",), namespaced=False
    )
    columns: ClassVar[tuple[Column, ...]] = (
        Column(name="Offering", json_path=".spec.offering"),
        AGE,
    )

    status: Status = Field(default_factory=Status)
