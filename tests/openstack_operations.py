"""Actions of an offering as an Operation runs them, on the OpenStack double."""

from collections.abc import Mapping

from isthmus.api.meta import Json
from isthmus.core import catalog, schemas
from isthmus.core.render import substitute
from isthmus.drivers.openstack.actions import ApiActions
from isthmus.drivers.openstack.session import Cloud
from isthmus.errors import Retryable
from isthmus.ports import ActionCall, ActionState
from tests.catalog_files import offering

_MOST = 12


def call_of(of: str, action: str, outputs: Mapping[str, str], given: Json) -> ActionCall:
    """Return the call of an offering's action, its parameters checked and filled in."""
    spec = offering(of).spec
    schema = catalog.action_of(spec, action).parameters
    values = schemas.defaults(schema) | given
    schemas.check(schema, values, field="spec.parameters")
    scope = {f"outputs.{key}": value for key, value in outputs.items()}
    scope |= {f"action.{key}": value for key, value in values.items()}
    calls: Json = substitute(spec.stacks["openstack"].actions[action], scope, path=action)
    return ActionCall(token="t", spec=calls)


async def ran(cloud: Cloud, call: ActionCall) -> ActionState:
    """Run an action as an Operation does: again after whatever may pass."""
    actions, state = ApiActions(cloud), None
    for _ in range(_MOST):
        try:
            state = await (actions.poll(call, state.handle) if state else actions.start(call))
        except Retryable:
            continue
        if state.done:
            return state
    raise AssertionError(state)
