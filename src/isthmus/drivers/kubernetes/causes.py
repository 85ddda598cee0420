"""Why an object is not ready: what its pods and the cluster's events say.

A Deployment says only how many of its pods are missing; the cause stands in a pod's container
(ImagePullBackOff), in its scheduling (Insufficient cpu) or in an event of what should have made it
(exceeded quota).
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, cast

from isthmus.api.meta import Json
from isthmus.api.v1alpha1 import Phase, StackEvent
from isthmus.drivers.kubernetes.fields import part
from isthmus.drivers.kubernetes.inventory import Member
from isthmus.drivers.kubernetes.kube import Kube
from isthmus.drivers.kubernetes.readiness import READY, Readiness, condition
from isthmus.errors import Forbidden
from isthmus.ports import Api

_PODS: Final = Api("v1", "pods")
_EVENTS: Final = Api("v1", "events")
_REPLICA_SETS: Final = Api("apps/v1", "replicasets")
_PODS_LOOKED_AT: Final = 3
_EVENTS_KEPT: Final = 10
_HOPELESS: Final = frozenset({"InvalidImageName", "ErrImageNeverPull"})
"""Waiting changes nothing about these."""
_QUIET: Final = frozenset({"ContainerCreating", "PodInitializing", ""})
_WAITS_FOR_A_POD: Final = "WaitForFirstConsumer"


@dataclass(frozen=True, slots=True)
class Cause:
    """What was found out about one object."""

    readiness: Readiness
    events: tuple[StackEvent, ...] = ()


async def cause(kube: Kube, member: Member, live: Json, found: Readiness) -> Cause:
    """Return the readiness of an object with its true cause, and the events that tell of it."""
    try:
        return await _cause(kube, member, live, found)
    except Forbidden:
        return Cause(found)  # A right that is nice to have: the object's own words must do.


async def _cause(kube: Kube, member: Member, live: Json, found: Readiness) -> Cause:
    namespace = member.ref.namespace
    pods = await _troubled_pods(kube, live, namespace)
    involved = [live, *await _replica_sets(kube, live, namespace), *pods]
    listed = await asyncio.gather(*(_events_of(kube, obj, namespace) for obj in involved))
    events = tuple(
        sorted((_event(member, raw) for raws in listed for raw in raws), key=lambda e: e.time)
    )[-_EVENTS_KEPT:]
    if _waits_for_a_pod(live, listed[0]):
        return Cause(READY, events)
    if found.phase is Phase.FAILED:
        return Cause(found, events)
    hopeless, words = _words_of(pods)
    words = words or _last_failure(events)
    message = f"{found.message}: {words}" if words and words not in found.message else found.message
    return Cause(Readiness(Phase.FAILED if hopeless else found.phase, message), events)


async def _troubled_pods(kube: Kube, live: Json, namespace: str) -> list[Json]:
    if live["kind"] == "Pod":
        return [live]
    selector = _selector(live)
    if not selector or not namespace:
        return []
    pods = await kube.list(_PODS, namespace, (("labelSelector", selector),))
    troubled = [pod for pod in pods if condition(pod, "Ready").get("status") != "True"]
    newest = sorted(troubled, key=lambda p: str(p["metadata"].get("creationTimestamp")))
    return newest[-_PODS_LOOKED_AT:]


async def _replica_sets(kube: Kube, live: Json, namespace: str) -> list[Json]:
    """A Deployment's pods are made by its ReplicaSet, which tells why it cannot."""
    if live["kind"] != "Deployment":
        return []
    query = (("labelSelector", _selector(live)),)
    sets = await kube.list(_REPLICA_SETS, namespace, query)
    return sorted(sets, key=lambda s: str(s["metadata"].get("creationTimestamp")))[-1:]


async def _events_of(kube: Kube, obj: Json, namespace: str) -> list[Json]:
    query = (("fieldSelector", f"involvedObject.uid={obj['metadata']['uid']}"),)
    return await kube.list(_EVENTS, namespace or "default", query)


def _selector(live: Json) -> str:
    """Return the label selector of a workload as a query says it; empty: it has none."""
    if live["kind"] not in ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job"):
        return ""
    spec = part(live, "spec")
    selector = part(spec, "selector")
    parts = [f"{key}={value}" for key, value in part(selector, "matchLabels").items()]
    for need in selector.get("matchExpressions") or ():
        values = ",".join(need.get("values") or ())
        parts.append(
            {
                "In": f"{need['key']} in ({values})",
                "NotIn": f"{need['key']} notin ({values})",
                "Exists": str(need["key"]),
                "DoesNotExist": f"!{need['key']}",
            }[need["operator"]]
        )
    return ",".join(parts)


def _words_of(pods: Sequence[Json]) -> tuple[bool, str]:
    """Return whether there is no hope, and the first pod's trouble in a sentence."""
    said: list[tuple[bool, str]] = []
    for pod in pods:
        name = pod["metadata"]["name"]
        status = part(pod, "status")
        scheduled = condition(pod, "PodScheduled")
        if scheduled.get("status") == "False" and not part(pod, "spec").get("nodeName"):
            said.append((False, f"pod {name} finds no node: {scheduled.get('message', '')}"))
        for container in (
            *(status.get("initContainerStatuses") or ()),
            *(status.get("containerStatuses") or ()),
        ):
            reason, message = _trouble(cast("Json", container))
            if reason not in _QUIET:
                words = f"container {container['name']} of pod {name}: {reason}"
                said.append((reason in _HOPELESS, f"{words}: {message}" if message else words))
    return max(said, key=lambda s: s[0], default=(False, ""))


def _trouble(container: Json) -> tuple[str, str]:
    state = part(container, "state")
    waiting = part(state, "waiting")
    ended = part(state, "terminated")
    if waiting.get("reason") == "CrashLoopBackOff":
        last = cast("Json", part(container, "lastState").get("terminated") or {})
        code, why = last.get("exitCode"), last.get("reason", "")
        return "CrashLoopBackOff", f"it ended with code {code} ({why})" if last else ""
    if waiting:
        return str(waiting.get("reason") or ""), str(waiting.get("message") or "")
    if ended and ended.get("exitCode"):
        return str(ended.get("reason") or "Error"), f"it ended with code {ended['exitCode']}"
    return "", ""


def _waits_for_a_pod(live: Json, events: Sequence[Json]) -> bool:
    """A claim of a class that binds late is as ready as it can be until a pod uses it."""
    if live["kind"] != "PersistentVolumeClaim" or not events:
        return False
    return max(events, key=_time).get("reason") == _WAITS_FOR_A_POD


def _last_failure(events: Sequence[StackEvent]) -> str:
    failures = [event.reason for event in events if "FAILED" in event.status]
    return failures[-1] if failures else ""


def _event(member: Member, raw: Json) -> StackEvent:
    """Translate an event; a warning says so in its status, whatever its reason is called."""
    about = part(raw, "involvedObject")
    reason = str(raw.get("reason") or "")
    own = about.get("kind") == member.ref.kind
    words = str(raw.get("message") or "")
    return StackEvent(
        id=str(raw["metadata"]["uid"]),
        time=_time(raw),
        logical_id=member.id,
        type=member.ref.type if own else str(about.get("kind") or ""),
        status=f"FAILED ({reason})" if raw.get("type") == "Warning" else reason,
        reason=words if own else f"{about.get('kind')} {about.get('name')}: {words}",
    )


def _time(raw: Json) -> datetime:
    meta = part(raw, "metadata")
    series = part(raw, "series")
    text = (
        series.get("lastObservedTime")
        or raw.get("lastTimestamp")
        or raw.get("eventTime")
        or meta.get("creationTimestamp")
    )
    return datetime.fromisoformat(str(text)).astimezone(UTC)
