"""IAM users and roles of bindings, with an inline policy of the offering and nothing more.

They live under the path ``/isthmus/`` and bear our tags. Only what bears them is changed or
deleted. https://docs.aws.amazon.com/IAM/latest/UserGuide/best-practices.html
"""

from collections.abc import Mapping
from typing import Any, Final, cast
from uuid import uuid4

import orjson

from isthmus.api.meta import Json
from isthmus.core.stacks import TAG_INSTALLATION, TAG_NAME, TAG_NAMESPACE, TAG_UID, Owned
from isthmus.drivers.aws.session import Aws
from isthmus.errors import AlreadyExists, Forbidden, InvalidSpec, NotFound
from isthmus.ports import Grant

PATH: Final = "/isthmus/"
_POLICY: Final = "isthmus-binding"
_LONGEST_SESSION_SECONDS = 3600


def name_of(grant: Grant) -> str:
    """Return the name of the user or role; IAM takes 64 characters."""
    return f"isthmus-{grant.id}"


class IamUser:
    """A user with one access key. See ``ports.CredentialSource``."""

    def __init__(self, aws: Aws) -> None:
        self._aws = aws

    async def grant(self, grant: Grant) -> Mapping[str, str]:
        """Make the user and its key; a user that is there already gets a new key."""
        policy, name = _policy(grant), name_of(grant)
        try:
            answer = await self._aws.call(
                "iam", "create_user", UserName=name, Path=PATH, Tags=_tags(grant)
            )
        except AlreadyExists:
            await _require_ours(self._aws, grant, "user")
            answer = await self._aws.call("iam", "get_user", UserName=name)
        arn = str(answer["User"]["Arn"])
        await self._aws.call(
            "iam", "put_user_policy", UserName=name, PolicyName=_POLICY, PolicyDocument=policy
        )
        # The secret of an older key cannot be read again, and two keys would be one too many.
        await self._drop_keys(name)
        key = (await self._aws.call("iam", "create_access_key", UserName=name))["AccessKey"]
        return {
            "access-key-id": str(key["AccessKeyId"]),
            "secret-access-key": str(key["SecretAccessKey"]),
            "user-name": name,
            "user-arn": arn,
        }

    async def revoke(self, grant: Grant) -> None:
        """Delete the keys first, since they are what works, then the user."""
        name = name_of(grant)
        try:
            await _require_ours(self._aws, grant, "user")
            await self._drop_keys(name)
            await _quietly(self._aws, "delete_user_policy", UserName=name, PolicyName=_POLICY)
            await self._aws.call("iam", "delete_user", UserName=name)
        except NotFound:
            return

    async def _drop_keys(self, name: str) -> None:
        answer = await self._aws.call("iam", "list_access_keys", UserName=name)
        for key in cast("list[Json]", answer.get("AccessKeyMetadata", [])):
            await _quietly(
                self._aws, "delete_access_key", UserName=name, AccessKeyId=key["AccessKeyId"]
            )


class IamRole:
    """A role that a given principal may assume. See ``ports.CredentialSource``."""

    def __init__(self, aws: Aws) -> None:
        self._aws = aws

    async def grant(self, grant: Grant) -> Mapping[str, str]:
        """Make the role; one that is there already keeps its external id."""
        policy, name = _policy(grant), name_of(grant)
        known = await self._find(grant)
        external_id = _external_id(known) if known is not None else uuid4().hex
        trust = orjson.dumps(await self._trust(grant, external_id)).decode()
        if known is None:
            answer = await self._aws.call(
                "iam",
                "create_role",
                RoleName=name,
                Path=PATH,
                AssumeRolePolicyDocument=trust,
                MaxSessionDuration=_session_seconds(grant),
                Tags=_tags(grant),
            )
            known = cast("Json", answer["Role"])
        else:
            await self._aws.call(
                "iam", "update_assume_role_policy", RoleName=name, PolicyDocument=trust
            )
        await self._aws.call(
            "iam", "put_role_policy", RoleName=name, PolicyName=_POLICY, PolicyDocument=policy
        )
        federated = isinstance(grant.spec.get("trust"), dict)
        return {
            "role-arn": str(known["Arn"]),
            "role-name": name,
            "external-id": "" if federated else external_id,
        }

    async def revoke(self, grant: Grant) -> None:
        """Take the rights away first: sessions that are open lose them at once."""
        name = name_of(grant)
        try:
            await _require_ours(self._aws, grant, "role")
            await _quietly(self._aws, "delete_role_policy", RoleName=name, PolicyName=_POLICY)
            await self._aws.call("iam", "delete_role", RoleName=name)
        except NotFound:
            return

    async def _find(self, grant: Grant) -> Json | None:
        try:
            await _require_ours(self._aws, grant, "role")
        except NotFound:
            return None
        answer = await self._aws.call("iam", "get_role", RoleName=name_of(grant))
        return cast("Json", answer["Role"])

    async def _trust(self, grant: Grant, external_id: str) -> Json:
        wanted: object = grant.spec.get("trust") or ""
        identity = await self._aws.call("sts", "get_caller_identity")
        partition, account = str(identity["Arn"]).split(":")[1], str(identity["Account"])
        if isinstance(wanted, dict):
            return _federated(cast("Json", wanted), partition, account)
        principal = str(wanted) or f"arn:{partition}:iam::{account}:root"
        if not principal.startswith(("arn:", "AROA", "AIDA")):
            raise InvalidSpec("spec.parameters.principal: write the ARN of a user or role.")
        return _statement(
            {"AWS": principal},
            "sts:AssumeRole",
            {"StringEquals": {"sts:ExternalId": external_id}},
        )


async def owned(aws: Aws) -> tuple[Owned, ...]:
    """List the users and roles of this installation's bindings."""
    found: list[Owned] = []
    for kind, operation, plural in (
        ("user", "list_users", "Users"),
        ("role", "list_roles", "Roles"),
    ):
        async for page in aws.pages("iam", operation, PathPrefix=PATH):
            for item in cast("list[Json]", page.get(plural, [])):
                name = str(item[f"{kind.capitalize()}Name"])
                tags = await _tags_of(aws, kind, name)
                if tags.get(TAG_INSTALLATION, "") == aws.settings.installation:
                    found.append(_owned(kind, name, str(item["Arn"]), tags))
    return tuple(owner for owner in found if owner.uid)


def _owned(kind: str, name: str, arn: str, tags: Mapping[str, str]) -> Owned:
    return Owned(
        name=name,
        native_id=arn,
        type=f"AWS::IAM::{kind.capitalize()}",
        uid=tags.get(TAG_UID, ""),
        namespace=tags.get(TAG_NAMESPACE, ""),
        object_name=tags.get(TAG_NAME, ""),
    )


def _policy(grant: Grant) -> str:
    policy: object = grant.spec.get("policy")
    if not isinstance(policy, dict) or "Statement" not in policy:
        raise InvalidSpec("credentials.spec.policy: write an IAM policy with a Statement.")
    return orjson.dumps({"Version": "2012-10-17"} | cast("Json", policy)).decode()


def _session_seconds(grant: Grant) -> int:
    return int(grant.spec.get("maxSessionSeconds", _LONGEST_SESSION_SECONDS))


def _tags(grant: Grant) -> list[dict[str, str]]:
    return [{"Key": k, "Value": v} for k, v in grant.tags.items() if v]


async def _tags_of(aws: Aws, kind: str, name: str) -> dict[str, str]:
    key = f"{kind.capitalize()}Name"
    answer = await aws.call("iam", f"list_{kind}_tags", **{key: name})
    return {t["Key"]: t["Value"] for t in answer.get("Tags", [])}


async def _require_ours(aws: Aws, grant: Grant, kind: str) -> None:
    """Raise NotFound where there is none, Forbidden where it is somebody else's."""
    tags = await _tags_of(aws, kind, name_of(grant))
    uid = grant.tags.get(TAG_UID, "")
    if not uid or tags.get(TAG_UID) != uid:
        raise Forbidden(f"IAM {kind} {name_of(grant)} does not bear our tag; we leave it alone.")


async def _quietly(aws: Aws, operation: str, **arguments: Any) -> None:
    """Delete something that may be gone already."""
    try:
        await aws.call("iam", operation, **arguments)
    except NotFound:
        return


def _statement(principal: Json, action: str, condition: Json) -> Json:
    return {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": principal, "Action": action, "Condition": condition}
        ],
    }


def _federated(trust: Json, partition: str, account: str) -> Json:
    provider = str(trust.get("oidcProvider", "")).removeprefix("https://")
    subject = str(trust.get("subject", ""))
    if not provider or not subject:
        raise InvalidSpec("credentials.spec.trust: give a principal, or oidcProvider and subject.")
    audience = str(trust.get("audience") or "sts.amazonaws.com")
    return _statement(
        {"Federated": f"arn:{partition}:iam::{account}:oidc-provider/{provider}"},
        "sts:AssumeRoleWithWebIdentity",
        {"StringEquals": {f"{provider}:sub": subject, f"{provider}:aud": audience}},
    )


def _external_id(role: Json) -> str:
    """Read the external id from the trust policy of a role that we made."""
    document = cast("Json", role.get("AssumeRolePolicyDocument", {}))
    for statement in cast("list[Json]", document.get("Statement", [])):
        condition = cast("Json", statement.get("Condition", {})).get("StringEquals", {})
        if found := condition.get("sts:ExternalId"):
            return str(found)
    return uuid4().hex
