"""Athena through stacks and its API: workgroups, queries, results."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError


def workgroup(name: str, cutoff: int = 10_000_000, recursive: bool = True) -> dict[str, Any]:
    return {
        "Resources": {
            "Bucket": {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": name}},
            "Group": {
                "Type": "AWS::Athena::WorkGroup",
                "Properties": {
                    "Name": name,
                    "RecursiveDeleteOption": recursive,
                    "WorkGroupConfiguration": {
                        "BytesScannedCutoffPerQuery": cutoff,
                        "EnforceWorkGroupConfiguration": True,
                        "PublishCloudWatchMetricsEnabled": True,
                        "ResultConfiguration": {
                            "OutputLocation": {"Fn::Sub": "s3://${Bucket}/results/"},
                            "EncryptionConfiguration": {"EncryptionOption": "SSE_S3"},
                        },
                    },
                },
            },
            "Query": {
                "Type": "AWS::Athena::NamedQuery",
                "Properties": {
                    "Name": "answer",
                    "Database": "default",
                    "QueryString": "SELECT 42",
                    "WorkGroup": {"Ref": "Group"},
                },
            },
            "Database": {
                "Type": "AWS::Glue::Database",
                "Properties": {
                    "CatalogId": {"Ref": "AWS::AccountId"},
                    "DatabaseInput": {"Name": name},
                },
            },
            "Catalog": {
                "Type": "AWS::Athena::DataCatalog",
                "Properties": {
                    "Name": name,
                    "Type": "GLUE",
                    "Parameters": {"catalog-id": {"Ref": "AWS::AccountId"}},
                },
            },
        },
        "Outputs": {"Query": {"Value": {"Fn::GetAtt": ["Query", "NamedQueryId"]}}},
    }


def test_life_of_a_workgroup_with_real_queries(aws, stacks, name, until) -> None:
    assert stacks.create(name, workgroup(name)) == "CREATE_COMPLETE", stacks.failures(name)
    athena, s3 = aws.client("athena"), aws.client("s3")
    query = athena.get_named_query(NamedQueryId=stacks.outputs(name)["Query"])["NamedQuery"]

    def run(statement: str, **more: Any) -> dict[str, Any]:
        started = athena.start_query_execution(QueryString=statement, WorkGroup=name, **more)
        identity = started["QueryExecutionId"]
        return until(
            lambda: athena.get_query_execution(QueryExecutionId=identity)["QueryExecution"],
            lambda found: found["Status"]["State"] not in ("QUEUED", "RUNNING"),
        )

    done = run(query["QueryString"])
    assert done["Status"]["State"] == "SUCCEEDED"
    rows = athena.get_query_results(QueryExecutionId=done["QueryExecutionId"])["ResultSet"]["Rows"]
    assert rows[-1]["Data"][0]["VarCharValue"] == "42"
    elsewhere = run("SELECT 1 + 1", ResultConfiguration={"OutputLocation": "s3://elsewhere/"})
    location = elsewhere["ResultConfiguration"]["OutputLocation"]
    assert location.startswith(f"s3://{name}/results/"), "the workgroup enforces its settings"
    assert s3.list_objects_v2(Bucket=name, Prefix="results/")["KeyCount"] >= 2
    assert run("SELECT nonsense FROM nowhere")["Status"]["State"] == "FAILED"
    with pytest.raises(ClientError, match="is not found"):
        athena.start_query_execution(QueryString="SELECT 1", WorkGroup="nowhere")

    assert stacks.update(name, workgroup(name, cutoff=20_000_000)) == "UPDATE_COMPLETE"
    configuration = athena.get_work_group(WorkGroup=name)["WorkGroup"]["Configuration"]
    assert configuration["BytesScannedCutoffPerQuery"] == 20_000_000

    for item in s3.list_objects_v2(Bucket=name)["Contents"]:
        s3.delete_object(Bucket=name, Key=item["Key"])
    assert stacks.delete(name) == "DELETE_COMPLETE", stacks.failures(name)
    with pytest.raises(ClientError, match="not found"):
        athena.get_work_group(WorkGroup=name)


def test_workgroup_with_queries_of_others_stays_unless_recursive(aws, stacks, name) -> None:
    template = workgroup(name, recursive=False)
    template["Resources"] = {
        key: value for key, value in template["Resources"].items() if key in ("Bucket", "Group")
    }
    del template["Outputs"]
    assert stacks.create(name, template) == "CREATE_COMPLETE", stacks.failures(name)
    athena = aws.client("athena")
    query = athena.create_named_query(
        Name="mine", Database="default", QueryString="SELECT 1", WorkGroup=name
    )["NamedQueryId"]
    assert stacks.delete(name) == "DELETE_FAILED"
    assert "is not empty" in stacks.failures(name)["Group"]
    athena.delete_named_query(NamedQueryId=query)
    assert stacks.delete(name) == "DELETE_COMPLETE", stacks.failures(name)


def test_existing_workgroup_is_refused(aws, stacks, name) -> None:
    aws.client("athena").create_work_group(Name=name)
    assert stacks.create(name, workgroup(name)) == "ROLLBACK_COMPLETE"
    assert "already created" in stacks.failures(name)["Group"]
    aws.client("athena").delete_work_group(WorkGroup=name)
