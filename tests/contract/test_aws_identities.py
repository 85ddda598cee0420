"""Identities and values that the aws driver grants; the lab enforces the policies of IAM."""

import pytest
from botocore.exceptions import ClientError

from isthmus.errors import Forbidden

POLICY = {
    "Statement": [{"Effect": "Allow", "Action": "sqs:ListQueues", "Resource": "*"}],
}


async def test_an_iam_user_may_do_what_its_policy_says_and_no_more(connection, aws_lab):
    users = connection.credentials["iam-user"]
    request = aws_lab.grant("shop", policy=POLICY)
    first = await users.grant(request)
    values = await users.grant(request)
    assert first["access-key-id"] != values["access-key-id"]
    iam = aws_lab.client("iam")
    keys = iam.list_access_keys(UserName=values["user-name"])["AccessKeyMetadata"]
    assert [k["AccessKeyId"] for k in keys] == [values["access-key-id"]]

    own = {
        "aws_access_key_id": values["access-key-id"],
        "aws_secret_access_key": values["secret-access-key"],
    }
    aws_lab.client("sqs", **own).list_queues()
    with pytest.raises(ClientError, match="AccessDenied"):
        aws_lab.client("s3", **own).list_buckets()
    await users.revoke(request)
    await users.revoke(request)
    with pytest.raises(ClientError):
        aws_lab.client("sqs", **own).list_queues()


async def test_an_iam_role_is_assumed_with_its_external_id_only(connection, aws_lab):
    roles = connection.credentials["iam-role"]
    request = aws_lab.grant("job", policy=POLICY, trust="")
    first = await roles.grant(request)
    values = await roles.grant(request)
    assert first == values
    sts = aws_lab.client("sts")
    with pytest.raises(ClientError, match="AccessDenied"):
        sts.assume_role(RoleArn=values["role-arn"], RoleSessionName="thief")
    session = sts.assume_role(
        RoleArn=values["role-arn"], RoleSessionName="job", ExternalId=values["external-id"]
    )["Credentials"]
    own = {
        "aws_access_key_id": session["AccessKeyId"],
        "aws_secret_access_key": session["SecretAccessKey"],
        "aws_session_token": session["SessionToken"],
    }
    aws_lab.client("sqs", **own).list_queues()
    with pytest.raises(ClientError, match="AccessDenied"):
        aws_lab.client("s3", **own).list_buckets()
    await roles.revoke(request)
    await roles.revoke(request)
    with pytest.raises(ClientError):
        sts.assume_role(
            RoleArn=values["role-arn"], RoleSessionName="job", ExternalId=values["external-id"]
        )


async def test_a_role_of_workload_identity_trusts_one_subject(connection, aws_lab):
    trust = {"oidcProvider": "https://oidc.example/id/1", "subject": "system:serviceaccount:a:b"}
    request = aws_lab.grant("web", policy=POLICY, trust=trust)
    values = await connection.credentials["iam-role"].grant(request)
    assert values["external-id"] == ""
    role = aws_lab.client("iam").get_role(RoleName=values["role-name"])["Role"]
    statement = role["AssumeRolePolicyDocument"]["Statement"][0]
    assert statement["Action"] == "sts:AssumeRoleWithWebIdentity"
    assert statement["Condition"]["StringEquals"] == {
        "oidc.example/id/1:sub": "system:serviceaccount:a:b",
        "oidc.example/id/1:aud": "sts.amazonaws.com",
    }


@pytest.mark.parametrize("strategy", ["iam-user", "iam-role"])
async def test_what_is_not_ours_is_neither_changed_nor_deleted(connection, aws_lab, strategy):
    source = connection.credentials[strategy]
    mine = aws_lab.grant("shared", policy=POLICY)
    await source.grant(mine)
    theirs = aws_lab.grant("shared", uid="u-2", policy=POLICY)
    with pytest.raises(Forbidden, match="does not bear our tag"):
        await source.grant(theirs)
    with pytest.raises(Forbidden, match="does not bear our tag"):
        await source.revoke(theirs)
    await source.revoke(mine)


async def test_owned_lists_the_identities_of_bindings(connection, aws_lab):
    source = connection.credentials["iam-user"]
    request = aws_lab.grant("listed", uid="u-9", policy=POLICY)
    await source.grant(request)
    found = [o for o in await connection.engine.owned() if o.uid == "u-9"]
    assert [(o.type, o.namespace, o.object_name) for o in found] == [
        ("AWS::IAM::User", "team-a", "listed")
    ]
    await source.revoke(request)


async def test_static_returns_the_values_of_the_offering(connection, aws_lab):
    request = aws_lab.grant("plain", values={"port": 443, "tls": True})
    source = connection.credentials["static"]
    assert await source.grant(request) == {"port": "443", "tls": "true"}
    await source.revoke(request)
