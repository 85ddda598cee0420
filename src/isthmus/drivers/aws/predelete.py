"""Steps before a stack's deletion, declared by the offering as data.

CloudFormation refuses to delete what is not empty or is protected. Each step does a bounded piece
of work and says whether it is done; the engine repeats it. A step touches only what is a resource
of the stack, and the stack bears our tag.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from isthmus.api.meta import Json
from isthmus.api.v1alpha1 import StackResource
from isthmus.core.placeholders import fill, strings
from isthmus.drivers.aws.session import Aws
from isthmus.errors import Forbidden, InvalidSpec, NotFound

_BATCHES = 10
"""Deletions of a thousand objects each, before the engine comes back."""
_RECORD_SET = "AWS::Route53::RecordSet"
_CHANGES = 500
"""Record sets of one change; Route 53 takes 1,000, a delete counts once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The stack that a step belongs to."""

    outputs: Mapping[str, str]
    resources: Sequence[StackResource]
    resumed: bool = False
    """A deletion stopped half-way before: what is missing now was deleted then."""

    def scope(self) -> dict[str, Any]:
        """Return the names that a step may use."""
        own = {f"resources.{r.logical_id}": r.physical_id for r in self.resources if r.physical_id}
        return own | {f"outputs.{k}": v for k, v in self.outputs.items()}

    def holds(self, physical_id: str) -> bool:
        """Tell whether that is a resource of the stack."""
        return any(
            r.physical_id and physical_id in (r.physical_id, r.physical_id.rsplit("/", 1)[-1])
            for r in self.resources
            if r.status != "DELETE_COMPLETE"
        )


Step = Callable[[Aws, Json, Target], Awaitable[bool]]


async def run(aws: Aws, steps: Sequence[Json], target: Target) -> bool:
    """Take the steps in order; true once all are done.

    A step whose names the stack does not have any more, as after a failed creation, has nothing to
    do.
    """
    scope = target.scope()
    for index, raw in enumerate(steps):
        step = STEPS.get(str(raw.get("step")))
        if step is None:
            raise InvalidSpec(
                f"preDelete[{index}].step: {raw.get('step')!r} is unknown; known are: "
                f"{', '.join(sorted(STEPS))}."
            )
        filled, missing = fill(raw, scope)
        if missing:
            continue
        try:
            if not await step(aws, cast("Json", filled), target):
                return False
        except NotFound:
            continue
    return True


def _own(spec: Json, key: str, target: Target) -> str:
    value = str(spec.get(key) or "")
    if not value:
        raise InvalidSpec(f"preDelete: step {spec['step']} needs {key!r}.")
    if not target.holds(value):
        if target.resumed:
            raise NotFound(f"preDelete: {value} is gone already.")
        raise Forbidden(f"preDelete: {value} is not a resource of this stack; we leave it alone.")
    return value


async def _empty_bucket(aws: Aws, spec: Json, target: Target) -> bool:
    bucket = _own(spec, "bucket", target)
    await _abort_uploads(aws, bucket)
    for _ in range(_BATCHES):
        page = await aws.call("s3", "list_object_versions", Bucket=bucket, MaxKeys=1000)
        found = [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
        if not found:
            return True
        objects = [{"Key": o["Key"], "VersionId": o["VersionId"]} for o in found]
        answer = await aws.call(
            "s3", "delete_objects", Bucket=bucket, Delete={"Objects": objects, "Quiet": True}
        )
        if errors := cast("list[Json]", answer.get("Errors", [])):
            first = errors[0]
            raise Forbidden(
                f"preDelete: object {first.get('Key')} of bucket {bucket} cannot be deleted: "
                f"{first.get('Message') or first.get('Code')}."
            )
    return False


async def _abort_uploads(aws: Aws, bucket: str) -> None:
    page = await aws.call("s3", "list_multipart_uploads", Bucket=bucket)
    for upload in cast("list[Json]", page.get("Uploads", [])):
        await aws.call(
            "s3",
            "abort_multipart_upload",
            Bucket=bucket,
            Key=upload["Key"],
            UploadId=upload["UploadId"],
        )


async def _purge_zone(aws: Aws, spec: Json, target: Target) -> bool:
    zone = _own(spec, "zone", target)
    name = (await aws.call("route53", "get_hosted_zone", Id=zone))["HostedZone"]["Name"]
    page = await aws.call("route53", "list_resource_record_sets", HostedZoneId=zone)
    # CloudFormation deletes the stack's own records, by their name.
    own = {r.physical_id.rstrip(".") for r in target.resources if r.type == _RECORD_SET}
    foreign = [
        r
        for r in cast("list[Json]", page.get("ResourceRecordSets", []))
        if not (r["Name"] == name and r["Type"] in ("NS", "SOA"))
        and str(r["Name"]).rstrip(".") not in own
    ]
    if not foreign:
        return True
    changes = [{"Action": "DELETE", "ResourceRecordSet": r} for r in foreign[:_CHANGES]]
    await aws.call(
        "route53",
        "change_resource_record_sets",
        HostedZoneId=zone,
        ChangeBatch={"Changes": changes},
    )
    return not page.get("IsTruncated", False) and len(foreign) <= _CHANGES


async def _disable_distribution(aws: Aws, spec: Json, target: Target) -> bool:
    distribution = _own(spec, "distribution", target)
    answer = await aws.call("cloudfront", "get_distribution", Id=distribution)
    state = cast("Json", answer["Distribution"])
    config = cast("Json", state["DistributionConfig"])
    if not config["Enabled"]:
        return state["Status"] == "Deployed"
    await aws.call(
        "cloudfront",
        "update_distribution",
        Id=distribution,
        IfMatch=answer["ETag"],
        DistributionConfig=config | {"Enabled": False},
    )
    return False


async def _disable_protection(aws: Aws, spec: Json, target: Target) -> bool:
    call = cast("Json", spec.get("call") or {})
    if not call.get("service") or not call.get("operation"):
        raise InvalidSpec("preDelete: step disable-protection needs call.service and .operation.")
    arguments = cast("Json", call.get("arguments", {}))
    if not any(target.holds(text) for text in strings(arguments)):
        raise Forbidden(
            f"preDelete: {call['service']}.{call['operation']} names no resource of this stack; "
            "we leave it alone."
        )
    await aws.call(str(call["service"]), str(call["operation"]), **arguments)
    return True


STEPS: Final[dict[str, Step]] = {
    "empty-bucket": _empty_bucket,
    "purge-zone": _purge_zone,
    "disable-distribution": _disable_distribution,
    "disable-protection": _disable_protection,
}
