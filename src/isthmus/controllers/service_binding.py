"""ServiceBinding: one credential for one consumer, in an owned Secret; rotated and revoked.

The order survives a crash at any point: note which credential we mean to make and where, make it
(granting twice is granting once), write the Secret, say Ready, and only then revoke the former one.
"""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from isthmus.api.meta import ROTATE, Json
from isthmus.api.v1alpha1 import (
    Binding,
    BoundSecret,
    CredentialTemplate,
    Granted,
    Provider,
    ServiceBinding,
    ServiceBindingStatus,
    ServiceInstance,
    Stack,
)
from isthmus.controllers.world import World
from isthmus.core import catalog, schemas, stacks
from isthmus.core.compose.rendered import Rendered, rendered_from
from isthmus.core.render import as_text, placeholders, substitute
from isthmus.core.stacks import digest
from isthmus.errors import (
    AlreadyExists,
    Conflict,
    InvalidSpec,
    NotFound,
    NotYet,
    Retryable,
    Terminal,
)
from isthmus.ports import CredentialSource, Grant
from isthmus.runtime.kinds import SECRETS
from isthmus.runtime.outcome import Outcome, Progress, done, waiting
from isthmus.runtime.worker import Reconciler

CREDENTIAL = "isthmus.dev/credential"
"""Annotation on the Secret: which credential it holds."""
RENDERED = "isthmus.dev/rendered"
"""Annotation on the Secret: digest of what it shows, but for the credential."""
_NOW = timedelta(milliseconds=1)
_RETRY_REVOKE = timedelta(seconds=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Use:
    """Everything that a binding is rendered from."""

    instance: ServiceInstance
    provider: Provider
    binding: Binding
    template: CredentialTemplate
    scope: Mapping[str, Any]
    parameters: Json


class ServiceBindingController(Reconciler[ServiceBinding]):
    """Delivers credentials."""

    kind = ServiceBinding
    steps = ("Accepted", "Granted")

    def __init__(self, world: World) -> None:
        self._world = world

    async def reconcile(
        self, obj: ServiceBinding, progress: Progress[ServiceBindingStatus]
    ) -> Outcome:
        """Note, grant, deliver, revoke the former: each in its own step."""
        use = self._use(obj)
        wanted = _credential_id(obj, use)
        status = obj.status
        self._check_secret_name(obj)
        progress.reached("Accepted")
        if status.credential != wanted:
            progress.status = _noted(obj, use, wanted)
            return waiting("The credential is being made.", after=_NOW)
        if not self._delivered(obj, use):
            if not use.instance.ready:
                raise NotYet(f"spec.instance: {use.instance.metadata.name!r} is not ready yet.")
            granted = _granted(use)
            if status.granted != granted:
                progress.status = status.model_copy(update={"granted": granted})
                return waiting("The credential is being made.", after=_NOW)
            await self._deliver(obj, use, granted)
        progress.status = _bound(obj, progress)
        if not obj.ready:
            return done(after=_NOW if status.former else None)
        return await self._revoke_former(obj, use, progress)

    async def release(
        self, obj: ServiceBinding, progress: Progress[ServiceBindingStatus]
    ) -> Outcome:
        """Revoke every credential that was, or may have been, made; then drop the Secret.

        It needs no more than the Provider: instance and Stack may be gone, by force.
        """
        del progress
        status = obj.status
        ids = [identity for identity in (*status.former, status.credential) if identity]
        if ids:
            # A former Isthmus did not note what it had granted.
            granted = status.granted or _granted(self._use(obj))
            provider = self._provider(granted.provider)
            async with self._world.connections.use(provider) as connection:
                source = _source(connection.credentials, status.strategy)
                for identity in ids:
                    await source.revoke(self._grant(obj, granted, identity))
        secret = await self._secret(obj)
        if secret is not None and _owned_by(secret, obj):
            meta = secret["metadata"]
            await self._world.store.delete(SECRETS, meta["namespace"], meta["name"], meta["uid"])
        return done()

    def _use(self, obj: ServiceBinding) -> _Use:
        namespace, name = obj.metadata.namespace, obj.spec.instance
        if obj.status.instance not in ("", name):
            raise InvalidSpec(
                f"spec.instance: cannot be changed from {obj.status.instance!r}; "
                "make a new binding."
            )
        instance = self._world.instances.get(namespace, name)
        if instance is None:
            raise NotYet(f"spec.instance: there is no ServiceInstance {name!r} in this namespace.")
        stack = self._world.stacks.get(namespace, name)
        origin = rendered_from(stack) if stack is not None else None
        going = instance.deleting or not instance.ready
        if stack is None or origin is None or (going and not obj.status.credential):
            raise NotYet(f"spec.instance: ServiceInstance {name!r} is not ready yet.")
        return self._resolve(obj, instance, stack, origin)

    def _resolve(
        self, obj: ServiceBinding, instance: ServiceInstance, stack: Stack, origin: Rendered
    ) -> _Use:
        provider = self._provider(stack.spec.provider)
        definition = self._world.definition(origin.revision)
        binding = catalog.binding_of(definition)
        strategy = obj.spec.strategy or obj.status.strategy
        if obj.status.strategy not in ("", strategy):
            raise InvalidSpec(
                f"spec.strategy: cannot be changed from {obj.status.strategy!r}; "
                "make a new binding."
            )
        template = catalog.credential_of(
            catalog.stack_of(definition, provider.spec.driver), strategy
        )
        parameters = schemas.defaults(binding.parameters) | obj.spec.parameters
        schemas.check(binding.parameters, parameters, field="spec.parameters")
        meta = instance.metadata
        scope = catalog.Scope(
            values=_open_values(definition.parameters, origin.values),
            name=meta.name,
            namespace=meta.namespace,
            uid=meta.uid,
        ).of_use(stack.status.outputs, facts_of(provider))
        return _Use(
            instance=instance,
            provider=provider,
            binding=binding,
            template=template,
            scope=scope | {f"binding.{key}": value for key, value in parameters.items()},
            parameters=parameters,
        )

    def _provider(self, name: str) -> Provider:
        provider = self._world.providers.get("", name)
        if provider is None:
            raise NotYet(
                f"Provider {name!r} is gone, so nobody can make or revoke credentials; bring it "
                "back."
            )
        return provider

    def _grant(self, obj: ServiceBinding, granted: Granted, identity: str) -> Grant:
        meta = obj.metadata
        return Grant(
            id=identity,
            spec=granted.spec,
            parameters=granted.parameters,
            tags={
                stacks.TAG_UID: meta.uid,
                stacks.TAG_NAMESPACE: meta.namespace,
                stacks.TAG_NAME: meta.name,
                stacks.TAG_INSTALLATION: self._world.connections.installation,
            },
        )

    async def _deliver(self, obj: ServiceBinding, use: _Use, granted: Granted) -> None:
        async with self._world.connections.use(use.provider) as connection:
            source = _source(connection.credentials, use.template.strategy)
            values = await source.grant(self._grant(obj, granted, obj.status.credential))
        secret = _secret_of(obj, use, values)
        store = self._world.store
        found = await self._secret(obj)
        if found is None:
            stored = await store.create(SECRETS, secret)
        elif _owned_by(found, obj):
            meta = secret["metadata"] | {"resourceVersion": found["metadata"]["resourceVersion"]}
            stored = await store.replace(SECRETS, secret | {"metadata": meta})
        else:
            raise AlreadyExists(_TAKEN.format(name=secret_name(obj)))
        self._world.secrets.put(stored)

    async def _secret(self, obj: ServiceBinding) -> Json | None:
        return await self._world.store.get(SECRETS, obj.metadata.namespace, secret_name(obj))

    def _check_secret_name(self, obj: ServiceBinding) -> None:
        found = self._world.secrets.get(obj.metadata.namespace, secret_name(obj))
        if found is not None and not _owned_by(found, obj):
            raise AlreadyExists(_TAKEN.format(name=secret_name(obj)))

    def _delivered(self, obj: ServiceBinding, use: _Use) -> bool:
        found = self._world.secrets.get(obj.metadata.namespace, secret_name(obj))
        notes: Json = found["metadata"].get("annotations", {}) if found is not None else {}
        return notes.get(CREDENTIAL) == obj.status.credential and notes.get(RENDERED) == _origin(
            use
        )

    async def _revoke_former(
        self, obj: ServiceBinding, use: _Use, progress: Progress[ServiceBindingStatus]
    ) -> Outcome:
        if not obj.status.former:
            return done()
        try:
            async with self._world.connections.use(use.provider) as connection:
                source = _source(connection.credentials, use.template.strategy)
                for identity in obj.status.former:
                    await source.revoke(self._grant(obj, _granted(use), identity))
        except Conflict:
            raise
        except (Retryable, Terminal) as err:
            progress.note("FormerRevoked", holds=False, reason=err.reason, message=err.message)
            return done(after=_RETRY_REVOKE)
        progress.note("FormerRevoked", holds=True, reason="Revoked")
        progress.status = progress.status.model_copy(update={"former": ()})
        return done()


_TAKEN = (
    "spec.secretName: there is a Secret {name!r} that is not this binding's; choose another name."
)


def secret_name(obj: ServiceBinding) -> str:
    """Return the name of the binding's Secret."""
    return obj.spec.secret_name or obj.metadata.name


def facts_of(provider: Provider) -> dict[str, str]:
    """Return the names that templates may use as ``${provider.X}``."""
    return {
        "name": provider.metadata.name,
        "driver": provider.spec.driver,
        "region": provider.spec.region,
        "account": provider.status.account,
    }


def _credential_id(obj: ServiceBinding, use: _Use) -> str:
    """Name the credential: another rotation, or other rights, make another credential."""
    rotation = obj.metadata.annotations.get(ROTATE, "")
    return "isthmus-" + digest(obj.metadata.uid, rotation, use.parameters)[:20]


def _noted(obj: ServiceBinding, use: _Use, wanted: str) -> ServiceBindingStatus:
    status = obj.status
    former = [identity for identity in (*status.former, status.credential) if identity]
    return status.model_copy(
        update={
            "instance": obj.spec.instance,
            "strategy": use.template.strategy,
            "credential": wanted,
            "granted": _granted(use),
            "former": tuple(dict.fromkeys(i for i in former if i != wanted)),
            "rotation": obj.metadata.annotations.get(ROTATE, ""),
            "granted_at": None,
        }
    )


def _granted(use: _Use) -> Granted:
    return Granted(
        provider=use.provider.metadata.name,
        spec=substitute(use.template.spec, use.scope, path="credentials.spec"),
        parameters=use.parameters,
    )


def _bound(obj: ServiceBinding, progress: Progress[ServiceBindingStatus]) -> ServiceBindingStatus:
    return progress.status.model_copy(
        update={
            "binding": BoundSecret(name=secret_name(obj)),
            "granted_at": obj.status.granted_at or progress.now,
        }
    )


def _secret_of(obj: ServiceBinding, use: _Use, values: Mapping[str, str]) -> Json:
    scope = dict(use.scope) | {f"credential.{key}": value for key, value in values.items()}
    keys = use.binding.keys | use.template.keys
    text = {
        "type": use.binding.type,
        "provider": use.provider.spec.driver,
        "region": use.provider.spec.region,
    }
    for key, template in keys.items():
        text[key] = as_text(substitute(template, scope, path=f"binding.keys.{key}"))
    owner = obj.owner_reference().model_dump(by_alias=True)
    data = {key: base64.b64encode(v.encode()).decode() for key, v in text.items() if v}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": f"servicebinding.io/{use.binding.type}",
        "metadata": {
            "name": secret_name(obj),
            "namespace": obj.metadata.namespace,
            "labels": {ServiceInstance.label: obj.spec.instance},
            "annotations": {CREDENTIAL: obj.status.credential, RENDERED: _origin(use)},
            "ownerReferences": [owner],
        },
        "data": data,
    }


def _origin(use: _Use) -> str:
    """Digest what the Secret shows of the instance: only a change of that makes it anew."""
    keys = use.binding.keys | use.template.keys
    names = sorted({name for _, name in placeholders(keys)} & use.scope.keys())
    used = {name: as_text(use.scope[name]) for name in names}
    return digest(keys, use.binding.type, use.provider.spec.region, used)[:20]


def _open_values(schema: Json, values: Json) -> Json:
    """Leave out secret parameters: a binding has nothing to do with them."""
    secret = schemas.secret_names(schema)
    return {key: value for key, value in values.items() if key not in secret}


def _owned_by(secret: Json, obj: ServiceBinding) -> bool:
    owners = secret["metadata"].get("ownerReferences", [])
    return any(owner["uid"] == obj.metadata.uid for owner in owners)


def _source(credentials: Mapping[str, CredentialSource], strategy: str) -> CredentialSource:
    source = credentials.get(strategy)
    if source is None:
        known = ", ".join(sorted(credentials)) or "none"
        raise NotFound(f"The provider has no credential strategy {strategy!r}; it has: {known}.")
    return source
