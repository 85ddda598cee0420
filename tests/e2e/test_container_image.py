"""The Containerfile, as far as it can be followed without a container engine."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from isthmus.app.commands import command
from tests.docs.blocks import ROOT, blocks

PAGE = ROOT / "docs" / "howto" / "run-on-your-cluster.md"
DATA = ("catalog/offerings", "deploy/cluster", "deploy/crds", "deploy/rbac")
BUILD = "from hatchling.build import build_wheel; build_wheel('dist')"


def instructions() -> list[tuple[str, list[str]]]:
    lines = (ROOT / "Containerfile").read_text().replace("\\\n", "").splitlines()
    words = [line.split() for line in lines if line and not line.startswith("#")]
    return [(name, rest) for name, *rest in words]


def copied() -> list[tuple[str, str]]:
    """What is copied from the checkout, and where to."""
    found = [words for name, words in instructions() if name == "COPY"]
    return [
        (source, words[-1])
        for words in found
        for source in words[:-1]
        if not words[0].startswith("--from")
    ]


def test_what_it_copies_makes_a_wheel_with_everything_in_it(tmp_path: Path) -> None:
    pytest.importorskip("hatchling", reason="it is in the group build, which is not installed")
    for source, target in copied():
        there = tmp_path / target
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, there, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            there.mkdir(exist_ok=True)
            shutil.copy(ROOT / source, there)
    subprocess.run([sys.executable, "-c", BUILD], cwd=tmp_path, check=True)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        (entries,) = (name for name in names if name.endswith("entry_points.txt"))
        assert "isthmus = isthmus.app:main" in archive.read(entries).decode()
    data = {
        f"isthmus/_data/{Path(folder).name}/{file.name}"
        for folder in DATA
        for file in (ROOT / folder).glob("*.yaml")
    }
    code = {
        str(file.relative_to(ROOT / "src"))
        for ending in ("py", "json")
        for file in (ROOT / "src").rglob(f"*.{ending}")
    }
    assert names >= data | code


def test_everything_is_installed_by_its_hash_or_from_the_checkout() -> None:
    installs = [words for name, words in instructions() if name == "RUN"]
    for words in installs:
        assert "--require-hashes" in words or "--no-deps" in words, words
    read = {word for words in installs for word in words if word.endswith(".txt")}
    assert read == {source for source, _ in copied() if source.endswith(".txt")}


def test_the_deployment_of_the_documentation_fits_it() -> None:
    (text,) = (b.text for b in blocks(PAGE) if b.file == "deployment.yaml")
    pod = yaml.safe_load(text)["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    told = dict(instructions())
    assert told["ENTRYPOINT"] == ['["isthmus"]']
    assert [str(pod["securityContext"]["runAsUser"])] == told["USER"]
    assert "command" not in container
    done = CliRunner().invoke(command(), [*container["args"], "--help"])
    assert done.exit_code == 0, done.output
    assert f"podman build -t {container['image']} ." in PAGE.read_text()
