"""What we do to a template on its way to Heat, and what the tags of a stack say.

Pure: the engine calls, this decides. A stack's template is a HOT document with two more sections:
``files`` (name to nested template or script) and ``environment`` (Heat's own). Whose a stack is,
and which state of its Isthmus object it has, stands in the stack's tags: Heat sets them together
with the template when it accepts a change, and touches no resource for them.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, cast
from urllib.parse import quote, unquote

import orjson

from isthmus.api.meta import Json
from isthmus.core.documents import without_nulls
from isthmus.core.stacks import (
    TAG_INSTALLATION,
    TAG_NAME,
    TAG_NAMESPACE,
    TAG_UID,
    NativeStack,
)
from isthmus.errors import InvalidSpec

FILES: Final = "files"
ENVIRONMENT: Final = "environment"
_PREFIX: Final = "isthmus:"
_DIGEST: Final = "digest"
_SHORT: Final[dict[str, str]] = {
    TAG_UID: "uid",
    TAG_NAMESPACE: "namespace",
    TAG_NAME: "name",
    TAG_INSTALLATION: "installation",
}
_TAG_ROOM: Final = 80
"""Characters of one tag; https://docs.openstack.org/api-ref/orchestration/v1/#stack-tags"""
_SAFE: Final = "-._~:/@ ()"
"""Characters that stay as they are in a tag. A comma would end it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A template with what it refers to, as Heat takes it."""

    template: Json
    files: Mapping[str, str] = field(default_factory=dict[str, str])
    environment: Json = field(default_factory=dict[str, object])

    def request(self) -> Json:
        """Return the part of a request that these make."""
        return {
            "template": self.template,
            "files": dict(self.files),
            "environment": self.environment,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Tags:
    """The tags of a stack: ours by the names of ``core.stacks``, and everybody else's."""

    ours: Mapping[str, str] = field(default_factory=dict[str, str])
    digest: str = ""
    others: tuple[str, ...] = ()


def prepare(stack: NativeStack) -> Document:
    """Return the stack's document without nulls, and with secret parameters hidden.

    Raises:
        InvalidSpec: A section has the wrong shape, or a secret parameter is not declared.
    """
    document = without_nulls(stack.template)
    files = _section(document, FILES)
    environment = _section(document, ENVIRONMENT)
    template = {k: v for k, v in document.items() if k not in (FILES, ENVIRONMENT)}
    if stack.secret_parameters:
        template["parameters"] = _hidden(template, stack.secret_parameters)
    return Document(
        template=template,
        files={name: _as_file(content) for name, content in files.items()},
        environment=environment,
    )


def write_tags(tags: Mapping[str, str], digest: str, others: Sequence[str] = ()) -> str:
    """Return a stack's tags as Heat takes them: joined by commas, 80 characters each.

    What is longer is continued in tags of its own: ``isthmus:name=…``, ``isthmus:name.1=…``.
    """
    named = {_SHORT[name]: value for name, value in tags.items() if name in _SHORT and value}
    if digest:
        named[_DIGEST] = digest
    written = [part for name, value in named.items() for part in _parts(name, value)]
    return ",".join([*others, *written])


def read_tags(tags: Iterable[str]) -> Tags:
    """Read what ``write_tags`` wrote."""
    found: dict[str, dict[int, str]] = {}
    others: list[str] = []
    for tag in tags:
        name, equals, value = tag.removeprefix(_PREFIX).partition("=")
        key, _, number = name.partition(".")
        if not tag.startswith(_PREFIX) or not equals or (number and not number.isdigit()):
            others.append(tag)
            continue
        found.setdefault(key, {})[int(number or 0)] = value
    values = {
        key: unquote("".join(part for _, part in sorted(parts.items())))
        for key, parts in found.items()
    }
    return Tags(
        ours={long: values[short] for long, short in _SHORT.items() if short in values},
        digest=values.get(_DIGEST, ""),
        others=tuple(others),
    )


def installation_tag(installation: str) -> str:
    """Return the tag by which Heat finds the stacks of an installation."""
    return _parts(_SHORT[TAG_INSTALLATION], installation)[0]


def adoption(document: Document, name: str, resources: Mapping[str, Mapping[str, str]]) -> str:
    """Return Heat's ``adopt_stack_data``: which existing resource stands for which of ours.

    Raises:
        InvalidSpec: The template has no such resource, or its id is missing.
    """
    known = cast("dict[str, Json]", document.template.get("resources") or {})
    taken: Json = {}
    for logical_id, identifier in sorted(resources.items()):
        if logical_id not in known:
            raise InvalidSpec(
                f"spec.adopt.resources.{logical_id}: the template has no such resource; it has: "
                f"{', '.join(sorted(known))}."
            )
        if not identifier.get("id"):
            raise InvalidSpec(f"spec.adopt.resources.{logical_id}.id: write the resource's id.")
        taken[logical_id] = {
            "action": "CREATE",
            "status": "COMPLETE",
            "name": logical_id,
            "type": known[logical_id].get("type"),
            "resource_id": identifier["id"],
            "resource_data": {},
            "metadata": {},
        }
    data: Json = {
        "action": "CREATE",
        "status": "COMPLETE",
        "name": name,
        "template": document.template,
        "environment": document.environment,
        "files": dict(document.files),
        "resources": taken,
    }
    return orjson.dumps(data).decode()


def _parts(name: str, value: str) -> list[str]:
    text, parts = quote(value, safe=_SAFE), list[str]()
    while text or not parts:
        head = f"{_PREFIX}{name}{f'.{len(parts)}' if parts else ''}="
        room = _TAG_ROOM - len(head)
        parts.append(head + text[:room])
        text = text[room:]
    return parts


def _section(document: Json, name: str) -> Json:
    section: Any = document.get(name, {})
    if not isinstance(section, dict):
        raise InvalidSpec(f"template.{name}: write a mapping of names.")
    return cast("Json", section)


def _as_file(content: Any) -> str:
    """Return a file's text; a nested template may be written as a document."""
    return content if isinstance(content, str) else orjson.dumps(content).decode()


def _hidden(template: Json, secret: frozenset[str]) -> Json:
    declared = dict(cast("dict[str, Json]", template.get("parameters", {})))
    for name in sorted(secret):
        if name not in declared:
            raise InvalidSpec(
                f"template.parameters.{name}: declare it; a secret parameter is passed by it."
            )
        declared[name] = declared[name] | {"hidden": True}
    return declared
