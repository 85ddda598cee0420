"""What no engine may do: touch what is not ours, lose data unasked, repeat a secret."""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Protocol

from isthmus.core.stacks import (
    TAG_INSTALLATION,
    TAG_NAME,
    TAG_NAMESPACE,
    TAG_UID,
    Change,
    NativeStack,
)
from isthmus.errors import AlreadyExists, ApprovalRequired, Forbidden, IsthmusError


class Held(Protocol):
    """A native stack as any driver reads it, as far as whose it is."""

    @property
    def name(self) -> str:
        """The cloud's name of it."""
        ...

    @property
    def owner_uid(self) -> str:
        """Value of our uid tag; empty: not ours."""
        ...

    @property
    def tags(self) -> Mapping[str, str]:
        """Our tags, by the names of ``core.stacks``."""
        ...


def claim(native: Held | None, stack: NativeStack) -> None:
    """Refuse a stack of somebody else; one to adopt may bear no tag yet."""
    if native is None or (native.owner_uid and native.owner_uid == uid_of(stack)):
        return
    if native.owner_uid and not _left_behind(native, stack):
        raise AlreadyExists(
            f"Stack {native.name} belongs to another object of Isthmus "
            f"({native.tags.get(TAG_NAMESPACE, '')}/{native.tags.get(TAG_NAME, '')})."
        )
    if not stack.adopted:
        raise AlreadyExists(
            f"Stack {native.name} exists and is not ours; adopt it (spec.management: Adopt) "
            "or choose another name."
        )


def _left_behind(native: Held, stack: NativeStack) -> bool:
    """Tell whether it belonged to an object of this installation that is gone."""
    installation = stack.tags.get(TAG_INSTALLATION, "")
    same = native.tags.get(TAG_INSTALLATION, "") == installation
    return stack.adopted and same and native.owner_uid == stack.former_owner


def require_ours(native: Held, stack: NativeStack) -> None:
    """Refuse to touch what does not bear the tag of this very object."""
    if not native.owner_uid or native.owner_uid != uid_of(stack):
        raise Forbidden(f"Stack {native.name} does not bear our tag; we do not delete it.")


@contextmanager
def unsaid(stack: NativeStack) -> Generator[None]:
    """Keep secret parameters out of errors, whatever AWS repeats of a request."""
    with unsaid_values(*(stack.parameters.get(name, "") for name in stack.secret_parameters)):
        yield


@contextmanager
def unsaid_values(*secrets: str) -> Generator[None]:
    """Keep these values out of errors, whatever a cloud repeats of a request."""
    try:
        yield
    except IsthmusError as err:
        for value in filter(None, secrets):
            err.message = err.message.replace(value, "***")
            err.detail = err.detail.replace(value, "***")
        err.args = (err.message,)
        raise


def needs_approval(losing: tuple[Change, ...]) -> ApprovalRequired:
    """Return the refusal of a change that would lose data."""
    named = ", ".join(
        f"{c.verb} {c.logical_id} ({c.type}"
        + (f", because of {', '.join(c.properties)})" if c.properties else ")")
        for c in losing
    )
    return ApprovalRequired(f"The change would {named} and lose data.")


def uid_of(stack: NativeStack) -> str:
    """Return the uid that the stack is to bear."""
    return stack.tags.get(TAG_UID, "")
