"""The kubeconfig of a cluster whose authority its cloud keeps: the blueprint says who issues it."""

from datetime import datetime

from isthmus.api.v1alpha1 import Cluster, Stack
from isthmus.controllers.service_binding import facts_of
from isthmus.controllers.world import World
from isthmus.core import catalog, schemas, stacks
from isthmus.core.compose.rendered import Rendered, rendered_from
from isthmus.core.render import substitute
from isthmus.errors import InvalidSpec, NotYet
from isthmus.ports import Grant

KUBECONFIG, EXPIRES_AT = "kubeconfig", "expiresAt"
"""What such a credential has, as text; the latter in ISO 8601."""


def issued_elsewhere(world: World, cluster: Cluster) -> bool:
    """Tell whether the blueprint declares credentials."""
    stack, origin = _stack(world, cluster)
    provider = world.providers.get("", stack.spec.provider)
    definition = world.definition(origin.revision)
    driver = provider.spec.driver if provider is not None else ""
    return driver in definition.stacks and bool(definition.stacks[driver].credentials)


async def issue(world: World, cluster: Cluster, identity: str) -> tuple[str, datetime]:
    """Return a new kubeconfig, a secret, and when its certificate ends.

    Raises:
        InvalidSpec: The blueprint's credential is no kubeconfig.
    """
    stack, origin = _stack(world, cluster)
    meta = cluster.metadata
    provider = world.provider(stack.spec.provider, meta.namespace)
    definition = world.definition(origin.revision)
    declared = catalog.credential_of(catalog.stack_of(definition, provider.spec.driver), "")
    secret = schemas.secret_names(definition.parameters)
    scope = catalog.Scope(
        values={k: v for k, v in origin.values.items() if k not in secret},
        name=meta.name,
        namespace=meta.namespace,
        uid=meta.uid,
    ).of_use(stack.status.outputs, facts_of(provider))
    grant = Grant(
        id=identity,
        spec=substitute(declared.spec, scope, path="credentials.spec"),
        parameters={},
        tags=stacks.tags(stack, world.connections.installation),
    )
    async with world.connections.use(provider) as connection:
        source = connection.credentials.get(declared.strategy)
        if source is None:
            raise InvalidSpec(
                f"spec.offering: Provider {provider.metadata.name!r} knows no credential "
                f"{declared.strategy!r}."
            )
        values = await source.grant(grant)
    if KUBECONFIG not in values or EXPIRES_AT not in values:
        raise InvalidSpec(f"spec.offering: credential {declared.strategy!r} is no kubeconfig.")
    return values[KUBECONFIG], datetime.fromisoformat(values[EXPIRES_AT])


def _stack(world: World, cluster: Cluster) -> tuple[Stack, Rendered]:
    stack = world.stacks.get(cluster.metadata.namespace, cluster.stack_name)
    origin = rendered_from(stack) if stack is not None else None
    if stack is None or origin is None:
        raise NotYet("Its stack is not there yet.")
    return stack, origin
