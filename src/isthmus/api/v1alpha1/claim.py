"""What every kind has in common that is realised from an offering: a claim on one plan of it."""

from enum import StrEnum
from typing import Any, ClassVar, Generic, TypeVar

from pydantic import Field

from isthmus.api.meta import Json, Managed, Resource, Status


class RevisionPolicy(StrEnum):
    """Who takes a new revision of the offering."""

    MANUAL = "Manual"
    AUTOMATIC = "Automatic"


class ClaimSpec(Managed):
    """What the tenant asks for."""

    own: ClassVar[tuple[str, ...]] = ()
    """Fields of a kind that are parameters of the offering, under the same name."""

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

    def asked(self) -> Json:
        """Return the offering's parameters that it asks for, those of its own fields included."""
        own = self.model_dump(
            mode="json", by_alias=True, exclude_defaults=True, include=set(self.own)
        )
        return self.parameters | own

    def own_parameters(self) -> frozenset[str]:
        """Return the names on the wire of its own fields."""
        fields = type(self).model_fields
        return frozenset(fields[name].alias or name for name in self.own)

    def where(self, parameter: str) -> str:
        """Return the field that sets a parameter of the offering."""
        own = parameter in self.own_parameters()
        return f"spec.{parameter}" if own else f"spec.parameters.{parameter}"


class ClaimStatus(Status):
    """What was last seen."""

    provider: str = Field(default="", description="The Provider that hosts it.")
    revision: str = Field(default="", description="The OfferingRevision that it was rendered with.")
    stack: str = Field(default="", description="Name of its Stack.")
    simulated: bool = Field(default=False, description="True: it runs in a lab.")
    outputs: dict[str, str] = Field(
        default={}, description="Outputs of the stack, for example `Host` and `Port`."
    )


ClaimSpecT = TypeVar("ClaimSpecT", bound=ClaimSpec)
ClaimStatusT = TypeVar("ClaimStatusT", bound=ClaimStatus)


class Claim(Resource[ClaimSpecT, ClaimStatusT], Generic[ClaimSpecT, ClaimStatusT]):
    """A kind that is realised from an offering, as one Stack."""

    label: ClassVar[str]
    """Label of its Stack that says which claim it belongs to."""
    stack_prefix: ClassVar[str] = ""
    """Keeps the Stacks of kinds apart whose objects may have the same name."""

    @classmethod
    def stack_of(cls, name: str) -> str:
        """Return the name of the Stack of the claim of that name."""
        return cls.stack_prefix + name

    @property
    def stack_name(self) -> str:
        """The name of its Stack."""
        return self.stack_of(self.metadata.name)


AnyClaim = Claim[Any, Any]
