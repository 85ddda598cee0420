"""Load balancers of all three kinds through stacks and their APIs."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError


def network() -> dict[str, Any]:
    subnets = {
        f"Subnet{zone}": {
            "Type": "AWS::EC2::Subnet",
            "Properties": {
                "VpcId": {"Ref": "Vpc"},
                "CidrBlock": f"10.1.{number}.0/24",
                "AvailabilityZone": f"us-east-1{zone.lower()}",
            },
        }
        for number, zone in enumerate("AB")
    }
    vpc = {"Type": "AWS::EC2::VPC", "Properties": {"CidrBlock": "10.1.0.0/16"}}
    return {"Vpc": vpc, **subnets}


def modern(name: str, kind: str, protected: bool = False, delay: int = 300) -> dict[str, Any]:
    protocol = "HTTP" if kind == "application" else "TCP"
    attributes = {"deletion_protection.enabled": str(protected).lower()}
    return {
        "Resources": {
            **network(),
            "Balancer": {
                "Type": "AWS::ElasticLoadBalancingV2::LoadBalancer",
                "Properties": {
                    "Name": name,
                    "Type": kind,
                    "Scheme": "internal",
                    "Subnets": [{"Ref": "SubnetA"}, {"Ref": "SubnetB"}],
                    "LoadBalancerAttributes": [
                        {"Key": key, "Value": value} for key, value in attributes.items()
                    ],
                },
            },
            "Targets": {
                "Type": "AWS::ElasticLoadBalancingV2::TargetGroup",
                "Properties": {
                    "Name": name,
                    "Port": 80,
                    "Protocol": protocol,
                    "TargetType": "ip",
                    "VpcId": {"Ref": "Vpc"},
                    "TargetGroupAttributes": [
                        {"Key": "deregistration_delay.timeout_seconds", "Value": str(delay)}
                    ],
                },
            },
            "Listener": {
                "Type": "AWS::ElasticLoadBalancingV2::Listener",
                "Properties": {
                    "LoadBalancerArn": {"Ref": "Balancer"},
                    "Port": 80,
                    "Protocol": protocol,
                    "DefaultActions": [{"Type": "forward", "TargetGroupArn": {"Ref": "Targets"}}],
                },
            },
        },
        "Outputs": {
            "Balancer": {"Value": {"Ref": "Balancer"}},
            "Targets": {"Value": {"Ref": "Targets"}},
            "Dns": {"Value": {"Fn::GetAtt": ["Balancer", "DNSName"]}},
            "Zone": {"Value": {"Fn::GetAtt": ["Balancer", "CanonicalHostedZoneID"]}},
        },
    }


@pytest.mark.parametrize("kind", ["application", "network"])
def test_life_of_a_load_balancer(aws, stacks, name, until, slowly, kind) -> None:
    assert stacks.create(name, modern(name, kind)) == "CREATE_COMPLETE", stacks.failures(name)
    elb, outputs = aws.client("elbv2"), stacks.outputs(name)
    balancer, group = outputs["Balancer"], outputs["Targets"]
    found = elb.describe_load_balancers(Names=[name])["LoadBalancers"][0]
    assert (found["State"]["Code"], found["Type"], found["Scheme"]) == ("active", kind, "internal")
    assert (found["DNSName"], found["CanonicalHostedZoneId"]) == (outputs["Dns"], outputs["Zone"])

    def health() -> list[str]:
        described = elb.describe_target_health(TargetGroupArn=group)["TargetHealthDescriptions"]
        return [target["TargetHealth"]["State"] for target in described]

    with slowly():
        elb.register_targets(TargetGroupArn=group, Targets=[{"Id": "10.1.0.9", "Port": 80}])
        assert health() == ["initial"]
    until(health, lambda states: states == ["healthy"])
    with slowly():
        elb.deregister_targets(TargetGroupArn=group, Targets=[{"Id": "10.1.0.9"}])
        assert health() == ["draining"]
    until(health, lambda states: states == [])

    with pytest.raises(ClientError, match="in use by a listener"):
        elb.delete_target_group(TargetGroupArn=group)
    protected = modern(name, kind, protected=True, delay=60)
    assert stacks.update(name, protected) == "UPDATE_COMPLETE", stacks.failures(name)
    with pytest.raises(ClientError, match="deletion protection is enabled"):
        elb.delete_load_balancer(LoadBalancerArn=balancer)
    assert stacks.delete(name) == "DELETE_FAILED"
    assert "deletion protection" in stacks.failures(name)["Balancer"]
    elb.modify_load_balancer_attributes(
        LoadBalancerArn=balancer,
        Attributes=[{"Key": "deletion_protection.enabled", "Value": "false"}],
    )
    assert stacks.delete(name) == "DELETE_COMPLETE", stacks.failures(name)
    with pytest.raises(ClientError, match="LoadBalancerNotFound"):
        elb.describe_load_balancers(Names=[name])
    with pytest.raises(ClientError, match="TargetGroupNotFound"):
        elb.describe_target_groups(TargetGroupArns=[group])


def test_targets_of_a_group_without_listener_are_unused(aws, name) -> None:
    elb = aws.client("elbv2")
    group = elb.create_target_group(Name=name, Protocol="HTTP", Port=80, TargetType="ip")
    arn = group["TargetGroups"][0]["TargetGroupArn"]
    elb.register_targets(TargetGroupArn=arn, Targets=[{"Id": "10.1.0.9"}])
    described = elb.describe_target_health(TargetGroupArn=arn)["TargetHealthDescriptions"][0]
    assert described["TargetHealth"]["State"] == "unused"
    assert described["TargetHealth"]["Reason"] == "Target.NotInUse"
    elb.delete_target_group(TargetGroupArn=arn)


def classic(name: str, interval: int = 30, bucket: str = "") -> dict[str, Any]:
    return {
        "Resources": {
            **network(),
            "Balancer": {
                "Type": "AWS::ElasticLoadBalancing::LoadBalancer",
                "Properties": {
                    "LoadBalancerName": name,
                    "Scheme": "internal",
                    "CrossZone": True,
                    "Subnets": [{"Ref": "SubnetA"}],
                    "Listeners": [
                        {"LoadBalancerPort": "80", "InstancePort": "80", "Protocol": "HTTP"}
                    ],
                    "HealthCheck": {
                        "Target": "HTTP:80/",
                        "HealthyThreshold": "3",
                        "UnhealthyThreshold": "5",
                        "Interval": str(interval),
                        "Timeout": "5",
                    },
                    **(
                        {"AccessLoggingPolicy": {"Enabled": True, "S3BucketName": bucket}}
                        if bucket
                        else {}
                    ),
                },
            },
        },
        "Outputs": {"Dns": {"Value": {"Fn::GetAtt": ["Balancer", "DNSName"]}}},
    }


def test_life_of_a_classic_load_balancer(aws, stacks, name, until, slowly) -> None:
    assert stacks.create(name, classic(name)) == "CREATE_COMPLETE", stacks.failures(name)
    elb = aws.client("elb")

    def found() -> dict[str, Any]:
        return elb.describe_load_balancers(LoadBalancerNames=[name])["LoadBalancerDescriptions"][0]

    assert found()["DNSName"] == stacks.outputs(name)["Dns"]
    assert found()["HealthCheck"]["Interval"] == 30
    assert stacks.update(name, classic(name, 20, "logs")) == "UPDATE_COMPLETE", stacks.failures(
        name
    )
    assert found()["HealthCheck"]["Interval"] == 20
    attributes = elb.describe_load_balancer_attributes(LoadBalancerName=name)
    assert attributes["LoadBalancerAttributes"]["AccessLog"]["S3BucketName"] == "logs"
    assert attributes["LoadBalancerAttributes"]["CrossZoneLoadBalancing"]["Enabled"] is True

    instances = [{"InstanceId": "i-0123456789abcdef0"}]
    elb.register_instances_with_load_balancer(LoadBalancerName=name, Instances=instances)

    def health() -> list[str]:
        described = elb.describe_instance_health(LoadBalancerName=name)["InstanceStates"]
        return [state["State"] for state in described]

    with slowly():
        assert health() == ["OutOfService"]
    until(health, lambda states: states == ["InService"])
    elb.deregister_instances_from_load_balancer(LoadBalancerName=name, Instances=instances)
    assert health() == []
    assert stacks.delete(name) == "DELETE_COMPLETE", stacks.failures(name)
    with pytest.raises(ClientError, match="LoadBalancerNotFound"):
        found()
    assert stacks.create(name, classic(name)) == "CREATE_COMPLETE", "the name is free again"
    assert stacks.delete(name) == "DELETE_COMPLETE"
