"""Stands before a service's API and lets it fail on demand; without rules it only passes on.

uWSGI loads ``application``; ISTHMUS_LAB_APPLICATION names the module of the service's own.
"""

from __future__ import annotations

import importlib
import io
import json
import os
from collections.abc import Callable, Iterable
from http import HTTPStatus
from pathlib import Path
from typing import Any

from isthmus_lab_plugins.faults import Call, Rules

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class Front:
    """A WSGI application around another one."""

    def __init__(self, inner: Application, service: str) -> None:
        self.inner = inner
        self.service = service
        self.rules = Rules(Path(os.environ["ISTHMUS_LAB_FAULTS"]))

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        rule = self.rules.find(self._call(environ))
        if rule:
            if rule.get("hold"):
                self._body(environ)  # Who asked may be gone by then.
            self.rules.wait(rule)
            if "status" in rule:
                self._body(environ)  # Who still sends when we close would see no answer at all.
                return _refuse(rule, start_response)
        return self.inner(environ, start_response)

    def _call(self, environ: dict[str, Any]) -> Call:
        path = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
        body = self._body(environ) if self.rules.wants_body(self.service) else ""
        return Call(self.service, environ["REQUEST_METHOD"], path, body)

    def _body(self, environ: dict[str, Any]) -> str:
        data = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(data)
        return data.decode(errors="replace")


def _refuse(rule: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    status = HTTPStatus(int(rule["status"]))
    message = rule.get("message", "failed on demand by the lab")
    answer = {"error": {"code": status.value, "title": status.phrase, "message": message}}
    headers = [("Content-Type", "application/json"), ("Connection", "close")]
    if "retryAfter" in rule:
        headers.append(("Retry-After", str(rule["retryAfter"])))
    start_response(f"{status.value} {status.phrase}", headers)
    return [json.dumps(rule.get("answer", answer)).encode()]


if "ISTHMUS_LAB_APPLICATION" in os.environ:
    _inner = importlib.import_module(os.environ["ISTHMUS_LAB_APPLICATION"]).application
    application = Front(_inner, os.environ["ISTHMUS_LAB_SERVICE"])
