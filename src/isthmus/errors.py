"""Every error this project raises on purpose, and what it means to whoever reads it.

* IsthmusError
  + Retryable              the world may change; the same spec may work later
    - Throttled            the other side asked us to slow down
    - Unavailable          the other side did not answer, or answered 5xx
    - CapacityExhausted    the cloud has none left of what was asked
    - NotYet               something that we depend on is not there or not ready
    - Conflict             somebody else wrote the object first; never shown to anyone
  + Terminal               somebody must change something first
    - InvalidSpec          the request contradicts the catalog, the cloud's schema or itself
    - Forbidden            our credentials may not do this, or a policy does not allow it
    - NotFound             what the request names does not exist
    - AlreadyExists        the name is taken by something that is not ours
    - ApprovalRequired     the change would replace something that holds data
    - StateForbids         the action does not fit the state that its target is in
    - DeletionBlocked      the cloud refuses to delete; the message names the blocker
    - StackFailed          the native engine gave up on the stack
  + InternalError          our own mistake, in neutral words

An SDK's exception never leaves its driver: the driver maps it to one of these and
chains the original (``raise Throttled(...) from exc``). Waiting is not an error;
see ``isthmus.runtime.outcome.waiting``.
"""

from datetime import timedelta
from typing import ClassVar


class IsthmusError(Exception):
    """Base of all deliberate errors.

    Args:
        message: One or two sentences for the tenant. It ends up in a condition, so it names
            the field and the remedy and holds no secret.
        detail: Whatever helps an operator. Logged, never shown to the tenant.
    """

    reason: ClassVar[str] = "InternalError"

    def __init__(self, message: str, *, detail: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.detail = detail


class InternalError(IsthmusError):
    """Our own mistake. The traceback is in the log; the tenant learns only that it is ours."""


class Retryable(IsthmusError):
    """The same spec may work later.

    Args:
        message: See ``IsthmusError``.
        detail: See ``IsthmusError``.
        after: When the other side said to come back; None leaves it to our backoff.
    """

    def __init__(self, message: str, *, detail: str = "", after: timedelta | None = None) -> None:
        super().__init__(message, detail=detail)
        self.after = after


class Throttled(Retryable):
    """The other side asked us to slow down."""

    reason = "Throttled"


class Unavailable(Retryable):
    """The other side did not answer, or answered 5xx."""

    reason = "Unavailable"


class CapacityExhausted(Retryable):
    """The cloud has none left of what was asked for."""

    reason = "CapacityExhausted"


class NotYet(Retryable):
    """Something that the object refers to is missing or not ready; it may come later."""

    reason = "DependencyNotReady"


class Conflict(Retryable):
    """Somebody else wrote the object first: read it again."""

    reason = "Conflict"


class Terminal(IsthmusError):
    """Somebody must change something first; we look again at the resync, without backoff."""


class InvalidSpec(Terminal):
    """The request contradicts the catalog, the cloud's schema or itself."""

    reason = "InvalidSpec"


class Forbidden(Terminal):
    """Our credentials may not do this, or a policy does not allow it."""

    reason = "Forbidden"


class NotFound(Terminal):
    """What the request names does not exist."""

    reason = "NotFound"


class AlreadyExists(Terminal):
    """The name is taken by something that is not ours; adopt it or choose another name."""

    reason = "AlreadyExists"


class ApprovalRequired(Terminal):
    """The change would replace something that holds data, and nobody has approved that."""

    reason = "ApprovalRequired"


class StateForbids(Terminal):
    """The action does not fit the state that its target is in."""

    reason = "StateForbids"


class DeletionBlocked(Terminal):
    """The cloud refuses to delete; the message names what is in the way."""

    reason = "DeletionBlocked"


class StackFailed(Terminal):
    """The native engine gave up on the stack; the message holds the native cause."""

    reason = "StackFailed"
