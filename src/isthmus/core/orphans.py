"""What bears our tag in a cloud and has no object any more."""

from collections.abc import Iterable, Set
from dataclasses import dataclass

from isthmus.core.stacks import Owned


@dataclass(frozen=True, slots=True, kw_only=True)
class Orphan:
    """One native thing without an owner, and the Provider that it was found through."""

    provider: str
    owned: Owned


def orphans(
    found: Iterable[tuple[str, Owned]], known_uids: Set[str], retained_uids: Set[str] = frozenset()
) -> tuple[Orphan, ...]:
    """Return what bears our tag though no object has its uid, each native thing once.

    Args:
        found: Pairs of a Provider's name and a tagged thing; several Providers may see the same.
        known_uids: Uids of all objects that may own something in a cloud.
        retained_uids: Uids of objects that were deleted with ``deletionPolicy: Retain``, where
            somebody remembers them; what they left is no orphan.
    """
    seen: set[tuple[str, str]] = set()
    left: list[Orphan] = []
    for provider, owned in found:
        key = (owned.type, owned.native_id or owned.name)
        if key in seen or owned.uid in known_uids or owned.uid in retained_uids:
            continue
        seen.add(key)
        left.append(Orphan(provider=provider, owned=owned))
    return tuple(sorted(left, key=lambda o: (o.provider, o.owned.type, o.owned.name)))
