"""What a reconcile says: how far it came, what it saw, and when to look again.

Waiting is a return value, not an error, and no worker is held while a cloud works.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Generic, Literal, TypeVar

from isthmus.api.meta import Condition, Status

StatusT = TypeVar("StatusT", bound=Status)


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """The world matches the spec (or, of a release: nothing is left)."""

    after: timedelta | None = None
    """When to look again; None: at the next change that we see, or at the resync."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """Something that we started, or depend on, is not finished."""

    why: str
    after: timedelta | None = None
    reason: str = "Waiting"

    @property
    def troubled(self) -> bool:
        """Whether it is more than the passing of time that we wait for."""
        return self.reason not in ("Waiting", "DependencyNotReady")


Outcome = Done | Waiting


def done(*, after: timedelta | None = None) -> Done:
    """Report that the world matches the spec."""
    return Done(after=after)


def waiting(why: str, *, after: timedelta | None = None, reason: str = "Waiting") -> Waiting:
    """Report that something has not finished. This is not an error.

    Args:
        why: For the tenant; the message of the condition.
        after: When to look again; None where a change that we watch will wake us.
        reason: The reason of the condition.
    """
    return Waiting(why=why, after=after, reason=reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class Happening:
    """Something to be told as a Kubernetes Event on the object."""

    reason: str
    message: str
    type: Literal["Normal", "Warning"] = "Normal"
    key: str = ""
    """Names the happening itself, so that it is told once; empty: equal ones are counted."""


@dataclass(slots=True)
class Progress(Generic[StatusT]):
    """What one reconcile has found so far; it is kept even where the reconcile then fails.

    A reconciler sets ``status``, and says ``reached`` for each of its kind's steps in order. Steps
    become conditions, and Ready is derived from them.
    """

    status: StatusT
    now: datetime
    steps: list[str] = field(default_factory=list[str])
    notes: dict[str, Condition] = field(default_factory=dict[str, Condition])
    happenings: list[Happening] = field(default_factory=list[Happening])

    def reached(self, step: str) -> None:
        """Say that a step's condition is true."""
        self.steps.append(step)

    def note(self, kind: str, *, holds: bool, reason: str, message: str = "") -> None:
        """Set a condition that Ready does not depend on."""
        status: Literal["True", "False"] = "True" if holds else "False"
        self.notes[kind] = Condition(type=kind, status=status, reason=reason, message=message)

    def tell(self, happening: Happening) -> None:
        """Have it told as an Event."""
        self.happenings.append(happening)
