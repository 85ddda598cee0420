"""IAM's types that ministack lacks: access keys and policies inside users, roles and groups."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from isthmus_lab_aws import inside
from isthmus_lab_aws.inside import absent_is_fine
from isthmus_lab_aws.resource import Extension, Physical, Request, ResourceType


class AccessKey(ResourceType):
    """`AWS::IAM::AccessKey`: a real key of a user; another `Serial` makes another key."""

    name = "AWS::IAM::AccessKey"
    replacing = ("Serial", "UserName")

    def create(self, request: Request) -> Physical:
        """Make the key."""
        user = {"UserName": request.properties["UserName"]}
        key = inside.call("iam", "CreateAccessKey", user)["AccessKey"]
        made = Physical(key["AccessKeyId"], {"SecretAccessKey": key["SecretAccessKey"]})
        self._set_status(request, made.id)
        return made

    def update(self, request: Request) -> Physical:
        """Activate or deactivate it."""
        self._set_status(request, request.physical_id)
        return Physical(request.physical_id, request.attributes)

    def delete(self, request: Request) -> None:
        """Delete the key."""
        with absent_is_fine():
            inside.call("iam", "DeleteAccessKey", _key(request, request.physical_id))

    def _set_status(self, request: Request, identity: str) -> None:
        status = request.properties.get("Status", "Active")
        inside.call("iam", "UpdateAccessKey", {**_key(request, identity), "Status": status})


def _key(request: Request, identity: str) -> Mapping[str, Any]:
    return {"UserName": request.properties["UserName"], "AccessKeyId": identity}


class InlinePolicy(ResourceType):
    """`AWS::IAM::UserPolicy`, `RolePolicy` and `GroupPolicy`."""

    def __init__(self, owner: str) -> None:
        self.name = f"AWS::IAM::{owner}Policy"
        self.replacing = (f"{owner}Name", "PolicyName")
        self._owner = owner

    def create(self, request: Request) -> Physical:
        """Put the policy."""
        document = request.properties.get("PolicyDocument", {})
        text = document if isinstance(document, str) else json.dumps(document)
        inside.call(
            "iam", f"Put{self._owner}Policy", {**self._named(request), "PolicyDocument": text}
        )
        return Physical("|".join(self._named(request).values()))

    def update(self, request: Request) -> Physical:
        """Put it anew."""
        return self.create(request)

    def delete(self, request: Request) -> None:
        """Delete it."""
        with absent_is_fine():
            inside.call("iam", f"Delete{self._owner}Policy", self._named(request))

    def _named(self, request: Request) -> dict[str, str]:
        owner = f"{self._owner}Name"
        given = request.properties
        return {"PolicyName": str(given["PolicyName"]), owner: str(given[owner])}


EXTENSION = Extension(
    types=(AccessKey(), InlinePolicy("User"), InlinePolicy("Role"), InlinePolicy("Group"))
)
