"""The tools of those who write offerings need no server."""

import json
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from isthmus.faces.cli import main
from isthmus.faces.hooks import Hooks
from isthmus.ports import Driver, Finding
from tests.installation import an_offering


def run(*words: str, driver: Driver | None = None):
    made = driver or Driver(name="fake", settings=frozenset(), open=None)
    hooks = Hooks(load_driver=lambda _: made, driver_names=lambda: frozenset({"fake"}))
    return CliRunner().invoke(main.build(hooks), ["catalog", *words])


@pytest.fixture
def file(tmp_path) -> Path:
    path = tmp_path / "database.yaml"
    path.write_text(yaml.safe_dump(an_offering(), sort_keys=False))
    return path


def test_a_finding_names_file_line_and_field(file):
    text = file.read_text().replace("${encoding}", "${encodign}")
    file.write_text(text)
    line = 1 + text[: text.index("${encodign}")].count("\n")
    done = run("lint", str(file))
    assert done.exit_code == 3
    assert f"{file}:{line}: spec.stacks.fake.template" in done.stdout
    assert "encodign" in done.stdout


def test_the_drivers_findings_are_placed_too(file):
    def lint(template):
        return (Finding(path="resources.Database", message="too big", rule="E1"),)

    driver = Driver(name="fake", settings=frozenset(), open=None, lint=lint)
    done = run("lint", str(file), "-o", "json", driver=driver)
    found = [f for f in json.loads(done.stdout) if f["rule"] == "E1"]
    assert [f["path"] for f in found] == ["spec.stacks.fake.template.resources.Database"]


def test_generate_writes_what_the_driver_makes_and_never_over_a_file(tmp_path):
    def generate(native_type):
        return {"kind": "Offering", "spec": {"title": native_type, "reviewed": False}}

    driver = Driver(name="fake", settings=frozenset(), open=None, generate=generate)
    target = tmp_path / "new.yaml"
    done = run("generate", "Any::Type", "-o", str(target), driver=driver)
    assert done.exit_code == 0
    assert yaml.safe_load(target.read_text())["spec"]["title"] == "Any::Type"
    done = run("generate", "Any::Type", "-o", str(target), driver=driver)
    assert done.exit_code == 6
    assert "exists already" in done.stderr


def test_a_driver_that_cannot_generate_says_so():
    done = run("generate", "Any::Type")
    assert done.exit_code == 2
    assert "cannot generate" in done.stderr


def test_help_names_every_verb():
    hooks = Hooks(load_driver=lambda _: None, driver_names=frozenset)
    text = CliRunner().invoke(main.build(hooks), ["--help"]).stdout
    verbs = ("get", "describe", "apply", "delete", "plan", "why", "adopt", "orphans")
    for verb in (*verbs, "catalog", "lab"):
        assert f"\n  {verb} " in text
