"""Every refusal of the API as one exception that knows its Kubernetes `Status`.

Source: https://github.com/kubernetes/community/blob/master/contributors/devel/sig-architecture/api-conventions.md
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from isthmus.apiserver.jsonvalues import Json


class Named(Protocol):
    """What an error needs to know of a resource to name it."""

    @property
    def group(self) -> str:
        """API group."""
        ...

    @property
    def plural(self) -> str:
        """Name in paths."""
        ...

    @property
    def kind(self) -> str:
        """Name in objects."""
        ...

    @property
    def qualified(self) -> str:
        """`plural.group`."""
        ...


@dataclass(frozen=True, slots=True)
class Cause:
    """One field that is wrong.

    Attributes:
        field: Path of the field, for example `spec.replicas`.
        message: What is wrong and what would be right.
        reason: Kubernetes' machine-readable cause, for example `FieldValueRequired`.
    """

    field: str
    message: str
    reason: str = "FieldValueInvalid"

    def sentence(self) -> str:
        """The cause as Kubernetes prints it within the message."""
        label = {
            "FieldValueRequired": "Required value",
            "FieldValueForbidden": "Forbidden",
            "FieldValueNotSupported": "Unsupported value",
            "FieldValueTooLong": "Too long",
            "FieldValueTooMany": "Too many",
            "FieldValueDuplicate": "Duplicate value",
        }.get(self.reason, "Invalid value")
        return (
            f"{self.field}: {label}: {self.message}" if self.message else f"{self.field}: {label}"
        )

    def shown(self) -> Json:
        """The cause within the `details` of a Status."""
        message = self.sentence().removeprefix(self.field + ": ")
        return {"reason": self.reason, "message": message, "field": self.field}


_MOST_TOLD = 200
"""Causes in one refusal: one byte of a body may be wrong in hundreds of words."""
_ALWAYS_DETAILED = ("Invalid", "MethodNotAllowed")
"""Reasons of Statuses that have `details` even when there are none."""


class ApiError(Exception):
    """A refusal that is answered as a Kubernetes `Status` object.

    Args:
        code: HTTP status code.
        reason: Kubernetes' reason word, for example `NotFound`.
        message: A sentence for the person who asked, without any secret.
        details: The `details` of the Status.
    """

    def __init__(self, code: int, reason: str, message: str, details: Json | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details or {}
        self.metadata: Json = {}
        self.warnings: list[str] = []
        """What the caller is told besides, as with an answer that is no refusal."""

    def status(self) -> Json:
        """The body of the answer."""
        return {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": self.metadata,
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            **self._details(),
            "code": self.code,
        }

    def _details(self) -> Json:
        """What clients find under `details`, without what is empty there."""
        told = {name: value for name, value in self.details.items() if value}
        return {"details": told} if told or self.reason in _ALWAYS_DETAILED else {}


def _details(resource: Named, name: str) -> Json:
    return {"name": name, "group": resource.group, "kind": resource.plural}


def bad_request(message: str) -> ApiError:
    """The request cannot be understood."""
    return ApiError(400, "BadRequest", message)


def not_supported(resource: Named, verb: str) -> ApiError:
    """The resource exists, and this cannot be done with it."""
    message = f'{verb} is not supported on resources of kind "{resource.qualified}"'
    details: Json = {"group": resource.group, "kind": resource.plural}
    return ApiError(405, "MethodNotAllowed", message, details)


def method_not_allowed() -> ApiError:
    """There is something under this path, and nothing like this is done with it."""
    message = "the server does not allow this method on the requested resource"
    return ApiError(405, "MethodNotAllowed", message)


def too_large(size: int, most: int) -> ApiError:
    """413: the object would be larger than what is stored."""
    why = f"the object would have {size} bytes, and at most {most} are stored"
    return ApiError(413, "RequestEntityTooLarge", why)


def unknown_path(why: str = "") -> ApiError:
    """Nothing is served under this path."""
    message = "the server could not find the requested resource"
    return ApiError(404, "NotFound", f"{message}: {why}" if why else message)


def not_found(resource: Named, name: str) -> ApiError:
    """The object does not exist."""
    message = f'{resource.qualified} "{name}" not found'
    return ApiError(404, "NotFound", message, _details(resource, name))


def already_exists(resource: Named, name: str, *, leaving: bool = False) -> ApiError:
    """An object of this name exists; it may be `leaving`."""
    message = f'{resource.qualified} "{name}" already exists'
    if leaving:
        message = f"object is being deleted: {message}"
    return ApiError(409, "AlreadyExists", message, _details(resource, name))


def conflict(resource: Named, name: str, why: str = "") -> ApiError:
    """The object has changed since the caller read it."""
    why = why or (
        "the object has been modified; please apply your changes to the latest version and try"
        " again"
    )
    message = f'Operation cannot be fulfilled on {resource.qualified} "{name}": {why}'
    return ApiError(409, "Conflict", message, _details(resource, name))


def forbidden(resource: Named, name: str, why: str) -> ApiError:
    """The request is understood and not allowed."""
    message = f'{resource.qualified} "{name}" is forbidden: {why}'
    return ApiError(403, "Forbidden", message, _details(resource, name))


def invalid(resource: Named, name: str, causes: Sequence[Cause], *, named: str = "") -> ApiError:
    """The object breaks its schema or a rule of its kind.

    Args:
        resource: The kind.
        name: The object.
        causes: What is wrong.
        named: What is said to be invalid, where that is not the kind.
    """
    kind = named or (f"{resource.kind}.{resource.group}" if resource.group else resource.kind)
    details: Json = {
        "name": name,
        "group": resource.group,
        "kind": resource.plural if named else resource.kind,
        "causes": _shown(causes),
    }
    return ApiError(422, "Invalid", f'{kind} "{name}" is invalid: {_listed(causes)}', details)


def invalid_request(group: str, kind: str, causes: Sequence[Cause]) -> ApiError:
    """The same of what is no object: options, a question, a request for a token."""
    details: Json = {"group": group, "kind": kind, "causes": _shown(causes)}
    said = f'{kind}.{group} "" is invalid: {_listed(causes)}'
    return ApiError(422, "Invalid", said, details)


def _shown(causes: Sequence[Cause]) -> list[Json]:
    return [cause.shown() for cause in causes[:_MOST_TOLD]]


def _listed(causes: Sequence[Cause]) -> str:
    sentences = [cause.sentence() for cause in causes[:_MOST_TOLD]]
    if len(causes) > _MOST_TOLD:
        sentences.append(f"and {len(causes) - _MOST_TOLD} more")
    return sentences[0] if len(sentences) == 1 else "[" + ", ".join(sentences) + "]"


def expired(asked: int, oldest: int) -> ApiError:
    """History before `oldest` is gone; the caller must list again."""
    return ApiError(410, "Expired", f"too old resource version: {asked} ({oldest})")


def not_yet(asked: int, newest: int) -> ApiError:
    """A watch is to begin at a version that was not given out; the caller must list again."""
    why = f"too large resource version: {asked}, current: {newest}"
    return ApiError(410, "Expired", why)


def unprocessable(message: str) -> ApiError:
    """A patch cannot be carried out on this object."""
    return ApiError(
        422, "Invalid", f"the server rejected our request due to an error in our request: {message}"
    )
