"""Find out what somebody changed behind our back: a dry run of what was applied last."""

from datetime import datetime

from isthmus.api.meta import Json
from isthmus.api.v1alpha1 import Drift
from isthmus.drivers.kubernetes.differences import differing
from isthmus.drivers.kubernetes.fields import part, parts
from isthmus.drivers.kubernetes.inventory import Inventory, Member
from isthmus.drivers.kubernetes.kube import MANAGER, Kube
from isthmus.drivers.kubernetes.manifests import ID
from isthmus.errors import InvalidSpec


async def drift_of(kube: Kube, inventory: Inventory, now: datetime) -> Drift:
    """Return what differs, as ``<logical id>.<field>``."""
    kept = {_id(body): body for body in inventory.manifests}
    drifted: list[str] = []
    for member in inventory.members:
        if member.leaving or member.transient:
            continue
        live = await kube.get(member.ref)
        if live is None:
            drifted.append(f"{member.id}.metadata.name: it is gone")
        elif member.id in kept:
            fields = await _changed(kube, member, live, kept[member.id])
            drifted += [f"{member.id}.{path}" for path in fields]
        elif member.fields:
            lost = set(member.fields) - owned_fields(live)
            drifted += [f"{member.id}.{path}" for path in sorted(lost)]
    return Drift(checked_at=now, drifted=bool(drifted), resources=tuple(drifted))


async def _changed(kube: Kube, member: Member, live: Json, body: Json) -> tuple[str, ...]:
    try:
        seen, would = await kube.tried(member.ref, body, live)
        return differing(seen or live, would)
    except InvalidSpec:
        return ("spec: it was made anew with other values that cannot be changed",)


def owned_fields(live: Json) -> set[str]:
    """Return the data fields of a Secret that are ours; who changes one takes it from us.

    This says that a secret was changed without anybody keeping or comparing its value.
    """
    fields: set[str] = set()
    for entry in parts(part(live, "metadata"), "managedFields"):
        if entry.get("manager") != MANAGER or entry.get("operation") != "Apply":
            continue
        found = part(part(entry, "fieldsV1"), "f:data")
        fields |= {f"data.{key[2:]}" for key in found if key.startswith("f:")}
    return fields


def _id(body: Json) -> str:
    return str(body["metadata"]["annotations"][ID])
