"""Templates are checked by cfn-lint before CloudFormation accepts them: schemas and value rules.

AWS finds some of these errors only while it provisions; to find them at once spares a rollback and
never accepts what AWS would refuse. Findings are remembered by the template's digest.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import sys
from pathlib import Path

from isthmus_lab_aws import ministack
from isthmus_lab_aws.answers import error_answer
from isthmus_lab_aws.gateway import Arrived
from isthmus_lab_aws.resource import Answer, Saved

CHECKED = frozenset({"CreateStack", "UpdateStack", "CreateChangeSet", "ValidateTemplate"})


class Templates:
    """Asks one worker process, started when first needed, and remembers its findings."""

    def __init__(self, enabled: bool = True) -> None:
        self._enabled = enabled
        self._findings: dict[str, list[str]] = {}
        self._worker: asyncio.subprocess.Process | None = None
        self._turn = asyncio.Lock()

    def saved(self) -> Saved:
        """The findings, so that a restart does not check everything again."""
        return Saved(
            "template-findings",
            lambda: json.dumps(self._findings).encode(),
            lambda body: self._findings.update(json.loads(body)),
        )

    async def gatekeeper(self, arrived: Arrived) -> Answer | None:
        """Refuse a template with errors, in CloudFormation's words."""
        call = arrived.call
        if not self._enabled or call.action not in CHECKED:
            return None
        template = ministack.template_of(call.parameters)
        if template is None:
            return None  # ministack says what is wrong, or uses the previous template.
        errors = await self.check(template, call.place.region)
        if not errors:
            return None
        return error_answer(
            call, "ValidationError", "Template validation error: " + "; ".join(errors)
        )

    async def check(self, template: str, region: str) -> list[str]:
        """The errors of a template in a region; none where it is fine."""
        key = hashlib.sha256(f"{region}\n{template}".encode()).hexdigest()
        if key not in self._findings:
            async with self._turn:
                self._findings[key] = await self._ask(template, region)
        return self._findings[key]

    async def warm_up(self) -> None:
        """Start the worker, so that the first template does not wait for the import."""
        if self._enabled:
            async with self._turn:
                await self._started()

    async def _started(self) -> asyncio.subprocess.Process:
        if self._worker is None or self._worker.returncode is not None:
            source = str(Path(__file__).parents[1])
            path = os.pathsep.join([source, os.environ.get("PYTHONPATH", "")])
            self._worker = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "isthmus_lab_aws.lint_worker",
                str(os.getpid()),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                env={**os.environ, "PYTHONPATH": path},
                limit=16 * 1024 * 1024,
            )
        return self._worker

    async def _ask(self, template: str, region: str) -> list[str]:
        worker = await self._started()
        assert worker.stdin is not None
        assert worker.stdout is not None
        request = json.dumps({"template": template, "region": region})
        worker.stdin.write(request.encode() + b"\n")
        await worker.stdin.drain()
        line = await worker.stdout.readline()
        if not line:
            raise RuntimeError("the template checker ended; see the lab's log")
        errors: list[str] = json.loads(line)["errors"]
        return errors
