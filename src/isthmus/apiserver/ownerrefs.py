"""What is wrong with an object's references to its owners, and which of them say the same.

Source: https://kubernetes.io/docs/concepts/overview/working-with-objects/owners-dependents/
"""

from collections.abc import Iterator

import orjson

from isthmus.apiserver.errors import Cause
from isthmus.apiserver.jsonvalues import Json, as_list, as_map

_FIELD = "metadata.ownerReferences"
_MOST_TOLD = 10
"""Of one mistake that shows all references each time."""
_PARTS = ("apiVersion", "kind", "name", "uid", "controller", "blockOwnerDeletion")


def check_owners(owners: list[Json]) -> list[Cause]:
    """What is wrong with references to owners."""
    causes = [cause for owner in owners for cause in _check_owner(owner)]
    controllers = [owner for owner in owners if owner.get("controller")]
    for other in controllers[1:_MOST_TOLD]:
        first = f"{controllers[0].get('kind')}/{controllers[0].get('name')}"
        why = (
            'Only one reference can have Controller set to true. Found "true" in references for'
            f" {first} and {other.get('kind')}/{other.get('name')}"
        )
        causes.append(Cause(_FIELD, f"{_shown(owners)}: {why}"))
    return causes


def _check_owner(owner: Json) -> Iterator[Cause]:
    named: str = owner.get("apiVersion") or ""
    _, slash, version = named.partition("/")
    if not (version if slash else named) or "/" in version:
        yield Cause(f"{_FIELD}.apiVersion", f'"{named}": version must not be empty')
    for part in _PARTS[1:4]:
        if not owner.get(part):
            yield Cause(f"{_FIELD}.{part}", '"": must not be empty')
    if (named, owner.get("kind")) == ("v1", "Event"):
        why = "/v1, Kind=Event is disallowed from being an owner"
        yield Cause(_FIELD, f"{_shown(owner)}: {why}")


def _shown(found: Json | list[Json]) -> str:
    if isinstance(found, list):
        return "[" + ",".join(_shown(owner) for owner in found) + "]"
    told = {name: found[name] for name in _PARTS if found.get(name) is not None}
    return orjson.dumps(told).decode()


def without_repeats(metadata: Json) -> list[str]:
    """Drop references that say what another one says, in place; a warning if there were some."""
    kept, repeated = dict[bytes, Json](), dict[str, None]()
    for owner in as_list(metadata.get("ownerReferences")):
        said = orjson.dumps(owner, option=orjson.OPT_SORT_KEYS)
        if said not in kept:
            kept[said] = owner
        else:
            repeated[str(as_map(owner).get("uid"))] = None
    if not repeated:
        return []
    metadata["ownerReferences"] = list(kept.values())
    return [
        f".{_FIELD} contains duplicate entries; API server dedups owner references in 1.20+, and"
        " may reject such requests as early as 1.24; please fix your requests; duplicate UID(s)"
        f" observed: {', '.join(repeated)}"
    ]
