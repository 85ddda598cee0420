"""A cloud in memory that behaves: for the demo, for tests, and for learning Isthmus.

It takes time, has change sets, rolls back, refuses, drifts and fails on demand, and forgets all
when the process ends. Its native template::

    resources:
      Database:
        type: Fake::Database
        seconds: 3                 # how long it takes; the account's `latencySeconds` otherwise
        stateful: true             # replacing it loses data
        replaceOn: [engine]        # properties whose change replaces it
        properties: {engine: "16", size: 20, password: {parameter: Password}}
        failWith: no capacity left # creating or updating it fails and rolls back
        undeletable: not empty     # deleting is refused until a pre-delete step `unblock`
      Nodes:
        type: Fake::Server
        group: {count: 3, removed: ["1"]}  # becomes Nodes-0, Nodes-2 and Nodes-3
    outputs:
      Members: "${Nodes.members}"  # JSON of number to id
      Host: "${Database.host}"     # a property, or id, host, port, state
      Stack: "${stack.name}"

Credentials: ``static`` (``spec.values``) and ``sql-user`` (a user with a password).
Actions: ``{stack, resource, requires: [states], set: state, seconds, result}``.
"""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

from isthmus.drivers.fake.actions import FakeActions
from isthmus.drivers.fake.cloud import FakeCloud
from isthmus.drivers.fake.credentials import SqlUsers, Static
from isthmus.drivers.fake.engine import FakeEngine
from isthmus.errors import InvalidSpec
from isthmus.ports import Clock, Connection, Driver, Endpoint, Facts
from isthmus.runtime.clock import SystemClock

__all__ = ["DRIVER", "FakeCloud", "driver"]

SETTINGS = frozenset({"account", "latencySeconds"})


def driver(cloud_of: Callable[[str], FakeCloud]) -> Driver:
    """Return a driver whose accounts are these clouds."""

    @asynccontextmanager
    async def connect(endpoint: Endpoint) -> AsyncGenerator[Connection, None]:
        account = endpoint.settings.get("account", endpoint.provider)
        cloud = cloud_of(account)
        if "latencySeconds" in endpoint.settings:
            cloud.latency_seconds = _number(endpoint.settings["latencySeconds"])

        async def probe() -> Facts:
            cloud.called("probe")
            return Facts(account=account, engine="fake", services=cloud.services)

        yield Connection(
            engine=FakeEngine(cloud, endpoint.installation),
            credentials={"static": Static(), "sql-user": SqlUsers(cloud)},
            actions=FakeActions(cloud),
            probe=probe,
        )

    return Driver(name="fake", settings=SETTINGS, open=connect)


def in_memory(clock: Clock) -> Callable[[str], FakeCloud]:
    """Return clouds by account, each made at its first use."""
    clouds: dict[str, FakeCloud] = {}
    return lambda account: clouds.setdefault(account, FakeCloud(clock))


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise InvalidSpec(f"spec.settings.latencySeconds: {text!r} is not a number.") from None


DRIVER = driver(in_memory(SystemClock()))
