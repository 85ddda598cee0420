"""Resource types and service APIs by service, one module each, and the table that lists them.

A module writes types on the seam `isthmus_lab_aws.resource` and knows nothing of the engine. It
takes effect by being named in `MODULES`; importing it has no side effect.
"""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from typing import cast

from isthmus_lab_aws import ministack
from isthmus_lab_aws.resource import Extension
from isthmus_lab_aws.types import generic

MODULES: tuple[str, ...] = (
    "plain",
    "rds",
    "redshift",
    "redshift_serverless",
    "emr",
    "route53",
    "athena",
    "cloudfront",
    "elb",
    "elb_classic",
    "elasticache",
    "identity",
    "network",
)
"""Names of modules in this package that offer an `EXTENSION`."""


def extensions() -> list[Extension]:
    """Every module's `EXTENSION`, in the order of `MODULES`, and one for all other types."""
    found = [
        cast("Extension", import_module(f"{__name__}.{module}").EXTENSION) for module in MODULES
    ]
    known = {kind.name for extension in found for kind in extension.types}
    others = generic.remaining(known | set(ministack.known_types()))
    return [*found, replace(generic.EXTENSION, types=others)]
