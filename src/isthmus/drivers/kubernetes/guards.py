"""What the engine must not do: touch what is not ours, lose data unasked, repeat a secret."""

import base64
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, cast

from isthmus.api.meta import Json
from isthmus.core.stacks import (
    TAG_INSTALLATION,
    TAG_NAME,
    TAG_NAMESPACE,
    TAG_UID,
    Change,
    NativeStack,
)
from isthmus.drivers.kubernetes.fields import part
from isthmus.drivers.kubernetes.inventory import Inventory
from isthmus.errors import AlreadyExists, ApprovalRequired, Forbidden, IsthmusError


def uid_of(stack: NativeStack) -> str:
    """Return the uid that the stack's objects are to bear."""
    return stack.tags.get(TAG_UID, "")


def owner_of(live: Json) -> str:
    """Return the uid that an object bears; empty: it is nobody's of ours."""
    return str(_part(live, "labels").get(TAG_UID) or "")


def is_ours(live: Json, uid: str) -> bool:
    """Tell whether an object bears the tag of this very owner."""
    return bool(uid) and owner_of(live) == uid


def may_take(live: Json, stack: NativeStack) -> bool:
    """Tell whether an object may become ours: it is, or the stack adopts and it is free."""
    owner = owner_of(live)
    if owner and owner == uid_of(stack):
        return True
    same = _part(live, "annotations").get(TAG_INSTALLATION, "") == stack.tags.get(TAG_INSTALLATION)
    left_behind = bool(owner) and same and owner == stack.former_owner
    return stack.adopted and (not owner or left_behind)


def claim(inventory: Inventory | None, stack: NativeStack) -> None:
    """Refuse a stack of somebody else.

    Raises:
        AlreadyExists: Its name belongs to another object.
    """
    if inventory is None or (inventory.owner_uid and inventory.owner_uid == uid_of(stack)):
        return
    same = inventory.tags.get(TAG_INSTALLATION, "") == stack.tags.get(TAG_INSTALLATION, "")
    if stack.adopted and same and inventory.owner_uid == stack.former_owner:
        return
    tags = inventory.tags
    raise AlreadyExists(
        f"Stack {inventory.name} belongs to another object of Isthmus "
        f"({tags.get(TAG_NAMESPACE, '')}/{tags.get(TAG_NAME, '')})."
    )


def require_ours(inventory: Inventory, stack: NativeStack) -> None:
    """Refuse to touch what does not bear the tag of this very object. Raises Forbidden."""
    if not inventory.owner_uid or inventory.owner_uid != uid_of(stack):
        raise Forbidden(f"Stack {inventory.name} does not bear our tag; we do not delete it.")


def require_approval(losing: tuple[Change, ...], stack: NativeStack) -> None:
    """Refuse to lose data unasked. Raises ApprovalRequired."""
    if not losing or stack.replacement_approved:
        return
    named = ", ".join(f"{c.verb} {c.logical_id} ({c.type})" for c in losing)
    raise ApprovalRequired(f"The change would {named} and lose data.")


@contextmanager
def unsaid(stack: NativeStack) -> Generator[None]:
    """Keep secret parameters out of errors, whatever the cluster repeats of a request."""
    try:
        yield
    except IsthmusError as err:
        err.message, err.detail = hidden(err.message, stack), hidden(err.detail, stack)
        err.args = (err.message,)
        raise


def hidden(text: str, stack: NativeStack) -> str:
    """Return a text without the values of secret parameters, plain or as a Secret writes them."""
    for name in stack.secret_parameters:
        if value := stack.parameters.get(name, ""):
            encoded = base64.b64encode(value.encode()).decode()
            text = text.replace(value, "***").replace(encoded, "***")
    return text


def _part(live: Json, name: str) -> dict[str, Any]:
    return cast("dict[str, Any]", part(live, "metadata").get(name) or {})
