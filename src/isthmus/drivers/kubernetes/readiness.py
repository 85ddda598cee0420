"""Is an object ready? What its own status says, kind by kind.

The rules are those of ``kubectl rollout status`` and of kstatus,
https://github.com/kubernetes-sigs/cli-utils/blob/master/pkg/kstatus/README.md
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from isthmus.api.meta import Json
from isthmus.api.v1alpha1 import Phase
from isthmus.drivers.kubernetes.fields import part, parts


@dataclass(frozen=True, slots=True)
class Readiness:
    """What an object's status means. FAILED: it will not become ready by waiting."""

    phase: Phase
    message: str = ""


READY: Final = Readiness(Phase.READY)


def readiness(obj: Json) -> Readiness:
    """Say whether an object is ready, and what is missing."""
    meta = part(obj, "metadata")
    if meta.get("deletionTimestamp"):
        return Readiness(Phase.WORKING, "it is being deleted")
    status = part(obj, "status")
    seen = status.get("observedGeneration")
    if seen is not None and int(seen) < int(meta.get("generation") or 0):
        return Readiness(Phase.WORKING, "its controller has not seen the change yet")
    found = _RULES.get(_type(obj), _any)(obj, status)
    if found.phase is Phase.READY or found.message:
        return found
    return Readiness(found.phase, f"it is {found.phase.lower()}, and does not say why")


def condition(obj: Json, kind: str) -> Json:
    """Return a condition, or nothing of one."""
    status = part(obj, "status")
    found = parts(status, "conditions")
    return next((c for c in found if c.get("type") == kind), Json())


def _type(obj: Json) -> str:
    group = str(obj["apiVersion"]).rpartition("/")[0]
    return f"{obj['kind']}.{group}" if group else str(obj["kind"])


def _holds(obj: Json, kind: str) -> bool:
    return condition(obj, kind).get("status") == "True"


def _words(found: Json) -> str:
    reason, message = str(found.get("reason") or ""), str(found.get("message") or "")
    return f"{reason}: {message}" if reason and message else reason or message


def _spec(obj: Json) -> Json:
    return part(obj, "spec")


def _counted(wanted: int, parts: tuple[tuple[str, int], ...]) -> Readiness:
    for words, count in parts:
        if count < wanted:
            return Readiness(Phase.WORKING, f"{count} of {wanted} pods are {words}")
    return READY


def _deployment(obj: Json, status: Json) -> Readiness:
    progressing, failure = condition(obj, "Progressing"), condition(obj, "ReplicaFailure")
    if progressing.get("reason") == "ProgressDeadlineExceeded":
        return Readiness(Phase.FAILED, _words(progressing))
    wanted = int(_spec(obj).get("replicas", 1))
    result = _counted(
        wanted,
        (
            ("updated", int(status.get("updatedReplicas") or 0)),
            ("available", int(status.get("availableReplicas") or 0)),
        ),
    )
    if result is READY and int(status.get("replicas") or 0) > wanted:
        return Readiness(Phase.WORKING, "pods of the former revision still run")
    if result is not READY and failure.get("status") == "True":
        return Readiness(Phase.WORKING, _words(failure))
    return _seen(obj, status, result)


def _seen(obj: Json, status: Json, result: Readiness) -> Readiness:
    """A status that nobody has written yet says nothing."""
    if "observedGeneration" in status or int(_spec(obj).get("replicas", 1)) == 0:
        return result
    return Readiness(Phase.WORKING, result.message or "no controller has looked at it yet")


def _stateful_set(obj: Json, status: Json) -> Readiness:
    spec = _spec(obj)
    wanted = int(spec.get("replicas", 1))
    strategy = part(spec, "updateStrategy")
    rolling = part(strategy, "rollingUpdate")
    updated = wanted - int(rolling.get("partition") or 0)
    parts = [("ready", int(status.get("readyReplicas") or 0))]
    result = _counted(wanted, tuple(parts))
    if result is READY and strategy.get("type", "RollingUpdate") == "RollingUpdate":
        result = _counted(updated, (("updated", int(status.get("updatedReplicas") or 0)),))
    return _seen(obj, status, result)


def _daemon_set(obj: Json, status: Json) -> Readiness:
    wanted = int(status.get("desiredNumberScheduled") or 0)
    if "observedGeneration" not in status:
        return Readiness(Phase.WORKING, "no controller has looked at it yet")
    return _counted(
        wanted,
        (
            ("updated", int(status.get("updatedNumberScheduled") or 0)),
            ("available", int(status.get("numberAvailable") or 0)),
        ),
    )


def _replica_set(obj: Json, status: Json) -> Readiness:
    wanted = int(_spec(obj).get("replicas", 1))
    return _counted(wanted, (("ready", int(status.get("readyReplicas") or 0)),))


def _job(obj: Json, status: Json) -> Readiness:
    del status
    if _holds(obj, "Failed"):
        return Readiness(Phase.FAILED, _words(condition(obj, "Failed")))
    if _holds(obj, "Complete") or _spec(obj).get("suspend"):
        return READY
    return Readiness(Phase.WORKING, "the job has not come to its end")


def _pod(obj: Json, status: Json) -> Readiness:
    phase = str(status.get("phase") or "Pending")
    if phase == "Failed":
        return Readiness(Phase.FAILED, _words(status) or "the pod has failed")
    if phase == "Succeeded" or _holds(obj, "Ready"):
        return READY
    return Readiness(Phase.WORKING, _words(condition(obj, "PodScheduled")) or f"it is {phase}")


def _claim(obj: Json, status: Json) -> Readiness:
    del obj
    phase = str(status.get("phase") or "Pending")
    if phase == "Lost":
        return Readiness(Phase.FAILED, "its volume is lost")
    return READY if phase == "Bound" else Readiness(Phase.WORKING, "no volume is bound to it yet")


def _service(obj: Json, status: Json) -> Readiness:
    if _spec(obj).get("type") != "LoadBalancer":
        return READY
    balancer = part(status, "loadBalancer")
    if balancer.get("ingress"):
        return READY
    return Readiness(Phase.WORKING, "its load balancer has no address yet")


def _definition(obj: Json, status: Json) -> Readiness:
    del status
    names = condition(obj, "NamesAccepted")
    if names.get("status") == "False":
        return Readiness(Phase.FAILED, _words(names))
    if _holds(obj, "Established"):
        return READY
    return Readiness(Phase.WORKING, "it is not established yet")


def _needs(kind: str) -> Callable[[Json, Json], Readiness]:
    def rule(obj: Json, status: Json) -> Readiness:
        del status
        if _holds(obj, kind):
            return READY
        words = _words(condition(obj, kind))
        return Readiness(Phase.WORKING, words or f"it does not say that it is {kind} yet")

    return rule


def _always(obj: Json, status: Json) -> Readiness:
    del obj, status
    return READY


def _any(obj: Json, status: Json) -> Readiness:
    """Any other kind: by the conditions that most controllers write."""
    del status
    stalled = condition(obj, "Stalled")
    if stalled.get("status") == "True":
        return Readiness(Phase.FAILED, _words(stalled))
    for kind in ("Ready", "Available"):
        found = condition(obj, kind)
        if not found:
            continue
        generation = int(part(obj, "metadata").get("generation") or 0)
        if int(found.get("observedGeneration") or generation) < generation:
            return Readiness(Phase.WORKING, "its controller has not seen the change yet")
        return READY if found.get("status") == "True" else Readiness(Phase.WORKING, _words(found))
    return READY


_RULES: Final[dict[str, Callable[[Json, Any], Readiness]]] = {
    "Deployment.apps": _deployment,
    "StatefulSet.apps": _stateful_set,
    "DaemonSet.apps": _daemon_set,
    "ReplicaSet.apps": _replica_set,
    "Job.batch": _job,
    "CronJob.batch": _always,
    "Pod": _pod,
    "PersistentVolumeClaim": _claim,
    "Service": _service,
    "CustomResourceDefinition.apiextensions.k8s.io": _definition,
    "APIService.apiregistration.k8s.io": _needs("Available"),
    "Node": _needs("Ready"),
    "HorizontalPodAutoscaler.autoscaling": _always,
    "PodDisruptionBudget.policy": _always,
    "Ingress.networking.k8s.io": _always,
}
