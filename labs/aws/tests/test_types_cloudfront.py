"""CloudFront through stacks and its API: deployment, invalidation, what must be disabled first."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

CACHING = "658327ea-f89d-4fab-a63d-7e88639e58f6"


def site(name: str, comment: str = "one") -> dict[str, Any]:
    return {
        "Resources": {
            "Access": {
                "Type": "AWS::CloudFront::OriginAccessControl",
                "Properties": {
                    "OriginAccessControlConfig": {
                        "Name": name,
                        "OriginAccessControlOriginType": "s3",
                        "SigningBehavior": "always",
                        "SigningProtocol": "sigv4",
                    }
                },
            },
            "Headers": {
                "Type": "AWS::CloudFront::ResponseHeadersPolicy",
                "Properties": {
                    "ResponseHeadersPolicyConfig": {
                        "Name": name,
                        "SecurityHeadersConfig": {"ContentTypeOptions": {"Override": True}},
                    }
                },
            },
            "Site": {
                "Type": "AWS::CloudFront::Distribution",
                "Properties": {
                    "DistributionConfig": {
                        "Enabled": True,
                        "Comment": f"{name} {comment}",
                        "DefaultRootObject": "index.html",
                        "Origins": [
                            {
                                "Id": "bucket",
                                "DomainName": "b.s3.us-east-1.amazonaws.com",
                                "OriginAccessControlId": {"Ref": "Access"},
                                "S3OriginConfig": {"OriginAccessIdentity": ""},
                            }
                        ],
                        "DefaultCacheBehavior": {
                            "TargetOriginId": "bucket",
                            "ViewerProtocolPolicy": "https-only",
                            "CachePolicyId": CACHING,
                            "ResponseHeadersPolicyId": {"Ref": "Headers"},
                        },
                    }
                },
            },
        },
        "Outputs": {
            "Id": {"Value": {"Ref": "Site"}},
            "Domain": {"Value": {"Fn::GetAtt": ["Site", "DomainName"]}},
            "Access": {"Value": {"Ref": "Access"}},
        },
    }


def test_life_of_a_distribution(aws, stacks, name, until) -> None:
    assert stacks.create(name, site(name)) == "CREATE_COMPLETE", stacks.failures(name)
    cloudfront, outputs = aws.client("cloudfront"), stacks.outputs(name)
    identity = outputs["Id"]

    def found() -> dict[str, Any]:
        return cloudfront.get_distribution(Id=identity)["Distribution"]

    assert (found()["Status"], found()["DomainName"]) == ("Deployed", outputs["Domain"])
    assert stacks.update(name, site(name, "two")) == "UPDATE_COMPLETE", stacks.failures(name)
    assert found()["DistributionConfig"]["Comment"] == f"{name} two"

    made = cloudfront.create_invalidation(
        DistributionId=identity,
        InvalidationBatch={"Paths": {"Quantity": 1, "Items": ["/*"]}, "CallerReference": name},
    )["Invalidation"]
    assert made["Status"] == "InProgress"
    until(
        lambda: cloudfront.get_invalidation(DistributionId=identity, Id=made["Id"])["Invalidation"],
        lambda invalidation: invalidation["Status"] == "Completed",
    )

    current = cloudfront.get_distribution_config(Id=identity)
    with pytest.raises(ClientError, match="DistributionNotDisabled"):
        cloudfront.delete_distribution(Id=identity, IfMatch=current["ETag"])
    config = {**current["DistributionConfig"], "Enabled": False}
    changed = cloudfront.update_distribution(
        Id=identity, IfMatch=current["ETag"], DistributionConfig=config
    )
    assert changed["Distribution"]["Status"] == "InProgress"
    until(found, lambda distribution: distribution["Status"] == "Deployed")
    assert found()["DistributionConfig"]["Enabled"] is False

    assert stacks.delete(name) == "DELETE_COMPLETE", stacks.failures(name)
    with pytest.raises(ClientError, match="NoSuchDistribution"):
        found()
    with pytest.raises(ClientError, match="NoSuchOriginAccessControl"):
        cloudfront.get_origin_access_control(Id=outputs["Access"])
