"""The demo proves what it tells, leaves nothing behind, and fails loudly where it does not hold."""

import os
from pathlib import Path

import pytest

from tests.installation import isthmus

pytest.importorskip("ministack", reason="the AWS lab is not installed")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_story_holds(tmp_path):
    done = isthmus("demo", "--once", seconds=540, TMPDIR=str(tmp_path))
    for step in (
        "1. Start API, controllers and the AWS lab",
        "6. Log in with it over verified TLS and run SQL",
        "SELECT * FROM orders -> [(1, 'a lamp')]",
        "native stack UPDATE_COMPLETE",
        "the log-in is refused",
        "no orphans",
        "Proven in",
    ):
        assert step in done.stdout
    assert not list(tmp_path.iterdir()), "the state of the demo is removed"


def test_a_step_that_does_not_hold_ends_it(tmp_path):
    """Without the lab the first step fails: the reason is told, and the exit code says so."""
    sources = str(Path(__file__).parents[2] / "src")
    blocker = tmp_path / "blocked" / "isthmus_lab_aws"
    blocker.mkdir(parents=True)
    (blocker / "__init__.py").write_text("")
    (blocker / "__main__.py").write_text("raise SystemExit('no lab today')")
    done = isthmus(
        "demo",
        "--once",
        code=7,
        TMPDIR=str(tmp_path),
        PYTHONPATH=os.pathsep.join([str(blocker.parent), sources]),
    )
    assert "step 1" in done.stderr
    assert "--sandbox: the lab did not start" in done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["blocked"]
