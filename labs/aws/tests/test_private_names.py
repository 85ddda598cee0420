"""The lab stands on private names of ministack: a new version that moves one is told here."""

from __future__ import annotations

import ast
import os
import re
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

import pytest

from isthmus_lab_aws import gateway, inventory, ministack, rights

PIN = "1.5.33"
SOURCES = Path(__file__).parents[1] / "src" / "isthmus_lab_aws"
TABLES = [ministack.PRIVATE_NAMES, gateway.PRIVATE_NAMES, rights.PRIVATE_NAMES]


@pytest.fixture(scope="module", autouse=True)
def prepared():
    before = dict(os.environ)
    ministack.prepare(1)
    yield
    os.environ.clear()
    os.environ.update(before)


def test_pin():
    project = (SOURCES.parents[1] / "pyproject.toml").read_text()
    assert f"ministack[full]=={PIN}" in project
    assert version("ministack") == PIN, (
        f"ministack is {version('ministack')}, the lab is written for {PIN}: see which private "
        f"names moved (the tests below), then set the pin in labs/aws/pyproject.toml and here"
    )


NAMES = sorted({(part, name) for table in TABLES for part in table for name in table[part]})


@pytest.mark.parametrize(("part", "name"), NAMES)
def test_name_is_there(part, name):
    assert hasattr(import_module(f"ministack.{part}"), name), (
        f"ministack {version('ministack')} has no {part}.{name}; the pin in "
        f"labs/aws/pyproject.toml is {PIN}"
    )


@pytest.mark.parametrize("shelf", inventory.SHELVES, ids=lambda s: f"{s.service}.{s.store}")
def test_store_is_there(shelf):
    store = getattr(import_module(f"ministack.services.{shelf.service}"), shelf.store, None)
    assert hasattr(store, "_data"), (
        f"ministack {version('ministack')} keeps {shelf.type} elsewhere than in "
        f"{shelf.service}.{shelf.store}"
    )


def test_every_store_that_a_type_reads_is_there():
    """`ministack.service("rds")._clusters`, and names bound to such a module, exist."""
    missing = []
    for file in sorted(SOURCES.rglob("*.py")):
        text = file.read_text()
        for part, name in _reads(text):
            if not hasattr(import_module(f"ministack.{part}"), name):
                missing.append(f"{file.name}: {part}.{name}")
    assert missing == []


_BOUND = re.compile(r"^\s*(\w+)(?:: Any)? = (?:ministack\.)?service\(\"(\w+)\"\)", re.M)


def _reads(text: str) -> set[tuple[str, str]]:
    found: set[tuple[str, str]] = set()
    bound: dict[str, str] = dict(_BOUND.findall(text))
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.Attribute):
            continue
        owner = node.value
        if isinstance(owner, ast.Name) and owner.id in bound:
            found.add((f"services.{bound[owner.id]}", node.attr))
        elif isinstance(owner, ast.Call) and owner.args and isinstance(owner.args[0], ast.Constant):
            called = ast.unparse(owner.func).rpartition(".")[2]
            if called == "service":
                found.add((f"services.{owner.args[0].value}", node.attr))
            elif called == "module":
                found.add((str(owner.args[0].value), node.attr))
    return found
