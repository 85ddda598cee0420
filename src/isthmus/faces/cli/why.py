"""``why``: one causal chain from what was asked for down to the native event."""

from collections.abc import Sequence
from typing import Any

from isthmus.api.meta import API_VERSION, Json, Resource
from isthmus.api.v1alpha1 import (
    KINDS,
    AnyClaim,
    Claim,
    Cluster,
    NodePool,
    Operation,
    ServiceBinding,
    Stack,
)
from isthmus.core.why import Link, why
from isthmus.errors import NotYet
from isthmus.faces.cli import common
from isthmus.faces.cli.client import Client
from isthmus.faces.cli.failures import CommandFailed, Exit
from isthmus.faces.cli.output import Output, age, dump, say, structured
from isthmus.ports import Api

AnyResource = Resource[Any, Any]
_MODELS: dict[str, type[AnyResource]] = {model.names.kind: model for model in KINDS}


@common.verb
async def explain(
    what: common.OneObject,
    namespace: common.Namespace = "",
    output: common.OutputOption = Output.TABLE,
    kubeconfig: common.Kubeconfig = "",
    context: common.Context = "",
) -> None:
    """Say why an object is not ready, down to the native event that caused it."""
    async with common.connect(kubeconfig, context, namespace) as client:
        kind, name = await common.one_target(client, what)
        if kind.kind not in _MODELS:
            raise CommandFailed(f"{kind.kind}: only kinds of isthmus.dev have a chain", Exit.USAGE)
        chain = why(await collect(client, kind.kind, name))
    if structured(output):
        dump({"chain": list(chain)}, output)
    else:
        _show(chain)


async def collect(client: Client, kind: str, name: str) -> list[AnyResource]:
    """Return the objects on the way, from the one asked about to the deepest."""
    first = await _get(client, kind, name)
    if first is None:
        raise CommandFailed(f"{kind.lower()}/{name}: not found", Exit.NOT_FOUND)
    chain = [first]
    seen = {(kind, name)}
    while (reference := await _next(client, chain[-1])) is not None and reference not in seen:
        seen.add(reference)
        found = await _get(client, *reference)
        if found is None:
            break
        chain.append(found)
    return chain


async def _next(client: Client, obj: AnyResource) -> tuple[str, str] | None:
    """Return kind and name of what the object depends on."""
    match obj:
        case ServiceBinding():
            return "ServiceInstance", obj.spec.instance
        case Operation():
            return obj.spec.target.kind, obj.spec.target.name
        case NodePool() if _waits_for_cluster(obj):
            return "Cluster", obj.spec.cluster
        case Claim():
            return await _below(client, obj)
        case Stack():
            return _keeper(obj) or ("Provider", obj.spec.provider)
        case _:
            return None


def _keeper(stack: Stack) -> tuple[str, str] | None:
    """Return the owner that a Stack waits for before it goes."""
    ready = stack.condition("Ready")
    owner = next((o for o in stack.metadata.owner_references if o.controller), None)
    kept = stack.deleting and ready is not None and ready.reason == "InUse"
    return (owner.kind, owner.name) if kept and owner is not None else None


async def _below(client: Client, claim: AnyClaim) -> tuple[str, str]:
    """Return the Stack that keeps a claim; of a Cluster whose Stacks are well, the NodePool."""
    meta = claim.metadata
    troubled = [s for s in await _owned(client, claim) if not s.ready or s.deleting]
    if isinstance(claim, Cluster) and (claim.deleting or not troubled):
        pools = [NodePool.parse(body) for body in await _listed(client, NodePool, meta.namespace)]
        ours = [pool for pool in pools if pool.spec.cluster == meta.name]
        held = next((pool for pool in ours if not pool.ready or pool.deleting), None)
        if held is not None:
            return held.names.kind, held.metadata.name
    return "Stack", troubled[0].metadata.name if troubled else claim.stack_name


async def _owned(client: Client, claim: AnyClaim) -> list[Stack]:
    """Return the Stacks of a claim, by name."""
    meta = claim.metadata
    found = [Stack.parse(body) for body in await _listed(client, Stack, meta.namespace)]
    return [s for s in found if any(o.uid == meta.uid for o in s.metadata.owner_references)]


async def _listed(client: Client, model: type[AnyResource], namespace: str) -> list[Json]:
    return await client.list(Api(API_VERSION, model.names.plural), namespace)


def _waits_for_cluster(pool: NodePool) -> bool:
    ready = pool.condition("Ready")
    return ready is not None and ready.reason == NotYet.reason and "spec.cluster" in ready.message


async def _get(client: Client, kind: str, name: str) -> AnyResource | None:
    model = _MODELS.get(kind)
    if model is None:
        return None
    api = Api(API_VERSION, model.names.plural, model.names.namespaced)
    try:
        obj = await client.find(api, client.target.namespace if api.namespaced else "", name)
    except CommandFailed as failure:
        if failure.code == Exit.FORBIDDEN and kind == "Provider":
            return None  # A tenant need not see Providers; the Stack's condition says enough.
        raise
    return None if obj is None else model.parse(obj)


def _show(chain: Sequence[Link]) -> None:
    for depth, link in enumerate(chain):
        mark = "  " * depth + ("because " if depth else "")
        since = f" ({age(link.since)} ago)" if link.since else ""
        say(f"{mark}{link.subject}: {link.state}{since}")
        for line in link.message.splitlines():
            say(f"{'  ' * depth}  {line}")
