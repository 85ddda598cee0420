"""The lab's own pages under `/_lab/`: health, faults, calls, state, time, accounts.

They are for tests and for the command line on the same machine; the lab listens on loopback only.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import parse_qs

from isthmus_lab_aws import faults as faults_module
from isthmus_lab_aws import lab
from isthmus_lab_aws.answers import json_answer
from isthmus_lab_aws.calls import Calls
from isthmus_lab_aws.faults import Faults, InvalidRule
from isthmus_lab_aws.resource import Answer

Page = Callable[[], Mapping[str, Any]]


class Control:
    """Answers `/_lab/...`. Pages that others fill (health, state) are given as callables."""

    def __init__(self, faults: Faults, calls: Calls) -> None:
        self._faults = faults
        self._calls = calls
        self._pages: dict[str, Page] = {}
        self.add_account: Callable[[str], Awaitable[Mapping[str, str]]] | None = None

    def page(self, name: str, fill: Page) -> None:
        """Show what `fill` gives at `/_lab/<name>`."""
        self._pages[name] = fill

    async def respond(self, method: str, path: str, query: bytes, body: bytes) -> Answer:
        """Answer one page."""
        name = path.removeprefix("/_lab/").strip("/")
        try:
            if method == "GET":
                return self._show(name, parse_qs(query.decode()))
            return await self._change(name, json.loads(body or b"{}"))
        except (InvalidRule, ValueError, TypeError, KeyError) as error:
            return json_answer({"error": f"{error}"}, 400)

    def _show(self, name: str, query: Mapping[str, list[str]]) -> Answer:
        if name == "faults":
            return json_answer({"rules": self._faults.listed()})
        if name == "calls":
            return json_answer({"calls": self._calls.since(int(query.get("since", ["0"])[0]))})
        if name == "time":
            return json_answer({"scale": lab.current().scale})
        if name in self._pages:
            return json_answer(self._pages[name]())
        known = ", ".join(sorted(["faults", "calls", "time", *self._pages]))
        return json_answer({"error": f"no page {name!r}; there are {known}"}, 404)

    async def _change(self, name: str, document: Any) -> Answer:
        if name == "faults":
            self._faults.replace([faults_module.parse(rule) for rule in document["rules"]])
            return json_answer({"rules": self._faults.listed()})
        if name == "time":
            scale = float(document["scale"])
            if not 0 <= scale <= 1:
                raise ValueError("scale is between 0 (instant) and 1 (as slow as AWS)")
            lab.current().rescale(scale)
            return json_answer({"scale": scale})
        if name == "accounts" and self.add_account is not None:
            return json_answer(dict(await self.add_account(str(document["account"]))))
        return json_answer({"error": f"{name!r} cannot be set"}, 404)
