"""The embedded API answers as a real kube-apiserver does, but where the script says why not."""

import shutil
from pathlib import Path

import pytest

from tests.apiserver_listening import Listening
from tests.oracle.playing import homes, play, prepare
from tests.oracle.script import chapters


@pytest.mark.labs
@pytest.mark.guests
@pytest.mark.slow
@pytest.mark.timeout(1800)  # Only where Kubernetes has to be compiled first.
@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not on PATH")
def test_both_servers_answer_alike(kubernetes_plane: str, tmp_path: Path) -> None:
    with (
        Listening(tmp_path / "data") as here,
        homes(tmp_path, here.kubeconfig(), kubernetes_plane) as pair,
    ):
        prepare(pair)
        outcomes = [play(chapter, pair) for chapter in chapters()]

    if report := [line for outcome in outcomes for line in outcome.report()]:
        pytest.fail("\n".join(report), pytrace=False)
