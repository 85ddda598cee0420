"""What no node could be given is refused when a NodePool is written, by whatever API holds it."""

import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from isthmus.api.crd import crd
from isthmus.api.meta import API_VERSION, Json
from isthmus.api.v1alpha1 import NodePool
from isthmus.drivers.kubernetes.kube import Kube
from isthmus.ports import Api
from isthmus.runtime.kube import path_of
from isthmus.runtime.transport import Request
from tests.kubernetes_home import inhabited, serving
from tests.kubernetes_plane import MARKS
from tests.pool_labels import LABELS, TAINTS, TOO_LONG

PLACE = f"pools-{uuid.uuid4().hex[:8]}"
POOLS = Api(API_VERSION, "nodepools")


@pytest.fixture(params=["embedded", pytest.param("real", marks=MARKS)])
async def kube(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Kube]:
    if request.param == "real":
        config = request.getfixturevalue("kubernetes_plane")
        async with inhabited(config, PLACE, crd(NodePool)) as api:
            yield api
        return
    async with serving(tmp_path) as config, inhabited(config, PLACE, crd(NodePool)) as api:
        yield api


async def said(kube: Kube, **spec: Any) -> Json:
    """How the API answers to a pool that it shall only try to make."""
    pool = {
        "apiVersion": API_VERSION,
        "kind": "NodePool",
        "metadata": {"name": "workers", "namespace": PLACE},
        "spec": {"cluster": "c"} | spec,
    }
    path = path_of(POOLS, PLACE) + "?dryRun=All"
    answer = await kube.ask(Request(method="POST", path=path, body=orjson.dumps(pool)))
    return orjson.loads(answer.body) | {"code": answer.status}


def fields(answer: Json) -> set[str]:
    return {cause["field"] for cause in answer["details"]["causes"]}


async def test_what_a_node_may_have_is_taken_and_nothing_else(kube: Kube) -> None:
    await look_at_labels(kube)
    await look_at_taints(kube)


async def look_at_labels(kube: Kube) -> None:
    for reason, labels, words in LABELS:
        answer = await said(kube, labels=labels)
        assert (answer["code"] == 201) is not bool(words), (reason, answer)
        if words:
            assert words in answer["message"], reason
            assert all(field.startswith("spec.labels") for field in fields(answer))
    answer = await said(kube, labels=TOO_LONG)
    assert "spec.labels.tier" in fields(answer)
    answer = await said(kube, labels={f"a{number}": "" for number in range(65)})
    assert "spec.labels" in fields(answer)


async def look_at_taints(kube: Kube) -> None:
    for reason, taints, words in TAINTS:
        answer = await said(kube, taints=taints)
        assert (answer["code"] == 201) is not bool(words), (reason, answer)
        if words:
            assert words in answer["message"], reason
            assert all(field.startswith("spec.taints") for field in fields(answer))
