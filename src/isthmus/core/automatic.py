"""Parameters whose best value depends on what a cloud has; ``auto`` leaves the choice to Isthmus.

An offering says at such a parameter how it is chosen::

    apiBalancer:
      enum: [auto, keepalived, octavia]
      default: auto
      x-auto:
        service: load-balancer      # of those that the Provider's status names
        there: octavia              # what auto is where the cloud has it
        absent: keepalived          # what auto is elsewhere
        when: {controlPlaneReplicas: 3}  # only with these values is there anything to choose

It is chosen once, when the Stack is made, and the Stack records the choice: whatever comes to the
cloud later, or goes, changes nobody who runs.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic import Field, ValidationError

from isthmus.api.meta import Json, Model
from isthmus.api.v1alpha1 import OfferingSpec, Provider
from isthmus.core import schemas
from isthmus.core.render import as_text
from isthmus.errors import InvalidSpec, NotYet

AUTO: Final = "auto"
KEYWORD: Final = "x-auto"


class Choice(Model):
    """How a parameter is chosen."""

    service: str = Field(min_length=1)
    there: Any
    absent: Any
    when: Json = Field(default={})

    def matters(self, values: Mapping[str, Any]) -> bool:
        """Tell whether there is anything to choose with these values."""
        return all(values.get(name) == value for name, value in self.when.items())


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a claim's stack is, or will be."""

    provider: Provider
    former: Mapping[str, Any] | None = None
    """The values that its Stack was rendered with; None: it has none yet."""
    adopting: bool = False
    """The native stack was there before us."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """The values, with every choice made, and what a plan says of the choices."""

    values: Json
    notes: tuple[str, ...] = ()


def choices(parameters: Json) -> dict[str, Choice]:
    """Return how each parameter is chosen that is.

    Raises:
        InvalidSpec: Names the part of an offering that does not say it rightly.
    """
    found: dict[str, Choice] = {}
    for name, schema in schemas.properties(parameters).items():
        if isinstance(schema, dict) and KEYWORD in schema:  # pyright: ignore[reportUnnecessaryIsInstance]
            try:
                found[name] = Choice.model_validate(schema[KEYWORD])
            except ValidationError as exc:
                where, message = mistake(exc)
                field = f"spec.parameters.properties.{name}.{KEYWORD}{where}"
                raise InvalidSpec(f"{field}: {message}") from exc
    return found


def mistake(error: ValidationError) -> tuple[str, str]:
    """Return where in a choice the first mistake is, beginning with a dot, and what it is."""
    first = error.errors(include_url=False, include_input=False)[0]
    return "".join(f".{part}" for part in first["loc"]), first["msg"]


def decide(definition: OfferingSpec, values: Json, place: Place) -> Decided:
    """Make the choices that are left to us, and check those that are not.

    Raises:
        InvalidSpec: A value needs a service that the cloud lacks, or only the tenant can know it.
        NotYet: Nobody knows yet what the cloud has.
    """
    decided, notes = dict(values), list[str]()
    for name, choice in choices(definition.parameters).items():
        if name in values:
            decided[name], note = _decided(name, choice, values, place)
            notes += [note] if note else []
    return Decided(values=decided, notes=tuple(notes))


def _decided(name: str, choice: Choice, values: Json, place: Place) -> tuple[Any, str]:
    asked = values[name]
    made = place.former.get(name) if place.former is not None else None
    if asked == AUTO and made is not None:
        return made, _kept(name, choice, values, place)
    if asked == AUTO and not choice.matters(values):
        return choice.absent, ""
    if asked == AUTO:
        value = _chosen(name, choice, place)
        return value, f"spec.parameters.{name}: auto is {as_text(value)}: {_why(choice, place)}"
    new = place.former is None and not place.adopting
    if new and asked == choice.there and choice.matters(values):
        _require(name, choice, place)
    return asked, ""


def _chosen(name: str, choice: Choice, place: Place) -> Any:
    field = f"spec.parameters.{name}"
    if place.adopting:
        raise InvalidSpec(
            f"{field}: what is adopted has been made one way or the other; write which: "
            f"{as_text(choice.there)} or {as_text(choice.absent)}."
        )
    return choice.there if _has(name, choice, place) else choice.absent


def _require(name: str, choice: Choice, place: Place) -> None:
    if not _has(name, choice, place):
        raise InvalidSpec(
            f"spec.parameters.{name}: {as_text(choice.there)} is not possible, since "
            f"{_why(choice, place)}; write {as_text(choice.absent)}, or leave it to {AUTO}."
        )


def _has(name: str, choice: Choice, place: Place) -> bool:
    provider = place.provider
    services = provider.status.services if provider.ready else None
    if services is None:
        raise NotYet(
            f"spec.provider: Provider {provider.metadata.name!r} has not said yet which services "
            f"its cloud has, on which spec.parameters.{name} depends; see why it is not Ready."
        )
    return choice.service in services


def _why(choice: Choice, place: Place) -> str:
    has = "has the" if choice.service in (place.provider.status.services or ()) else "has no"
    name = place.provider.metadata.name
    return f"the cloud of Provider {name!r} {has} service {choice.service!r}"


def _kept(name: str, choice: Choice, values: Json, place: Place) -> str:
    """Say that something made today would be another; empty: it would not, or nobody knows."""
    services = place.provider.status.services
    if services is None or not choice.matters(values):
        return ""
    made = (place.former or {}).get(name)
    today = choice.there if choice.service in services else choice.absent
    if made == today:
        return ""
    return (
        f"spec.parameters.{name}: auto stays {as_text(made)}, as it was made, though "
        f"{_why(choice, place)}"
    )
