"""Redshift Serverless through stacks and its API."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from botocore.exceptions import ClientError

_PORT = {"Fn::GetAtt": ["Workgroup", "Workgroup.Endpoint.Port"]}
"""A number; by Fn::Select cfn-lint does not mind that an output is text."""


def serverless(name: str, capacity: int) -> dict[str, Any]:
    return {
        "Resources": {
            "Namespace": {
                "Type": "AWS::RedshiftServerless::Namespace",
                "Properties": {
                    "NamespaceName": name,
                    "AdminUsername": "adm",
                    "AdminUserPassword": "Passw0rd-1",
                    "DbName": "dw",
                },
            },
            "Workgroup": {
                "Type": "AWS::RedshiftServerless::Workgroup",
                "Properties": {
                    "WorkgroupName": f"{name}-w",
                    "NamespaceName": {"Ref": "Namespace"},
                    "BaseCapacity": capacity,
                    "PubliclyAccessible": False,
                },
            },
        },
        "Outputs": {
            "Host": {"Value": {"Fn::GetAtt": ["Workgroup", "Workgroup.Endpoint.Address"]}},
            "Port": {"Value": {"Fn::Select": [0, [_PORT]]}},
            "Arn": {"Value": {"Fn::GetAtt": ["Namespace", "Namespace.NamespaceArn"]}},
        },
    }


def test_life_of_a_workgroup(aws, stacks, name) -> None:
    assert stacks.create(name, serverless(name, 8)) == "CREATE_COMPLETE", stacks.failures(name)
    outputs = stacks.outputs(name)
    api = aws.client("redshift-serverless")
    found = api.get_workgroup(workgroupName=f"{name}-w")["workgroup"]
    assert (found["baseCapacity"], found["status"]) == (8, "AVAILABLE")
    assert found["endpoint"] == {"address": outputs["Host"], "port": 5439}
    namespace = api.get_namespace(namespaceName=name)["namespace"]
    assert namespace["namespaceArn"] == outputs["Arn"]

    def log_in(password: str) -> None:
        psycopg.connect(
            host=outputs["Host"],
            port=5439,
            user="adm",
            password=password,
            dbname="dw",
            sslmode="verify-full",
            sslrootcert=aws.page("health")["certificateAuthority"],
            connect_timeout=5,
        ).close()

    log_in("Passw0rd-1")
    api.update_namespace(namespaceName=name, adminUserPassword="Passw0rd-2")
    log_in("Passw0rd-2")
    assert stacks.update(name, serverless(name, 16)) == "UPDATE_COMPLETE", stacks.failures(name)
    assert api.get_workgroup(workgroupName=f"{name}-w")["workgroup"]["baseCapacity"] == 16
    with pytest.raises(ClientError, match="workgroup associated"):
        api.delete_namespace(namespaceName=name)
    assert stacks.delete(name) == "DELETE_COMPLETE"
    with pytest.raises(psycopg.OperationalError, match="refused"):
        log_in("Passw0rd-2")
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        api.get_namespace(namespaceName=name)


def test_workgroup_needs_its_namespace_and_a_free_name(aws, stacks, name) -> None:
    api = aws.client("redshift-serverless")
    with pytest.raises(ClientError, match="namespace nowhere does not exist"):
        api.create_workgroup(workgroupName=name, namespaceName="nowhere")
    api.create_namespace(namespaceName=name)
    with pytest.raises(ClientError, match="already exists"):
        api.create_namespace(namespaceName=name)
    assert stacks.create(name, serverless(name, 8)) == "ROLLBACK_COMPLETE"
    assert "already exists" in stacks.failures(name)["Namespace"]
    api.delete_namespace(namespaceName=name)
