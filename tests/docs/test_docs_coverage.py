"""What is public is documented: fields, reasons, settings, annotations and tags."""

import importlib
import pkgutil
import re
from collections.abc import Iterator
from typing import Any, cast

import pytest

from isthmus import controllers, drivers, errors
from isthmus.api import meta
from isthmus.api.crd import crd
from isthmus.api.meta import Json
from isthmus.api.v1alpha1 import KINDS
from isthmus.errors import IsthmusError
from isthmus.runtime.worker import Reconciler
from tests.docs.blocks import ROOT

REFERENCE = ROOT / "docs" / "reference"


def fields(path: str, schema: Json) -> Iterator[tuple[str, Json]]:
    for name, field in cast("dict[str, Json]", schema.get("properties", {})).items():
        yield f"{path}.{name}", field
        inner = field.get("items") or field.get("additionalProperties") or field
        if isinstance(inner, dict):
            yield from fields(f"{path}.{name}", cast("Json", inner))


FIELDS = [
    (kind.names.kind, path, field)
    for kind in KINDS
    for part in ("spec", "status")
    for path, field in fields(
        part,
        crd(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"][part],
    )
]
REASONS = sorted(
    {
        e.reason
        for e in cast("list[Any]", list(vars(errors).values()))
        if isinstance(e, type) and issubclass(e, IsthmusError)
    }
)
SOURCES = [file.read_text() for file in sorted((ROOT / "src").rglob("*.py"))]
_NAME = re.compile(r"(?:isthmus\.dev|\{GROUP\})/([a-z][a-z-]*)\b(?!\d)")
NAMES = sorted({f"{meta.GROUP}/{name}" for text in SOURCES for name in _NAME.findall(text)})
_NOTE = re.compile(r"\.note\(\s*\"(\w+)\"")
NOTES = {name for text in SOURCES for name in _NOTE.findall(text)}
STEPS = {
    step
    for name in pkgutil.iter_modules(controllers.__path__)
    for value in vars(importlib.import_module(f"{controllers.__name__}.{name.name}")).values()
    if isinstance(value, type) and issubclass(value, Reconciler) and value is not Reconciler
    for step in value.steps
}


def test_every_field_is_explained() -> None:
    silent = [f"{kind} {path}" for kind, path, field in FIELDS if not field.get("description")]
    assert not silent, f"give these a description in src/isthmus/api: {silent}"


def test_every_field_is_in_the_reference() -> None:
    text = (REFERENCE / "kinds.md").read_text()
    missing = {
        path.rpartition(".")[2] for _, path, _ in FIELDS if path.rpartition(".")[2] not in text
    }
    assert not missing


@pytest.mark.parametrize("reason", REASONS)
def test_every_reason_has_a_remedy(reason: str) -> None:
    assert f"`{reason}`" in (REFERENCE / "conditions.md").read_text()


@pytest.mark.parametrize("condition", sorted(STEPS | NOTES))
def test_every_condition_is_explained(condition: str) -> None:
    assert f"`{condition}`" in (REFERENCE / "conditions.md").read_text()


@pytest.mark.parametrize("name", NAMES)
def test_every_annotation_label_and_tag_is_listed(name: str) -> None:
    assert f"`{name}`" in (REFERENCE / "annotations-and-labels.md").read_text()


@pytest.mark.parametrize("name", sorted(drivers.names()))
def test_every_setting_of_a_driver_is_explained(name: str) -> None:
    text = "".join(page.read_text() for page in sorted(REFERENCE.glob("*.md")))
    missing = [s for s in sorted(drivers.load(name).settings) if f"`{s}`" not in text]
    assert not missing, f"{name}: no page explains {missing}"
