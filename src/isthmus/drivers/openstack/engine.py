"""Heat as StackEngine: look at the stack, take the one step that its state calls for.

Heat takes a change only while it does not work on the stack, so what it works on is waited for. A
creation or an update that failed is gone on with by the next update: what is whole stays, what is
not is made anew. Whether Heat rolls back by itself is the Provider's setting.
https://docs.openstack.org/api-ref/orchestration/v1/
"""

from dataclasses import replace
from datetime import timedelta
from typing import Final

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
from isthmus.drivers.openstack import birthmarks, predelete, readings, states, template
from isthmus.drivers.openstack.lost import Lost
from isthmus.drivers.openstack.marks import Marks
from isthmus.drivers.openstack.observation import Observer
from isthmus.drivers.openstack.previews import Preview, Previews
from isthmus.drivers.openstack.quotas import Quotas
from isthmus.drivers.openstack.readings import Native
from isthmus.drivers.openstack.session import Cloud
from isthmus.drivers.openstack.states import Step
from isthmus.drivers.openstack.template import Document
from isthmus.errors import AlreadyExists, InvalidSpec, NotFound, NotYet, StackFailed

_STEP: Final = timedelta(seconds=3)
"""How soon we look again at what goes before a stack."""


class Heat:
    """See ``ports.StackEngine``."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._observer = Observer(cloud)
        self._marks = Marks(cloud, self._observer)
        self._lost = Lost(cloud, self._observer)
        self._previews = Previews(cloud, self._observer)
        self._quotas = Quotas(cloud)

    async def preview(self, stack: NativeStack) -> Changes:
        """Ask Heat for a dry run."""
        with guards.unsaid(stack):
            native = await self._observer.find(stack.name)
            guards.claim(native, stack)
            if native is None:
                found = await self._previews.of_new(stack, _marked(stack))
                return await self._with_quotas(found)
            if states.of(native.status).step is not Step.UPDATE:
                raise NotYet(f"Heat can preview nothing now: the stack is {native.status}.")
            document = await self._document(stack, native)
            kept = frozenset(await self._marks.unjust(native))
            found = await self._previews.of_change(stack, document, native, kept)
            return await self._with_quotas(found)

    async def observe(self, name: StackName) -> Observed:
        """Look at the stack, its resources, events and drift."""
        native = await self._observer.find(name)
        if native is None:
            return ABSENT
        try:
            return await self._observer.observe(native)
        except NotFound:
            return ABSENT  # It went between two looks.

    async def apply(self, stack: NativeStack) -> None:
        """Take the next step towards the stack as it is wanted."""
        with guards.unsaid(stack):
            native = await self._observer.find(stack.name)
            guards.claim(native, stack)
            if native is None:
                await self._create(stack)
                return
            match states.of(native.status).step:
                case Step.CREATE | Step.WAIT:
                    if await self._observer.stalled(native):
                        await self._resume(stack, native)
                case Step.UPDATE:
                    if not await self._observer.undoing(native):
                        await self._update(stack, native)
                case Step.REFUSE:
                    raise StackFailed(
                        f"Heat cannot change a stack in {native.status}: "
                        f"{states.of(native.status).says}."
                    )

    async def delete(self, stack: NativeStack) -> None:
        """Take the next step of the deletion."""
        native = await self._observer.find(stack.name)
        if native is None:
            return
        if native.status == "DELETE_IN_PROGRESS" and not await self._observer.stalled(native):
            return
        guards.require_ours(native, stack)
        if stack.pre_delete:
            target = predelete.Target(
                uid=guards.uid_of(stack),
                outputs=dict(native.outputs),
                resources=await self._observer.everything(native),
            )
            if left := await predelete.run(self._cloud, stack.pre_delete, target):
                raise NotYet(f"What it made goes before its stack: {left}.", after=_STEP)
        await self._clear(stack, native)
        try:
            await self._cloud.ask("orchestration", "DELETE", native.path)
        except NotFound:
            return

    async def adopt(self, stack: NativeStack, adopt: Adopt) -> None:
        """Tag an existing stack as ours, or import existing resources into a new one.

        Tagging is an update with the stack's own template, so it changes nothing else; the template
        of ours comes with the ``apply`` that follows, under its guard.
        """
        with guards.unsaid(stack):
            native = await self._observer.find(stack.name)
            if native is None and adopt.resources:
                await self._import(stack, adopt)
                return
            if native is None:
                raise NotFound(
                    f"spec.adopt.externalName: there is no Heat stack {stack.name!r} in this "
                    "project and region."
                )
            guards.claim(native, stack)
            ready = states.of(native.status).step is Step.UPDATE
            if ready and native.owner_uid != guards.uid_of(stack):
                await self._tag(stack, native)

    async def check_drift(self, name: StackName) -> None:
        """Ask Heat to check every resource; it answers in a later ``observe``."""
        native = await self._observer.find(name)
        if native is None or states.of(native.status).step is not Step.UPDATE:
            return  # It would meet Heat's lock.
        await self._cloud.ask(
            "orchestration", "POST", f"{native.path}/actions", body={"check": None}
        )

    async def owned(self) -> tuple[Owned, ...]:
        """List the stacks that bear our tags."""
        ours = self._cloud.settings.installation
        tag = template.installation_tag(ours) if ours else ""
        return tuple(
            _owned(native)
            for native in await self._observer.all(tag)
            if native.owner_uid and native.tags.get(TAG_INSTALLATION, "") == ours
        )

    async def adoptable(self) -> tuple[Owned, ...]:
        """List the stacks that nobody's tag is on."""
        return tuple(
            _owned(native)
            for native in await self._observer.all()
            if not native.owner_uid and not native.nested
        )

    async def _with_quotas(self, found: Preview) -> Changes:
        lacking = await self._quotas.lacking(found.coming.items(), found.growing)
        return replace(found.changes, notes=(*found.changes.notes, *lacking))

    async def _create(self, stack: NativeStack) -> None:
        document = _marked(stack)
        await self._quotas.require(await self._previews.needed(stack, document))
        body = self._request(stack, document, ()) | {"stack_name": stack.name}
        try:
            await self._cloud.ask("orchestration", "POST", "/stacks", body=body)
        except AlreadyExists as exc:
            raise NotYet("Heat is creating the stack already.") from exc

    async def _update(self, stack: NativeStack, native: Native) -> None:
        state = states.of(native.status)
        healthy = state.phase is Phase.READY and state.step is Step.UPDATE
        if healthy and stack.digest and native.digest == stack.digest:
            return
        await self._marks.lift(native)
        document = await self._document(stack, native)
        found = await self._previews.of_change(stack, document, native)
        losing = found.changes.losing_data
        if losing and not stack.replacement_approved:
            raise guards.needs_approval(losing)
        await self._quotas.require(found.coming.items(), found.growing)
        body = self._request(stack, document, native.marks.others)
        await self._cloud.ask("orchestration", "PUT", native.path, body=body)

    async def _resume(self, stack: NativeStack, native: Native) -> None:
        """Have Heat go on with what a killed engine was doing.

        Of a creation, what that engine lost goes first: it is in the way of its second try (an
        address that is taken, a port in use). After a change it might be what is still to go.
        """
        if native.status == "CREATE_IN_PROGRESS":
            await self._clear(stack, native)
        await self._update(stack, native)

    async def _clear(self, stack: NativeStack, native: Native) -> None:
        if left := await self._lost.clear(stack, native):
            raise NotYet(f"What Heat made and lost goes first: {left}.", after=_STEP)

    async def _tag(self, stack: NativeStack, native: Native) -> None:
        await self._marks.lift(native)
        body: Json = {"tags": template.write_tags(stack.tags, "", native.marks.others)}
        await self._cloud.ask("orchestration", "PATCH", native.path, body=body)

    async def _import(self, stack: NativeStack, adopt: Adopt) -> None:
        """Make a stack of resources that are there, if the cloud's Heat allows it."""
        document = template.prepare(stack)
        body = self._request(stack, document, ()) | {
            "stack_name": stack.name,
            "adopt_stack_data": template.adoption(document, stack.name, adopt.resources),
        }
        try:
            await self._cloud.ask("orchestration", "POST", "/stacks", body=body)
        except InvalidSpec as exc:
            if "Stack Adopt" not in exc.message:
                raise
            raise InvalidSpec(
                "spec.adopt.resources: this cloud's Heat imports no resources; its operator may "
                "allow that (enable_stack_adopt)."
            ) from exc

    def _request(self, stack: NativeStack, document: Document, others: tuple[str, ...]) -> Json:
        settings = self._cloud.settings
        return document.request() | {
            "parameters": dict(stack.parameters),
            "tags": template.write_tags(stack.tags, stack.digest, others),
            "disable_rollback": not settings.rollback,
            "timeout_mins": settings.timeout_minutes,
        }

    async def _document(self, stack: NativeStack, native: Native) -> Document:
        document = template.prepare(stack)
        whole = birthmarks.put(document.template, native.name)
        if not stack.ignore_fields and whole == document.template:
            return document
        deployed = await self._previews.deployed(native)
        fresh = bool(birthmarks.stack_of(stack))
        marked = birthmarks.keep(document.template, native.name, deployed, fresh=fresh)
        return replace(document, template=keep_fields(marked, deployed, stack.ignore_fields))


def _marked(stack: NativeStack) -> Document:
    """Return the document of a stack that is not there yet."""
    document = template.prepare(stack)
    marked = birthmarks.put(document.template, birthmarks.stack_of(stack))
    return replace(document, template=marked)


def _owned(native: Native) -> Owned:
    return Owned(
        name=native.name,
        native_id=native.id,
        type=readings.STACK_TYPE,
        uid=native.owner_uid,
        namespace=native.tags.get(TAG_NAMESPACE, ""),
        object_name=native.tags.get(TAG_NAME, ""),
    )
