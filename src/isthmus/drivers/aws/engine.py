"""The StackEngine of CloudFormation.

Created stacks are created directly; every change of an existing one goes through a change set, so
that nothing which holds data is replaced before somebody has approved it. What to do in which state
is a table in ``states``; what is remembered, and where, is explained in ``template``.
"""

from collections.abc import Awaitable, Callable
from typing import cast
from uuid import uuid4

from isthmus.api.meta import Adopt, Json
from isthmus.api.v1alpha1 import Phase
from isthmus.core import guards
from isthmus.core.documents import keep_fields
from isthmus.core.stacks import (
    ABSENT,
    TAG_INSTALLATION,
    TAG_NAME,
    TAG_NAMESPACE,
    Changes,
    NativeStack,
    Observed,
    Owned,
    StackName,
)
from isthmus.drivers.aws import predelete, states, template
from isthmus.drivers.aws.changesets import ChangeSet, ChangeSets
from isthmus.drivers.aws.observation import REVIEW, STACK_TYPE, Native, Observer
from isthmus.drivers.aws.previews import Previews
from isthmus.drivers.aws.requests import Requests, present
from isthmus.drivers.aws.session import Aws
from isthmus.drivers.aws.states import Step
from isthmus.drivers.aws.template import Verb, token
from isthmus.errors import (
    AlreadyExists,
    DeletionBlocked,
    InvalidSpec,
    NotFound,
    NotYet,
    StackFailed,
)

_APPLY_SECONDS = 8.0
"""How long ``apply`` waits for a change set before it lets the caller come back to it."""
_GONE = frozenset({Step.CREATE, Step.CREATE_OVER, Step.RECREATE})
"""Steps from states in which an apply begins with a new stack."""


class CloudFormation:
    """See ``ports.StackEngine``."""

    def __init__(self, aws: Aws, extra: Callable[[], Awaitable[tuple[Owned, ...]]]) -> None:
        """Serve the stacks of an account.

        Args:
            aws: The account.
            extra: Lists what else of ours there is: the users and roles of bindings.
        """
        self._aws = aws
        self._observer = Observer(aws)
        self._change_sets = ChangeSets(aws)
        self._requests = Requests(aws)
        self._previews = Previews(aws, self._change_sets, self._requests)
        self._extra = extra

    async def preview(self, stack: NativeStack) -> Changes:
        """Ask for a change set, read it and delete it.

        A stack that is not there is previewed under a throwaway name: deleting the preview can
        then never meet a stack that somebody creates meanwhile.
        """
        with guards.unsaid(stack):
            return await self._preview(stack)

    async def _preview(self, stack: NativeStack) -> Changes:
        native = await self._observer.find(stack.name)
        guards.claim(native, stack)
        step = states.of(native.status).step if native is not None else Step.CREATE
        if native is None or step in _GONE:
            return await self._previews.of_new(stack)
        if step is not Step.UPDATE:
            raise NotYet(f"CloudFormation can preview nothing now: it is {native.status}.")
        return await self._previews.of_change(
            stack, await self._document(stack, native), native.name
        )

    async def observe(self, name: StackName) -> Observed:
        """Look at the stack, its resources, events and drift."""
        native = await self._observer.find(name)
        return await self._observer.observe(native) if native is not None else ABSENT

    async def apply(self, stack: NativeStack) -> None:
        """Take the next step towards the stack as it is wanted."""
        with guards.unsaid(stack):
            await self._apply(stack)

    async def _apply(self, stack: NativeStack) -> None:
        native = await self._observer.find(stack.name)
        guards.claim(native, stack)
        if native is None:
            await self._create(stack)
            return
        match states.of(native.status).step:
            case Step.CREATE | Step.WAIT:
                return
            case Step.UPDATE:
                await self._update(stack, native)
            case Step.RECREATE:
                await self._delete(stack, native)
            case Step.CONTINUE:
                await self._continue(stack, native)
            case Step.CREATE_OVER:
                await self._create_over(stack, native)
            case Step.REFUSE:
                raise StackFailed(
                    f"CloudFormation cannot change a stack in {native.status}; finish the "
                    "deletion, or repair the stack in AWS."
                )

    async def delete(self, stack: NativeStack) -> None:
        """Take the next step of the deletion."""
        native = await self._observer.find(stack.name)
        if native is None or native.status == "DELETE_IN_PROGRESS":
            return
        guards.require_ours(native, stack)
        waiting = states.of(native.status).step is Step.WAIT
        if waiting and native.status != "CREATE_IN_PROGRESS":
            return  # CloudFormation refuses a deletion now; the caller comes again.
        if stack.pre_delete and not waiting:
            resources = await self._observer.resources(native.id)
            target = predelete.Target(
                outputs=native.outputs,
                resources=resources,
                resumed=native.status == "DELETE_FAILED",
            )
            if not await predelete.run(self._aws, stack.pre_delete, target):
                return
        await self._delete(stack, native)

    async def adopt(self, stack: NativeStack, adopt: Adopt) -> None:
        """Tag an existing stack as ours, or import existing resources into a new one.

        Tagging is an update with the stack's own template and parameters, so it changes nothing
        else; the template of ours comes with the ``apply`` that follows, under its guard.
        """
        native = await self._observer.find(stack.name)
        if adopt.resources and (native is None or native.status == REVIEW):
            await self._import(stack, adopt)
            return
        if native is None:
            raise NotFound(
                f"spec.adopt.externalName: there is no CloudFormation stack {stack.name!r} in "
                f"{self._aws.settings.region}."
            )
        guards.claim(native, stack)
        if states.of(native.status).step is Step.UPDATE and native.owner_uid != guards.uid_of(
            stack
        ):
            await self._tag(stack, native)

    async def check_drift(self, name: StackName) -> None:
        """Ask CloudFormation to look; it answers in a later ``observe``."""
        native = await self._observer.find(name)
        if native is None or states.of(native.status).step is not Step.UPDATE:
            return  # It refuses while it works.
        await self._aws.call("cloudformation", "detect_stack_drift", StackName=native.id)

    async def owned(self) -> tuple[Owned, ...]:
        """List our stacks, and the users and roles of bindings."""
        ours = self._aws.settings.installation
        stacks = [
            _owned(s)
            for s in await self._observer.all()
            if s.owner_uid and s.tags.get(TAG_INSTALLATION, "") == ours
        ]
        return (*stacks, *await self._extra())

    async def adoptable(self) -> tuple[Owned, ...]:
        """List the stacks that nobody's tag is on; a nested one belongs to its parent."""
        return tuple(
            _owned(s)
            for s in await self._observer.all()
            if not s.owner_uid and not s.nested and s.status != REVIEW
        )

    # How apply goes on, by state.

    async def _create(self, stack: NativeStack) -> None:
        document = template.prepare(stack, stack.digest)
        try:
            await self._aws.call(
                "cloudformation",
                "create_stack",
                StackName=stack.name,
                ClientRequestToken=token(Verb.CREATE, stack, _once()),
                RetainExceptOnCreate=True,
                **await self._requests.of(stack, document),
            )
        except AlreadyExists as exc:
            raise NotYet("CloudFormation is creating the stack already.") from exc

    async def _update(self, stack: NativeStack, native: Native) -> None:
        healthy = states.of(native.status).phase is Phase.READY
        if healthy and stack.digest and native.digest == stack.digest:
            return
        document = await self._document(stack, native)
        name = token(Verb.UPDATE, stack, native.version)
        change_set = await self._ask(stack, document, native.name, name)
        losing = Changes(changes=change_set.changes).losing_data
        refused = bool(losing) and not stack.replacement_approved
        if refused or change_set.empty:
            await self._change_sets.remove(native.name, name)
        if refused:
            raise guards.needs_approval(losing)
        if change_set.empty:
            await self._mark(stack, native, document)
        else:
            await self._execute(change_set, name)

    async def _mark(self, stack: NativeStack, native: Native, document: Json) -> None:
        """Update outputs only: CloudFormation makes no change set of that everywhere."""
        try:
            await self._aws.call(
                "cloudformation",
                "update_stack",
                StackName=native.id,
                ClientRequestToken=token(Verb.UPDATE, stack, native.version),
                **await self._requests.of(stack, document),
            )
        except InvalidSpec as exc:
            if "No updates are to be performed" not in exc.message:
                raise

    async def _continue(self, stack: NativeStack, native: Native) -> None:
        arguments: Json = {}
        if stack.replacement_approved:
            resources = await self._observer.resources(native.id)
            stuck = [r.logical_id for r in resources if r.status == "UPDATE_FAILED"]
            arguments["ResourcesToSkip"] = stuck
        await self._aws.call(
            "cloudformation",
            "continue_update_rollback",
            StackName=native.id,
            ClientRequestToken=token(Verb.CONTINUE, stack, _once()),
            **arguments,
            **self._requests.role(),
        )

    async def _create_over(self, stack: NativeStack, native: Native) -> None:
        document = template.prepare(stack, stack.digest)
        name = token(Verb.CREATE, stack, native.version)
        change_set = await self._ask(stack, document, native.name, name, kind="CREATE")
        await self._execute(change_set, name)

    async def _tag(self, stack: NativeStack, native: Native) -> None:
        merged = native.tags | present(stack.tags)
        await self._aws.call(
            "cloudformation",
            "update_stack",
            StackName=native.id,
            UsePreviousTemplate=True,
            Parameters=[{"ParameterKey": k, "UsePreviousValue": True} for k in native.parameters],
            Capabilities=["CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"],
            Tags=[{"Key": k, "Value": v} for k, v in merged.items()],
            ClientRequestToken=token(Verb.ADOPT, stack, native.version),
            **self._requests.role(),
        )

    async def _import(self, stack: NativeStack, adopt: Adopt) -> None:
        """Make a stack of what is there. An import takes no tags: the next call sets them."""
        document = template.only_resources(template.prepare(stack, ""), sorted(adopt.resources))
        resources = cast("dict[str, Json]", document["Resources"])
        name = token(Verb.IMPORT, stack, ())
        request = await self._requests.of(stack, document)
        del request["Tags"]
        request["ResourcesToImport"] = [
            {
                "ResourceType": resources[logical_id]["Type"],
                "LogicalResourceId": logical_id,
                "ResourceIdentifier": identifier,
            }
            for logical_id, identifier in sorted(adopt.resources.items())
        ]
        change_set = await self._ask_for(stack, request, stack.name, name, "IMPORT")
        await self._execute(change_set, name)

    async def _delete(self, stack: NativeStack, native: Native) -> None:
        guards.require_ours(native, stack)
        try:
            await self._aws.call(
                "cloudformation",
                "delete_stack",
                StackName=native.id,
                ClientRequestToken=token(Verb.DELETE, stack, _once()),
                **self._requests.role(),
            )
        except InvalidSpec as exc:
            if "TerminationProtection" not in exc.message:
                raise
            raise DeletionBlocked(
                f"Stack {native.name} has termination protection; switch it off in AWS."
            ) from exc

    # Change sets.

    async def _ask(
        self, stack: NativeStack, document: Json, target: str, name: str, kind: str = "UPDATE"
    ) -> ChangeSet:
        request = await self._requests.of(stack, document)
        if template.has_nested(document):
            request["IncludeNestedStacks"] = True  # What they hold must be guarded as well.
        return await self._ask_for(stack, request, target, name, kind)

    async def _ask_for(
        self, stack: NativeStack, request: Json, target: str, name: str, kind: str
    ) -> ChangeSet:
        """Return the change set; one that cannot be worked out is taken away.

        Raises:
            NotYet: CloudFormation takes long. The next call finds the change set by its name.
        """
        await self._change_sets.ask(
            request | {"StackName": target, "ChangeSetName": name, "ChangeSetType": kind}
        )
        try:
            found = await self._change_sets.wait(
                target, name, stateful=frozenset(stack.stateful), seconds=_APPLY_SECONDS
            )
        except InvalidSpec:
            await self._change_sets.remove(target, name)
            raise
        if found is None:
            raise NotYet("CloudFormation is still working out the change.")
        return found

    async def _execute(self, change_set: ChangeSet, request_token: str) -> None:
        await self._aws.call(
            "cloudformation",
            "execute_change_set",
            StackName=change_set.stack_name,
            ChangeSetName=change_set.name,
            ClientRequestToken=request_token,
        )

    async def _document(self, stack: NativeStack, native: Native) -> Json:
        document = template.prepare(stack, template.next_mark(stack.digest, native.outputs))
        if not stack.ignore_fields:
            return document
        answer = await self._aws.call("cloudformation", "get_template", StackName=native.id)
        deployed: object = answer.get("TemplateBody")
        if not isinstance(deployed, dict):
            raise InvalidSpec(
                "spec.ignoreFields: the stack's template is YAML, which we cannot read; apply "
                "once without ignoreFields."
            )
        return keep_fields(document, cast("Json", deployed), stack.ignore_fields)


def _owned(native: Native) -> Owned:
    return Owned(
        name=native.name,
        native_id=native.id,
        type=STACK_TYPE,
        uid=native.owner_uid,
        namespace=native.tags.get(TAG_NAMESPACE, ""),
        object_name=native.tags.get(TAG_NAME, ""),
    )


def _once() -> tuple[str]:
    """Return a salt for an operation that is idempotent by itself and may come again later."""
    return (uuid4().hex,)
