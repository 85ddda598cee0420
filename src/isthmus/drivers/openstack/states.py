"""Every state of a Heat stack by name, and what it means to us.

Heat joins an action and a status. Source: the constants of Stack and ResourceStatus in
https://opendev.org/openstack/heat/src/branch/master/heat/engine/stack.py
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from isthmus.api.v1alpha1 import Phase


class Step(StrEnum):
    """How ``apply`` goes on from a state."""

    CREATE = "create"
    """There is nothing: create."""
    UPDATE = "update"
    """Healthy or failed, Heat takes an update: it keeps what is whole and makes the rest anew."""
    WAIT = "wait"
    """Heat works; a change now would meet its lock."""
    REFUSE = "refuse"
    """Somebody must look first."""


@dataclass(frozen=True, slots=True)
class State:
    """What one stack_status means."""

    phase: Phase
    step: Step
    says: str = ""
    """To the tenant, before the cause."""


_WORKING, _READY, _FAILED = Phase.WORKING, Phase.READY, Phase.FAILED


def _busy(says: str) -> State:
    return State(_WORKING, Step.WAIT, says)


ROLLED_BACK: Final = frozenset({"ADOPT_FAILED", "CREATE_FAILED", "RESTORE_FAILED", "UPDATE_FAILED"})
"""What Heat undoes where it shall; for a moment it only says that it failed."""
CHECKING: Final = "CHECK_IN_PROGRESS"
STATES: Final[dict[str, State]] = {
    "CREATE_IN_PROGRESS": _busy("Heat is creating"),
    "CREATE_COMPLETE": State(_READY, Step.UPDATE),
    "CREATE_FAILED": State(_FAILED, Step.UPDATE, "the creation failed; what is whole stays"),
    "UPDATE_IN_PROGRESS": _busy("Heat is updating"),
    "UPDATE_COMPLETE": State(_READY, Step.UPDATE),
    "UPDATE_FAILED": State(_FAILED, Step.UPDATE, "the update failed; what is whole stays"),
    "ROLLBACK_IN_PROGRESS": _busy("it failed; Heat is rolling it back"),
    "ROLLBACK_COMPLETE": State(_FAILED, Step.UPDATE, "it failed and was rolled back"),
    "ROLLBACK_FAILED": State(_FAILED, Step.UPDATE, "it failed, and so did its rollback"),
    "DELETE_IN_PROGRESS": _busy("Heat is deleting"),
    "DELETE_COMPLETE": State(Phase.ABSENT, Step.CREATE),
    "DELETE_FAILED": State(_FAILED, Step.REFUSE, "the deletion failed"),
    "ADOPT_IN_PROGRESS": _busy("Heat is adopting"),
    "ADOPT_COMPLETE": State(_READY, Step.UPDATE),
    "ADOPT_FAILED": State(_FAILED, Step.UPDATE, "the adoption failed"),
    # A check changes nothing: what was whole before it still is, as far as anybody knows.
    CHECKING: State(_READY, Step.WAIT, "Heat is checking"),
    "CHECK_COMPLETE": State(_READY, Step.UPDATE),
    # What a check finds amiss is drift: an update makes those resources anew.
    "CHECK_FAILED": State(_READY, Step.UPDATE),
    "SUSPEND_IN_PROGRESS": _busy("Heat is suspending"),
    "SUSPEND_COMPLETE": State(_FAILED, Step.REFUSE, "the stack is suspended; resume it in Heat"),
    "SUSPEND_FAILED": State(_FAILED, Step.REFUSE, "suspending failed; resume the stack in Heat"),
    "RESUME_IN_PROGRESS": _busy("Heat is resuming"),
    "RESUME_COMPLETE": State(_READY, Step.UPDATE),
    "RESUME_FAILED": State(_FAILED, Step.UPDATE, "resuming failed"),
    "SNAPSHOT_IN_PROGRESS": _busy("Heat is making a snapshot"),
    "SNAPSHOT_COMPLETE": State(_READY, Step.UPDATE),
    "SNAPSHOT_FAILED": State(_READY, Step.UPDATE),
    "RESTORE_IN_PROGRESS": _busy("Heat is restoring a snapshot"),
    "RESTORE_COMPLETE": State(_READY, Step.UPDATE),
    "RESTORE_FAILED": State(_FAILED, Step.UPDATE, "restoring a snapshot failed"),
}


def of(status: str) -> State:
    """Return the meaning of a status; one that Heat adds later counts by its ending."""
    known = STATES.get(status)
    if known is not None:
        return known
    if status.endswith("_IN_PROGRESS"):
        return _busy("Heat is working")
    if status.endswith("_FAILED"):
        return State(_FAILED, Step.UPDATE, f"Heat says {status}")
    return State(_READY, Step.UPDATE)
