"""Types that ministack implements well, with what it leaves out: time, taken names, protection.

ministack overwrites what exists and deletes what is not empty; AWS refuses both.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from isthmus_lab_aws import ministack
from isthmus_lab_aws.ministack import NativeType
from isthmus_lab_aws.resource import Delays, Extension, Physical, Place, Properties, Request


def seconds(create: float, update: float, delete: float) -> Delays:
    """Delays by experience, in seconds of AWS."""
    return Delays(timedelta(seconds=create), timedelta(seconds=update), timedelta(seconds=delete))


class Named(NativeType):
    """A type whose name property must be free in a store of ministack's service."""

    def __init__(  # noqa: PLR0913  # A row of the table below.
        self,
        name: str,
        delays: Delays,
        service: str = "",
        store: str = "",
        key: str = "",
        message: str = "{name} already exists",
    ) -> None:
        self.name = name
        self.delays = delays
        self.key = key
        self._service, self._store, self._message = service, store, message

    def taken(self, place: Place, properties: Properties) -> str | None:
        """The name is in the store already."""
        wanted = properties.get(self.key) if self.key else None
        if wanted is None or wanted not in self.store():
            return None
        return self._message.format(name=wanted)

    def store(self) -> Any:
        """Ministack's records of this type, by name or id, of the account and region at hand."""
        return getattr(ministack.service(self._service), self._store)


class Bucket(Named):
    """A bucket name is free in the whole world or not at all; a full bucket stays."""

    def taken(self, place: Place, properties: Properties) -> str | None:
        """The name is used in this account or in another one."""
        wanted = properties.get("BucketName")
        owners = {account for account, bucket in self.store()._data if bucket == wanted}
        if not owners:
            return None
        if place.account in owners:
            return f"{wanted} already exists"
        return (
            "The requested bucket name is not available. The bucket namespace is shared by all "
            "users of the system. Please select a different name and try again."
        )

    def create(self, request: Request) -> Physical:
        """Create, with the versioning that ministack forgets."""
        made = super().create(request)
        self._version(made.id, request.properties)
        return made

    def update(self, request: Request) -> Physical:
        """Update, with the versioning that ministack forgets."""
        made = super().update(request)
        self._version(made.id, request.properties)
        return made

    def undeletable(self, place: Place, physical_id: str) -> str | None:
        """It holds objects, or versions of deleted ones."""
        s3 = ministack.service("s3")
        versions = any(
            bucket == physical_id and kept for (bucket, _), kept in s3._object_versions.items()
        )
        if s3._buckets.get(physical_id, {}).get("objects") or versions:
            return (
                "The bucket you tried to delete is not empty. You must delete all versions in the "
                "bucket. (Service: S3, Status Code: 409)"
            )
        return None

    def _version(self, bucket: str, properties: Properties) -> None:
        versioning = properties.get("VersioningConfiguration")
        if versioning:
            ministack.service("s3")._bucket_versioning[bucket] = versioning["Status"]


class Table(Named):
    """A DynamoDB table, which may be protected from deletion."""

    def undeletable(self, place: Place, physical_id: str) -> str | None:
        """Deletion protection is on."""
        table = self.store().get(physical_id)
        if table is not None and table.get("DeletionProtectionEnabled"):
            return (
                "Resource cannot be deleted as it is currently protected against deletion. "
                "Disable deletion protection first."
            )
        return None

    def begin(self, place: Place, physical_id: str, state: str) -> None:
        """CREATING, UPDATING, DELETING."""
        states = {"creating": "CREATING", "modifying": "UPDATING", "deleting": "DELETING"}
        self._show(physical_id, states[state])

    def settle(self, place: Place, physical_id: str) -> None:
        """ACTIVE."""
        self._show(physical_id, "ACTIVE")

    def _show(self, table: str, status: str) -> None:
        record = self.store().get(table)
        if record is not None:
            record["TableStatus"] = status


class Secret(Named):
    """A secret: CloudFormation refers to it by its ARN, ministack's handlers by its name."""

    def create(self, request: Request) -> Physical:
        """Create; the physical id is the ARN."""
        made = super().create(request)
        return self._by_arn(made)

    def update(self, request: Request) -> Physical:
        """Update by name."""
        return self._by_arn(super().update(self._by_name(request)))

    def delete(self, request: Request) -> None:
        """Delete by name."""
        super().delete(self._by_name(request))

    def _by_arn(self, made: Physical) -> Physical:
        secret = self.store().get(made.id)
        arn = str(secret["ARN"]) if secret is not None else made.attributes.get("Id", made.id)
        return Physical(arn, {**made.attributes, "Id": arn})

    def _by_name(self, request: Request) -> Request:
        for name, secret in self.store().items():
            if secret.get("ARN") == request.physical_id:
                return Request(
                    request.place,
                    request.stack,
                    request.logical_id,
                    request.properties,
                    str(name),
                    request.old_properties,
                    request.attributes,
                )
        return request


class Role(Named):
    """An IAM role; one that still stands in an instance profile stays."""

    def undeletable(self, place: Place, physical_id: str) -> str | None:
        """An instance profile holds it."""
        for profile in ministack.service("iam")._instance_profiles.values():
            if physical_id in str(profile.get("Roles", [])):
                return "Cannot delete entity, must remove roles from instance profile first."
        return None


class User(Named):
    """An IAM user; one with access keys of somebody else's making stays."""

    def undeletable(self, place: Place, physical_id: str) -> str | None:
        """It has access keys."""
        keys = ministack.service("iam")._access_keys.values()
        if any(key.get("UserName") == physical_id for key in keys):
            return "Cannot delete entity, must delete access keys first."
        return None


class SecurityGroup(Named):
    """A security group; one that an interface or another group uses stays."""

    def undeletable(self, place: Place, physical_id: str) -> str | None:
        """Something depends on it."""
        ec2 = ministack.service("ec2")
        groups = ec2._security_groups.items()
        used = any(
            physical_id in str(group.get("IpPermissions")) and other != physical_id
            for other, group in groups
        )
        interfaces = ec2._network_interfaces.values()
        if used or any(physical_id in str(interface) for interface in interfaces):
            return f"resource {physical_id} has a dependent object"
        return None


class Subnet(Named):
    """A subnet; one with interfaces or load balancers in it stays."""

    def undeletable(self, place: Place, physical_id: str) -> str | None:
        """Something lives in it."""
        interfaces = ministack.service("ec2")._network_interfaces.values()
        balancers = ministack.service("alb")._lbs.values()
        if any(physical_id in str(thing) for thing in [*interfaces, *balancers]):
            return f"The subnet '{physical_id}' has dependencies and cannot be deleted."
        return None


class Vpc(Named):
    """A VPC; one with subnets stays, whoever made them."""

    def create(self, request: Request) -> Physical:
        """Create, with the attribute that ministack forgets."""
        made = super().create(request)
        block = str(request.properties.get("CidrBlock", ""))
        return Physical(made.id, {**made.attributes, "CidrBlock": block})

    def undeletable(self, place: Place, physical_id: str) -> str | None:
        """Subnets or gateways are in it."""
        ec2 = ministack.service("ec2")
        if any(subnet.get("VpcId") == physical_id for subnet in ec2._subnets.values()):
            return f"The vpc '{physical_id}' has dependencies and cannot be deleted."
        return None


EXTENSION = Extension(
    types=(
        Bucket("AWS::S3::Bucket", seconds(22, 22, 4), "s3", "_buckets"),
        Named("AWS::S3::BucketPolicy", seconds(2, 2, 2)),
        Named("AWS::SQS::Queue", seconds(30, 30, 60), "sqs", "_queue_name_to_url", "QueueName"),
        Named("AWS::SQS::QueuePolicy", seconds(2, 2, 2)),
        Named("AWS::SNS::Topic", seconds(11, 2, 2)),
        Named("AWS::SNS::Subscription", seconds(2, 2, 2)),
        Named("AWS::SNS::TopicPolicy", seconds(2, 2, 2)),
        Table("AWS::DynamoDB::Table", seconds(32, 20, 30), "dynamodb", "_tables", "TableName"),
        Role(
            "AWS::IAM::Role",
            seconds(18, 5, 2),
            "iam",
            "_roles",
            "RoleName",
            "Role with name {name} already exists.",
        ),
        User(
            "AWS::IAM::User",
            seconds(36, 5, 2),
            "iam",
            "_users",
            "UserName",
            "User with name {name} already exists.",
        ),
        Named("AWS::IAM::Policy", seconds(16, 16, 2)),
        Named("AWS::IAM::ManagedPolicy", seconds(18, 5, 2)),
        Named("AWS::IAM::AccessKey", seconds(2, 2, 2)),
        Named("AWS::IAM::InstanceProfile", seconds(120, 5, 2)),
        Secret(
            "AWS::SecretsManager::Secret",
            seconds(10, 5, 10),
            "secretsmanager",
            "_secrets",
            "Name",
            "The operation failed because the secret {name} already exists.",
        ),
        Named("AWS::KMS::Key", seconds(120, 30, 30)),
        Named("AWS::KMS::Alias", seconds(60, 30, 5)),
        Vpc("AWS::EC2::VPC", seconds(13, 5, 2)),
        Subnet("AWS::EC2::Subnet", seconds(6, 5, 2)),
        SecurityGroup("AWS::EC2::SecurityGroup", seconds(8, 5, 2)),
        Named(
            "AWS::Logs::LogGroup",
            seconds(10, 2, 2),
            "cloudwatch_logs",
            "_log_groups",
            "LogGroupName",
        ),
        Named("AWS::CloudWatch::Alarm", seconds(2, 2, 2)),
    ),
)
