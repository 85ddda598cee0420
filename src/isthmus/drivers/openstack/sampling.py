"""A template with one member of each group instead of all: enough to know what they need.

Heat writes every member of a group into a preview, and looks up flavor, image and network for each:
of 128 servers that takes longer than to ask for them. Members are alike, so one is asked about, and
counts as often as it stands for. Pure.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final, cast

from isthmus.api.meta import Json
from isthmus.drivers.openstack.template import Document

_GROUP: Final = "OS::Heat::ResourceGroup"


def sampled(document: Document) -> tuple[Document, Mapping[str, int]]:
    """Return the document with one member in each group, and how many there are of it by group.

    A group whose count only Heat knows (a parameter, a function) stays as it is.
    """
    resources = cast("Json", document.template.get("resources") or {})
    counts = {
        name: count for name, resource in resources.items() if (count := _count(resource)) > 1
    }
    if not counts:
        return document, {}
    reduced = {name: _of_one(r) if name in counts else r for name, r in resources.items()}
    template = document.template | {"resources": reduced}
    return replace(document, template=template), counts


def every(found: Mapping[str, Json], counts: Mapping[str, int]) -> Iterator[tuple[str, Json]]:
    """Yield path and words of a sample's resources, as often as there will be each."""
    for path, resource in found.items():
        head, below, _ = path.partition("/")
        yield from [(path, resource)] * (counts.get(head, 1) if below else 1)


def _count(resource: Any) -> int:
    if not isinstance(resource, dict):
        return 0
    group = cast("Json", resource)
    properties: Any = group.get("properties")
    if group.get("type") != _GROUP or not isinstance(properties, dict):
        return 0
    count: Any = cast("Json", properties).get("count", 1)
    return int(count) if isinstance(count, int) or str(count).isdigit() else 0


def _of_one(resource: Json) -> Json:
    return resource | {"properties": cast("Json", resource["properties"]) | {"count": 1}}
