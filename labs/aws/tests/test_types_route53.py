"""Route 53 through stacks and its API: zones, records, health checks."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError


def zone(name: str, ttl: int = 60, comment: str = "one", **more: Any) -> dict[str, Any]:
    return {
        "Resources": {
            "Zone": {
                "Type": "AWS::Route53::HostedZone",
                "Properties": {
                    "Name": f"{name}.example.",
                    "HostedZoneConfig": {"Comment": comment},
                    **more,
                },
            },
            "Record": {
                "Type": "AWS::Route53::RecordSet",
                "Properties": {
                    "HostedZoneId": {"Ref": "Zone"},
                    "Name": f"www.{name}.example.",
                    "Type": "A",
                    "TTL": str(ttl),
                    "ResourceRecords": ["10.0.0.1"],
                },
            },
            "Group": {
                "Type": "AWS::Route53::RecordSetGroup",
                "Properties": {
                    "HostedZoneId": {"Ref": "Zone"},
                    "RecordSets": [
                        {
                            "Name": f"mail.{name}.example.",
                            "Type": "TXT",
                            "TTL": str(ttl),
                            "ResourceRecords": ['"v=spf1 -all"'],
                        }
                    ],
                },
            },
            "Check": {
                "Type": "AWS::Route53::HealthCheck",
                "Properties": {
                    "HealthCheckConfig": {
                        "Type": "HTTPS",
                        "FullyQualifiedDomainName": f"www.{name}.example",
                    }
                },
            },
        },
        "Outputs": {
            "Id": {"Value": {"Ref": "Zone"}},
            "Servers": {"Value": {"Fn::Join": [",", {"Fn::GetAtt": ["Zone", "NameServers"]}]}},
            "Check": {"Value": {"Ref": "Check"}},
        },
    }


def test_public_zone_with_records_and_health_check(aws, stacks, name) -> None:
    assert stacks.create(name, zone(name)) == "CREATE_COMPLETE", stacks.failures(name)
    route53, outputs = aws.client("route53"), stacks.outputs(name)
    found = route53.get_hosted_zone(Id=outputs["Id"])
    assert found["HostedZone"]["Config"]["Comment"] == "one"
    assert ",".join(found["DelegationSet"]["NameServers"]) == outputs["Servers"]
    assert route53.get_health_check(HealthCheckId=outputs["Check"])["HealthCheck"]

    def ttls() -> dict[str, int]:
        listed = route53.list_resource_record_sets(HostedZoneId=outputs["Id"])
        return {r["Type"]: r["TTL"] for r in listed["ResourceRecordSets"] if r["TTL"] < 900}

    assert ttls() == {"A": 60, "TXT": 60}
    assert stacks.update(name, zone(name, ttl=120, comment="two")) == "UPDATE_COMPLETE"
    assert ttls() == {"A": 120, "TXT": 120}
    assert route53.get_hosted_zone(Id=outputs["Id"])["HostedZone"]["Config"]["Comment"] == "two"

    foreign = {
        "Name": f"other.{name}.example.",
        "Type": "A",
        "TTL": 60,
        "ResourceRecords": [{"Value": "10.0.0.2"}],
    }

    def change(action: str) -> None:
        batch = {"Changes": [{"Action": action, "ResourceRecordSet": foreign}]}
        route53.change_resource_record_sets(HostedZoneId=outputs["Id"], ChangeBatch=batch)

    change("CREATE")
    assert stacks.delete(name) == "DELETE_FAILED"
    assert f"other.{name}.example. A" in stacks.failures(name)["Zone"]
    with pytest.raises(ClientError, match="HostedZoneNotEmpty"):
        route53.delete_hosted_zone(Id=outputs["Id"])
    change("DELETE")
    assert stacks.delete(name) == "DELETE_COMPLETE", stacks.failures(name)
    with pytest.raises(ClientError, match="NoSuchHostedZone"):
        route53.get_hosted_zone(Id=outputs["Id"])
    with pytest.raises(ClientError, match="NoSuchHealthCheck"):
        route53.get_health_check(HealthCheckId=outputs["Check"])


def test_private_zone_has_networks_and_no_name_servers(aws, stacks, name) -> None:
    template = zone(name, VPCs=[{"VPCId": {"Ref": "Vpc"}, "VPCRegion": "us-east-1"}])
    template["Resources"]["Vpc"] = {
        "Type": "AWS::EC2::VPC",
        "Properties": {"CidrBlock": "10.1.0.0/16"},
    }
    del template["Outputs"]["Servers"]
    assert stacks.create(name, template) == "CREATE_COMPLETE", stacks.failures(name)
    found = aws.client("route53").get_hosted_zone(Id=stacks.outputs(name)["Id"])
    assert found["HostedZone"]["Config"]["PrivateZone"] is True
    assert len(found["VPCs"]) == 1
    assert stacks.delete(name) == "DELETE_COMPLETE", stacks.failures(name)


def test_existing_record_is_not_taken_over(aws, stacks, name) -> None:
    assert stacks.create(name, zone(name)) == "CREATE_COMPLETE", stacks.failures(name)
    again = zone(name)
    record = again["Resources"]["Record"]
    record["Properties"]["HostedZoneId"] = stacks.outputs(name)["Id"]
    second = {"Resources": {"Record": record}}
    assert stacks.create(f"{name}b", second) == "ROLLBACK_COMPLETE"
    assert "but it already exists" in stacks.failures(f"{name}b")["Record"]
    assert stacks.delete(f"{name}b") == stacks.delete(name) == "DELETE_COMPLETE"
