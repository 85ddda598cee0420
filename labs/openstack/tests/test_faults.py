"""Fault rules: what they match, how often they hold, what a caller sees."""

import importlib
import io
import json
import os
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from isthmus_lab_openstack.settings import PLUGINS
from tests.openstack_lab import OpenStackLab

sys.path.insert(0, str(PLUGINS))
faults = importlib.import_module("isthmus_lab_plugins.faults")
front = importlib.import_module("isthmus_lab_plugins.front")
sys.path.remove(str(PLUGINS))


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ISTHMUS_LAB_FAULTS", str(tmp_path / "faults.json"))
    return tmp_path / "faults.json"


def _call(path: str = "/v2.1/servers", body: str = "") -> Any:
    return faults.Call("nova", "POST", path, body)


@pytest.mark.parametrize(
    ("rule", "matches"),
    [
        ({}, True),
        ({"service": "nova", "method": "POST", "path": "/servers$"}, True),
        ({"service": "neutron"}, False),
        ({"method": "GET"}, False),
        ({"path": "/flavors"}, False),
        ({"body": "worker-[0-9]"}, True),
        ({"body": "control"}, False),
    ],
)
def test_a_rule_matches_by_everything_that_it_names(rule: dict[str, str], matches: bool) -> None:
    assert faults.matches(rule, _call(body='{"name": "worker-1"}')) is matches


def test_without_a_file_nothing_fails(file: Path) -> None:
    assert faults.Rules(file).find(_call()) is None


def test_a_rule_holds_as_often_as_it_says_over_all_processes(file: Path) -> None:
    file.write_text(json.dumps({"rules": [{"times": 2, "status": 503}]}))
    found = [faults.Rules(file).find(_call()) for _ in range(4)]
    assert [rule is not None for rule in found] == [True, True, False, False]


def test_new_rules_are_counted_anew_even_within_one_tick_of_the_clock(file: Path) -> None:
    for _ in range(2):
        fresh = file.with_suffix(".new")
        fresh.write_text(json.dumps({"rules": [{"times": 1}]}))
        os.utime(fresh, ns=(0, 0))
        fresh.replace(file)
        found = [faults.Rules(file).find(_call()) for _ in range(2)]
        assert [rule is not None for rule in found] == [True, False]


def _ask(file: Path, body: bytes = b"") -> tuple[str, dict[str, str], bytes]:
    seen: list[Any] = []

    def inner(environ: dict[str, Any], start: Any) -> list[bytes]:
        start("200 OK", [])
        return [environ["wsgi.input"].read()]

    environ = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": "/servers",
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": io.BytesIO(body),
    }
    answer = b"".join(
        front.Front(inner, "nova")(environ, lambda status, headers: seen.extend([status, headers]))
    )
    return seen[0], dict(seen[1]), answer


def test_a_refusal_carries_status_message_and_patience(file: Path) -> None:
    rule = {"status": 429, "message": "slowly", "retryAfter": 7}
    file.write_text(json.dumps({"rules": [rule]}))
    status, headers, answer = _ask(file)
    assert status == "429 Too Many Requests"
    assert headers["Retry-After"] == "7"
    assert json.loads(answer)["error"]["message"] == "slowly"


def test_a_body_that_a_rule_looked_into_still_reaches_the_service(file: Path) -> None:
    file.write_text(json.dumps({"rules": [{"body": "other", "status": 500}]}))
    assert _ask(file, b"mine") == ("200 OK", {}, b"mine")


def test_a_call_is_held_until_its_rule_is_gone(file: Path) -> None:
    held = json.dumps({"rules": [{"service": "nova", "hold": True, "times": 1}]})
    file.write_text(held)
    answers: list[Any] = []
    asking = threading.Thread(target=lambda: answers.append(_ask(file, b"mine")))
    asking.start()
    asking.join(0.5)
    assert answers == []
    (fresh := file.with_suffix(".new")).write_text('{"rules": []}')
    fresh.replace(file)
    asking.join(30)
    assert answers == [("200 OK", {}, b"mine")]


def test_whoever_wrote_a_rule_sees_how_many_calls_it_has_met(file: Path) -> None:
    lab = OpenStackLab(url="", clouds=file, state=file.parent)
    lab.faults({"service": "neutron", "times": 1}, {"service": "nova", "times": 3})
    assert lab.struck(1) == 0
    for _ in range(2):
        faults.Rules(file).find(_call())
    assert (lab.struck(0), lab.struck(1)) == (0, 2)
    lab.faults({"service": "nova", "times": 3})
    assert lab.struck() == 0
