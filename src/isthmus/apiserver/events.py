"""Events, whichever of their two groups they come by: what is wrong with one, how one is printed.

Source: https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/event-v1/ ; what is
refused follows Kubernetes' own `ValidateEventCreate` and `ValidateEventUpdate`.
"""

from collections.abc import Iterator
from typing import Any

from isthmus.apiserver.admission import Admission
from isthmus.apiserver.errors import Cause
from isthmus.apiserver.jsonvalues import Json, as_map
from isthmus.apiserver.metadata import check_key

_LONGEST = {"reportingInstance": 128, "action": 128, "reason": 128, "message": 1024}
_UNSET = ("firstTimestamp", "lastTimestamp", "count", "source")
_LASTING = (
    "involvedObject", "reason", "message", "source", "firstTimestamp", "lastTimestamp", "count",
    "type", "eventTime", "action", "related", "reportingComponent", "reportingInstance",
)  # fmt: skip
_SHOWN = {"reportingComponent": "reportingController"}
"""Fields that errors of the new group name otherwise; the others they name as the store does."""


def check(admission: Admission) -> list[Cause]:
    """What is wrong with an Event; those of the new group must be of the new kind altogether."""
    shape = admission.resource.shape
    modern = bool(admission.resource.group)
    event, old = admission.obj, admission.old
    if shape is not None:
        event, old = shape.stored(event), old and shape.stored(old)
    causes = list(_every(event, "reportingController" if modern else "reportingComponent"))
    if modern:
        causes += _created(event) if old is None else _changed(event, old)
    return causes


def _every(event: Json, reporter: str) -> Iterator[Cause]:
    """What holds for all Events: they lie where their object lies, and say who reports."""
    home, named = event["metadata"]["namespace"], _about(event).get("namespace") or ""
    timed = bool(event.get("eventTime"))
    if named:
        astray = named != home and not timed
    else:
        astray = home not in (("default", "kube-system") if timed else ("default",))
    if astray:
        why = f'"{named}": does not match event.namespace'
        yield Cause("involvedObject.namespace", why)
    if not timed:
        return
    who = event.get("reportingComponent") or ""
    if not who:
        yield Cause(reporter, "", "FieldValueRequired")
    yield from check_key(reporter, who)
    for name, longest in _LONGEST.items():
        said = event.get(name) or ""
        if not said and name != "message":
            yield Cause(name, "", "FieldValueRequired")
        if len(said.encode()) > longest:
            yield Cause(name, f'"": can have at most {longest} characters')


def _created(event: Json) -> Iterator[Cause]:
    yield from _series(event)
    if not event.get("eventTime"):
        yield Cause("eventTime", "", "FieldValueRequired")
    kind = event.get("type") or ""
    if kind not in ("Normal", "Warning"):
        yield Cause("type", f'"": has invalid value: {kind}')
    for name in _UNSET:
        if _bare(event.get(name)):
            yield Cause(name, '"": needs to be unset')


def _changed(event: Json, old: Json) -> Iterator[Cause]:
    """Nothing of an Event of the new kind changes but its series."""
    if _bare(event.get("series")) != _bare(old.get("series")):
        yield from _series(event)
    for name in _LASTING:
        if _bare(event.get(name)) != _bare(old.get(name)):
            value = event.get(name)
            shown = f'"{value}"' if isinstance(value, str | None) else str(value)
            yield Cause(_SHOWN.get(name, name), f"{shown}: field is immutable")


def _series(event: Json) -> Iterator[Cause]:
    series = event.get("series")
    if series is None:
        return
    if (series.get("count") or 0) < 2:
        yield Cause("series.count", '"": should be at least 2')
    if not series.get("lastObservedTime"):
        yield Cause("series.lastObservedTime", "", "FieldValueRequired")


def _bare(value: Any) -> Any:
    """A value without what says nothing, which clients write or leave out as they like."""
    if isinstance(value, dict):
        bare = {name: _bare(part) for name, part in as_map(value).items()}
        return {name: part for name, part in bare.items() if part} or None
    return value or None


def _about(event: Json) -> Json:
    return as_map(event.get("involvedObject"))


def cell(event: Json, column: str) -> Any:
    """What is printed of a stored Event: `last` or `first` time, `count`, `object`, `source`."""
    first = event.get("firstTimestamp") or event.get("eventTime")
    series = as_map(event.get("series"))
    if column == "first":
        return first
    if column == "last":
        return series.get("lastObservedTime") if series else event.get("lastTimestamp") or first
    if column == "count":
        return series.get("count", 0) if series else event.get("count") or 1
    if column == "message":
        return str(event.get("message") or "").strip()
    if column == "object":
        kind, name = str(_about(event).get("kind") or "").lower(), _about(event).get("name")
        return f"{kind}/{name}" if name else kind
    source = as_map(event.get("source"))
    parts = (
        source.get("component") or event.get("reportingComponent"),
        source.get("host") or event.get("reportingInstance"),
    )
    return ", ".join(filter(None, parts)) if parts[1] else parts[0] or ""
