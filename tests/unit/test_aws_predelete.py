"""Which resources a step before the deletion may touch."""

import pytest

from isthmus.api.v1alpha1 import StackResource
from isthmus.drivers.aws.predelete import Target


def a_target(status: str = "CREATE_COMPLETE", physical_id: str = "logs-1") -> Target:
    bucket = StackResource(
        logical_id="Logs", type="AWS::S3::Bucket", physical_id=physical_id, status=status
    )
    return Target(outputs={}, resources=[bucket])


@pytest.mark.parametrize(
    ("target", "asked", "expected", "reason"),
    [
        (a_target(), "logs-1", True, "a resource of the stack"),
        (a_target(), "logs", False, "a part of its name is another bucket"),
        (a_target(), "other", False, "somebody else's"),
        (a_target(physical_id="arn:aws:x:::thing/logs-1"), "logs-1", True, "the end of an ARN"),
        (a_target(status="DELETE_COMPLETE"), "logs-1", False, "it was deleted before"),
        (a_target(physical_id=""), "", False, "nothing was made"),
    ],
)
def test_holds(target: Target, asked: str, expected: bool, reason: str):
    assert target.holds(asked) is expected, reason
