"""kr8s: create, patch, list, delete."""

import asyncio
import sys

import kr8s
from kr8s.asyncio.objects import new_class


async def main() -> None:
    """See the module."""
    api = await kr8s.asyncio.api(kubeconfig=sys.argv[1])
    kind = new_class("Widget", version="example.com/v1", namespaced=True)
    made = await kind(
        {"metadata": {"name": "kr8s", "namespace": "default"}, "spec": {"size": 1}}, api=api
    )
    await made.create()
    await made.patch({"spec": {"size": 7}})
    assert [found.spec.size async for found in api.get(kind, "kr8s", namespace="default")] == [7]
    await made.delete()
    assert not await made.exists()


asyncio.run(main())
