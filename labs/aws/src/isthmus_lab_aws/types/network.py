"""EC2's types that ministack lacks: rules of security groups as resources of their own."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from isthmus_lab_aws import inside
from isthmus_lab_aws.inside import absent_is_fine
from isthmus_lab_aws.resource import Extension, Physical, Request, ResourceType

_PEERS = {
    "CidrIp": ("IpRanges", "CidrIp"),
    "CidrIpv6": ("Ipv6Ranges", "CidrIpv6"),
    "SourcePrefixListId": ("PrefixListIds", "PrefixListId"),
    "DestinationPrefixListId": ("PrefixListIds", "PrefixListId"),
    "SourceSecurityGroupId": ("UserIdGroupPairs", "GroupId"),
    "DestinationSecurityGroupId": ("UserIdGroupPairs", "GroupId"),
}


class SecurityGroupRule(ResourceType):
    """`AWS::EC2::SecurityGroupIngress` and `SecurityGroupEgress`."""

    replacing = (
        "CidrIp",
        "CidrIpv6",
        "DestinationPrefixListId",
        "DestinationSecurityGroupId",
        "FromPort",
        "GroupId",
        "GroupName",
        "IpProtocol",
        "SourcePrefixListId",
        "SourceSecurityGroupId",
        "ToPort",
    )

    def __init__(self, direction: str) -> None:
        self.name = f"AWS::EC2::SecurityGroup{direction}"
        self._direction = direction

    def create(self, request: Request) -> Physical:
        """Authorise the rule."""
        inside.call("ec2", f"AuthorizeSecurityGroup{self._direction}", _rule(request))
        identity = f"sgr-{secrets.token_hex(8)}"
        return Physical(identity, {"Id": identity})

    def update(self, request: Request) -> Physical:
        """Only the description can change, which the lab does not keep."""
        return Physical(request.physical_id, request.attributes)

    def delete(self, request: Request) -> None:
        """Revoke the rule."""
        with absent_is_fine():
            inside.call("ec2", f"RevokeSecurityGroup{self._direction}", _rule(request))


def _rule(request: Request) -> Mapping[str, Any]:
    given = request.properties
    permission: dict[str, Any] = {"IpProtocol": given["IpProtocol"]}
    for bound in ("FromPort", "ToPort"):
        if bound in given:
            permission[bound] = given[bound]
    for name, (member, key) in _PEERS.items():
        if name in given:
            permission[member] = [{key: given[name], "Description": given.get("Description")}]
    return {"GroupId": given.get("GroupId"), "IpPermissions": [permission]}


EXTENSION = Extension(types=(SecurityGroupRule("Ingress"), SecurityGroupRule("Egress")))
