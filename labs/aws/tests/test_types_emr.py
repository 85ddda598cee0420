"""EMR through stacks and its API: starting, steps, policies, protection, termination."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError


def flow(name: str, workers: int = 2, protected: bool = False, idle: int = 3600) -> dict[str, Any]:
    group = {"InstanceType": "m5.xlarge"}
    return {
        "Resources": {
            "Role": {
                "Type": "AWS::IAM::Role",
                "Properties": {
                    "AssumeRolePolicyDocument": {
                        "Version": "2012-10-17",
                        "Statement": [
                            {
                                "Effect": "Allow",
                                "Principal": {"Service": "elasticmapreduce.amazonaws.com"},
                                "Action": "sts:AssumeRole",
                            }
                        ],
                    }
                },
            },
            "Profile": {
                "Type": "AWS::IAM::InstanceProfile",
                "Properties": {"Roles": [{"Ref": "Role"}]},
            },
            "Security": {
                "Type": "AWS::EMR::SecurityConfiguration",
                "Properties": {
                    "SecurityConfiguration": {
                        "EncryptionConfiguration": {
                            "EnableInTransitEncryption": False,
                            "EnableAtRestEncryption": False,
                        }
                    }
                },
            },
            "Cluster": {
                "Type": "AWS::EMR::Cluster",
                "Properties": {
                    "Name": name,
                    "ReleaseLabel": "emr-7.2.0",
                    "JobFlowRole": {"Ref": "Profile"},
                    "ServiceRole": {"Ref": "Role"},
                    "SecurityConfiguration": {"Ref": "Security"},
                    "Applications": [{"Name": "Spark"}],
                    "AutoTerminationPolicy": {"IdleTimeout": idle},
                    "ManagedScalingPolicy": {
                        "ComputeLimits": {
                            "MinimumCapacityUnits": 1,
                            "MaximumCapacityUnits": 4,
                            "UnitType": "Instances",
                        }
                    },
                    "Instances": {
                        "MasterInstanceGroup": {**group, "InstanceCount": 1},
                        "CoreInstanceGroup": {**group, "InstanceCount": workers},
                        "TerminationProtected": protected,
                    },
                },
            },
        },
        "Outputs": {
            "Id": {"Value": {"Ref": "Cluster"}},
            "Dns": {"Value": {"Fn::GetAtt": ["Cluster", "MasterPublicDNS"]}},
        },
    }


def job(name: str, *arguments: str, **more: str) -> dict[str, Any]:
    jar = {"Jar": "command-runner.jar", "Args": list(arguments)}
    return {"Name": name, "HadoopJarStep": jar, **more}


def test_life_of_a_cluster_in_a_stack(aws, stacks, name, until, slowly) -> None:
    assert stacks.create(name, flow(name)) == "CREATE_COMPLETE", stacks.failures(name)
    emr, outputs = aws.client("emr"), stacks.outputs(name)
    cluster = outputs["Id"]

    def found() -> dict[str, Any]:
        return emr.describe_cluster(ClusterId=cluster)["Cluster"]

    def core() -> int:
        groups = emr.list_instance_groups(ClusterId=cluster)["InstanceGroups"]
        return next(
            group["RequestedInstanceCount"]
            for group in groups
            if group["InstanceGroupType"] == "CORE"
        )

    assert (found()["Status"]["State"], core()) == ("WAITING", 2)
    assert found()["MasterPublicDnsName"] == outputs["Dns"] != ""
    scaling = emr.get_managed_scaling_policy(ClusterId=cluster)["ManagedScalingPolicy"]
    assert scaling["ComputeLimits"]["MaximumCapacityUnits"] == 4

    assert stacks.update(name, flow(name, workers=3, protected=True, idle=7200)) == (
        "UPDATE_COMPLETE"
    )
    assert (core(), found()["TerminationProtected"]) == (3, True)
    policy = emr.get_auto_termination_policy(ClusterId=cluster)["AutoTerminationPolicy"]
    assert policy["IdleTimeout"] == 7200

    def states() -> list[str]:
        return [
            emr.describe_step(ClusterId=cluster, StepId=step)["Step"]["Status"]["State"]
            for step in steps
        ]

    three = [job("good", "true"), job("bad", "false"), job("last", "true")]
    with slowly():
        steps = emr.add_job_flow_steps(JobFlowId=cluster, Steps=three)["StepIds"]
        assert states() == ["RUNNING", "PENDING", "PENDING"]
    until(states, lambda seen: seen == ["COMPLETED", "FAILED", "COMPLETED"])
    assert emr.list_steps(ClusterId=cluster)["Steps"][0]["Name"] == "last"

    assert stacks.delete(name) == "DELETE_FAILED"
    assert "termination protected" in stacks.failures(name)["Cluster"]
    with pytest.raises(ClientError, match="termination protected"):
        emr.terminate_job_flows(JobFlowIds=[cluster])
    emr.set_termination_protection(JobFlowIds=[cluster], TerminationProtected=False)
    assert stacks.delete(name) == "DELETE_COMPLETE", stacks.failures(name)
    assert found()["Status"]["State"] == "TERMINATED"
    with pytest.raises(ClientError, match="cannot be changed"):
        emr.add_job_flow_steps(JobFlowId=cluster, Steps=[job("late", "true")])


def test_api_walks_through_its_states(aws, name, until, slowly) -> None:
    emr = aws.client("emr")
    wanted = dict(
        Name=name,
        ReleaseLabel="emr-7.2.0",
        JobFlowRole="p",
        ServiceRole="r",
        Steps=[job("only", "true")],
        Instances={
            "MasterInstanceType": "m5.xlarge",
            "SlaveInstanceType": "m5.xlarge",
            "InstanceCount": 3,
        },
    )
    seen: list[str] = []

    def state() -> str:
        now = emr.describe_cluster(ClusterId=cluster)["Cluster"]["Status"]["State"]
        if now not in seen:
            seen.append(now)
        return now

    with slowly():
        cluster = emr.run_job_flow(**wanted)["JobFlowId"]
        assert state() == "STARTING"
    until(state, lambda now: now == "TERMINATED")
    order = ["STARTING", "BOOTSTRAPPING", "RUNNING", "TERMINATING", "TERMINATED"]
    assert seen == [step for step in order if step in seen]
    assert len(emr.list_instances(ClusterId=cluster)["Instances"]) == 3


def test_unknown_cluster_and_invalid_parameters_are_refused(aws) -> None:
    emr = aws.client("emr")
    with pytest.raises(ClientError, match="'j-NOWHERE' is not valid"):
        emr.describe_cluster(ClusterId="j-NOWHERE")
    with pytest.raises(ClientError, match="does not exist"):
        emr.describe_security_configuration(Name="nowhere")
