"""The locked requirements cover what the projects ask for, by hash, from no named index."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
REQUIREMENTS = ROOT / "requirements"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LAB = tomllib.loads((ROOT / "labs" / "aws" / "pyproject.toml").read_text())
EXTRAS = PROJECT["project"]["optional-dependencies"]
BASE = PROJECT["project"]["dependencies"]
AWS = [*BASE, *EXTRAS["aws"]]
OPENSTACK = [*BASE, *EXTRAS["openstack"]]
SANDBOX = [*AWS, *PROJECT["dependency-groups"]["build"], *LAB["project"]["dependencies"]]
DEV = [r for r in PROJECT["dependency-groups"]["dev"] if isinstance(r, str)]


def locked(name: str) -> dict[str, str]:
    """The pinned versions of a file."""
    text = (REQUIREMENTS / name).read_text()
    return dict(re.findall(r"^([a-z0-9][a-z0-9._-]*)==([^ \\;]+)", text, re.M))


def normal(requirement: str) -> str:
    name = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert name
    return re.sub(r"[-_.]+", "-", name[0]).lower()


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("base.txt", BASE),
        ("aws.txt", AWS),
        ("openstack.txt", OPENSTACK),
        ("sandbox.txt", SANDBOX),
        ("dev.txt", [*SANDBOX, *OPENSTACK, *EXTRAS["otel"], *DEV]),
        ("build.txt", PROJECT["dependency-groups"]["build"]),
        ("bootstrap.txt", ["uv"]),
    ],
)
def test_every_dependency_is_locked(name, wanted):
    missing = {normal(requirement) for requirement in wanted} - set(locked(name))
    assert not missing, "run `make lock`"


@pytest.mark.parametrize("file", sorted(REQUIREMENTS.glob("*.txt")), ids=lambda file: file.name)
def test_every_pin_has_a_hash_and_no_index_is_named(file):
    text = file.read_text()
    assert "://" not in text
    for block in re.split(r"\n(?=[a-z0-9])", text):
        if "==" in block.split("\n")[0]:
            assert "--hash=sha256:" in block, block.split("\n")[0]


def test_all_files_agree():
    everything = locked("dev.txt")
    for name in ("base.txt", "aws.txt", "openstack.txt", "sandbox.txt", "build.txt"):
        differing = {k: v for k, v in locked(name).items() if everything.get(k) != v}
        assert not differing, name
