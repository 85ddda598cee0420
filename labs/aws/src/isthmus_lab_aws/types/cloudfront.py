"""CloudFront: distributions deploy for a while, and what is in use stays."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from isthmus_lab_aws import lab, ministack
from isthmus_lab_aws.ministack import NativeType
from isthmus_lab_aws.resource import Answer, ApiHook, Call, Delays, Extension, Place

_DEPLOYMENT = timedelta(minutes=4)
_INVALIDATION = timedelta(minutes=1)
Record = dict[str, Any]


def _service() -> Any:
    return ministack.service("cloudfront")


class Distribution(NativeType):
    """`AWS::CloudFront::Distribution`.

    CloudFormation disables a distribution before it deletes it; the direct API wants that done.
    """

    name = "AWS::CloudFront::Distribution"
    delays = Delays(_DEPLOYMENT, _DEPLOYMENT, timedelta(minutes=6))

    def begin(self, place: Place, physical_id: str, state: str) -> None:
        """InProgress; a delete disables it first."""
        record: Record | None = _service()._distributions.get(physical_id)
        if record is not None:
            record["Status"] = "InProgress"
            record["enabled"] = record["enabled"] and state != "deleting"

    def settle(self, place: Place, physical_id: str) -> None:
        """Deployed."""
        record: Record | None = _service()._distributions.get(physical_id)
        if record is not None:
            record["Status"] = "Deployed"


class UsedByDistributions(NativeType):
    """A policy or access control that a distribution may name; it stays while one does."""

    def __init__(self, name: str) -> None:
        self.name = name

    def undeletable(self, place: Place, physical_id: str) -> str | None:
        """A distribution uses it."""
        for identity, record in _service()._distributions.items():
            if physical_id in str(record.get("config_xml", "")):
                kind = self.name.rpartition("::")[2]
                return f"The {kind} {physical_id} is in use by distribution {identity}."
        return None


def after_distribution(call: Call, answer: Answer) -> Answer:
    """A change deploys for a while."""
    if answer.status >= 300:
        return answer
    identity = call.path.split("/")[3] if "/distribution/" in call.path else ""
    records: Mapping[str, Record] = _service()._distributions
    record = records.get(identity) or next(reversed(list(records.values())))
    record["Status"] = "InProgress"
    lab.current().later(_DEPLOYMENT, lambda: record.update(Status="Deployed"))
    return _with_status(answer, "Deployed")


def after_invalidation(call: Call, answer: Answer) -> Answer:
    """An invalidation takes a while."""
    if answer.status >= 300:
        return answer
    invalidations: list[Record] = _service()._invalidations[call.path.split("/")[3]]
    record = invalidations[-1]
    record["Status"] = "InProgress"
    lab.current().later(_INVALIDATION, lambda: record.update(Status="Completed"))
    return _with_status(answer, "Completed")


def _with_status(answer: Answer, now: str) -> Answer:
    body = answer.body.replace(
        f"<Status>{now}</Status>".encode(), b"<Status>InProgress</Status>", 1
    )
    headers = {k: v for k, v in answer.headers.items() if k.lower() != "content-length"}
    return Answer(answer.status, body, headers)


def started() -> None:
    """After a restart: what was deploying has deployed."""
    service = _service()
    for record in service._distributions._data.values():
        record["Status"] = "Deployed"
    for invalidations in service._invalidations._data.values():
        for record in invalidations:
            record["Status"] = "Completed"


EXTENSION = Extension(
    types=(
        Distribution(),
        UsedByDistributions("AWS::CloudFront::OriginAccessControl"),
        UsedByDistributions("AWS::CloudFront::ResponseHeadersPolicy"),
        UsedByDistributions("AWS::CloudFront::CachePolicy"),
        UsedByDistributions("AWS::CloudFront::OriginRequestPolicy"),
    ),
    hooks=(
        ApiHook(
            "cloudfront",
            frozenset({"CreateDistribution", "UpdateDistribution", "CreateDistributionWithTags"}),
            after=after_distribution,
        ),
        ApiHook("cloudfront", frozenset({"CreateInvalidation"}), after=after_invalidation),
    ),
    started=started,
)
