"""The rights that the page on AWS accounts gives are those that driver and catalog use."""

import ast
import json
from collections.abc import Iterator
from fnmatch import fnmatchcase
from functools import cache
from typing import Any

import pytest
import yaml

from tests.docs.blocks import ROOT, blocks

PAGE = ROOT / "docs" / "howto" / "connect-an-aws-account.md"
DRIVER = ROOT / "src" / "isthmus" / "drivers" / "aws"
_PREFIXES = {
    "elb": "elasticloadbalancing",
    "elbv2": "elasticloadbalancing",
    "emr": "elasticmapreduce",
    "resourcegroupstaggingapi": "tag",
}
_OTHER_NAMES = {
    "s3:DeleteObjects": ("s3:DeleteObject", "s3:DeleteObjectVersion"),
    "s3:ListMultipartUploads": ("s3:ListBucketMultipartUploads",),
    "s3:ListObjectVersions": ("s3:ListBucketVersions",),
    "sts:GetCallerIdentity": (),  # Needs no right.
    "sts:AssumeRole": (),  # A right of who assumes the role.
}
"""What IAM calls an operation where the names differ."""
IMPLIED = {
    "cloudformation:DetectStackResourceDrift",  # Of DetectStackDrift, for each resource.
    "cloudformation:TagResource",  # Of CreateStack and UpdateStack with tags.
    "iam:ListRoleTags",  # Called by a name that is put together.
    "iam:ListUserTags",
    "iam:PassRole",
    "iam:TagRole",  # Of CreateRole with tags.
    "iam:TagUser",
    "s3:GetObject",  # CloudFormation reads a large template as its caller.
    "sts:AssumeRole",
}
"""Needed though nothing calls them by name."""


@cache
def services() -> frozenset[str]:
    boto3 = pytest.importorskip("boto3")
    return frozenset(boto3.session.Session().get_available_services())


@cache
def api_names(service: str) -> dict[str, str]:
    """IAM's names of a service's operations, by boto3's."""
    import boto3

    client: Any = boto3.client(service, region_name="us-east-1")  # pyright: ignore
    return client.meta.method_to_api_mapping


def used() -> Iterator[tuple[str, str]]:
    """Yield service and operation of every call of the driver and of the catalog's data."""
    for file in DRIVER.rglob("*.py"):
        literals = {
            node.value
            for node in ast.walk(ast.parse(file.read_text()))
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        }
        for service in literals & services():
            yield from ((service, name) for name in literals & set(api_names(service)))
    for file in (ROOT / "catalog" / "offerings").glob("*.yaml"):
        offering = yaml.safe_load(file.read_text())
        if "aws" in offering["spec"]["stacks"]:
            yield from _calls(offering)


def _calls(node: Any) -> Iterator[tuple[str, str]]:
    if isinstance(node, list):
        for item in node:
            yield from _calls(item)
    elif isinstance(node, dict):
        if "service" in node and "operation" in node:
            yield node["service"], node["operation"]
        for item in node.values():
            yield from _calls(item)


def actions(service: str, operation: str) -> tuple[str, ...]:
    name = f"{_PREFIXES.get(service, service)}:{api_names(service)[operation]}"
    return _OTHER_NAMES.get(name, (name,))


def granted() -> list[str]:
    """The actions of the access role: the policies of the page's second section."""
    section = PAGE.read_text().split("\n## ")[2]
    documents = [json.loads(b.text) for b in blocks(PAGE) if b.text in section and b.text]
    found: list[str] = []
    for document in documents:
        for statement in document["Statement"]:
            listed = statement["Action"]
            found += [listed] if isinstance(listed, str) else listed
    return found


def test_the_access_role_may_do_what_is_used() -> None:
    patterns = granted()
    missing = sorted(
        {
            action
            for service, operation in used()
            for action in actions(service, operation)
            if not any(fnmatchcase(action.lower(), pattern.lower()) for pattern in patterns)
        }
    )
    assert not missing, f"{PAGE.name} does not allow {missing}"


def test_the_access_role_gets_no_right_for_nothing() -> None:
    needed = {action for service, operation in used() for action in actions(service, operation)}
    idle = {action for action in granted() if action not in needed | IMPLIED}
    assert not idle, f"nothing uses {sorted(idle)}"
