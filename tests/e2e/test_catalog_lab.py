"""Every offering of the catalog lives once in the lab: created, bound, changed, deleted, gone."""

import asyncio
import shutil
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from time import monotonic
from typing import Any, TypeVar

import pytest

from isthmus.api.v1alpha1 import Phase, Stack
from isthmus.core import catalog, schemas
from isthmus.core.render import substitute
from isthmus.core.stacks import NativeStack, Observed, digest, external_name, tags
from isthmus.drivers.aws import DRIVER
from isthmus.errors import Retryable, StateForbids
from isthmus.ports import ActionCall, ActionState, Connection, Grant
from tests.aws_lab import AwsAccount
from tests.catalog_files import NAMES, asked, composed, offering

T = TypeVar("T")
SECONDS = 180.0
pytestmark = pytest.mark.timeout(600)
UPDATES: dict[str, dict[str, Any]] = {
    "athena": {"resultDays": 9},
    "aurora-mysql": {"maxCapacity": 4},
    "aurora-postgresql": {"maxCapacity": 4},
    "cloudfront": {"comment": "Changed"},
    "dynamodb": {"maxReads": 200},
    "elasticache": {"snapshotDays": 2},
    "elb-application": {"idleTimeoutSeconds": 75},
    "elb-classic": {"idleTimeoutSeconds": 75},
    "elb-network": {"drainSeconds": 10},
    "emr": {"coreNodes": 2},
    "redshift": {"backupRetentionDays": 3},
    "redshift-serverless": {"baseCapacity": 16},
    "route53": {"comment": "Changed"},
    "s3": {"olderVersionDays": 9},
    "sns": {"displayName": "Changed"},
    "sqs": {"visibilityTimeoutSeconds": 45},
}
"""One parameter of each that changes in place."""
OUTLIVING = {
    "AWS::DynamoDB::Backup",
    "AWS::ElastiCache::Snapshot",
    "AWS::RDS::DBClusterSnapshot",
    "AWS::Redshift::ClusterSnapshot",
    "AWS::RedshiftServerless::Snapshot",
}
"""What an action makes for longer than the instance lives; there is nothing else left."""
KEPT = OUTLIVING | {
    "AWS::DynamoDB::Table",
    "AWS::KMS::Key",
    "AWS::Logs::LogGroup",
    "AWS::Route53::DNSSEC",
    "AWS::Route53::HostedZone",
    "AWS::Route53::KeySigningKey",
    "AWS::S3::Bucket",
}
"""What the production plans keep: data, what reads it, and the records of its use."""
IN_LAB = [name for name in NAMES if "aws" in offering(name).spec.stacks]


@pytest.fixture
async def connection(aws_lab: AwsAccount) -> AsyncIterator[Connection]:
    async with DRIVER.open(aws_lab.endpoint()) as opened:
        yield opened


def test_every_offering_is_tried():
    assert set(UPDATES) == set(IN_LAB)


def _lives() -> list[Any]:
    """MariaDB, which stands behind Aurora MySQL in the lab, is a package of the system."""
    return [
        pytest.param(n, marks=[pytest.mark.labs] if n == "aurora-mysql" else []) for n in IN_LAB
    ]


@pytest.mark.slow
@pytest.mark.parametrize("name", _lives())
async def test_an_offering_lives_once(name, aws_lab, connection):
    if name == "aurora-mysql" and shutil.which("mariadbd") is None:
        pytest.skip("mariadbd is not installed: nothing to log in to")
    uid = str(uuid.uuid4())
    first = native(composed(name, "dev", uid=uid), aws_lab)
    created = await applied(connection, first)
    assert created.phase is Phase.READY, created.message
    for number in range(len(offering(name).spec.stacks["aws"].credentials)):
        await bound_once(name, number, created, uid, connection)
    await acted(name, created, uid, connection)

    second = native(composed(name, "dev", UPDATES[name], uid=uid), aws_lab)
    preview = await connection.engine.preview(second)
    assert not preview.losing_data, preview.changes
    changed = await applied(connection, second)
    assert changed.phase is Phase.READY, changed.message
    assert changed.digest == second.digest
    assert changed.outputs.items() >= created.outputs.items() - {("IsthmusDigest", first.digest)}

    gone = await deleted(connection, second)
    assert gone.phase is Phase.ABSENT, gone.blockers
    assert {r["type"] for r in left(aws_lab)} <= OUTLIVING


Actions = dict[str, list[tuple[str, dict[str, Any], str]]]
ACTIONS: Actions = {
    "athena": [("run-query", {"query": "SELECT 1"}, "state")],
    "aurora-mysql": [
        ("snapshot", {}, "snapshotArn"),
        ("reboot", {}, "status"),
        ("stop", {}, "status"),
        ("start", {}, "status"),
    ],
    "aurora-postgresql": [
        ("snapshot", {}, "snapshotArn"),
        ("reboot", {}, "status"),
        ("stop", {}, "status"),
        ("start", {}, "status"),
    ],
    "cloudfront": [("invalidate", {"path": "/*"}, "invalidationId")],
    "dynamodb": [("backup", {}, "backupArn")],
    "elasticache": [("snapshot", {}, "snapshot")],
    "elb-application": [
        ("register-target", {"target": "10.242.0.9"}, "state"),
        ("drain-target", {"target": "10.242.0.9"}, ""),
    ],
    "elb-classic": [
        ("register-target", {"target": "i-0123456789abcdef0"}, ""),
        ("drain-target", {"target": "i-0123456789abcdef0"}, ""),
    ],
    "elb-network": [
        ("register-target", {"target": "10.242.0.9"}, "state"),
        ("drain-target", {"target": "10.242.0.9"}, ""),
    ],
    "emr": [
        ("add-step", {"name": "pi", "jar": "command-runner.jar", "arguments": ["x"]}, "stepId")
    ],
    "redshift": [("snapshot", {}, "snapshot"), ("pause", {}, "status"), ("resume", {}, "status")],
    "redshift-serverless": [("snapshot", {}, "snapshot")],
    "route53": [
        ("set-record", {"name": "a", "type": "A", "ttl": 60, "value": "10.0.0.1"}, "changeId")
    ],
    "sns": [("publish", {"message": "hello"}, "messageId")],
    "sqs": [("purge", {}, "")],
}
"""Actions in an order that the states allow, and what each must return."""
OF_PRODUCTION: Actions = {
    "aurora-mysql": [("failover", {}, "writer")],
    "aurora-postgresql": [("failover", {}, "writer")],
}
"""Actions that need what only the plan ``production`` has."""


async def acted(
    name: str,
    created: Observed,
    uid: str,
    connection: Connection,
    actions: Actions = ACTIONS,
) -> None:
    """Every action does what it says."""
    for action, inputs, returned in actions.get(name, []):
        call = ActionCall(
            token=f"{uid}-{action}",
            spec=substitute(
                offering(name).spec.stacks["aws"].actions[action],
                scope_of(name, created, uid) | {f"action.{k}": v for k, v in inputs.items()},
            ),
        )
        done = await finished(connection, call)
        assert not returned or done.result.get(returned), f"{action}: {done}"


async def test_an_action_is_refused_where_the_state_forbids_it(aws_lab, connection):
    uid = str(uuid.uuid4())
    created = await applied(
        connection, native(composed("aurora-postgresql", "dev", uid=uid), aws_lab)
    )
    for action, words in (("start", "available"), ("failover", "reader")):
        spec = offering("aurora-postgresql").spec.stacks["aws"].actions[action]
        filled = substitute(spec, scope_of("aurora-postgresql", created, uid))
        with pytest.raises(StateForbids, match=words):
            await connection.actions.start(ActionCall(token=f"{uid}-{action}", spec=filled))


async def finished(connection: Connection, call: ActionCall) -> ActionState:
    state = await repeated(lambda: connection.actions.start(call))

    async def step() -> ActionState | None:
        seen = await connection.actions.poll(call, state.handle)
        return seen if seen.done else None

    return state if state.done else await repeated(step)


@pytest.mark.slow
@pytest.mark.labs
@pytest.mark.parametrize("name", IN_LAB)
async def test_production_can_be_made_and_goes_when_asked(name, aws_lab, connection):
    """What production keeps on purpose stays; protection does not stand in the owner's way."""
    uid = str(uuid.uuid4())
    stack = native(composed(name, "production", uid=uid), aws_lab)
    created = await applied(connection, stack)
    assert created.phase is Phase.READY, created.message
    await acted(name, created, uid, connection, OF_PRODUCTION)
    gone = await deleted(connection, stack)
    assert gone.phase is Phase.ABSENT, gone.blockers
    kept = {r["type"] for r in left(aws_lab)}
    assert kept <= KEPT, f"{name} leaves {kept - KEPT}"


async def test_a_workload_without_a_key_takes_its_role_by_its_token(aws_lab, connection):
    uid = str(uuid.uuid4())
    created = await applied(connection, native(composed("sqs", "dev", uid=uid), aws_lab))
    principal = {"oidcProvider": "oidc.example.com/id/1", "subject": "system:serviceaccount:a:b"}
    definition = offering("sqs").spec
    given = schemas.defaults(definition.binding.parameters) | {"principal": principal}
    schemas.check(definition.binding.parameters, given, field="spec.parameters")
    scope = scope_of("sqs", created, uid) | {f"binding.{k}": v for k, v in given.items()}
    spec = substitute(definition.stacks["aws"].credentials[0].spec, scope)
    grant = Grant(id="b-oidc", spec=spec, parameters=given, tags={"isthmus.dev/uid": uid})
    role = await connection.credentials["iam-role"].grant(grant)
    trust = aws_lab.client("iam").get_role(RoleName=role["role-name"])["Role"]
    (statement,) = trust["AssumeRolePolicyDocument"]["Statement"]
    assert statement["Principal"]["Federated"].endswith(":oidc-provider/oidc.example.com/id/1")
    assert principal["subject"] in statement["Condition"]["StringEquals"].values()
    await connection.credentials["iam-role"].revoke(grant)


async def bound_once(name, number, created, uid, connection):
    """Make and revoke a credential; every key of the Secret can be written."""
    definition = offering(name).spec
    template = definition.stacks["aws"].credentials[number]
    inputs = definition.binding.parameters
    scope = scope_of(name, created, uid) | {
        f"binding.{key}": value for key, value in schemas.defaults(inputs).items()
    }
    grant = Grant(
        id=f"b-{uid[:8]}-{number}",
        spec=substitute(template.spec, scope),
        parameters=schemas.defaults(inputs),
        tags={"isthmus.dev/uid": uid},
    )
    source = connection.credentials[template.strategy]
    values = await repeated(lambda: source.grant(grant))
    full = scope | {f"credential.{key}": value for key, value in values.items()}
    for key, text in {**definition.binding.keys, **template.keys}.items():
        assert isinstance(substitute(text, full), str), key
    await source.revoke(grant)


def scope_of(name: str, observed: Observed, uid: str) -> dict[str, Any]:
    values = catalog.values_of(offering(name).spec, asked(name, "dev"))
    scope = catalog.Scope(values=values, name="shop", namespace="team-a", uid=uid)
    return scope.of_use(observed.outputs, {"name": "aws", "region": "us-east-1", "account": "1"})


def native(stack: Stack, lab: AwsAccount) -> NativeStack:
    parameters = {key: value.value or "" for key, value in stack.spec.parameters.items()}
    return NativeStack(
        name=external_name(stack),
        template=stack.spec.template,
        parameters=parameters,
        digest=digest(stack.spec.template, parameters),
        tags=tags(stack, f"test-{lab.account}"),
        stateful=stack.spec.stateful,
        pre_delete=stack.spec.pre_delete,
    )


async def applied(connection: Connection, stack: NativeStack) -> Observed:
    """Apply until the engine has this very stack, or has failed."""

    async def step() -> Observed | None:
        await connection.engine.apply(stack)
        seen = await connection.engine.observe(stack.name)
        at_rest = seen.phase is Phase.FAILED or (
            seen.phase is Phase.READY and seen.digest == stack.digest
        )
        return seen if at_rest else None

    return await repeated(step)


async def deleted(connection: Connection, stack: NativeStack) -> Observed:
    async def step() -> Observed | None:
        await connection.engine.delete(stack)
        seen = await connection.engine.observe(stack.name)
        return seen if seen.phase is Phase.ABSENT or seen.blockers else None

    return await repeated(step)


async def repeated(step: Callable[[], Awaitable[T | None]]) -> T:
    """Repeat until there is something; what may be tried again is, as the controllers do."""
    deadline = monotonic() + SECONDS
    why = "it took too long"
    while True:
        try:
            if (found := await step()) is not None:
                return found
        except Retryable as exc:
            why = exc.message
        assert monotonic() < deadline, why
        await asyncio.sleep(0.1)


def left(lab: AwsAccount) -> list[Any]:
    return [r for r in lab.page("state")["resources"] if r["account"] == lab.account]


@pytest.mark.slow
@pytest.mark.labs
@pytest.mark.parametrize("name", ["aurora-postgresql", "elb-application", "redshift"])
async def test_it_can_live_in_a_network_that_is_there(name, aws_lab, connection):
    ec2 = aws_lab.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.7.0.0/16")["Vpc"]["VpcId"]
    subnets = [
        ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.7.{n}.0/24", AvailabilityZone=zone)["Subnet"]
        for n, zone in enumerate(("us-east-1a", "us-east-1b"))
    ]
    given = {"vpcId": vpc, "subnetIds": [subnet["SubnetId"] for subnet in subnets]}
    stack = native(composed(name, "dev", given, uid=str(uuid.uuid4())), aws_lab)
    created = await applied(connection, stack)
    assert created.phase is Phase.READY, created.message
    assert "AWS::EC2::VPC" not in {resource.type for resource in created.resources}
    gone = await deleted(connection, stack)
    assert gone.phase is Phase.ABSENT, gone.blockers
    assert {r["type"] for r in left(aws_lab)} == {"AWS::EC2::VPC", "AWS::EC2::Subnet"}
