"""Check CloudFormation templates offline with cfn-lint, in two regions.

cfn-lint knows the schema of every resource type per region and hundreds of value rules. It takes
1.6 s and 180 MB to import, so only whoever lints pays for it.
https://github.com/aws-cloudformation/cfn-lint
"""

import re
from collections.abc import Sequence
from typing import Any, Final, cast

import orjson

from isthmus.api.meta import Json
from isthmus.core.documents import without_nulls
from isthmus.drivers.aws.stateful import STATEFUL_TYPES
from isthmus.ports import Finding

REGIONS: Final = ("us-east-1", "eu-central-1")
"""The largest one, and one that is not first with anything: what works in both is widely there."""


def check(template: Json, regions: Sequence[str] = REGIONS) -> tuple[Finding, ...]:
    """Return what is wrong, each finding once; paths are relative to the template.

    Errors and warnings count, and what holds data without saying what shall become of it. Where a
    rule of cfn-lint is wrong about a template, the template says so itself, in cfn-lint's own
    ``Metadata.cfn-lint.config.ignore_checks``.
    """
    from cfnlint.api import lint  # pyright: ignore[reportMissingTypeStubs]
    from cfnlint.config import ManualArgs  # pyright: ignore[reportMissingTypeStubs]

    text = orjson.dumps(without_nulls(template), option=orjson.OPT_INDENT_2).decode()
    matches = lint(text, config=ManualArgs(regions=list(regions)))
    found = {(f.rule, f.path, f.message): f for f in map(_finding, matches)}
    return (*found.values(), *policies(template))


def policies(template: Json) -> tuple[Finding, ...]:
    """Return the resources that hold data and do not say what happens to it.

    CloudFormation's default is to delete it, in a replacement as well.
    """
    resources: Any = template.get("Resources")
    items = cast("Json", resources).items() if isinstance(resources, dict) else ()
    return tuple(
        Finding(
            path=f"Resources.{logical_id}",
            message=f"holds data and has no {policy}; write Delete, Retain or Snapshot",
            rule="deletion-policy",
        )
        for logical_id, resource in items
        if isinstance(resource, dict) and resource.get("Type") in STATEFUL_TYPES  # pyright: ignore[reportUnknownMemberType]
        for policy in ("DeletionPolicy", "UpdateReplacePolicy")
        if policy not in resource
    )


def _finding(match: Any) -> Finding:
    path = cast("Sequence[str | int]", getattr(match, "path", None) or ())
    return Finding(
        path=_joined(path),
        message=re.sub(r"\s+", " ", str(match.message)),
        rule=str(match.rule.id),
    )


def _joined(path: Sequence[str | int]) -> str:
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            text += f".{step}" if text else step
    return text
