"""``kill -9`` at random moments of a database's life; started again, all goes on."""

import random
import signal
import time
from pathlib import Path

import pytest

from tests.installation import Installation, a_binding, a_namespace, an_instance, up, wait_for

pytest.importorskip("ministack", reason="the AWS lab is not installed")

LONGEST_SECONDS = 2.5
"""Most of what a step starts happens within it."""
PATIENCE = 240
"""Seconds that a step may take on a busy machine, which starts the lab's databases again first."""


def database(**parameters) -> dict:
    return an_instance(
        "db", "shop", offering="aurora-postgresql", provider="aws-sandbox", parameters=parameters
    )


CHANGE = {"maxCapacity": 4}
STEPS = (
    ("create", lambda home: home.apply(database(), wait=False)),
    ("bind", lambda home: home.apply(a_binding("web", "shop", "db"), wait=False)),
    ("change", lambda home: home.apply(database(**CHANGE), wait=False)),
    ("unbind", lambda home: home.run("delete", "servicebinding/web", "-n", "shop", "--no-wait")),
    ("delete", lambda home: home.run("delete", "si/db", "-n", "shop", "--no-wait")),
)


def finish(home: Installation, step: str) -> None:
    """See the step through, which somebody else began."""
    match step:
        case "create":
            home.apply(database(), seconds=PATIENCE)
        case "bind":
            home.apply(a_binding("web", "shop", "db"), seconds=PATIENCE)
        case "change":
            home.apply(database(**CHANGE), seconds=PATIENCE)
        case "unbind":
            gone(home, "servicebinding/web")
        case "delete":
            gone(home, "si/db")


def gone(home: Installation, what: str) -> None:
    words = ("delete", what, "-n", "shop", "--ignore-not-found", "--timeout", str(PATIENCE))
    home.run(*words)


def native(home: Installation) -> dict:
    return home.json("get", "stack/db", "-n", "shop")["status"]


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", [1])  # Any number is another run of chance.
def test_killed_at_every_step(tmp_path: Path, seed: int):
    chance = random.Random(seed)
    names = set()
    with up(tmp_path, "--sandbox") as home:
        home.apply(a_namespace("shop"))
    for step, begin in STEPS:
        with up(tmp_path, "--sandbox") as home:
            wait_for(lambda home=home: "sandbox: Provider" in home.said(), home, PATIENCE)
            begin(home)
            time.sleep(chance.uniform(0, LONGEST_SECONDS))
            home.stop(signal.SIGKILL)
        with up(tmp_path, "--sandbox") as home:
            finish(home, step)
            if step in ("create", "bind", "change"):
                names.add(native(home)["nativeId"])
    with up(tmp_path, "--sandbox") as home:
        assert len(names) == 1, "there was one native stack, never a second one"
        wait_for(lambda: searched(home), home, PATIENCE)
        assert home.json("orphans") == {"orphans": [], "skipped": []}
        lab = home.data_dir / "lab-aws"
        state = home.json("lab", "status", "--state", str(lab))["state"]
        ours = [r for r in state["resources"] if "lab-admin" not in str(r)]
        assert not ours, "nothing is left in the account"


def searched(home: Installation) -> bool:
    """Whether the Provider is reached again."""
    return not home.json("orphans")["skipped"]
