"""Answers, failures and waiting of the command line."""

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest
import yaml

from isthmus import errors
from isthmus.faces.cli import output, waiting
from isthmus.faces.cli.failures import CommandFailed, Exit, explain
from isthmus.faces.cli.output import Output

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("ago", "shown"),
    [
        (timedelta(seconds=-5), "0s"),
        (timedelta(seconds=90), "90s"),
        (timedelta(minutes=5), "5m"),
        (timedelta(hours=3, minutes=10), "3h10m"),
        (timedelta(hours=30), "30h"),
        (timedelta(days=12), "12d"),
    ],
)
def test_ages(ago, shown):
    assert output.age(NOW - ago, NOW) == shown


def test_columns_are_aligned_and_empty_cells_are_said():
    lines = list(output.table(("A", "LONG"), [("x", None), ("yyyy", True)]))
    assert lines == ["A      LONG", "x      <none>", "yyyy   true"]


def test_programs_get_yaml(capsys):
    output.dump({"b": 1, "a": [NOW]}, Output.YAML)
    assert yaml.safe_load(capsys.readouterr().out)["b"] == 1


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (errors.InvalidSpec("x"), Exit.INVALID),
        (errors.Forbidden("x"), Exit.FORBIDDEN),
        (errors.NotFound("x"), Exit.NOT_FOUND),
        (errors.Conflict("x"), Exit.CONFLICT),
        (errors.AlreadyExists("x"), Exit.CONFLICT),
        (errors.Throttled("x"), Exit.UNAVAILABLE),
        (errors.StackFailed("x"), Exit.FAILED),
        (CommandFailed("x", Exit.TIMEOUT), Exit.TIMEOUT),
    ],
)
def test_every_failure_has_its_code(failure, code):
    assert explain(failure) == ("x", code)


def test_a_bug_is_not_hidden():
    with pytest.raises(ZeroDivisionError):
        explain(ZeroDivisionError())


def an_object(status: str, reason: str, *, generation: int = 1, observed: int = 1) -> dict:
    condition = {
        "type": "Ready",
        "status": status,
        "reason": reason,
        "message": "words",
        "observedGeneration": observed,
    }
    return {"metadata": {"generation": generation}, "status": {"conditions": [condition]}}


def looks(*objects):
    """Show one object after the other, the last one for ever."""
    left = list(objects)

    async def look():
        return left.pop(0) if len(left) > 1 else left[0]

    return look


async def test_ready_counts_only_for_the_newest_spec(capsys):
    old = an_object("True", "Ready", generation=2)
    new = an_object("True", "Ready", generation=2, observed=2)
    assert await waiting.until_ready("si/db", looks(old, new), 60) is new
    assert "the change has not been looked at yet" in capsys.readouterr().err


async def test_a_failure_that_no_waiting_cures_ends_it():
    look = looks(an_object("False", "Waiting"), an_object("False", "StackFailed"))
    with pytest.raises(CommandFailed) as failure:
        await waiting.until_ready("si/db", look, 60)
    assert failure.value.code == Exit.FAILED
    assert "isthmus why si/db" in failure.value.message


async def test_a_former_failure_says_nothing_about_the_change():
    stale = an_object("False", "InvalidSpec", generation=2)
    fine = an_object("True", "Ready", generation=2, observed=2)
    assert await waiting.until_ready("si/db", looks(stale, fine), 60) is fine


async def test_time_is_bounded():
    with pytest.raises(CommandFailed) as failure:
        await waiting.until_ready("si/db", looks(an_object("False", "Waiting")), 0)
    assert failure.value.code == Exit.TIMEOUT


async def test_what_blocks_a_deletion_is_named():
    with pytest.raises(CommandFailed, match="DeletionBlocked: words"):
        await waiting.until_gone("si/db", looks(an_object("False", "DeletionBlocked")), 60)


async def test_gone_is_gone(capsys):
    blocked = an_object("False", "DeletionBlocked")
    await waiting.until_gone("si/db", looks(blocked, blocked, None), 60, patient=True)
    await waiting.until_gone("si/db", looks(an_object("True", "Ready"), None), 60)
    assert "si/db is gone" in capsys.readouterr().err


def test_answers_and_notes_keep_their_order_in_a_pipe():
    words = "from isthmus.faces.cli.output import note, say; say('made'); note('wait'); say('done')"
    done = subprocess.run(
        [sys.executable, "-c", words],
        env={**os.environ, "PYTHONUNBUFFERED": ""},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["made", "wait", "done"]
