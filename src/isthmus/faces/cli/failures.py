"""How a command ends: one line for the person, one exit code for the script."""

import sys
from enum import IntEnum

from isthmus import errors


class Exit(IntEnum):
    """Exit codes; each one asks for another reaction."""

    OK = 0
    UNEXPECTED = 1
    """Our mistake."""
    USAGE = 2
    """The command line itself is wrong (click's own code)."""
    INVALID = 3
    """A file or an object is wrong: correct it."""
    NOT_FOUND = 4
    FORBIDDEN = 5
    CONFLICT = 6
    """Somebody else changed or owns it: look, then decide."""
    UNAVAILABLE = 7
    """No server, or it does not answer: try later."""
    TIMEOUT = 8
    """It may still become ready: wait longer."""
    FAILED = 9
    """The cloud, or the check that was asked for, says no."""


_CODES: tuple[tuple[type[errors.IsthmusError], Exit], ...] = (
    (errors.InvalidSpec, Exit.INVALID),
    (errors.NotFound, Exit.NOT_FOUND),
    (errors.Forbidden, Exit.FORBIDDEN),
    (errors.Conflict, Exit.CONFLICT),
    (errors.AlreadyExists, Exit.CONFLICT),
    (errors.Retryable, Exit.UNAVAILABLE),
    (errors.Terminal, Exit.FAILED),
)


class CommandFailed(Exception):
    """A command that cannot go on.

    Args:
        message: What is wrong, where, and what would help.
        code: The exit code.
    """

    def __init__(self, message: str, code: Exit = Exit.FAILED) -> None:
        super().__init__(message)
        self.message = message
        self.code = code


def explain(failure: BaseException) -> tuple[str, Exit]:
    """Return the line to print and the exit code for a failure that we know."""
    if isinstance(failure, CommandFailed):
        return failure.message, failure.code
    if isinstance(failure, errors.IsthmusError):
        code = next((code for kind, code in _CODES if isinstance(failure, kind)), Exit.UNEXPECTED)
        return failure.message, code
    raise failure


def report(failure: CommandFailed | errors.IsthmusError) -> Exit:
    """Print a failure to standard error and return its exit code."""
    message, code = explain(failure)
    sys.stderr.write(f"error: {message}\n")
    return code
