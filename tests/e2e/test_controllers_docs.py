"""The pages whose examples run on a real kube-apiserver."""

import os
import shutil
import sys
from pathlib import Path

import pytest

from tests.docs import blocks as markdown
from tests.docs import console, sandbox
from tests.docs.blocks import ROOT
from tests.docs.test_docs_examples import run
from tests.kubernetes_plane import MARKS
from tests.on_cluster import Plane

PAGES = [page for page in markdown.pages() if markdown.of_cluster(page)]
pytestmark = [*MARKS, pytest.mark.slow]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_examples_of_a_page_run(page: Path, plane_with_kinds: Plane, tmp_path: Path) -> None:
    config = tmp_path / ".kubeconfig"
    shutil.copyfile(plane_with_kinds.kubeconfig, config)
    commands = [str(sandbox.commands(tmp_path)), str(Path(sys.executable).parent)]
    environment = {
        "KUBECONFIG": str(config),
        "HOME": str(tmp_path),
        "PATH": os.pathsep.join([*commands, os.environ["PATH"]]),
        "COLUMNS": "200",
        "NO_COLOR": "1",
        "TERM": "dumb",
    }
    shell = console.Shell(folder=tmp_path, environment=environment)
    for folder in ("deploy", "catalog"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    try:
        for block in markdown.blocks(page):
            if block.runs:
                run(block, shell)
    finally:
        shell.run("kill $(cat *.pid); true")
