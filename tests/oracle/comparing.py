"""Holds two servers' answers against each other, after hiding what must differ."""

import difflib
import json
import re
from collections.abc import Sequence
from typing import Any, cast

import yaml

from tests.oracle.homes import Answer
from tests.oracle.script import Step

HIDDEN = (
    (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "<uid>"),
    (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z| ?[+-]\d\d:?\d\d)", "<time>"),
    (r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d \w{3} \d{4} \d\d:\d\d:\d\d [+-]\d{4}", "<time>"),
    (r"https://127\.0\.0\.1:\d+", "<server>"),
    (r"127\.0\.0\.1:\d+", "<server>"),
    (r"eyJ[\w-]+\.[\w-]+\.[\w-]+", "<token>"),
    (r"(/\S*?/)(LIVE|MERGED)-\d+", r"/tmp/\2"),
    (r"\S*/kubectl-\S+-edit-\d+\.(yaml|json)", "/tmp/edit"),
    (r"(Resource Version:\s+|resourceVersion: ?\"?|resource version: )\d+", r"\1<version>"),
    (r"(?<![\w.-])(\d+[ydhms]){1,2}(?![\w.])", "<age>"),
)
"""What is hidden everywhere: identities, times, addresses, versions, tokens."""
_BY_NAME = {"resourceVersion": "<version>", "continue": "<token>", "hash": "<hash>"}


_LOGGED = re.compile(r"[IWE]\d{4} \d\d:")
"""How a line begins that kubectl logs, rather than tells."""


def differences(step: Step, left: Answer, right: Answer) -> list[str]:
    """Lines that tell how the answers differ; none when they are alike."""
    pair = (("here", left), ("kube-apiserver", right))
    late = [f"{who} never said {answer.in_vain}" for who, answer in pair if answer.in_vain]
    if step.unseen:
        return late
    told = (normal(step, left), normal(step, right))
    return [*late, *difflib.unified_diff(*told, *(who for who, _ in pair), lineterm="", n=2)]


def normal(step: Step, answer: Answer) -> list[str]:
    """An answer as lines that can be compared."""
    lines = [f"code {answer.code}", *_text(answer.out)]
    said = [line for line in answer.said.splitlines() if not _LOGGED.match(line)]
    lines += [f"! {line}" for line in _in_order(said)]
    if step.only:
        lines = [line for line in lines if re.search(step.only, line)]
    return [_hidden(step, line) for line in lines]


def _in_order(said: list[str]) -> list[str]:
    """What kubectl prints of several causes, which kube-apiserver tells in any order."""
    causes = iter(sorted(line for line in said if line.startswith("* ")))
    return [next(causes) if line.startswith("* ") else line for line in said]


def _hidden(step: Step, line: str) -> str:
    for expression in step.hide:
        line = re.sub(expression, "<hidden>", line)
    for expression, stand_in in HIDDEN:
        line = re.sub(expression, stand_in, line)
    return re.sub(r"[ \t]+", " ", line).rstrip()


def _text(text: str) -> Sequence[str]:
    """Lines of a text; JSON, many of it, and objects in YAML are laid out with keys in order."""
    lines: list[str] = []
    try:
        values = [json.loads(text)]
    except ValueError:
        try:
            values = [json.loads(line) for line in text.splitlines() if line]
        except ValueError:
            if not text.startswith("apiVersion:"):
                return text.splitlines()
            values = list(yaml.load_all(text, yaml.BaseLoader))
    for value in values:
        lines += json.dumps(_plain(value), indent=1, sort_keys=True).splitlines()
    return lines


def _sort_causes(status: dict[str, Any]) -> None:
    """Fields are checked in any order by kube-apiserver, so its causes and sentences are, too."""
    details = cast("dict[str, Any]", status.get("details") or {})
    if causes := cast("list[Any]", details.get("causes") or []):
        details["causes"] = sorted(causes, key=lambda cause: json.dumps(cause, sort_keys=True))
    head, listed, rest = str(status.get("message")).partition(" is invalid: [")
    if listed:
        parts = sorted(re.split(r",\s+", rest.removesuffix("]")))
        status["message"] = head + listed + ", ".join(parts)


def _are_managers(values: list[Any]) -> bool:
    return bool(values) and all(isinstance(v, dict) and "fieldsType" in v for v in values)


def _are_resources(values: list[Any]) -> bool:
    """Of discovery, whose order is that in which kinds came to be."""
    return bool(values) and all(isinstance(v, dict) and "singularName" in v for v in values)


def _manager(entry: dict[str, Any]) -> tuple[str, ...]:
    """They are ordered by time first, which is another one on each server."""
    return tuple(
        entry.get(name, "") for name in ("operation", "manager", "apiVersion", "subresource")
    )


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        found = cast("dict[str, Any]", value)
        if found.get("kind") == "Status":
            _sort_causes(found)
        if str(found.get("kind")).endswith("Review"):  # nobody keeps them, so nobody owns them
            found["metadata"] = {}
        return {
            name: _BY_NAME[name]
            if name in _BY_NAME and isinstance(part, str) and part
            else _plain(part)
            for name, part in found.items()
            if not (name == "creationTimestamp" and part is None)
        }
    if isinstance(value, list) and _are_resources(cast("list[Any]", value)):
        value = sorted(cast("list[Any]", value), key=lambda resource: str(resource["name"]))
    if isinstance(value, list) and _are_managers(cast("list[Any]", value)):
        value = sorted(cast("list[Any]", value), key=_manager)
    if isinstance(value, list):
        return [_plain(part) for part in cast("list[Any]", value)]
    return value
