"""Which names of a definition are accepted: within a group each one belongs to one kind only.

Source: https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/
"""

from typing import NamedTuple

from isthmus.apiserver.jsonvalues import Json, as_list, as_map

_ACCEPTED, _ESTABLISHED = "NamesAccepted", "Established"


class Claims(NamedTuple):
    """Names that the definitions of a group have.

    Attributes:
        resources: Plurals, singulars and short names.
        kinds: Kinds, and those of lists.
    """

    resources: frozenset[str]
    kinds: frozenset[str]


def plain(names: Json) -> Json:
    """Names without those that say nothing."""
    return {name: value for name, value in names.items() if value}


def is_established(crd: Json) -> bool:
    """Whether a definition has had all its names once: it is served from then on."""
    return _condition(crd, _ESTABLISHED).get("status") == "True"


def is_settled(crd: Json) -> bool:
    """Whether a definition is served and has all the names that it wants."""
    accepted = as_map(as_map(crd.get("status")).get("acceptedNames"))
    return is_established(crd) and plain(crd["spec"]["names"]) == plain(accepted)


def judge(crd: Json, claims: Claims, now: str) -> None:
    """Give a definition the names that are free, in place, and say so in its conditions.

    Args:
        crd: The definition, its names completed.
        claims: The names that its group has, its own included.
        now: The time.
    """
    if is_settled(crd):
        return
    status, wanted = as_map(crd.get("status")), crd["spec"]["names"]
    crd["status"] = status
    names = as_map(status.get("acceptedNames"))
    reason, message, accepted = _accept(wanted, names, claims)
    status["acceptedNames"] = accepted
    if not reason:
        set_condition(crd, now, _ACCEPTED, "True", "NoConflicts", "no conflicts found")
    else:
        set_condition(crd, now, _ACCEPTED, "False", reason, message)
    if is_established(crd):
        return
    if not reason:
        why = "the initial names have been accepted"
        set_condition(crd, now, _ESTABLISHED, "True", "InitialNamesAccepted", why)
    else:
        set_condition(crd, now, _ESTABLISHED, "False", "NotAccepted", "not all names are accepted")


def tell_leaving(crd: Json, now: str) -> None:
    """Say in the conditions of a definition, in place, that its objects are being deleted."""
    why = "CustomResource deletion is in progress"
    set_condition(crd, now, "Terminating", "True", "InstanceDeletionInProgress", why)


def _accept(wanted: Json, names: Json, claims: Claims) -> tuple[str, str, Json]:
    """The last conflict, with its message, and the names that a definition has now."""
    reason = message = ""
    accepted: Json = {"plural": "", "kind": "", **names}
    for field, why, taken in (
        ("plural", "PluralConflict", claims.resources),
        ("singular", "SingularConflict", claims.resources),
        ("shortNames", "ShortNamesConflict", claims.resources),
        ("kind", "KindConflict", claims.kinds),
        ("listKind", "ListKindConflict", claims.kinds),
    ):
        asked, had = wanted.get(field), names.get(field)
        several = field == "shortNames"
        new, own = (as_list(asked), as_list(had)) if several else ([asked], [had])
        errors = [f'"{n}" is already in use' for n in new if n in taken and n not in own]
        if errors:
            reason, message = why, errors[0] if len(errors) == 1 else f"[{', '.join(errors)}]"
        elif asked:
            accepted[field] = asked
        else:
            accepted.pop(field, None)
    accepted.pop("categories", None)
    if wanted.get("categories"):
        accepted["categories"] = wanted["categories"]
    return reason, message, accepted


def _condition(crd: Json, kind: str) -> Json:
    absent: Json = {}
    conditions = as_list(as_map(crd.get("status")).get("conditions"))
    return next((c for c in conditions if c["type"] == kind), absent)


def set_condition(crd: Json, now: str, kind: str, *said: str) -> None:
    """Write a condition of a definition, in place: its type, status, reason and message.

    Its time is that of the last change of its status.
    """
    condition = _condition(crd, kind)
    status, reason, message = said
    if not condition:
        condition["type"] = kind
        told = crd["status"] = as_map(crd.get("status"))
        told["conditions"] = [*as_list(told.get("conditions")), condition]
    if condition.get("status") != status:
        condition["lastTransitionTime"] = now
    condition |= {"status": status, "reason": reason, "message": message}
