"""What we do to a template on its way to CloudFormation, and the names we give to operations.

Pure: the engine calls, this decides.

Two things must be remembered beside a stack without touching its resources. The digest of what it
has is an output: an update of outputs alone is accepted, changes no resource, and a rollback takes
it back. The digest of what was tried last is in the request token, which CloudFormation copies to
every event of the operation, so that a failed attempt is known even after a rollback and a crash.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import cast

import orjson

from isthmus.api.meta import Json
from isthmus.core.documents import without_nulls
from isthmus.core.stacks import NativeStack
from isthmus.errors import InvalidSpec

DIGEST_OUTPUT = "IsthmusDigest"
INLINE_BYTES = 51_200
"""TemplateBody; https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html"""
STORED_BYTES = 1_000_000
"""TemplateURL, same source."""

_AGAIN = "~"
_TOKEN = re.compile(r"^isthmus-(?P<verb>[a-z]+)-(?P<digest>.*)-(?P<salt>[0-9a-f]{12})$")
_UNSAFE = re.compile(r"[^A-Za-z0-9-]")


class Verb(StrEnum):
    """What one of our operations on a stack is for."""

    CREATE = "create"
    UPDATE = "update"
    CONTINUE = "continue"
    IMPORT = "import"
    ADOPT = "adopt"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class Attempt:
    """An operation that we started: what for, and with which digest."""

    verb: Verb
    digest: str


def token(verb: Verb, stack: NativeStack, salt: Sequence[object]) -> str:
    """Return the ClientRequestToken of an operation.

    It repeats while the stack is as it was, so that a repeated request is the same request, and
    differs once the stack has moved on, since CloudFormation accepts a token only once.
    """
    digits = hashlib.sha256(repr(tuple(salt)).encode()).hexdigest()[:12]
    return f"isthmus-{verb}-{_UNSAFE.sub('-', stack.digest)}-{digits}"


def attempt(request_token: str) -> Attempt | None:
    """Read one of our tokens; None for anybody else's."""
    match = _TOKEN.match(request_token)
    if match is None or match["verb"] not in set(Verb):
        return None
    return Attempt(Verb(match["verb"]), match["digest"])


def marked_digest(outputs: Mapping[str, str]) -> str:
    """Return the digest that the stack's outputs carry, or an empty text."""
    return outputs.get(DIGEST_OUTPUT, "").partition(_AGAIN)[0]


def next_mark(digest: str, outputs: Mapping[str, str]) -> str:
    """Return a mark for ``digest`` that differs from the stack's present one.

    A stack whose update was rolled back may be asked for its former state again. Only an update
    makes it healthy, and CloudFormation refuses an update that changes nothing.
    """
    present = outputs.get(DIGEST_OUTPUT, "")
    if marked_digest(outputs) != digest:
        return digest
    again = present.partition(_AGAIN)[2]
    return f"{digest}{_AGAIN}{int(again or 0) + 1}"


def prepare(stack: NativeStack, mark: str) -> Json:
    """Return the template with our output, without nulls, and with secret parameters hidden.

    Raises:
        InvalidSpec: A secret parameter is not declared.
    """
    document = without_nulls(stack.template)
    outputs = dict(cast("Json", document.get("Outputs", {})))
    outputs[DIGEST_OUTPUT] = {
        "Description": "Which state of its Isthmus object this stack has.",
        "Value": mark,
    }
    document["Outputs"] = outputs
    if stack.secret_parameters:
        document["Parameters"] = _hidden(document, stack.secret_parameters)
    return document


def only_resources(document: Json, logical_ids: Sequence[str]) -> Json:
    """Return a template for an import: nothing but those resources, kept if it is undone."""
    known = cast("dict[str, Json]", document.get("Resources", {}))
    if missing := sorted(set(logical_ids) - set(known)):
        raise InvalidSpec(
            f"spec.adopt.resources.{missing[0]}: the template has no such resource; it has: "
            f"{', '.join(sorted(known))}."
        )
    kept = {name: {"DeletionPolicy": "Retain"} | known[name] for name in logical_ids}
    for resource in kept.values():
        resource.pop("DependsOn", None)
    rest = {k: v for k, v in document.items() if k not in ("Outputs", "Resources")}
    return rest | {"Resources": kept}


def body(document: Json) -> str:
    """Return a template as the compact text that CloudFormation gets.

    Raises:
        InvalidSpec: It is above what CloudFormation takes at all.
    """
    text = orjson.dumps(document).decode()
    if len(text.encode()) > STORED_BYTES:
        raise InvalidSpec(
            f"template: {len(text.encode()):,} bytes; CloudFormation takes at most "
            f"{STORED_BYTES:,}. Split the offering."
        )
    return text


def capabilities(document: Json) -> list[str]:
    """Return what we acknowledge; the service role limits what a stack can do."""
    macros = ["CAPABILITY_AUTO_EXPAND"] if "Transform" in document else []
    return ["CAPABILITY_NAMED_IAM", *macros]


def has_nested(document: Json) -> bool:
    """Tell whether the template holds stacks of its own."""
    resources = cast("dict[str, Json]", document.get("Resources", {}))
    return any(r.get("Type") == "AWS::CloudFormation::Stack" for r in resources.values())


def _hidden(document: Json, secret: frozenset[str]) -> Json:
    declared = dict(cast("dict[str, Json]", document.get("Parameters", {})))
    for name in sorted(secret):
        if name not in declared:
            raise InvalidSpec(
                f"template.Parameters.{name}: declare it; a secret parameter is passed by it."
            )
        declared[name] = declared[name] | {"NoEcho": True}
    return declared
