"""The shapes that every kind shares.

Sources: the Kubernetes API conventions for metadata, conditions and references,
https://github.com/kubernetes/community/blob/master/contributors/devel/sig-architecture/api-conventions.md
Times are aware UTC.
"""

from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar, Generic, Literal, NewType, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

GROUP = "isthmus.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"

Json = dict[str, Any]
Uid = NewType("Uid", str)

FINALIZER = f"{GROUP}/release"
"""Ours on every managed object: the object stays until nothing of it is left in a cloud."""

PAUSED = f"{GROUP}/paused"
"""Annotation: ``"true"`` stops us from changing anything for this object, deletion included."""
APPROVE_REPLACEMENT = f"{GROUP}/approve-replacement"
"""Annotation: the digest (or its first 12 characters) of the change that may replace data."""
RETRY = f"{GROUP}/retry"
"""Annotation: any new value asks the engine once more for what it refused, unchanged."""
LET_GO = f"{GROUP}/let-go"
"""Annotation on a Stack, of its owner: nothing needs it any more, so it may go."""
ROTATE = f"{GROUP}/rotate"
"""Annotation on a ServiceBinding: any new value asks for a new credential."""
SIMULATED = f"{GROUP}/simulated"
"""Label on a Provider whose cloud is a lab."""


class Model(BaseModel):
    """Immutable, camelCase on the wire, and strict about unknown fields."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, frozen=True, extra="forbid"
    )


class Condition(Model):
    """One observation about an object, in the form that ``kubectl wait`` understands."""

    type: str = Field(description="What is observed, for example `Ready`.")
    status: Literal["True", "False", "Unknown"] = Field(description="Whether it holds.")
    reason: str = Field(pattern=r"^[A-Z][A-Za-z0-9]*$", description="Why, in one word.")
    message: str = Field(default="", description="Why, in a sentence that names the remedy.")
    observed_generation: int = Field(
        default=0, description="The generation of the spec that was observed."
    )
    last_transition_time: datetime | None = Field(
        default=None, description="When the status last changed."
    )


class OwnerReference(Model):
    """Who an object belongs to; it goes when its owner goes."""

    api_version: str
    kind: str
    name: str
    uid: str
    controller: bool = False
    block_owner_deletion: bool = False


class ObjectMeta(Model):
    """The part of Kubernetes metadata that we read; the rest passes through the store untouched."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, frozen=True, extra="ignore"
    )

    name: str
    namespace: str = Field(default="", description="Empty for cluster-scoped kinds.")
    uid: Uid = Uid("")
    generation: int = 0
    resource_version: str = ""
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)
    finalizers: tuple[str, ...] = ()
    owner_references: tuple[OwnerReference, ...] = ()
    creation_timestamp: datetime | None = None
    deletion_timestamp: datetime | None = None


class Status(Model):
    """What every status holds."""

    observed_generation: int = Field(
        default=0, description="The generation of the spec that this status speaks of."
    )
    conditions: tuple[Condition, ...] = Field(
        default=(), description="Observations; Ready is derived from the others."
    )


class LabelRequirement(Model):
    """One expression of a label selector."""

    key: str = Field(description="The label.")
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"] = Field(
        description="How the label's value is compared."
    )
    values: tuple[str, ...] = Field(default=(), description="For `In` and `NotIn`.")


class LabelSelector(Model):
    """A selector of objects by their labels; an empty one selects all."""

    match_labels: dict[str, str] = Field(default={}, description="All of these must be equal.")
    match_expressions: tuple[LabelRequirement, ...] = Field(
        default=(), description="All of these must hold."
    )


class SecretKeyRef(Model):
    """One key of a Secret in the same namespace."""

    name: str = Field(min_length=1, description="Name of the Secret.")
    key: str = Field(min_length=1, description="Key in the Secret's data.")


class SecretRef(Model):
    """A Secret, named from a cluster-scoped object."""

    namespace: str = Field(min_length=1, description="Namespace of the Secret.")
    name: str = Field(min_length=1, description="Name of the Secret.")


class Management(StrEnum):
    """How far our hand reaches."""

    MANAGE = "Manage"
    OBSERVE = "Observe"
    ADOPT = "Adopt"


class DeletionPolicy(StrEnum):
    """What deleting the object does to what it stands for."""

    DELETE = "Delete"
    RETAIN = "Retain"


class Adopt(Model):
    """Take over what is there already instead of creating it."""

    external_name: str = Field(
        min_length=1,
        description="The cloud's own name or id of the stack to take over.",
    )
    resources: dict[str, dict[str, str]] = Field(
        default={},
        description="Import single resources instead of a stack: the template's logical id to the "
        "resource's identifying properties, for example `Bucket: {BucketName: logs}`.",
    )


def fixed(remedy: str) -> dict[str, Any]:
    """Return the schema of a field that cannot change, with what to do instead.

    The API holds it: https://kubernetes.io/docs/reference/using-api/cel/
    """
    return {"x-kubernetes-validations": [{"rule": "self == oldSelf", "message": remedy}]}


class Managed(Model):
    """The fields of every spec that stands for something in a cloud."""

    management: Management = Field(
        default=Management.MANAGE,
        description="Manage: create, change and delete. Observe: look only, change nothing. "
        "Adopt: take over what `adopt` names, then manage it.",
    )
    adopt: Adopt | None = Field(default=None, description="What is there already.")
    ignore_fields: tuple[str, ...] = Field(
        default=(),
        description="Paths in the native template, for example "
        "`Resources.Cluster.Properties.ServerlessV2ScalingConfiguration`, that others may change: "
        "their drift is not reported, and a change of them alone is not applied.",
    )
    deletion_policy: DeletionPolicy = Field(
        default=DeletionPolicy.DELETE,
        description="Delete: deleting this object deletes what it stands for. Retain: it stays.",
    )


SpecT = TypeVar("SpecT", bound=Model)
StatusT = TypeVar("StatusT", bound=Status)


class Column(Model):
    """A column of ``kubectl get``."""

    name: str
    json_path: str
    type: Literal["string", "integer", "boolean", "date"] = "string"
    priority: int = Field(default=0, description="Above 0: only with `-o wide`.")


class Scale(Model):
    """Where ``kubectl scale`` finds the wanted and the present number."""

    spec: str
    status: str


class Names(Model):
    """How a kind is called on the wire and on the command line."""

    kind: str
    plural: str
    short: tuple[str, ...] = ()
    namespaced: bool = True

    @property
    def qualified(self) -> str:
        """The name that kubectl and error messages use: ``stacks.isthmus.dev``."""
        return f"{self.plural}.{GROUP}"


class Resource(Model, Generic[SpecT, StatusT]):
    """A kind: what is wanted (spec) and what was seen (status)."""

    names: ClassVar[Names]
    columns: ClassVar[tuple[Column, ...]] = ()
    scale: ClassVar[Scale | None] = None

    metadata: ObjectMeta
    spec: SpecT
    status: StatusT

    @classmethod
    def parse(cls, obj: Json) -> Self:
        """Read an object as the API serves it."""
        return cls.model_validate({k: v for k, v in obj.items() if k in _PARTS})

    def dump(self) -> Json:
        """Return the object as the API wants it; defaults are left out."""
        body = self.model_dump(mode="json", by_alias=True, exclude_defaults=True)
        head = {"apiVersion": API_VERSION, "kind": self.names.kind}
        return head | {"metadata": body["metadata"], "spec": body.get("spec", {})} | _status(body)

    def owner_reference(self) -> OwnerReference:
        """Return the reference that makes another object ours."""
        return OwnerReference(
            api_version=API_VERSION,
            kind=self.names.kind,
            name=self.metadata.name,
            uid=self.metadata.uid,
            controller=True,
            block_owner_deletion=True,
        )

    @property
    def deleting(self) -> bool:
        """Whether somebody has asked for the deletion."""
        return self.metadata.deletion_timestamp is not None

    @property
    def paused(self) -> bool:
        """Whether somebody has asked us to change nothing."""
        return self.metadata.annotations.get(PAUSED) == "true"

    def condition(self, kind: str) -> Condition | None:
        """Return the condition of that type, if it has been observed."""
        return next((c for c in self.status.conditions if c.type == kind), None)

    @property
    def ready(self) -> bool:
        """Whether Ready is true for the spec as it is now."""
        ready = self.condition("Ready")
        return (
            ready is not None
            and ready.status == "True"
            and ready.observed_generation == self.metadata.generation
        )


_PARTS = frozenset({"metadata", "spec", "status"})


def _status(body: Json) -> Json:
    return {"status": body["status"]} if body.get("status") else {}


READY_COLUMNS = (
    Column(name="Ready", json_path='.status.conditions[?(@.type=="Ready")].status'),
    Column(name="Reason", json_path='.status.conditions[?(@.type=="Ready")].reason'),
)
AGE = Column(name="Age", json_path=".metadata.creationTimestamp", type="date")
MESSAGE = Column(
    name="Message", json_path='.status.conditions[?(@.type=="Ready")].message', priority=1
)
