"""A write and its outcome, as the parts that decide about it pass them on."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import orjson

from isthmus.apiserver.authn import User
from isthmus.apiserver.errors import Cause
from isthmus.apiserver.jsonvalues import Json
from isthmus.apiserver.resources import Resource


class Options(NamedTuple):
    """How a write is to be done.

    Attributes:
        user: Who asks.
        manager: Field manager.
        dry_run: Do everything but store it.
        validation: What happens to unknown fields: `Ignore`, `Warn` or `Strict`.
        subresource: Empty, `status` or `scale`.
        patched: Whether the object is the outcome of a patch.
        duplicates: Fields that the body says more than once.
    """

    user: User
    manager: str = "unknown"
    dry_run: bool = False
    validation: str = "Warn"
    subresource: str = ""
    patched: bool = False
    duplicates: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Admission:
    """A write as the rules of a built-in kind see it; they may complete `obj`.

    Attributes:
        resource: The kind.
        obj: The object as it would be stored.
        old: The object as it is stored, or None for a creation.
        options: How it is written.
        warnings: What the caller should be told; rules append to it.
    """

    resource: Resource
    obj: Json
    old: Json | None
    options: Options
    warnings: list[str] = field(default_factory=list[str])


Rule = Callable[[Admission], list[Cause]]


@dataclass(slots=True)
class Result:
    """The outcome of a write.

    Attributes:
        body: The object after it, in its stored form.
        version: Its resourceVersion.
        warnings: What the caller should be told.
        created: Whether it did not exist before.
        deleted: Whether the write ended its existence.
    """

    body: bytes
    version: int
    warnings: list[str] = field(default_factory=list[str])
    created: bool = False
    deleted: bool = False


def encode(obj: Json) -> bytes:
    """Canonical bytes: apiVersion, kind and metadata lead, whatever the caller's order was."""
    leading = {name: obj[name] for name in ("apiVersion", "kind", "metadata")}
    # A copy: orjson writes into a large buffer and cuts it, which leaves a hole behind each object.
    return bytes(memoryview(orjson.dumps({**leading, **obj})))
