"""Why a Stack that is being deleted does not go yet: its owner knows the order, and lets it go.

Where everything is deleted at once, as with a namespace, the Stack may be asked before the bindings
of its instance, or before what lives in its cluster. Who deletes it past its owner loses nothing.
"""

from isthmus.api.meta import LET_GO
from isthmus.api.v1alpha1 import ServiceInstance, Stack
from isthmus.controllers.world import World


async def still_needed(world: World, stack: Stack) -> str:
    """Say who still needs what a Stack stands for, and what to do; empty: it may go."""
    owner = next((o for o in stack.metadata.owner_references if o.controller), None)
    if owner is None or LET_GO in stack.metadata.annotations:
        return ""
    bindable = owner.kind == ServiceInstance.names.kind
    users = world.bound_to(stack.metadata.namespace, owner.name) if bindable else ""
    claim = await world.owning_claim(stack.metadata.namespace, owner)
    if claim is None:  # It went by force, and its Stack follows it.
        return users
    its = f"{owner.kind} {owner.name!r}"
    if not claim.deleting:
        return f"It belongs to {its}; delete that, and it goes along. {users}".rstrip()
    ready = claim.condition("Ready")
    why = users or (ready.message if ready is not None else "")
    return f"{its}, to which it belongs, still needs it. {why}".rstrip()
