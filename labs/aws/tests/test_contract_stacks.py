"""CloudFormation's language and rules, as far as offerings use them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError


def queue(name: str, **properties: Any) -> dict[str, Any]:
    return {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": name, **properties}}


def template(**resources: dict[str, Any]) -> dict[str, Any]:
    return {"AWSTemplateFormatVersion": "2010-09-09", "Resources": resources}


def exists(aws, name: str) -> bool:
    return any(row["id"] == name for row in aws.page("state")["resources"])


def test_intrinsic_functions(aws, stacks, name):
    aws.client("ssm").put_parameter(Name=f"/p/{name}", Value="stored", Type="String")
    aws.client("secretsmanager").create_secret(Name=name, SecretString='{"k":"hidden"}')
    document = {
        "Parameters": {
            "Env": {"Type": "String", "Default": "dev", "AllowedValues": ["dev", "prod"]},
            "Sizes": {"Type": "CommaDelimitedList", "Default": "a,b,c"},
            "Count": {"Type": "Number", "Default": 3},
        },
        "Mappings": {"M": {"dev": {"k": "mapped"}, "prod": {"k": "other"}}},
        "Conditions": {
            "Yes": {"Fn::Equals": [{"Ref": "Env"}, "dev"]},
            "No": {"Fn::Not": [{"Condition": "Yes"}]},
            "Both": {"Fn::And": [{"Condition": "Yes"}, {"Fn::Or": [{"Condition": "No"}] * 2}]},
        },
        "Resources": {
            "A": {**queue(name), "Condition": "Yes"},
            "N": {**queue(f"{name}-n"), "Condition": "No"},
            "T": {
                "Type": "AWS::SNS::Topic",
                "Properties": {
                    "DisplayName": f"{{{{resolve:ssm:/p/{name}}}}}",
                    "KmsMasterKeyId": {"Fn::If": ["No", "alias/aws/sns", {"Ref": "AWS::NoValue"}]},
                },
            },
        },
        "Outputs": {
            "If": {"Value": {"Fn::If": ["Yes", "y", "n"]}},
            "Both": {"Value": {"Fn::If": ["Both", "y", "n"]}},
            "Sub": {"Value": {"Fn::Sub": ["${A.Arn}|${x}|${!literal}", {"x": "1"}]}},
            "Select": {"Value": {"Fn::Select": [1, {"Ref": "Sizes"}]}},
            "Join": {"Value": {"Fn::Join": ["-", {"Fn::Split": [",", "a,b"]}]}},
            "Map": {"Value": {"Fn::FindInMap": ["M", {"Ref": "Env"}, "k"]}},
            "Base64": {"Value": {"Fn::Base64": "x"}},
            "Cidr": {"Value": {"Fn::Select": [1, {"Fn::Cidr": ["10.0.0.0/16", 2, 8]}]}},
            "Zone": {"Value": {"Fn::Select": [0, {"Fn::GetAZs": ""}]}},
            "Account": {"Value": {"Ref": "AWS::AccountId"}},
            "Region": {"Value": {"Ref": "AWS::Region"}},
            "Never": {"Condition": "No", "Value": "never"},
            "Topic": {"Value": {"Ref": "T"}},
        },
    }
    assert stacks.create(name, document) == "CREATE_COMPLETE", stacks.failures(name)
    outputs = stacks.outputs(name)
    topic = outputs.pop("Topic")
    assert outputs == {
        "If": "y",
        "Both": "n",
        "Sub": f"arn:aws:sqs:us-east-1:111122223333:{name}|1|${{literal}}",
        "Select": "b",
        "Join": "a-b",
        "Map": "mapped",
        "Base64": "eA==",
        "Cidr": "10.0.1.0/24",
        "Zone": "us-east-1a",
        "Account": "111122223333",
        "Region": "us-east-1",
    }
    attributes = aws.client("sns").get_topic_attributes(TopicArn=topic)["Attributes"]
    assert attributes["DisplayName"] == "stored"
    assert not exists(aws, f"{name}-n")


def test_exports_are_imported_and_held(stacks, name):
    exporter = {
        **template(A=queue(name)),
        "Outputs": {"Out": {"Value": "shared", "Export": {"Name": f"{name}-export"}}},
    }
    assert stacks.create(name, exporter) == "CREATE_COMPLETE"
    topic = {
        "Type": "AWS::SNS::Topic",
        "Properties": {"DisplayName": {"Fn::ImportValue": f"{name}-export"}},
    }
    assert stacks.create(f"{name}-2", template(T=topic)) == "CREATE_COMPLETE"
    with pytest.raises(ClientError, match="is imported by"):
        stacks.cf.delete_stack(StackName=name)
    assert stacks.delete(f"{name}-2") == "DELETE_COMPLETE"
    assert stacks.delete(name) == "DELETE_COMPLETE"


def test_retained_resources_stay(aws, stacks, name):
    document = template(
        A={**queue(f"{name}-a"), "DeletionPolicy": "Retain"},
        B={**queue(f"{name}-b"), "UpdateReplacePolicy": "Retain"},
    )
    assert stacks.create(name, document) == "CREATE_COMPLETE"
    document["Resources"]["B"]["Properties"]["QueueName"] = f"{name}-c"
    assert stacks.update(name, document) == "UPDATE_COMPLETE"
    assert stacks.delete(name) == "DELETE_COMPLETE"
    assert [exists(aws, f"{name}-{x}") for x in "abc"] == [True, True, False]


def test_failed_delete_is_repeated_or_given_up(aws, stacks, name):
    document = template(A=queue(f"{name}-a"), B=queue(f"{name}-b"))
    assert stacks.create(name, document) == "CREATE_COMPLETE"
    aws.faults(
        {
            "effect": "error",
            "type": "*",
            "operation": "delete",
            "logical_id": "A",
            "message": "has a dependent object",
        }
    )
    assert stacks.delete(name) == "DELETE_FAILED"
    assert "dependent object" in stacks.failures(name)["A"]
    assert "[A]" in stacks.stack(name)["StackStatusReason"]
    assert stacks.delete(name, RetainResources=["A"]) == "DELETE_COMPLETE"
    assert exists(aws, f"{name}-a")
    assert not exists(aws, f"{name}-b")


def test_vpc_with_a_foreign_subnet_refuses_its_delete(aws, stacks, name):
    vpc = {"Type": "AWS::EC2::VPC", "Properties": {"CidrBlock": "10.9.0.0/16"}}
    assert stacks.create(name, template(V=vpc)) == "CREATE_COMPLETE"
    rows = stacks.cf.describe_stack_resources(StackName=name)["StackResources"]
    aws.client("ec2").create_subnet(VpcId=rows[0]["PhysicalResourceId"], CidrBlock="10.9.1.0/24")
    assert stacks.delete(name) == "DELETE_FAILED"
    assert "has dependencies and cannot be deleted" in stacks.failures(name)["V"]


def test_stack_tags_reach_the_resources(aws, stacks, name):
    tags = [{"Key": "owner", "Value": "isthmus"}]
    assert stacks.create(name, template(A=queue(name)), Tags=tags) == "CREATE_COMPLETE"
    sqs = aws.client("sqs")
    url = sqs.get_queue_url(QueueName=name)["QueueUrl"]
    found = sqs.list_queue_tags(QueueUrl=url)["Tags"]
    assert found["owner"] == "isthmus"
    assert found["aws:cloudformation:stack-name"] == name


REFUSED = {
    "a value that is not allowed": (
        {"Parameters": {"E": {"Type": "String", "AllowedValues": ["a"]}}},
        {"Parameters": [{"ParameterKey": "E", "ParameterValue": "z"}]},
        "AllowedValues|allowed",
    ),
    "a parameter without a value": ({"Parameters": {"E": {"Type": "String"}}}, {}, "E"),
    "an unknown reference": ({"Outputs": {"O": {"Value": {"Ref": "Nope"}}}}, {}, "Nope"),
    "an unknown attribute": (
        {"Outputs": {"O": {"Value": {"Fn::GetAtt": ["A", "Nope"]}}}},
        {},
        "Nope",
    ),
}


@pytest.mark.parametrize("case", sorted(REFUSED))
def test_refused_templates(stacks, name, case):
    more, parameters, words = REFUSED[case]
    with pytest.raises(ClientError, match=words):
        stacks.begin(name, {**template(A=queue(name)), **more}, **parameters)


def test_circular_dependencies_are_refused(stacks, name):
    circle = {"A": {**queue(name), "DependsOn": "B"}, "B": {**queue(name), "DependsOn": "A"}}
    with pytest.raises(ClientError, match=r"(?i)circular"):
        stacks.begin(name, template(**circle))


def test_named_roles_need_a_capability(stacks, name):
    role = {
        "Type": "AWS::IAM::Role",
        "Properties": {
            "RoleName": name,
            "AssumeRolePolicyDocument": {
                "Version": "2012-10-17",
                "Statement": [
                    {
                        "Effect": "Allow",
                        "Principal": {"Service": "ec2.amazonaws.com"},
                        "Action": "sts:AssumeRole",
                    }
                ],
            },
        },
    }
    with pytest.raises(ClientError, match="CAPABILITY_NAMED_IAM"):
        stacks.cf.create_stack(StackName=name, TemplateBody=json.dumps(template(R=role)))


def test_update_without_changes_is_refused(stacks, name):
    assert stacks.create(name, template(A=queue(name))) == "CREATE_COMPLETE"
    with pytest.raises(ClientError, match="No updates are to be performed"):
        stacks.update(name, template(A=queue(name)))
    nothing = stacks.change_set(name, template(A=queue(name)))
    assert nothing["Status"] == "FAILED"
    assert "didn't contain changes" in nothing["StatusReason"]


def test_change_set_says_what_would_be_replaced(stacks, name):
    topic = {
        "Type": "AWS::SNS::Topic",
        "Properties": {"TopicName": name, "DisplayName": {"Fn::GetAtt": ["A", "QueueName"]}},
    }
    before = template(A=queue(f"{name}-a"), B=queue(f"{name}-b"), T=topic)
    assert stacks.create(name, before) == "CREATE_COMPLETE"
    after = template(A=queue(f"{name}-x"), C=queue(f"{name}-c"), T=topic)
    changes = {
        change["ResourceChange"]["LogicalResourceId"]: change["ResourceChange"]
        for change in stacks.change_set(name, after)["Changes"]
    }
    assert {who: change["Action"] for who, change in changes.items()} == {
        "A": "Modify",
        "B": "Remove",
        "C": "Add",
        "T": "Modify",
    }
    assert changes["A"]["Replacement"] == "True"
    assert changes["T"]["Replacement"] == "False"
    assert changes["T"]["Details"][0]["CausingEntity"] == "A.QueueName"


def test_change_set_knows_which_properties_replace_by_the_schema(stacks, name):
    def bucket(suffix: str, status: str) -> dict[str, Any]:
        properties = {
            "BucketName": f"{name}{suffix}",
            "VersioningConfiguration": {"Status": status},
        }
        return template(B={"Type": "AWS::S3::Bucket", "Properties": properties})

    assert stacks.create(name, bucket("", "Enabled")) == "CREATE_COMPLETE"
    changes = stacks.change_set(name, bucket("", "Suspended"))["Changes"]
    assert changes[0]["ResourceChange"]["Replacement"] == "False"
    stacks.cf.delete_change_set(StackName=name, ChangeSetName="changes")
    changes = stacks.change_set(name, bucket("-new", "Enabled"))["Changes"]
    assert changes[0]["ResourceChange"]["Replacement"] == "True"


def test_change_set_names_only_resources_whose_condition_holds(stacks, name):
    document = {
        "Parameters": {"More": {"Type": "String", "Default": "no"}},
        "Conditions": {"Wanted": {"Fn::Equals": [{"Ref": "More"}, "yes"]}},
        "Resources": {
            "A": queue(f"{name}-a"),
            "B": {**queue(f"{name}-b"), "Condition": "Wanted"},
        },
    }

    def actions(kind: str, more: str) -> dict[str, str]:
        parameters = [{"ParameterKey": "More", "ParameterValue": more}]
        changes = stacks.change_set(name, document, kind, Parameters=parameters)["Changes"]
        stacks.cf.delete_change_set(StackName=name, ChangeSetName="changes")
        found = [change["ResourceChange"] for change in changes]
        return {one["LogicalResourceId"]: one["Action"] for one in found}

    assert actions("CREATE", "no") == {"A": "Add"}
    stacks.cf.delete_stack(StackName=name)
    assert stacks.create(name, document) == "CREATE_COMPLETE"
    assert actions("UPDATE", "yes") == {"B": "Add"}
