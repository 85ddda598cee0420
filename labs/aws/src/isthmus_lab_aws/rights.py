"""Whose rights a stack's resources are made with, and whether these suffice.

CloudFormation acts as the stack's service role, or else as the caller, on every create, update
and delete: https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/using-iam-servicerole.html
"""

from __future__ import annotations

import contextvars
import json
from typing import Any

from isthmus_lab_aws import journal, ministack
from isthmus_lab_aws.answers import error_answer
from isthmus_lab_aws.gateway import Arrived
from isthmus_lab_aws.journal import Operation, Principal
from isthmus_lab_aws.ministack import module
from isthmus_lab_aws.resource import (
    Answer,
    ApiHook,
    Call,
    Place,
    Request,
    ResourceFailure,
    ResourceType,
    Saved,
)
from isthmus_lab_aws.schemas import needed_actions
from isthmus_lab_aws.stack_requests import take_over_policy

PRIVATE_NAMES = {
    "core.iam_evaluator": (
        "EvalContext",
        "_gather_role_policies",
        "_gather_user_policies",
        "_permissions_boundary",
        "evaluate",
        "resolve_credential",
    ),
    "services.iam": ("_roles", "_users"),
}

_ARNS = {
    "AWS::S3::Bucket": "arn:aws:s3:::{BucketName}",
    "AWS::SQS::Queue": "arn:aws:sqs:{region}:{account}:{QueueName}",
    "AWS::SNS::Topic": "arn:aws:sns:{region}:{account}:{TopicName}",
    "AWS::DynamoDB::Table": "arn:aws:dynamodb:{region}:{account}:table/{TableName}",
    "AWS::IAM::Role": "arn:aws:iam::{account}:role/{RoleName}",
    "AWS::IAM::User": "arn:aws:iam::{account}:user/{UserName}",
    "AWS::RDS::DBCluster": "arn:aws:rds:{region}:{account}:cluster:{DBClusterIdentifier}",
    "AWS::RDS::DBInstance": "arn:aws:rds:{region}:{account}:db:{DBInstanceIdentifier}",
    "AWS::Redshift::Cluster": "arn:aws:redshift:{region}:{account}:cluster:{ClusterIdentifier}",
    "AWS::Athena::WorkGroup": "arn:aws:athena:{region}:{account}:workgroup/{Name}",
    "AWS::Route53::RecordSet": "arn:aws:route53:::hostedzone/{HostedZoneId}",
    "AWS::Logs::LogGroup": "arn:aws:logs:{region}:{account}:log-group:{LogGroupName}",
}
"""What a policy's Resource is compared with, where the template names the resource."""

_request: contextvars.ContextVar[Arrived] = contextvars.ContextVar("lab_cloudformation_request")


class Rights:
    """Finds the principal of each stack operation and checks it at each step."""

    def __init__(self) -> None:
        self._change_set_roles: dict[str, str] = {}

    def saved(self) -> Saved:
        """The roles that change sets were made with, for when they are executed."""
        return Saved(
            "change-set-roles",
            lambda: json.dumps(self._change_set_roles).encode(),
            lambda body: self._change_set_roles.update(json.loads(body)),
        )

    def hook(self) -> ApiHook:
        """Let DescribeStacks show the service role, which ministack leaves out."""
        return ApiHook("cloudformation", frozenset({"DescribeStacks"}), after=_show_roles)

    async def gatekeeper(self, arrived: Arrived) -> Answer | None:
        """Refuse a service role that the caller may not pass; remember who asks."""
        _request.set(arrived)
        call = arrived.call
        role = str(call.parameters.get("RoleARN") or "")
        if not role:
            return None
        problem = self._unusable(arrived, role)
        if problem is not None:
            return error_answer(call, *problem)
        if call.action == "CreateChangeSet":
            self._change_set_roles[_change_set_key(arrived)] = role
        return None

    def operation_started(self, operation: Operation) -> None:
        """Note whose rights the operation has: the role given now, or once for the stack."""
        arrived = _request.get(None)
        if arrived is None:
            return
        record = ministack.stack_record(operation.stack) or {}
        role = str(arrived.call.parameters.get("RoleARN") or "")
        if arrived.call.action == "ExecuteChangeSet":
            role = self._change_set_roles.pop(_change_set_key(arrived), "")
        role = role or str(record.get("RoleARN", ""))
        if role:
            record["RoleARN"] = role
            operation.principal = _role(role)
        else:
            operation.principal = caller(arrived)
        take_over_policy(operation, arrived.call)

    def refusal(self, operation: str, kind: ResourceType, request: Request) -> str | None:
        """Fail a step for which the principal lacks the right."""
        under_way = journal.running()
        actions = needed_actions(kind.name, operation)
        if under_way is None or not actions:
            return None
        resource = _arn(kind.name, request)
        if any(allowed(under_way.principal, action, resource) for action in actions):
            return None
        raise ResourceFailure(denial(under_way.principal, actions[0], resource), "AccessDenied")

    def _unusable(self, arrived: Arrived, role: str) -> tuple[str, str, int] | None:
        principal = _role(role)
        record = module("services.iam")._roles.get(principal.name)
        trust = json.dumps(record.get("AssumeRolePolicyDocument", "")) if record else ""
        if "cloudformation.amazonaws.com" not in trust:
            return "ValidationError", f"Role {role} is invalid or cannot be assumed", 400
        me = caller(arrived)
        if not allowed(me, "iam:PassRole", role):
            return "AccessDenied", denial(me, "iam:PassRole", role), 403
        return None


def _show_roles(call: Call, answer: Answer) -> Answer:
    body = answer.body
    for record in ministack.stack_records():
        if record.get("RoleARN"):
            identity = f"<StackId>{record['StackId']}</StackId>".encode()
            role = f"<RoleARN>{record['RoleARN']}</RoleARN>".encode()
            body = body.replace(identity, identity + role)
    return Answer(answer.status, body, {**answer.headers, "content-length": str(len(body))})


def caller(arrived: Arrived) -> Principal:
    """Who made the request."""
    place = arrived.call.place
    found = module("core.iam_evaluator").resolve_credential(arrived.access_key, place.account)
    arn = str(getattr(found, "principal_arn", ""))
    kind = str(getattr(found, "principal_type", "")).lower()
    if kind == "assumedrole":
        return Principal("role", arn.split("/")[1], place.account, arn)
    return Principal(kind or "user", str(getattr(found, "principal_name", "")), place.account, arn)


def allowed(principal: Principal, action: str, resource: str) -> bool:
    """Whether the principal's policies allow the action; `*` asks for any resource at all."""
    if principal.kind == "root":
        return True
    evaluator = module("core.iam_evaluator")
    with ministack.at(Place(principal.account, "us-east-1")):
        if principal.kind == "role":
            policies = evaluator._gather_role_policies(principal.name, principal.account)
            store = module("services.iam")._roles
        else:
            policies = evaluator._gather_user_policies(principal.name, principal.account)
            store = module("services.iam")._users
        limits = evaluator._permissions_boundary(store, principal.name, principal.account)
    candidates = [resource] if resource != "*" else ["*", *_resources(policies)]
    return any(
        evaluator.evaluate(_context(principal, action, candidate), policies, *limits).decision
        == "Allow"
        for candidate in candidates
    )


def denial(principal: Principal, action: str, resource: str) -> str:
    """The sentence in which AWS tells what is missing."""
    return (
        f"User: {principal.arn} is not authorized to perform: {action} on resource: {resource} "
        f"because no identity-based policy allows the {action} action"
    )


def _context(principal: Principal, action: str, resource: str) -> Any:
    return module("core.iam_evaluator").EvalContext(
        principal_arn=principal.arn,
        principal_type="AssumedRole" if principal.kind == "role" else "User",
        principal_account=principal.account,
        action=action,
        resource_arn=resource,
        region=ministack.here().region,
        service_context={"aws:calledvia": "cloudformation.amazonaws.com"},
    )


def _resources(policies: Any) -> list[str]:
    """Resources that the policies speak of, as stand-ins for one whose name is not known yet."""
    return [resource for policy in policies for one in policy for resource in one.resources]


def _role(arn: str) -> Principal:
    account, name = arn.split(":")[4], arn.rpartition("/")[2]
    session = f"arn:aws:sts::{account}:assumed-role/{name}/AWSCloudFormation"
    return Principal("role", name, account, session)


def _arn(name: str, request: Request) -> str:
    pattern = _ARNS.get(name, "*")
    place = {"account": request.place.account, "region": request.place.region}
    try:
        return pattern.format(**{**request.properties, **place})
    except KeyError:
        return "*"


def _change_set_key(arrived: Arrived) -> str:
    parameters = arrived.call.parameters
    name = str(parameters.get("ChangeSetName", ""))
    if name.startswith("arn:"):
        name = name.split("/")[1]
    stack = str(parameters.get("StackName", ""))
    if stack.startswith("arn:"):
        stack = stack.split("/")[1]
    place = arrived.call.place
    return "/".join([place.account, place.region, stack, name])
