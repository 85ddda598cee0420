"""What is served: one `Resource` per group, version and plural, and the registry of them all."""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import orjson

from isthmus.apiserver.jsonvalues import Json
from isthmus.apiserver.schema import Schema
from isthmus.apiserver.shapes import Shape
from isthmus.apiserver.unserved import unserved

_OPENING = b'{"apiVersion":"'
ALL_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


_SUBRESOURCE_VERBS = {"": (), "token": ("create",), "finalize": ("update",)}


def subresource_verbs(name: str) -> tuple[str, ...]:
    """What can be done with a subresource of this name; nothing where none is named."""
    return _SUBRESOURCE_VERBS.get(name, ("get", "patch", "update"))


@dataclass(frozen=True, slots=True)
class Column:
    """A column that `kubectl get` prints.

    Attributes:
        name: Its heading.
        type: `string`, `integer`, `number`, `boolean` or `date`.
        path: JSONPath of the value; `#` before it prints the number of entries.
        priority: Above 0 only shown with `-o wide`.
        format: OpenAPI format.
        description: Shown by clients that explain columns.
    """

    name: str
    type: str
    path: str
    priority: int = 0
    format: str = ""
    description: str = ""


AGE = Column("Age", "date", ".metadata.creationTimestamp")


@dataclass(frozen=True)
class Resource:
    """One resource in one version.

    Attributes:
        group: API group, empty for the core group.
        version: Version within the group.
        plural: Name in paths.
        kind: Name in objects.
        schema: Pruning, defaulting, validation and merge rules of the kind.
        namespaced: Whether objects live in namespaces.
        singular: Name that kubectl takes besides the plural.
        list_kind: Kind of a list.
        short_names: Abbreviations for kubectl.
        categories: Groups like `all` that kubectl can ask for.
        subresources: `status`, `scale`, `finalize`...
        columns: Columns after the name.
        scale: JSONPaths of the scale subresource as a CRD declares them.
        selectable: Fields that a field selector may name, besides name and namespace.
        storage: Whether objects are stored in this version.
        stored_as: The version in which objects are stored, where it is another one.
        custom: Whether a CustomResourceDefinition declares it.
        warning: What users of this version are told.
        upsert: Whether an update of what is not there makes it.
        verbs: What can be done with it.
        shape: How its objects are stored, where another group serves them as well.
        versions: Schemas of all the versions of a custom kind; equal ones are the same object.
    """

    group: str
    version: str
    plural: str
    kind: str
    schema: Schema
    namespaced: bool = True
    singular: str = ""
    list_kind: str = ""
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    subresources: frozenset[str] = frozenset()
    columns: tuple[Column, ...] = (AGE,)
    scale: Json | None = None
    selectable: frozenset[str] = frozenset()
    storage: bool = True
    stored_as: str = ""
    upsert: bool = False
    custom: bool = False
    warning: str = ""
    verbs: tuple[str, ...] = field(default=ALL_VERBS)
    shape: Shape | None = None
    versions: Mapping[str, Schema] = field(default_factory=dict[str, Schema])

    @cached_property
    def group_version(self) -> str:
        """`group/version`, or `v1` for the core group: the `apiVersion` of objects."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def qualified(self) -> str:
        """`plural.group`, as errors name it."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def stored_version(self) -> str:
        """The version in which objects are stored."""
        return self.stored_as or self.version

    @cached_property
    def collection(self) -> str:
        """The name under which the store keeps its objects, whatever the version."""
        return self.shape.collection if self.shape else f"{self.group}/{self.plural}"

    @cached_property
    def path(self) -> str:
        """Path of the group version."""
        return f"/apis/{self.group_version}" if self.group else f"/api/{self.version}"

    @cached_property
    def prefix(self) -> bytes:
        """How the body of an object in this version begins."""
        return _OPENING + self.group_version.encode() + b'"'

    @cached_property
    def has_status(self) -> bool:
        """Whether `status` is written only through its own path."""
        return "status" in self.subresources

    def opened(self, body: bytes) -> Json:
        """A stored body, parsed, as it is in this version, with the names of fields it has here."""
        if self.shape is not None:
            return self.shape.served(orjson.loads(body))
        return orjson.loads(self.serve(body))

    def stored(self, obj: Json) -> Json:
        """An object of this version as it is stored: what the storage version has no room for goes.

        What it would fill in is there as well, so that nothing more happens when it is read.
        """
        if self.shape is not None:
            return self.shape.stored(obj)
        if not self.stored_as or self.stored_as == self.version:
            return obj
        schema = self.versions[self.stored_as]
        if schema is not self.schema:
            obj = copy.deepcopy(obj)
            schema.read(obj)
        return {**obj, "apiVersion": f"{self.group}/{self.stored_as}"}

    def known(self, managers: list[Json]) -> list[Json]:
        """Field owners without those who name the fields as another group does.

        Kubernetes forgets those too, since it cannot tell one group's fields from the other's.
        """
        if self.shape is None:
            return managers
        group = self.group_version.rpartition("/")[0]
        return [m for m in managers if str(m.get("apiVersion")).rpartition("/")[0] == group]

    def serve(self, body: bytes) -> bytes:
        """A stored body in this version: under its name, without what its schema does not know."""
        if self.shape is not None and self.shape.names:
            served = self.shape.served(orjson.loads(body))
            return orjson.dumps({**served, "apiVersion": self.group_version})
        if body.startswith(self.prefix):
            return body
        end = body.index(b'"', len(_OPENING))
        renamed = self.prefix + body[end + 1 :]
        version = body[len(_OPENING) : end].decode().rpartition("/")[2]
        if self.versions.get(version) is self.schema:
            return renamed
        obj: Json = orjson.loads(renamed)
        return orjson.dumps(obj) if self.schema.trim(obj) else renamed


class Registry:
    """Every served resource, found by path, by collection and in discovery order."""

    def __init__(self) -> None:
        self._resources: dict[tuple[str, str, str], Resource] = {}
        self._stored: dict[str, Resource] = {}
        self._kinds: dict[tuple[str, str], Resource] = {}
        self._listeners: list[Callable[[], None]] = []

    def get(self, group: str, version: str, plural: str) -> Resource:
        """The resource of this path.

        Raises:
            ApiError: 404, nothing is served there.
        """
        found = self._resources.get((group, version, plural))
        if found is None:
            raise unserved(group, plural)
        return found

    def stored(self, collection: str) -> Resource | None:
        """The storage version of a collection; None once its definition is gone."""
        return self._stored.get(collection)

    def of_kind(self, group_version: str, kind: str) -> Resource | None:
        """The resource whose objects have this `apiVersion` and kind; None if it is not served."""
        return self._kinds.get((group_version, kind))

    def of(self, group: str, version: str) -> list[Resource]:
        """Resources of a group version."""
        return [r for (g, v, _), r in self._resources.items() if (g, v) == (group, version)]

    def groups(self) -> dict[str, list[str]]:
        """Versions by group, in the order of registration."""
        found: dict[str, list[str]] = {}
        for group, version, _ in self._resources:
            versions = found.setdefault(group, [])
            if version not in versions:
                versions.append(version)
        return found

    def replace(self, collection: str, resources: list[Resource]) -> None:
        """Serve `resources` as all the versions of a collection; none removes it."""
        for place, resource in tuple(self._resources.items()):
            if resource.collection == collection:
                del self._resources[place]
        self._stored.pop(collection, None)
        for resource in resources:
            self._resources[(resource.group, resource.version, resource.plural)] = resource
            if resource.storage:
                self._stored[collection] = resource
        self._kinds = {(r.group_version, r.kind): r for r in self._resources.values()}
        for listener in self._listeners:
            listener()

    def listen(self, listener: Callable[[], None]) -> None:
        """Call `listener` whenever what is served changes."""
        self._listeners.append(listener)
