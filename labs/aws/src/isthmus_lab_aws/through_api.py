"""Resource types that are one create, one update and one delete call of a service's API.

CloudFormation itself works so for most types; a `ThroughApi` is the row that says which calls.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from isthmus_lab_aws import inside
from isthmus_lab_aws.inside import absent_is_fine
from isthmus_lab_aws.resource import Delays, Physical, Place, Properties, Request, ResourceType

Shape = Callable[[Request], Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Calls:
    """The API calls behind a type.

    Attributes:
        service: botocore's name of the client.
        create: operation that makes it, with the properties as parameters.
        delete: operation that removes it, with `delete_by` set to the physical id.
        delete_by: the parameter that names it in `delete` and `update`.
        update: operation that changes it; without one every change replaces it.
        identity: path of the physical id in the answer of `create` (`HealthCheck.Id`), or `=Name`
            for the property of that name.
        attributes: path in the answer per attribute of `Fn::GetAtt`; `=id` is the physical id.
        keep: properties that `delete` needs beside the id.
    """

    service: str
    create: str
    delete: str
    delete_by: str
    identity: str
    update: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict[str, str])
    keep: tuple[str, ...] = ()


class ThroughApi(ResourceType):
    """A type by its calls. `shape` makes the parameters of create and update from a request."""

    def __init__(
        self,
        name: str,
        calls: Calls,
        delays: Delays | None = None,
        shape: Shape = lambda request: request.properties,
        replacing: tuple[str, ...] | None = None,
    ) -> None:
        self.name = name
        self.delays = delays or Delays()
        self.replacing = replacing
        self._calls = calls
        self._shape = shape

    def create(self, request: Request) -> Physical:
        """Make it by its call."""
        calls = self._calls
        parameters = {"Name": request.name(), **self._shape(request)}
        if calls.identity.startswith("=") and calls.identity[1:] not in parameters:
            parameters[calls.identity[1:]] = request.name()
        answer = inside.call(calls.service, calls.create, parameters)
        if calls.identity.startswith("="):
            identity = str(parameters[calls.identity[1:]])
        else:
            identity = str(_at(answer, calls.identity))
        attributes = {
            attribute: identity if path == "=id" else str(_at(answer, path))
            for attribute, path in calls.attributes.items()
        }
        return Physical(identity, attributes)

    def update(self, request: Request) -> Physical:
        """Change it by its call, if it has one."""
        calls = self._calls
        if calls.update:
            name = {calls.delete_by: request.physical_id}
            inside.call(calls.service, calls.update, {**self._shape(request), **name})
        return Physical(request.physical_id, request.attributes)

    def delete(self, request: Request) -> None:
        """Remove it by its call."""
        calls = self._calls
        kept = {key: request.properties[key] for key in calls.keep if key in request.properties}
        with absent_is_fine():
            name = {calls.delete_by: request.physical_id}
            inside.call(calls.service, calls.delete, {**kept, **name})

    def taken(self, place: Place, properties: Properties) -> str | None:
        """The service itself refuses a taken name."""
        return None


def _at(answer: Mapping[str, Any], path: str) -> Any:
    found: Any = answer
    for part in path.split("."):
        found = found[part]
    return found
