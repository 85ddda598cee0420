"""A process of its own that runs cfn-lint, so that the lab stays small and answers meanwhile.

Its argument is its parent's pid, with which it ends. It reads requests and writes findings as lines
of JSON: {"template": text, "region": name} in, {"errors": ["[/Resources/...] message", ...]} out.
"""

from __future__ import annotations

import json
import sys
from importlib import import_module
from typing import Any

from isthmus_lab_aws.children import die_with_parent


def main() -> None:
    """Serve until the input ends."""
    die_with_parent(int(sys.argv[1]))
    lint: Any = import_module("cfnlint.api").lint
    settings_of: Any = import_module("cfnlint.config").ManualArgs

    for line in sys.stdin:
        request = json.loads(line)
        settings = settings_of(regions=[request["region"]], ignore_checks=["W", "I"])
        try:
            matches: list[Any] = list(lint(request["template"], config=settings))
            errors = [_text(match) for match in matches if match.rule.id.startswith("E")]
        except Exception as error:  # noqa: BLE001  # The lab must not hang on a strange template.
            errors = [f"Template format error: {error}"]
        sys.stdout.write(json.dumps({"errors": errors}) + "\n")
        sys.stdout.flush()


def _text(match: Any) -> str:
    parts: list[Any] = match.path or []
    path = "/".join(str(part) for part in parts)
    where = f"[/{path}] " if path else ""
    return f"{where}{match.message} ({match.rule.id})"


if __name__ == "__main__":
    main()
