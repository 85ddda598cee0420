"""Every state of a CloudFormation stack by name, and what it means to us.

Source: the field StackStatus of
https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_Stack.html
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
    WAIT = "wait"
    """CloudFormation works; it accepts nothing now."""
    RECREATE = "recreate"
    """The stack cannot be updated any more and holds nothing: delete it, then create."""
    CONTINUE = "continue"
    """Continue the rollback first."""
    CREATE_OVER = "create-over"
    """A change set nobody executed: the name is there, nothing else. Create by change set."""
    REFUSE = "refuse"
    """Somebody must look: deleting is the only way on."""


@dataclass(frozen=True, slots=True)
class State:
    """What one StackStatus means."""

    phase: Phase
    step: Step
    says: str = ""
    """To the tenant, before the cause."""


_WORKING, _READY, _FAILED = Phase.WORKING, Phase.READY, Phase.FAILED

STATES: Final[dict[str, State]] = {
    "CREATE_IN_PROGRESS": State(_WORKING, Step.WAIT, "CloudFormation is creating"),
    "CREATE_COMPLETE": State(_READY, Step.UPDATE),
    "CREATE_FAILED": State(_FAILED, Step.RECREATE, "the creation failed and was not rolled back"),
    "ROLLBACK_IN_PROGRESS": State(
        _WORKING, Step.WAIT, "the creation failed; CloudFormation is rolling it back"
    ),
    "ROLLBACK_COMPLETE": State(_FAILED, Step.RECREATE, "the creation failed and was rolled back"),
    "ROLLBACK_FAILED": State(
        _FAILED, Step.RECREATE, "the creation failed, and so did its rollback"
    ),
    "UPDATE_IN_PROGRESS": State(_WORKING, Step.WAIT, "CloudFormation is updating"),
    "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS": State(
        _WORKING, Step.WAIT, "updated; CloudFormation is deleting what was replaced"
    ),
    "UPDATE_COMPLETE": State(_READY, Step.UPDATE),
    "UPDATE_FAILED": State(_FAILED, Step.UPDATE, "the update failed and was not rolled back"),
    "UPDATE_ROLLBACK_IN_PROGRESS": State(
        _WORKING, Step.WAIT, "the update failed; CloudFormation is rolling it back"
    ),
    "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS": State(
        _WORKING, Step.WAIT, "the update was rolled back; CloudFormation is cleaning up"
    ),
    "UPDATE_ROLLBACK_COMPLETE": State(
        _FAILED, Step.UPDATE, "the update failed and was rolled back; the former state serves on"
    ),
    "UPDATE_ROLLBACK_FAILED": State(
        _FAILED, Step.CONTINUE, "the update failed, and so did its rollback"
    ),
    "DELETE_IN_PROGRESS": State(_WORKING, Step.WAIT, "CloudFormation is deleting"),
    "DELETE_COMPLETE": State(Phase.ABSENT, Step.CREATE),
    "DELETE_FAILED": State(_FAILED, Step.REFUSE, "the deletion failed"),
    "REVIEW_IN_PROGRESS": State(
        _FAILED, Step.CREATE_OVER, "there is only a change set that nobody executed"
    ),
    "IMPORT_IN_PROGRESS": State(_WORKING, Step.WAIT, "CloudFormation is importing"),
    "IMPORT_COMPLETE": State(_READY, Step.UPDATE),
    "IMPORT_ROLLBACK_IN_PROGRESS": State(
        _WORKING, Step.WAIT, "the import failed; CloudFormation is rolling it back"
    ),
    "IMPORT_ROLLBACK_COMPLETE": State(
        _FAILED, Step.UPDATE, "the import failed and was rolled back"
    ),
    "IMPORT_ROLLBACK_FAILED": State(
        _FAILED, Step.REFUSE, "the import failed, and so did its rollback"
    ),
}


def of(status: str) -> State:
    """Return the meaning of a status; one that AWS adds later counts by its ending."""
    known = STATES.get(status)
    if known is not None:
        return known
    if status.endswith("_IN_PROGRESS"):
        return State(_WORKING, Step.WAIT, "CloudFormation is working")
    if status.endswith("_FAILED"):
        return State(_FAILED, Step.REFUSE, f"CloudFormation says {status}")
    return State(_READY, Step.UPDATE)
