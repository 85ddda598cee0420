"""Conditions: derived from how far a reconcile came, and stable while nothing changes."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TypeVar

from isthmus.api.meta import Condition, Status
from isthmus.errors import IsthmusError
from isthmus.runtime.outcome import Outcome, Waiting

READY = "Ready"
PAUSED = "Paused"

StatusT = TypeVar("StatusT", bound=Status)


def of_steps(
    steps: Sequence[str], reached: Iterable[str], stopped: IsthmusError | Outcome
) -> list[Condition]:
    """Return one condition a step, and Ready: the first step that is not reached says why.

    Args:
        steps: The kind's steps, in order.
        reached: Those that were reached.
        stopped: What ended the reconcile.
    """
    why = said(stopped)
    found = set(reached) if why is not None else set(steps)
    conditions: list[Condition] = []
    for step in steps:
        if step in found:
            conditions.append(Condition(type=step, status="True", reason=step))
        else:
            reason, message = why if why is not None else (step, "")
            conditions.append(Condition(type=step, status="False", reason=reason, message=message))
            break
    conditions.extend(
        Condition(type=step, status="Unknown", reason="NotReached")
        for step in steps[len(conditions) :]
    )
    return [*conditions, _ready(why)]


def merged(status: StatusT, new: Iterable[Condition], *, generation: int, now: datetime) -> StatusT:
    """Return the status with these conditions in place of those of the same type.

    A transition time moves only when its condition's status does, so that an unchanged world
    yields an equal status and nothing has to be written.
    """
    old = {condition.type: condition for condition in status.conditions}
    for condition in new:
        before = old.get(condition.type)
        if before is not None and _says_same(before, condition, generation):
            continue
        same = before is not None and before.status == condition.status
        since = before.last_transition_time if same and before is not None else now
        old[condition.type] = condition.model_copy(
            update={"observed_generation": generation, "last_transition_time": since}
        )
    update = {"conditions": tuple(old.values()), "observed_generation": generation}
    return status.model_copy(update=update)


def _says_same(before: Condition, new: Condition, generation: int) -> bool:
    return (before.status, before.reason, before.message, before.observed_generation) == (
        new.status,
        new.reason,
        new.message,
        generation,
    )


def said(stopped: IsthmusError | Outcome) -> tuple[str, str] | None:
    """Return reason and message of what keeps an object from being ready, or None."""
    if isinstance(stopped, IsthmusError):
        return stopped.reason, stopped.message
    if isinstance(stopped, Waiting):
        return stopped.reason, stopped.why
    return None


def _ready(why: tuple[str, str] | None) -> Condition:
    if why is None:
        return Condition(type=READY, status="True", reason=READY)
    return Condition(type=READY, status="False", reason=why[0], message=why[1])
