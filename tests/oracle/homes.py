"""A server that plays the script, and what it answers."""

import base64
import contextlib
import json
import os
import re
import shlex
import ssl
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx2
import yaml

from tests.oracle.script import Chapter, Step

_PATCHES = {
    "merge": "application/merge-patch+json",
    "json": "application/json-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "apply": "application/apply-patch+yaml",
    "protobuf": "application/vnd.kubernetes.protobuf",
}
_COMMAND_SECONDS = 180
"""More than a command of the script is told to wait itself."""
_PATIENCE_SECONDS = 120
"""How long an answer may take to become what a step waits for: both machines may be busy."""
_VARIABLE = re.compile(r"\$\{(\w+)\}")


@dataclass
class Answer:
    """What came of a step: an exit code or a status, what was printed or sent, and warnings.

    `in_vain` is what it was to match and never did.
    """

    code: int
    out: str
    said: str = ""
    in_vain: str = ""


@dataclass
class Home:
    """One server under the script.

    Args:
        name: How reports call it.
        kubeconfig: Its administrator's, with everything inside.
        folder: For files and kubectl's cache.
        kubectl: The program.
        mark: Ends the names of namespaces, so that a server can be used again.
    """

    name: str
    kubeconfig: str
    folder: Path
    kubectl: str
    mark: str = ""
    kept: dict[str, str] = field(default_factory=dict[str, str])

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._config: Any = yaml.safe_load(self.kubeconfig)
        cluster, user = self._config["clusters"][0]["cluster"], self._config["users"][0]["user"]
        self.url: str = cluster["server"]
        context = ssl.create_default_context(
            cadata=base64.b64decode(cluster["certificate-authority-data"]).decode()
        )
        headers = {"user-agent": "oracle"}
        if token := user.get("token"):
            headers["authorization"] = f"Bearer {token}"
        else:
            self._show_certificate(context, user)
        self.http = httpx2.Client(base_url=self.url, verify=context, headers=headers, timeout=60)

    def _show_certificate(self, context: ssl.SSLContext, user: Any) -> None:
        files: list[Path] = []
        for part in ("client-certificate", "client-key"):
            files.append(self.folder / part)
            files[-1].write_bytes(base64.b64decode(user[f"{part}-data"]))
            files[-1].chmod(0o600)
        context.load_cert_chain(*files)

    def play(self, chapter: Chapter) -> list[Answer]:
        """Every step's answer, in a folder and a namespace of the chapter's own."""
        place = self.folder / chapter.name
        place.mkdir()
        namespace = chapter.name + self.mark
        self.kept = {"namespace": namespace}
        for name, text in chapter.files.items():
            (place / name).write_text(self._filled(text))
        (place / "kubeconfig").write_text(self._for_namespace(namespace))
        self.http.post("/api/v1/namespaces", json={"metadata": {"name": namespace}})
        return [self._answer(step, place) for step in chapter.steps]

    def _for_namespace(self, namespace: str) -> str:
        config = json.loads(json.dumps(self._config))
        config["contexts"][0]["context"]["namespace"] = namespace
        return json.dumps(config)

    def _answer(self, step: Step, place: Path) -> Answer:
        ask = self._command if step.do.startswith("kubectl ") else self._request
        answer = _until(step.until, lambda: ask(step, place))
        for name, path in step.keep.items():
            self.kept[name] = answer.out.strip() if path == "." else _dig(answer.out, path)
        return answer

    def _filled(self, text: str) -> str:
        return _VARIABLE.sub(lambda match: self.kept.get(match[1], match[0]), text)

    def _given(self, step: Step) -> bytes | None:
        if step.give is None:
            return None
        text = step.give if isinstance(step.give, str) else json.dumps(step.give)
        return self._filled(text).encode()

    def _command(self, step: Step, place: Path) -> Answer:
        arguments = shlex.split(self._filled(step.do))[1:]
        done = subprocess.run(
            [self.kubectl, *arguments],
            cwd=place,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(self.folder),
                "KUBECONFIG": str(place / "kubeconfig"),
                **step.env,
            },
            input=self._given(step) or b"",
            capture_output=True,
            timeout=_COMMAND_SECONDS,
            check=False,
        )
        return Answer(done.returncode, done.stdout.decode(), done.stderr.decode())

    def _request(self, step: Step, place: Path) -> Answer:
        del place
        method, path = self._filled(step.do).split(" ", 1)
        body = self._given(step)
        headers = {"accept": step.accept}
        if body is not None:
            headers["content-type"] = _PATCHES.get(step.type, step.type)
        answer = self.http.request(method, path, content=body, headers=headers)
        said = "\n".join(answer.headers.get_list("warning"))
        return Answer(answer.status_code, answer.text, said)


def _until(expression: str, ask: Callable[[], Answer]) -> Answer:
    """The first answer that matches, or the last one before patience ends."""
    ends = time.monotonic() + _PATIENCE_SECONDS
    while True:
        answer = ask()
        if re.search(expression, answer.out + answer.said):
            return answer
        if time.monotonic() > ends:
            return replace(answer, in_vain=expression)
        time.sleep(0.2)


def _dig(text: str, path: str) -> str:
    """The value at a dotted path of a JSON text; empty when it is not there."""
    with contextlib.suppress(ValueError, KeyError, IndexError, TypeError):
        value = json.loads(text)
        for part in path.split("."):
            value = value[int(part)] if isinstance(value, list) else value[part]
        return str(value)
    return ""
