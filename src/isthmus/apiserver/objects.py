"""What a write means: create, update and delete of one object, for every kind alike.

Everything here happens between reading the staged state and staging the change without waiting, so
no other write can come between. The caller awaits `Store.commit` before it answers.
"""

import copy
from collections.abc import Callable
from typing import Any

import orjson

from isthmus.apiserver import metadata as meta
from isthmus.apiserver import ownership
from isthmus.apiserver.admission import Admission, Options, Result, Rule, encode
from isthmus.apiserver.admitting import admit, leave_out_empty, told_besides
from isthmus.apiserver.authn import User
from isthmus.apiserver.deletion import finalizers_for_deletion, held, is_leaving, mark_leaving
from isthmus.apiserver.errors import (
    already_exists,
    bad_request,
    forbidden,
    not_found,
    too_large,
)
from isthmus.apiserver.history import Key, Record, as_of
from isthmus.apiserver.jsonvalues import Json, as_list, same
from isthmus.apiserver.kinds import CRD_COLLECTION, NAMESPACE_COLLECTION
from isthmus.apiserver.metadata import timestamp
from isthmus.apiserver.ownership import Writer
from isthmus.apiserver.preconditions import (
    check_finalizers,
    check_identity,
    check_times,
    check_type,
)
from isthmus.apiserver.resources import Registry, Resource
from isthmus.apiserver.store import Store
from isthmus.apiserver.subresources import is_only_status, spec_as_sent, with_spec, with_status

_LASTING_NAMESPACES = frozenset(("default", "kube-system", "kube-public"))
_SERVER_METADATA = (
    "uid", "creationTimestamp", "name", "namespace", "generation", "deletionTimestamp",
    "deletionGracePeriodSeconds", "selfLink",
)  # fmt: skip
_SYSTEM = User("system:apiserver", frozenset())
_CONTROLLERS = "kube-controller-manager"
"""As whom the server's own tasks own fields: tools know to leave alone what this manager has."""
_LARGEST_BYTES = 1536 * 1024
"""Of a stored object, as etcd has it; many patches must not make what no request could."""


class Objects:
    """The write side of the API.

    Args:
        store: Where objects are kept.
        registry: Which kinds there are.
        rules: Rules of built-in kinds, by collection.
    """

    def __init__(self, store: Store, registry: Registry, rules: dict[str, Rule]) -> None:
        self.store = store
        self.registry = registry
        self.limit: Callable[[Resource, str, str], None] | None = None
        """Asked, with namespace and name, before an object is made; it raises what forbids that."""
        self._rules = rules

    def current(self, resource: Resource, namespace: str, name: str) -> Record:
        """The object as writers see it.

        Raises:
            ApiError: 404.
        """
        record = self.store.collection(resource.collection).current((namespace, name))
        if record is None:
            raise not_found(resource, name)
        return record

    def create(
        self,
        resource: Resource,
        namespace: str,
        obj: Json,
        options: Options,
        managers: list[Json] | None = None,
    ) -> Result:
        """Store a new object.

        Args:
            resource: Its kind.
            namespace: Where it goes; empty for cluster-scoped kinds.
            obj: The object; taken over.
            options: How.
            managers: Its field owners when they are known already.

        Raises:
            ApiError: It exists, is invalid, or its namespace refuses it.
        """
        check_type(resource, obj)
        metadata = self._new_metadata(resource, namespace, obj)
        if resource.has_status and resource.custom:
            obj.pop("status", None)
        given = metadata.pop("managedFields", None)
        spec = spec_as_sent(resource, obj)
        warnings = self._admit(resource, obj, None, options)
        collection = self.store.collection(resource.collection)
        key = (metadata.get("namespace", ""), metadata["name"])
        with told_besides(warnings):
            if self.limit is not None and key[0]:
                self.limit(resource, *key)  # Kubernetes' quotas do not know what is there either.
            if (present := collection.current(key)) is not None:
                raise already_exists(resource, metadata["name"], leaving=is_leaving(present))
        if managers is None:
            writer = self.writer(resource, options)
            managers = ownership.accepted(given)
            sent = with_spec(obj, spec)
            managers = ownership.record_update({}, sent, resource.schema.merging, managers, writer)
        if managers:
            metadata["managedFields"] = managers
        version = self.store.version if options.dry_run else self.store.allocate()
        if not options.dry_run:
            metadata["resourceVersion"] = str(version)
        body = encode(resource.stored(obj))
        if len(body) > _LARGEST_BYTES:
            raise too_large(len(body), _LARGEST_BYTES)
        if not options.dry_run:
            self.store.stage(collection, meta.record_of(obj, version, body))
        return Result(body, version, warnings, created=True)

    def _new_metadata(self, resource: Resource, namespace: str, obj: Json) -> Json:
        metadata: Json = obj["metadata"]
        if resource.namespaced:
            if (metadata.get("namespace") or namespace) != namespace:
                raise bad_request(
                    "the namespace of the provided object does not match the namespace sent on the"
                    " request"
                )
            metadata["namespace"] = namespace
        else:
            metadata.pop("namespace", None)
        if metadata.get("resourceVersion"):
            raise bad_request("resourceVersion should not be set on objects to be created")
        base = metadata.get("generateName")
        if base and isinstance(base, str) and not metadata.get("name"):
            current = self.store.collection(resource.collection).current
            metadata["name"] = meta.generated_name(base, lambda n: current((namespace, n)) is None)
        check_times(resource, metadata)
        for name in _SERVER_METADATA[4:]:
            metadata.pop(name, None)
        metadata["uid"] = meta.new_uid()
        metadata["creationTimestamp"] = timestamp()
        if resource.custom or resource.collection == CRD_COLLECTION:
            metadata["generation"] = 1
        if resource.namespaced:
            self._check_namespace(resource, namespace, str(metadata.get("name", "")))
        if resource.custom:
            self._check_definition(resource, str(metadata.get("name", "")))
        return metadata

    def _check_definition(self, resource: Resource, name: str) -> None:
        definitions = self.store.collection(CRD_COLLECTION)
        record = definitions.current(("", resource.qualified))
        if record is None or is_leaving(record):
            why = "create not allowed while custom resource definition is terminating"
            raise forbidden(resource, name, why)

    def _check_namespace(self, resource: Resource, namespace: str, name: str) -> None:
        home = self.store.collection(NAMESPACE_COLLECTION).current(("", namespace))
        if home is None:
            namespaces = self.registry.get("", "v1", "namespaces")
            raise not_found(namespaces, namespace)
        if is_leaving(home):
            error = forbidden(
                resource,
                name,
                f"unable to create new content in namespace {namespace} because it is being"
                " terminated",
            )
            message = f"namespace {namespace} is being terminated"
            cause = {"reason": "NamespaceTerminating", "message": message}
            error.details["causes"] = [{**cause, "field": "metadata.namespace"}]
            raise error

    def _admit(
        self, resource: Resource, obj: Json, old: Json | None, options: Options
    ) -> list[str]:
        known_as = self.registry.stored(resource.collection) if resource.shape else None
        rule = self._rules.get(resource.collection)
        return admit(Admission(resource, obj, old, options), rule, known_as or resource)

    def writer(self, resource: Resource, options: Options) -> Writer:
        """Who owns what a write with these options changes."""
        to_status = options.subresource == "status"
        without: tuple[str, ...] = ("status",) if resource.has_status and not to_status else ()
        return Writer(
            options.manager,
            resource.group_version,
            timestamp(),
            options.subresource,
            without=("spec",) if to_status else without,
            only="status" if to_status and is_only_status(resource) else "",
        )

    def update(
        self,
        resource: Resource,
        record: Record,
        new: Json,
        options: Options,
        managers: list[Json] | None = None,
    ) -> Result:
        """Store another version of an object.

        Args:
            resource: Its kind, in the version of `new`.
            record: The object as writers see it now.
            new: The whole object; taken over.
            options: How. With subresource `status` only the status of `new` counts.
            managers: Its field owners when they are known already.

        Raises:
            ApiError: It changed meanwhile, or is invalid.
        """
        check_type(resource, new)
        old = resource.opened(record.body)
        given = check_identity(resource, old["metadata"], new["metadata"], patched=options.patched)
        if options.subresource == "status":
            new = with_status(resource, old, new)
        else:
            self._keep_server_fields(resource, old, new)
        new["apiVersion"] = resource.group_version
        metadata = new["metadata"]
        check_finalizers(resource, old["metadata"], metadata)
        metadata.pop("managedFields", None)
        spec = spec_as_sent(resource, new)
        warnings = self._admit(resource, new, old, options)
        if managers is None:
            managers = as_list(old["metadata"].get("managedFields"))
            if given is not None and given != managers:
                managers = ownership.accepted(given)
            elif spec is not None:
                managers = copy.deepcopy(managers)
            if managers:  # else nobody owns anything of it until somebody applies it
                writer, rules = self.writer(resource, options), resource.schema.merging
                managers = resource.known(managers)
                sent = with_spec(new, spec)
                managers = ownership.record_update(old, sent, rules, managers, writer)
        if managers:
            metadata["managedFields"] = managers
        self._count_generation(resource, old, new)
        if same(new, old) and self._is_stored_so(resource, record, new):
            return Result(record.body, record.version, warnings)
        return self._put(resource, record, new, options, warnings)

    def _is_stored_so(self, resource: Resource, record: Record, obj: Json) -> bool:
        """Whether an object that looks as before need not be written: nearly always."""
        body = self.store.collection(resource.collection).stored_body(record)
        if body is record.body and resource.storage and body.startswith(resource.prefix):
            return True
        return resource.shape is not None or same(orjson.loads(body), resource.stored(obj))

    def _keep_server_fields(self, resource: Resource, old: Json, new: Json) -> None:
        before, after = old["metadata"], new["metadata"]
        for name in _SERVER_METADATA:
            if name in before:
                after[name] = before[name]
            else:
                after.pop(name, None)
        after["resourceVersion"] = before["resourceVersion"]
        if resource.has_status:
            if "status" in old:
                new["status"] = old["status"]
            else:
                new.pop("status", None)

    def _count_generation(self, resource: Resource, old: Json, new: Json) -> None:
        if "generation" not in old["metadata"]:
            return
        apart = ("metadata", "apiVersion", "kind") + (("status",) if resource.has_status else ())
        names = (old.keys() | new.keys()) - set(apart)
        if not all(same(old.get(name), new.get(name)) for name in names):
            new["metadata"]["generation"] = old["metadata"]["generation"] + 1

    def _put(
        self, resource: Resource, record: Record, new: Json, options: Options, warnings: list[str]
    ) -> Result:
        """Stage the new version; remove the object when its last finalizer went."""
        if options.dry_run:
            return Result(encode(resource.stored(new)), record.version, warnings)
        collection = self.store.collection(resource.collection)
        version = self.store.allocate()
        metadata = new["metadata"]
        metadata["resourceVersion"] = str(version)
        body = encode(resource.stored(new))
        if len(body) > max(_LARGEST_BYTES, len(record.body)) and options.user is not _SYSTEM:
            raise too_large(len(body), _LARGEST_BYTES)
        done = bool(metadata.get("deletionTimestamp")) and not held(resource, new)
        written = meta.record_of(new, version, body)
        # Who watches is told of what was there last, as Kubernetes does, not of this last write.
        self.store.stage(collection, as_of(record, version) if done else written, delete=done)
        return Result(body, version, warnings, deleted=done)

    def delete(
        self,
        resource: Resource,
        record: Record,
        policy: str = "",
        *,
        dry_run: bool = False,
    ) -> Result:
        """Remove an object, or mark it when a finalizer holds it.

        Args:
            resource: Its kind.
            record: The object as writers see it now.
            policy: `Background`, `Foreground` or `Orphan`: what happens to its dependents; empty
                to leave that to an earlier deletion.
            dry_run: Change nothing.

        Raises:
            ApiError: 403, a namespace that is always there.
        """
        if resource.collection == NAMESPACE_COLLECTION and record.key[1] in _LASTING_NAMESPACES:
            raise forbidden(resource, record.key[1], "this namespace may not be deleted")
        obj: Json = orjson.loads(record.body)
        metadata = obj["metadata"]
        before = as_list(metadata.get("finalizers"))
        finalizers = finalizers_for_deletion(resource, metadata, policy)
        metadata["finalizers"] = finalizers
        if not finalizers:
            del metadata["finalizers"]
        stays = held(resource, obj)
        if stays and "deletionTimestamp" in metadata and finalizers == before:
            return Result(record.body, record.version)
        if stays and "deletionTimestamp" not in metadata:
            mark_leaving(resource, obj)
        if dry_run:
            return Result(encode(obj), record.version, deleted=not stays)
        version = self.store.allocate()
        metadata["resourceVersion"] = str(version)
        collection = self.store.collection(resource.collection)
        body = encode(obj)
        self.store.stage(collection, meta.record_of(obj, version, body), delete=not stays)
        return Result(body, version, deleted=not stays)

    def rewrite(
        self, resource: Resource, key: Key, change: Callable[[Json], Any], part: str = ""
    ) -> Result | None:
        """Change an object, or its subresource `part`, as controllers do, without validation."""
        record = self.store.collection(resource.collection).current(key)
        if record is None:
            return None
        obj: Json = orjson.loads(record.body)
        change(obj)
        if encode(obj) == record.body:
            return None
        metadata = obj["metadata"]
        leave_out_empty(metadata)
        system = Options(_SYSTEM, _CONTROLLERS)
        old: Json = orjson.loads(record.body)
        if managers := as_list(metadata.get("managedFields")):
            writer = Writer(system.manager, resource.group_version, timestamp(), part)
            managers = ownership.record_update(old, obj, resource.schema.merging, managers, writer)
            metadata["managedFields"] = managers
            if not managers:
                del metadata["managedFields"]
        return self._put(resource, record, obj, system, [])
