"""AWS's own service models, as botocore carries them: what an operation takes and gives.

The lab's own services are served by them (`wire.py`), ministack's are called by them
(`inside.py`), and the properties of a template are brought to their types here: CloudFormation
passes "2" where an API wants 2.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, cast

Shape = Any
"""A botocore shape; botocore is untyped."""


@cache
def service_model(name: str) -> Any:
    """The botocore model of a service, by its client name (`redshift-serverless`)."""
    import botocore.session

    return botocore.session.get_session().get_service_model(name)


@cache
def operation_model(service: str, operation: str) -> Any:
    """The model of one operation; KeyError if the service has none of this name."""
    model = service_model(service)
    if operation not in model.operation_names:
        raise KeyError(f"{service} has no operation {operation}")
    return model.operation_model(operation)


def coerce(shape: Shape, value: Any) -> Any:
    """Bring a value to its shape's types and leave out members that the shape does not have."""
    kind: str = shape.type_name
    if kind == "structure" and isinstance(value, Mapping):
        given = cast("Mapping[str, Any]", value)
        return {
            name: coerce(member, given[name])
            for name, member in shape.members.items()
            if given.get(name) is not None
        }
    if kind == "list":
        items = cast("list[Any]", value if isinstance(value, list) else [value])
        return [coerce(shape.member, item) for item in items]
    if kind == "map" and isinstance(value, Mapping):
        pairs = cast("Mapping[str, Any]", value)
        return {key: coerce(shape.value, item) for key, item in pairs.items()}
    return _scalar(kind, value)


def _scalar(kind: str, value: Any) -> Any:
    if kind in ("integer", "long") and isinstance(value, str | float):
        return int(value)
    if kind in ("float", "double") and isinstance(value, str | int):
        return float(value)
    if kind == "boolean" and isinstance(value, str):
        return value.lower() == "true"
    if kind == "string" and isinstance(value, bool):
        return str(value).lower()
    if kind == "string" and isinstance(value, int | float):
        return str(value)
    return value


def problem(shape: Shape, parameters: Mapping[str, Any]) -> str | None:
    """What is wrong with an operation's parameters, or None."""
    from botocore.validate import ParamValidator

    report = ParamValidator().validate(parameters, shape)
    return str(report.generate_report()) if report.has_errors() else None
