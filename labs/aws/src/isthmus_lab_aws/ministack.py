"""The only module that touches ministack, and the list of its private names that the lab stands on.

ministack is pinned in `labs/aws/pyproject.toml`; `tests/test_private_names.py` fails with the name
of whatever a newer one renamed. Everything is looked up late, because ministack reads its settings
from the environment when it is imported: call `prepare` first.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager
from importlib import import_module
from typing import Any, cast

from isthmus_lab_aws.resource import Physical, Place, Request, ResourceFailure, ResourceType

PRIVATE_NAMES: Mapping[str, tuple[str, ...]] = {
    "app": ("app", "SERVICE_REGISTRY", "SERVICE_HANDLERS", "_get_module", "_loaded_modules"),
    "core.responses": ("request_scope", "get_account_id", "get_region"),
    "core.persistence": ("_json_default", "_json_object_hook"),
    "services.cloudformation": ("_stacks", "_stack_events", "_exports", "_change_sets"),
    "services.cloudformation.changesets": (
        "_IMPORT_LOOKUPS",
        "_evaluate_conditions",
        "_find_change_set",
        "_resolve_props_for_diff",
    ),
    "services.cloudformation.drift": ("_DRIFT_READERS",),
    "services.cloudformation.stacks": (
        "CLIENT_REQUEST_TOKEN",
        "_continue_update_rollback_async",
        "_create_stack_task_in_region",
        "_create_then_delete_on_failure",
        "_delete_stack_async",
        "_deploy_stack_async",
        "_property_recreation",
        "_roll_back_operation",
        "_stack_region",
        "_add_event",
        "_delete_resource",
        "_provision_resource",
        "_runs_on_worker_thread",
        "_snapshot_resource",
        "_update_resource",
        "_with_dependencies",
    ),
    "services.cloudformation.provisioners": (
        "_RESOURCE_HANDLERS",
        "_NAME_SEED",
        "_REPLACING_PROPERTIES",
        "_cfn_nested_stack_delete",
        "_property_recreation",
        "_replacing_change",
        "_delete_resource",
        "_import_resource",
        "_provision_resource",
        "_snapshot_resource",
        "_update_resource",
    ),
}
"""What is wrapped or read, by module. Service modules' stores are named where they are used."""


def prepare(port: int) -> None:
    """Settle ministack's environment; must run before anything of it is imported."""
    os.environ.update(
        GATEWAY_PORT=str(port),
        BIND_HOST="127.0.0.1",
        MINISTACK_HOST="127.0.0.1",
        IOT_MTLS_ENABLED="0",
        AUTH="true",
        PERSIST_STATE="0",
        LOG_LEVEL=os.environ.get("LOG_LEVEL", "WARNING"),
    )
    # Without the package ministack starts no containers: the lab brings databases of its own.
    cast("dict[str, Any]", sys.modules)["docker"] = None


def module(name: str) -> Any:
    """A module of ministack by its dotted name below `ministack.`."""
    return import_module(f"ministack.{name}")


def service(name: str) -> Any:
    """The module of one service, such as `rds`; its stores are private names of ministack."""
    return module(f"services.{name}")


def at(place: Place) -> AbstractContextManager[None]:
    """Read and write ministack's scoped stores as that account and region."""
    scope = module("core.responses").request_scope(place.account, place.region)
    return cast("AbstractContextManager[None]", scope)


def here() -> Place:
    """The account and region of the running request or stack operation."""
    responses = module("core.responses")
    return Place(str(responses.get_account_id()), str(responses.get_region()))


class NativeType(ResourceType):
    """A type as ministack implements it: the base of types that only guard, delay or correct."""

    def create(self, request: Request) -> Physical:
        """Create through ministack's handler."""
        return _physical(
            original("_provision_resource")(
                self.name, request.logical_id, dict(request.properties), request.stack
            )
        )

    def update(self, request: Request) -> Physical:
        """Update through ministack's handler; it replaces where a property demands it."""
        return _physical(
            original("_update_resource")(
                self.name,
                request.physical_id,
                dict(request.old_properties),
                dict(request.properties),
                request.stack,
                request.logical_id,
                dict(request.attributes),
            )
        )

    def delete(self, request: Request) -> None:
        """Delete through ministack's handler."""
        original("_delete_resource")(
            self.name,
            request.physical_id,
            dict(request.properties),
            request.stack,
            request.logical_id,
        )

    def snapshot(self, request: Request) -> None:
        """Snapshot through ministack's handler, where the type has one."""
        original("_snapshot_resource")(self.name, request.physical_id, dict(request.properties))

    def find(self, place: Place, identifier: Mapping[str, str]) -> Physical:
        """Find through ministack's import handler."""
        if "import" not in _provisioners()._RESOURCE_HANDLERS.get(self.name, {}):
            raise ResourceFailure(f"{self.name} does not support import operations in the lab.")
        return _physical(original("_import_resource")(self.name, dict(identifier)))


class NestedStackType(NativeType):
    """A nested stack: its resources pass the engine one by one, and none is left when it fails."""

    name = "AWS::CloudFormation::Stack"
    composite = True

    def create(self, request: Request) -> Physical:
        """Deploy the child inline; what an earlier, interrupted attempt left goes first."""
        self._remove_unfinished(request)
        try:
            return super().create(request)
        except Exception:
            self._remove_unfinished(request)
            raise

    def delete(self, request: Request) -> None:
        """Delete the child; what refuses to go stays in it, and the child with it.

        ministack forgets a resource of a child that could not be deleted.
        """
        child = stack_record(request.physical_id)
        if child is None:
            return
        restore_set_aside(request.physical_id)
        child["StackStatus"] = "DELETE_IN_PROGRESS"
        before: dict[str, dict[str, Any]] = dict(child["_resources"])
        for one in before.values():
            if one["ResourceStatus"] == "DELETE_FAILED":
                one["ResourceStatus"] = "DELETE_IN_PROGRESS"
        super().delete(request)
        failed = [who for who, one in before.items() if one["ResourceStatus"] == "DELETE_FAILED"]
        if not failed:
            return
        child["_resources"] = {who: before[who] for who in failed}
        restore_set_aside(request.physical_id)
        reason = f"The following resource(s) failed to delete: [{', '.join(sorted(failed))}]."
        child.update(StackStatus="DELETE_FAILED", StackStatusReason=reason)
        raise ResourceFailure(
            f"Embedded stack {request.physical_id} was not successfully deleted: {reason}"
        )

    def _remove_unfinished(self, request: Request) -> None:
        stacks = module("services.cloudformation")._stacks
        prefix = f"{request.stack}-{request.logical_id}-"
        for name, stack in list(stacks.items()):
            mine = name.startswith(prefix) and stack.get("_parent_stack_name") == request.stack
            if mine and stack["StackStatus"] in ("CREATE_IN_PROGRESS", "CREATE_FAILED"):
                _provisioners()._cfn_nested_stack_delete(stack["StackId"], {})


_SET_ASIDE = "_lab_set_aside"
"""Where a stack's record keeps resources that its deletion does not attempt."""

_originals: dict[str, Any] = {}
"""ministack's own functions, by name, from before `wrap` put ours in their place."""


def wrap(name: str, replacement: Any) -> None:
    """Put `replacement` in the place of a CloudFormation function wherever it was imported."""
    cloudformation = [
        module(f"services.cloudformation.{part}")
        for part in ("provisioners", "stacks", "handlers", "changesets", "drift")
    ]
    for part in cloudformation:
        if hasattr(part, name):
            _originals.setdefault(name, getattr(part, name))
            setattr(part, name, replacement)


def original(name: str) -> Any:
    """Ministack's own function of that name, wrapped or not."""
    if name in _originals:
        return _originals[name]
    for part in ("provisioners", "stacks", "handlers", "changesets"):
        found = getattr(module(f"services.cloudformation.{part}"), name, None)
        if found is not None:
            return found
    raise AttributeError(f"ministack's CloudFormation has no {name}")


def native(name: str) -> ResourceType:
    """The type as ministack has it, for types that the lab leaves as they are."""
    kind = NestedStackType() if name == NestedStackType.name else NativeType()
    kind.name = name
    return kind


def known_types() -> list[str]:
    """Every CloudFormation type that can be made in the lab."""
    return sorted(_provisioners()._RESOURCE_HANDLERS)


def replaces(name: str, request: Request) -> bool:
    """Whether this update makes a new physical resource."""
    change = (name, dict(request.old_properties), dict(request.properties))
    return bool(_provisioners()._replacing_change(*change))


def run_update(kind: ResourceType, request: Request) -> Physical:
    """Update in place by the type's own way, or replace, as ministack decides."""
    if isinstance(kind, NativeType):
        return kind.update(request)
    return NativeType.update(_named(kind.name), request)


def name_seed() -> str:
    """The seed of the name that the running step generated."""
    return str(_provisioners()._NAME_SEED.get() or "")


def set_name_seed(seed: str) -> None:
    """Answer a journalled step with the seed it had."""
    _provisioners()._NAME_SEED.set(seed)


def _named(name: str) -> NativeType:
    kind = NativeType()
    kind.name = name
    return kind


def attributes_of(stack: str, logical_id: str) -> dict[str, str]:
    """The attributes that a stack's resource has now."""
    record = stack_record(stack) or {}
    return dict(record.get("_resources", {}).get(logical_id, {}).get("Attributes", {}))


def stack_record(stack: str) -> dict[str, Any] | None:
    """A stack of the account and region of this context, by name or id."""
    found = original("_resolve_stack")(stack)
    return cast("dict[str, Any] | None", found)


def set_aside_needs(stack: str, failed: str) -> None:
    """Keep what a resource needs that could not be deleted from the running deletion of its stack.

    CloudFormation attempts no resource that one which stays depends on (`Ref`, `Fn::GetAtt`,
    `Fn::Sub`, `DependsOn`); ministack attempts all. It passes over a resource that the stack's
    record does not list, so these wait elsewhere in the record until `restore_set_aside`.
    """
    record = stack_record(stack)
    if record is None or record["StackStatus"] != "DELETE_IN_PROGRESS":
        return
    resources: dict[str, dict[str, Any]] = record["_resources"]
    if failed in resources:
        resources[failed]["ResourceStatus"] = "DELETE_FAILED"
    with_dependencies = module("services.cloudformation.stacks")._with_dependencies
    definitions = record["_template"]["Resources"]
    needed: set[str] = with_dependencies([failed], definitions, set(resources)) - {failed}
    waiting = record.setdefault(_SET_ASIDE, {})
    for logical_id in sorted(needed & set(resources)):
        waiting[logical_id] = resources.pop(logical_id)


def restore_set_aside(stack: str) -> None:
    """List again in a stack's record what `set_aside_needs` took out of it."""
    record = stack_record(stack) or {}
    waiting = record.pop(_SET_ASIDE, {})
    if waiting:
        record["_resources"].update(waiting)


def stack_records() -> list[dict[str, Any]]:
    """Every stack of the account and region of this context."""
    return list(module("services.cloudformation")._stacks.values())


def change_set(identity: str) -> dict[str, Any]:
    """A change set by id; a record of its own where it is gone."""
    found = module("services.cloudformation")._change_sets.get(identity)
    return cast("dict[str, Any]", found if found is not None else {"ChangeSetId": identity})


def template_of(parameters: Mapping[str, Any]) -> str | None:
    """The template that a request brings, in its body or by the URL of an object in S3."""
    found, _ = original("_resolve_template")({key: [value] for key, value in parameters.items()})
    return str(found) if found else None


def resources_wanted(parameters: Mapping[str, Any]) -> set[str] | None:
    """The logical ids that an update or a change set keeps; None where that cannot be told."""
    if "ChangeSetName" in parameters:
        found = original("_find_change_set")(
            parameters["ChangeSetName"], parameters.get("StackName", "")
        )
        record = found[1]
        return set(record["_template"].get("Resources", {})) if record else None
    template = template_of(parameters)
    if template is None:
        return None
    try:
        return set(original("_parse_template")(template).get("Resources", {}))
    except ValueError:
        return None


def events_of(stack_id: str) -> list[dict[str, Any]]:
    """The events recorded for a stack, oldest first; the list itself, not a copy."""
    events = module("services.cloudformation")._stack_events.get(stack_id, [])
    return cast("list[dict[str, Any]]", events)


def region_of(stack: Any, stack_id: str | None) -> str:
    """The region that a stack lives in."""
    return str(module("services.cloudformation.stacks")._stack_region(stack, stack_id))


def request_token() -> str:
    """The ClientRequestToken of the running request."""
    return str(module("services.cloudformation.stacks").CLIENT_REQUEST_TOKEN.get())


def set_request_token(token: str) -> None:
    """Let the events of this context carry `token`."""
    module("services.cloudformation.stacks").CLIENT_REQUEST_TOKEN.set(token)


def _provisioners() -> Any:
    return module("services.cloudformation.provisioners")


def _physical(made: Any) -> Physical:
    physical_id, attributes = made
    return Physical(str(physical_id), dict(attributes or {}))
