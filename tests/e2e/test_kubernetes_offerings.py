"""What the catalog brings into clusters, sent to a real Kubernetes API: it takes every object.

There are no nodes here, so nothing of it runs; what needs a pod says that it finds no node.
"""

import uuid
from dataclasses import replace

import pytest

from isthmus.api.v1alpha1 import Phase
from isthmus.core.stacks import (
    TAG_INSTALLATION,
    TAG_NAME,
    TAG_NAMESPACE,
    TAG_UID,
    NativeStack,
    Observed,
    StackName,
    digest,
)
from isthmus.drivers.kubernetes import DRIVER
from isthmus.drivers.kubernetes.inventory import State
from isthmus.ports import StackEngine
from tests.catalog_files import composed, offering
from tests.kubernetes_home import endpoint
from tests.kubernetes_plane import MARKS
from tests.polling import eventually
from tests.unit.test_catalog_kubernetes import OFFERINGS

pytestmark = [*MARKS]


def a_stack(name: str, plan: str) -> NativeStack:
    uid = str(uuid.uuid4())
    spec = composed(name, plan).spec
    return NativeStack(
        name=StackName(f"isthmus-{name}-{uid}"),
        template=spec.template,
        parameters={n: p.value or "made-up" for n, p in spec.parameters.items()},
        secret_parameters=frozenset(n for n, p in spec.parameters.items() if p.secret_key_ref),
        tags={TAG_UID: uid, TAG_NAMESPACE: "t", TAG_NAME: name, TAG_INSTALLATION: "test"},
        digest=digest(spec.template),
    )


@pytest.mark.parametrize("name", OFFERINGS)
async def test_a_real_api_takes_all_of_it(kubernetes_plane: str, name: str) -> None:
    native = a_stack(name, offering(name).spec.plans[0].name)
    async with DRIVER.open(endpoint(kubernetes_plane)) as connection:
        engine = connection.engine
        changes = await engine.preview(native)
        assert changes.changes
        await engine.apply(native)
        try:
            observed = await engine.observe(native.name)
            assert observed.native_status in (State.APPLIED.value, "NOT_READY"), observed.message
            assert all(r.status != "Missing" for r in observed.resources)
            assert "made-up" not in str(observed)
            again = await engine.preview(native)
            assert again.changes == (), "what was applied is what is wanted"
        finally:
            await gone(engine, native)


async def gone(engine: StackEngine, native: NativeStack) -> None:
    seen: list[Observed] = []

    async def is_gone() -> bool:
        await engine.delete(replace(native, replacement_approved=True))
        seen.append(await engine.observe(native.name))
        return seen[-1].phase is Phase.ABSENT

    await eventually(is_gone, within=120)
