"""The only module that touches ministack, and the list of its private names that the lab stands on.

ministack is pinned in `labs/aws/pyproject.toml`; `tests/test_private_names.py` fails with the name
of whatever a newer one renamed. Everything is looked up late, because ministack reads its settings
from the environment when it is imported: call `prepare` first.
"""

from __future__ import annotations

import os
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
    "services.cloudformation.stacks": (
        "_add_event",
        "_delete_resource",
        "_provision_resource",
        "_runs_on_worker_thread",
        "_snapshot_resource",
        "_update_resource",
    ),
    "services.cloudformation.provisioners": (
        "_RESOURCE_HANDLERS",
        "_REPLACING_PROPERTIES",
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
            _provisioners()._provision_resource(
                self.name, request.logical_id, dict(request.properties), request.stack
            )
        )

    def update(self, request: Request) -> Physical:
        """Update through ministack's handler; it replaces where a property demands it."""
        return _physical(
            _provisioners()._update_resource(
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
        _provisioners()._delete_resource(
            self.name,
            request.physical_id,
            dict(request.properties),
            request.stack,
            request.logical_id,
        )

    def snapshot(self, request: Request) -> None:
        """Snapshot through ministack's handler, where the type has one."""
        _provisioners()._snapshot_resource(self.name, request.physical_id, dict(request.properties))

    def find(self, place: Place, identifier: Mapping[str, str]) -> Physical:
        """Find through ministack's import handler."""
        if "import" not in _provisioners()._RESOURCE_HANDLERS.get(self.name, {}):
            raise ResourceFailure(f"{self.name} does not support import operations in the lab.")
        return _physical(_provisioners()._import_resource(self.name, dict(identifier)))


def _provisioners() -> Any:
    return module("services.cloudformation.provisioners")


def _physical(made: Any) -> Physical:
    physical_id, attributes = made
    return Physical(str(physical_id), dict(attributes or {}))
