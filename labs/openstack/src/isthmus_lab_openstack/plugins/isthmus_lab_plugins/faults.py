"""What is to fail, by rules in a file that may change at any time.

The file is ``{"rules": [rule...]}``. A rule matches calls by ``service`` (an API's name, or
``nova-compute``), ``method``, ``path`` and ``body`` (regular expressions, searched). It then waits
``delay`` seconds, with ``hold`` until the file has the rule no more, and, with a ``status``,
answers that with ``message`` and the header ``Retry-After`` of ``retryAfter`` seconds. It holds for
``times`` calls, over all processes, or for ever. The first matching rule counts.
"""

from __future__ import annotations

import json
import os
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_PAUSE_SECONDS = 0.1


@dataclass(frozen=True)
class Call:
    """What is about to happen. ``path`` is the URL's, or for nova-compute the server's name."""

    service: str
    method: str
    path: str
    body: str = ""


@dataclass(frozen=True)
class Rules:
    """The rules in force. How often a rule has held is kept beside the file."""

    file: Path

    def wants_body(self, service: str) -> bool:
        """Whether a rule for this service looks into bodies."""
        return any("body" in rule and _same(rule, "service", service) for rule in self._read()[1])

    def find(self, call: Call) -> dict[str, Any] | None:
        """Return the rule that holds for this call, and count it."""
        version, rules = self._read()
        for index, rule in enumerate(rules):
            if matches(rule, call) and self._take(f"{version}-{index}", rule.get("times")):
                return rule
        return None

    def wait(self, rule: dict[str, Any]) -> None:
        """Wait as long as a rule wants a call to."""
        time.sleep(float(rule.get("delay", 0)))
        while rule.get("hold") and rule in self._read()[1]:
            time.sleep(_PAUSE_SECONDS)

    def _read(self) -> tuple[str, list[dict[str, Any]]]:
        """The rules, and what no other file of rules has in common with theirs."""
        try:
            with self.file.open() as file:
                # Of the file that is open: by now another one may be in its place. One written
                # within the same tick of the clock differs in its number.
                known = os.fstat(file.fileno())
                return f"{known.st_mtime_ns}-{known.st_ino}", json.load(file).get("rules", [])
        except FileNotFoundError:
            return "", []

    def _take(self, identity: str, times: int | None) -> bool:
        if times is None:
            return True
        folder = self.file.with_suffix(".counts")
        folder.mkdir(exist_ok=True)
        for number in range(times):
            try:
                # Exclusive creation counts over all processes without a lock.
                (folder / f"{identity}-{number}").touch(exist_ok=False)
            except FileExistsError:
                continue
            return True
        return False


def matches(rule: dict[str, Any], call: Call) -> bool:
    """Whether the rule speaks of this call; what a rule does not name matches anything."""
    return (
        _same(rule, "service", call.service)
        and _same(rule, "method", call.method)
        and re.search(rule.get("path", ""), call.path) is not None
        and re.search(rule.get("body", ""), call.body) is not None
    )


def _same(rule: dict[str, Any], key: str, value: str) -> bool:
    return rule.get(key, value) == value
