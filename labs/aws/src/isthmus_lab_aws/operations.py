"""Stack operations: noted when they start, overtaken by a delete, gone on with after a restart.

ministack runs an operation as one coroutine. It is taken apart here before it starts (its name and
arguments are plain data), so that the journal can start the same coroutine again.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar, cast

from isthmus_lab_aws import engine as engines
from isthmus_lab_aws import journal as journals
from isthmus_lab_aws import ministack, registration
from isthmus_lab_aws.engine import Engine
from isthmus_lab_aws.journal import Journal, Operation, Work
from isthmus_lab_aws.resource import Physical, Place, Request, ResourceFailure

Result = TypeVar("Result")
OperationStarted = Callable[[Operation], None]


class Operations:
    """Starts, overtakes and resumes stack operations, and leads their steps to the engine."""

    def __init__(self, engine: Engine, journal: Journal, changed: Callable[[], None]) -> None:
        self._engine = engine
        self._events = engine.events
        self._journal = journal
        self._changed = changed
        self._started: list[OperationStarted] = []
        self._tasks: set[asyncio.Task[None]] = set()

    def on_start(self, hook: OperationStarted) -> None:
        """Let `hook` complete each new operation (whose rights, which policy)."""
        self._started.append(hook)

    def install(self) -> None:
        """Take the place of ministack's functions."""
        ministack.wrap("_runs_on_worker_thread", lambda resource_type: True)  # pyright: ignore[reportUnknownLambdaType]
        ministack.wrap("_provision_resource", self._create)
        ministack.wrap("_update_resource", self._update)
        ministack.wrap("_delete_resource", self._delete)
        ministack.wrap("_snapshot_resource", self._snapshot)
        ministack.wrap("_create_stack_task_in_region", self._start)
        ministack.wrap("_roll_back_operation", self._roll_back)
        ministack.wrap("_add_event", self._events.add)
        ministack.wrap("_property_recreation", registration.recreation)
        ministack.wrap("_resolve_props_for_diff", registration.compared)

    def resume(self) -> None:
        """Go on with the operations of a former process. Call it on the event loop."""
        for operation in self._journal.all():
            with ministack.at(operation.place):
                events = ministack.events_of(operation.stack_id)
                operation.recorded = Counter(
                    (event["LogicalResourceId"], event["ResourceStatus"])
                    for event in events[operation.events_before :]
                )
                self._run(operation, revive(operation.work))

    def _start(
        self, coroutine: Coroutine[Any, Any, None], stack: Any, stack_id: Any = None
    ) -> None:
        place = Place(ministack.here().account, ministack.region_of(stack, stack_id))
        name, identity = str(stack["StackName"]), str(stack["StackId"])
        under_way = self._journal.of_stack(place, name)
        work = take_apart(coroutine)
        if under_way and work.name == under_way.work.name == "_delete_stack_async":
            coroutine.close()  # It is being deleted already: the second request changes nothing.
            return
        operation = journals.new_operation(place, name, identity, work)
        operation.token = ministack.request_token()
        operation.events_before = len(ministack.events_of(identity))
        for hook in self._started:
            hook(operation)
        if under_way and work.name == "_delete_stack_async":
            under_way.overtaken.set()
            stack["StackStatus"] = "DELETE_IN_PROGRESS"
        self._journal.open(operation)
        self._changed()
        with ministack.at(place):
            self._run(operation, coroutine, after=under_way)

    def _run(
        self,
        operation: Operation,
        coroutine: Coroutine[Any, Any, None],
        after: Operation | None = None,
    ) -> None:
        async def run() -> None:
            if after is not None:
                await asyncio.to_thread(after.finished.wait)
            ministack.set_request_token(operation.token)
            ministack.restore_set_aside(operation.stack_id)  # By an attempt that was killed.
            try:
                await coroutine
            finally:
                ministack.restore_set_aside(operation.stack_id)
                self._journal.close(operation)
                self._changed()

        context = contextvars.copy_context()
        context.run(journals.enter, operation)
        task = asyncio.get_running_loop().create_task(run(), context=context)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _roll_back(
        self, stack_name: str, stack_id: str, stack: Any, operation: Any, reason_override: str = ""
    ) -> None:
        under_way = journals.running()
        if under_way is not None:
            if under_way.overtaken.is_set():
                return  # The delete that overtook it removes what was made.
            work = Work(
                "_roll_back_operation",
                {
                    "stack_name": stack_name,
                    "stack_id": stack_id,
                    "stack": {"$stack": stack_name},
                    "operation": operation,
                    "reason_override": reason_override,
                },
            )
            under_way.work = replace_work(under_way.work, "_deploy_stack_async", work)
            self._changed()
        await ministack.original("_roll_back_operation")(
            stack_name, stack_id, stack, operation, reason_override
        )

    def _create(self, kind: str, logical_id: str, properties: Any, stack: str) -> Any:
        request = Request(ministack.here(), stack, logical_id, properties)
        return _answer(lambda: self._engine.create(kind, request))

    def _update(  # noqa: PLR0913  # ministack's signature.
        self,
        kind: str,
        physical_id: str,
        old: Any,
        new: Any,
        stack: str,
        logical_id: str | None = None,
        attributes: Any = None,
    ) -> Any:
        request = Request(
            ministack.here(),
            stack,
            logical_id or physical_id,
            new,
            physical_id,
            old,
            attributes or ministack.attributes_of(stack, logical_id or ""),
        )
        return _answer(lambda: self._engine.update(kind, request))

    def _delete(
        self,
        kind: str,
        physical_id: str,
        properties: Any,
        stack: str | None = None,
        logical_id: str | None = None,
    ) -> None:
        request = Request(ministack.here(), stack or "", logical_id or "", properties, physical_id)
        try:
            _reworded(lambda: self._engine.delete(kind, request))
        except ValueError:
            if not _forced(journals.running()):
                ministack.set_aside_needs(request.stack, request.logical_id)
            raise

    def _snapshot(self, kind: str, physical_id: str, properties: Any) -> None:
        request = Request(ministack.here(), "", "", properties, physical_id)
        _reworded(lambda: self._engine.snapshot(kind, request))


def _forced(operation: Operation | None) -> bool:
    """Whether a failing resource is given up, together with what it needs, by ministack itself."""
    return operation is not None and bool(operation.work.arguments.get("force"))


def _answer(act: Callable[[], Physical]) -> tuple[str, dict[str, str]]:
    made = _reworded(act)
    return made.id, dict(made.attributes)


def _reworded(act: Callable[[], Result]) -> Result:
    """Run a step; its failure reads as CloudFormation words it, since ministack shows it so."""
    try:
        return act()
    except ResourceFailure as failure:
        raise ValueError(engines.reason(failure)) from failure


def take_apart(coroutine: Coroutine[Any, Any, Any]) -> Work:
    """The name and arguments of a coroutine that has not started, as plain data."""
    arguments = inspect.getcoroutinelocals(coroutine)
    return Work(coroutine.__name__, {key: _plain(value) for key, value in arguments.items()})


def _plain(value: Any) -> Any:
    if inspect.iscoroutine(value):
        return take_apart(value)
    if isinstance(value, (set, frozenset)):
        return sorted(cast("set[str]", value))
    if isinstance(value, dict):
        record = cast("dict[str, Any]", value)
        if "ChangeSetId" in record and "ExecutionStatus" in record:
            return {"$change_set": record["ChangeSetId"]}
        if "StackId" in record and "StackStatus" in record:
            return {"$stack": record["StackName"]}
    return cast("Any", value)


def revive(work: Work) -> Coroutine[Any, Any, None]:
    """The coroutine that `work` was, with the records of this process as arguments."""
    arguments = {key: _revived(value) for key, value in work.arguments.items()}
    return cast("Coroutine[Any, Any, None]", ministack.original(work.name)(**arguments))


def _revived(value: Any) -> Any:
    if isinstance(value, Work):
        return revive(value)
    if isinstance(value, dict):
        record = cast("dict[str, Any]", value)
        if "$stack" in record:
            return ministack.stack_record(record["$stack"]) or {}
        if "$change_set" in record:
            return ministack.change_set(record["$change_set"])
    return cast("Any", value)


def replace_work(tree: Work, name: str, by: Work) -> Work:
    """`tree` with the work of that name exchanged, wherever it is nested."""
    if tree.name == name:
        return by
    return Work(
        tree.name,
        {
            key: replace_work(value, name, by) if isinstance(value, Work) else value
            for key, value in tree.arguments.items()
        },
    )
