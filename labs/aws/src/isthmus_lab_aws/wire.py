"""Services of the lab's own, spoken over AWS's query and JSON protocols.

A service is a table of operations, each a function from parameters to a result; the protocol comes
from AWS's model of the service (`models.py`), so that any SDK reads the answers.

Sources: https://smithy.io/2.0/aws/protocols/aws-query-protocol.html,
https://smithy.io/2.0/aws/protocols/aws-json-1_1-protocol.html
"""

from __future__ import annotations

import datetime as dt
import json
import uuid
from collections.abc import Callable, Mapping
from typing import Any, cast
from xml.sax.saxutils import escape

from isthmus_lab_aws import models
from isthmus_lab_aws.inside import handler_code
from isthmus_lab_aws.resource import Answer, Call, Place, ResourceFailure, ServiceApi

Parameters = Mapping[str, Any]
Operation = Callable[[Place, Parameters], Mapping[str, Any]]


class ApiError(Exception):
    """An operation is refused, in the service's own error code."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.status = status


class OwnService(ServiceApi):
    """A service that the lab implements itself.

    Times in results are seconds since the epoch. `arn` names what a call is about, for policies;
    it gives `*` where the call names nothing.
    """

    def __init__(
        self,
        model: str,
        operations: Mapping[str, Operation],
        arn: Callable[[Call], str] = lambda call: "*",
    ) -> None:
        """Describe a service.

        Args:
            model: botocore's name of the client.
            operations: by the API's name.
            arn: the resource that the caller's policies are checked against.
        """
        self._model = model
        self._operations = operations
        self._arn = arn

    def handles(self, call: Call) -> bool:
        """Whether the call is signed for this service, in its version."""
        model = models.service_model(self._model)
        if call.service != model.signing_name:
            return False
        version = call.parameters.get("Version") if model.protocol == "query" else None
        return version is None or version == model.api_version

    def resource(self, call: Call) -> str:
        """The ARN that policies are checked against."""
        return self._arn(call)

    def handle(self, call: Call) -> Answer:
        """Read the request, do it, write the answer."""
        model = models.service_model(self._model)
        action = self.action(call)
        try:
            operation = models.operation_model(self._model, action)
            given = call.parameters
            if model.protocol == "query":
                given = _from_query(operation.input_shape, call.parameters, "")
            result = self.run(call.place, action, cast("Parameters", given or {}))
        except KeyError:
            return _error(model.protocol, "InvalidAction", f"The action {action} is not valid.")
        except ApiError as refusal:
            return _error(model.protocol, refusal.code, str(refusal), refusal.status)
        return _answer(model, operation, result)

    def action(self, call: Call) -> str:
        """The operation's name, from the call's own parameters or target."""
        target = call.headers.get("x-amz-target", "").rpartition(".")[2]
        return str(target or call.parameters.get("Action") or call.action)

    def run(self, place: Place, action: str, parameters: Parameters) -> Mapping[str, Any]:
        """Do an operation for a caller inside the lab.

        Raises:
            ApiError: it is refused, or not implemented.
        """
        shape = models.operation_model(self._model, action).input_shape
        given: dict[str, Any] = models.coerce(shape, parameters) if shape else {}
        problem = models.problem(shape, given) if shape else None
        if problem:
            raise ApiError("ValidationException", problem)
        if action not in self._operations:
            raise ApiError("NotImplemented", f"The lab does not implement {action}.", 501)
        return self._operations[action](place, given)

    def provision(self, place: Place, action: str, parameters: Parameters) -> Mapping[str, Any]:
        """Do an operation for a resource type; a refusal becomes the resource's failure."""
        try:
            return self.run(place, action, parameters)
        except ApiError as refusal:
            service = self._model.replace("-", " ").title().replace(" ", "")
            text = f"{refusal} (Service: {service}, Status Code: {refusal.status})"
            raise ResourceFailure(text, handler_code(refusal.code, refusal.status)) from refusal


def read_query(service: str, action: str, form: Mapping[str, Any]) -> dict[str, Any]:
    """The typed parameters of a query-protocol call."""
    shape = models.operation_model(service, action).input_shape
    found: dict[str, Any] = models.coerce(shape, _from_query(shape, form, ""))
    return found


def _answer(model: Any, operation: Any, result: Mapping[str, Any]) -> Answer:
    shape = operation.output_shape
    if model.protocol == "json":
        body = json.dumps(_to_json(shape, result) if shape else {}).encode()
        return Answer(
            200, body, {"content-type": f"application/x-amz-json-{model.metadata['jsonVersion']}"}
        )
    inner = ""
    if shape is not None:
        wrapper = shape.serialization.get("resultWrapper", f"{operation.name}Result")
        inner = f"<{wrapper}>{_to_xml(shape, result)}</{wrapper}>"
    body = (
        f'<{operation.name}Response xmlns="{model.metadata["xmlNamespace"]}">{inner}'
        f"<ResponseMetadata><RequestId>{uuid.uuid4()}</RequestId></ResponseMetadata>"
        f"</{operation.name}Response>"
    )
    return Answer(200, body.encode(), {"content-type": "text/xml"})


def _error(protocol: str, code: str, message: str, status: int = 400) -> Answer:
    if protocol == "json":
        body = json.dumps({"__type": code, "message": message})
        headers = {"content-type": "application/x-amz-json-1.1", "x-amzn-errortype": code}
        return Answer(status, body.encode(), headers)
    body = (
        f"<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code>"
        f"<Message>{escape(message)}</Message></Error>"
        f"<RequestId>{uuid.uuid4()}</RequestId></ErrorResponse>"
    )
    return Answer(status, body.encode(), {"content-type": "text/xml"})


def _from_query(shape: Any, form: Mapping[str, Any], prefix: str) -> Any:
    """The value of a shape in a form's flat names (`Tags.Tag.1.Key`); None where it is absent."""
    if shape is None:
        return {}
    if shape.type_name == "structure":
        found = {
            name: _from_query(member, form, _below(prefix, member.serialization.get("name", name)))
            for name, member in shape.members.items()
        }
        present = {name: value for name, value in found.items() if value is not None}
        return present if present or not prefix else None
    if shape.type_name == "list":
        return _list_from_query(shape, form, prefix)
    return form.get(prefix)


def _list_from_query(shape: Any, form: Mapping[str, Any], prefix: str) -> list[Any] | None:
    names = {shape.member.serialization.get("name", "member"), "member"}
    for base in [f"{prefix}.{name}" for name in sorted(names)] + [prefix]:
        items: list[Any] = []
        while (item := _from_query(shape.member, form, f"{base}.{len(items) + 1}")) is not None:
            items.append(item)
        if items:
            return items
    return [] if prefix in form else None


def _below(prefix: str, name: str) -> str:
    return f"{prefix}.{name}" if prefix else name


def _to_xml(shape: Any, value: Any) -> str:
    if shape.type_name == "structure":
        given = cast("Mapping[str, Any]", value)
        return "".join(
            _element(member.serialization.get("name", name), _to_xml(member, given[name]))
            for name, member in shape.members.items()
            if given.get(name) is not None
        )
    if shape.type_name == "list":
        name = shape.member.serialization.get("name", "member")
        return "".join(_element(name, _to_xml(shape.member, item)) for item in value)
    if shape.type_name == "timestamp":
        return dt.datetime.fromtimestamp(float(value), dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    if isinstance(value, bool):
        return str(value).lower()
    return escape(str(value))


def _element(name: str, inner: str) -> str:
    return f"<{name}>{inner}</{name}>"


def _to_json(shape: Any, value: Any) -> Any:
    if shape.type_name == "structure":
        given = cast("Mapping[str, Any]", value)
        return {
            member.serialization.get("name", name): _to_json(member, given[name])
            for name, member in shape.members.items()
            if given.get(name) is not None
        }
    if shape.type_name == "list":
        return [_to_json(shape.member, item) for item in cast("list[Any]", value)]
    if shape.type_name == "map":
        pairs = cast("Mapping[str, Any]", value)
        return {key: _to_json(shape.value, item) for key, item in pairs.items()}
    if shape.type_name == "timestamp" and _is_iso(shape, value):
        return dt.datetime.fromtimestamp(float(value), dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return value


def _is_iso(shape: Any, value: Any) -> bool:
    return shape.serialization.get("timestampFormat") == "iso8601" and isinstance(
        value, float | int
    )
