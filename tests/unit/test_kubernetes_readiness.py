"""When is an object ready: one case a rule."""

from typing import Any

import pytest

from isthmus.api.meta import Json
from isthmus.api.v1alpha1 import Phase
from isthmus.drivers.kubernetes.readiness import readiness


def seen(api_version: str, kind: str, spec: Json | None = None, **status: Any) -> Json:
    head = {"apiVersion": api_version, "kind": kind, "metadata": {"name": "x", "generation": 2}}
    return head | {"spec": spec or {}, "status": status}


def says(kind: str, status: str = "True", **more: Any) -> list[Json]:
    return [{"type": kind, "status": status} | more]


ROLLED: Json = {
    "observedGeneration": 2,
    "updatedReplicas": 2,
    "availableReplicas": 2,
    "replicas": 2,
}
TWO: Json = {"replicas": 2}
SET: Json = {"observedGeneration": 2, "readyReplicas": 2, "updatedReplicas": 2}
DAEMON: Json = {"observedGeneration": 2, "desiredNumberScheduled": 2, "numberAvailable": 2}

CASES = [
    ("a Deployment that nobody saw", seen("apps/v1", "Deployment", TWO), Phase.WORKING),
    ("one that is rolled out", seen("apps/v1", "Deployment", TWO, **ROLLED), Phase.READY),
    (
        "one whose status is of an older spec",
        seen("apps/v1", "Deployment", TWO, **(ROLLED | {"observedGeneration": 1})),
        Phase.WORKING,
    ),
    (
        "one with pods of the former revision",
        seen("apps/v1", "Deployment", TWO, **(ROLLED | {"replicas": 3})),
        Phase.WORKING,
    ),
    (
        "one that gave up",
        seen(
            "apps/v1",
            "Deployment",
            TWO,
            conditions=says("Progressing", "False", reason="ProgressDeadlineExceeded"),
        ),
        Phase.FAILED,
    ),
    ("a StatefulSet in order", seen("apps/v1", "StatefulSet", TWO, **SET), Phase.READY),
    (
        "one that updates",
        seen("apps/v1", "StatefulSet", TWO, **(SET | {"updatedReplicas": 1})),
        Phase.WORKING,
    ),
    (
        "one that updates by hand",
        seen(
            "apps/v1",
            "StatefulSet",
            TWO | {"updateStrategy": {"type": "OnDelete"}},
            **(SET | {"updatedReplicas": 0}),
        ),
        Phase.READY,
    ),
    (
        "a DaemonSet on all nodes",
        seen("apps/v1", "DaemonSet", **DAEMON, updatedNumberScheduled=2),
        Phase.READY,
    ),
    (
        "one on some",
        seen("apps/v1", "DaemonSet", **DAEMON, updatedNumberScheduled=1),
        Phase.WORKING,
    ),
    ("a Job at its end", seen("batch/v1", "Job", conditions=says("Complete")), Phase.READY),
    ("a Job that failed", seen("batch/v1", "Job", conditions=says("Failed")), Phase.FAILED),
    ("a Job that runs", seen("batch/v1", "Job", active=1), Phase.WORKING),
    ("a Pod that is ready", seen("v1", "Pod", conditions=says("Ready")), Phase.READY),
    ("a Pod that ended well", seen("v1", "Pod", phase="Succeeded"), Phase.READY),
    ("a Pod that failed", seen("v1", "Pod", phase="Failed"), Phase.FAILED),
    ("a claim without a volume", seen("v1", "PersistentVolumeClaim"), Phase.WORKING),
    ("a bound claim", seen("v1", "PersistentVolumeClaim", phase="Bound"), Phase.READY),
    ("a lost claim", seen("v1", "PersistentVolumeClaim", phase="Lost"), Phase.FAILED),
    ("a Service", seen("v1", "Service", {"type": "ClusterIP"}), Phase.READY),
    (
        "a load balancer without an address",
        seen("v1", "Service", {"type": "LoadBalancer"}, loadBalancer={}),
        Phase.WORKING,
    ),
    (
        "one with an address",
        seen("v1", "Service", {"type": "LoadBalancer"}, loadBalancer={"ingress": [{"ip": "1"}]}),
        Phase.READY,
    ),
    (
        "a definition whose names are taken",
        seen(
            "apiextensions.k8s.io/v1",
            "CustomResourceDefinition",
            conditions=says("NamesAccepted", "False"),
        ),
        Phase.FAILED,
    ),
    ("an API that is not there", seen("apiregistration.k8s.io/v1", "APIService"), Phase.WORKING),
    ("a kind without conditions", seen("example.com/v1", "Widget"), Phase.READY),
    (
        "a kind that says it is not ready",
        seen("example.com/v1", "Widget", conditions=says("Ready", "False", message="no disk")),
        Phase.WORKING,
    ),
    (
        "a kind that spoke of an older spec",
        seen("example.com/v1", "Widget", conditions=says("Ready", observedGeneration=1)),
        Phase.WORKING,
    ),
    (
        "a kind that is stalled",
        seen("example.com/v1", "Widget", conditions=says("Stalled")),
        Phase.FAILED,
    ),
]


@pytest.mark.parametrize(("what", "obj", "phase"), CASES, ids=[case[0] for case in CASES])
def test_readiness_by_kind(what: str, obj: Json, phase: Phase) -> None:
    found = readiness(obj)
    assert found.phase is phase, (what, found)
    assert bool(found.message) is (phase is not Phase.READY)


def test_what_is_being_deleted_is_at_work() -> None:
    obj = seen("v1", "ConfigMap")
    obj["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert readiness(obj).phase is Phase.WORKING
