"""The flavors of a control plane's servers: one changes after the other.

A server is down while it is resized. With two of three down etcd has no majority, and the API with
it is away. A blueprint that declares the array ``controlFlavors`` beside ``flavor`` is told by its
Cluster which of its servers, in order, is to have which.
"""

from collections.abc import Sequence
from datetime import timedelta

from isthmus.api.meta import Json

FLAVOR, FLAVORS, REPLICAS = "flavor", "controlFlavors", "controlPlaneReplicas"

REST = timedelta(minutes=2)
"""How long all goes well before the next one is resized: a node that is down is known to be so
after 50 seconds, and etcd needs a moment to catch up."""


def flavors_of(values: Json) -> tuple[str, ...]:
    """Return the flavor of each server, as the blueprint's parameters have them."""
    count, usual = int(values.get(REPLICAS) or 1), str(values.get(FLAVOR) or "")
    given = values.get(FLAVORS) or ()
    return tuple(str(one) for one in given) if len(given) == count else (usual,) * count


def one_more(flavors: Sequence[str], wanted: str) -> tuple[str, ...]:
    """Return the flavors with one more as it is wanted."""
    late = next((n for n, flavor in enumerate(flavors) if flavor != wanted), None)
    return tuple(wanted if n == late else flavor for n, flavor in enumerate(flavors))


def to_have(former: Json, wanted: Json, *, calm: bool) -> tuple[str, ...]:
    """Return the flavors that the servers are to have now.

    Args:
        former: The parameters' values that the servers were made or changed with; empty: none were.
        wanted: The values that are asked for.
        calm: All servers are well, and were for a while, so that one may be changed.
    """
    flavor = str(wanted.get(FLAVOR) or "")
    flavors = flavors_of(former or wanted | {FLAVORS: []})
    if len(flavors) == 1:
        return (flavor,)
    # One that is changing already is nobody's first: the cluster itself goes on with the next.
    return one_more(flavors, flavor) if calm and len({*flavors}) == 1 else flavors
