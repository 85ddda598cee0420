"""Who may do what: Kubernetes' roles and bindings, asked for every request.

Source: https://kubernetes.io/docs/reference/access-authn-authz/rbac/
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import orjson

from isthmus.apiserver.authn import User
from isthmus.apiserver.errors import ApiError
from isthmus.apiserver.history import Event, Record
from isthmus.apiserver.jsonvalues import Json, as_list
from isthmus.apiserver.kinds import RBAC
from isthmus.apiserver.store import Collection, Store

_SERVICE_ACCOUNT = "system:serviceaccount"


class Action(NamedTuple):
    """What somebody wants to do.

    Attributes:
        verb: `get`, `list`, `create`...
        group: API group.
        resource: Plural, with `/subresource` where one is meant.
        namespace: Namespace, empty for cluster-scoped objects and for all namespaces.
        name: Object, empty for collections.
        path: For requests outside of resources: the path, and nothing else counts.
    """

    verb: str
    group: str = ""
    resource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""


class Authorizer:
    """Answers from roles and bindings; rules of a user are computed once until any of them change.

    Args:
        store: Where the roles and bindings are.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._rules: dict[tuple[User, str], list[Json]] = {}
        store.listen(self._forget)

    def _forget(self, collection: Collection, event: Event) -> None:
        del event
        if collection.name.startswith(RBAC):
            self._rules.clear()

    def allowed(self, user: User, action: Action) -> bool:
        """Whether the user may do it."""
        if user.is_master:
            return True
        return any(_permits(rule, action) for rule in self.rules(user, action.namespace))

    def require(self, user: User, action: Action) -> None:
        """Refuse what the user may not do.

        Raises:
            ApiError: 403, naming what was tried and never whether the object exists.
        """
        if self.allowed(user, action):
            return
        if action.path:
            message = f'forbidden: User "{user.name}" cannot {action.verb} path "{action.path}"'
            raise ApiError(403, "Forbidden", message)
        qualified = action.resource + (f".{action.group}" if action.group else "")
        name = f' "{action.name}"' if action.name else ""
        where = (
            f'in the namespace "{action.namespace}"' if action.namespace else "at the cluster scope"
        )
        raise ApiError(
            403,
            "Forbidden",
            f'{qualified}{name} is forbidden: User "{user.name}" cannot {action.verb} resource'
            f' "{action.resource}" in API group "{action.group}" {where}',
            {"name": action.name, "group": action.group, "kind": action.resource.split("/")[0]},
        )

    def reason(self, user: User, action: Action) -> str:
        """Which binding lets the user do it, in words; empty when no binding has to."""
        if user.is_master:
            return ""
        for plural, namespace in (
            ("clusterrolebindings", None),
            ("rolebindings", action.namespace),
        ):
            if namespace == "":
                continue
            for binding in self._objects(plural, namespace):
                subject = _bound(binding, user)
                reference = binding["roleRef"]
                rules = self.role_rules(reference, namespace or "")
                if subject is not None and any(_permits(rule, action) for rule in rules):
                    name = binding["metadata"]["name"] + (f"/{namespace}" if namespace else "")
                    return (
                        f'RBAC: allowed by {binding["kind"]} "{name}" of {reference["kind"]}'
                        f' "{reference["name"]}" to {subject["kind"]} "{_whole_name(subject)}"'
                    )
        return ""

    def rules(self, user: User, namespace: str) -> list[Json]:
        """Every rule that holds for the user in a namespace, cluster-wide ones included."""
        if namespace and not self._store.collection(f"{RBAC}/rolebindings").span(namespace):
            namespace = ""  # Nothing is bound there; callers may ask about any number of names.
        found = self._rules.get((user, namespace))
        if found is None:
            if len(self._rules) > 10_000:
                self._rules.clear()
            found = self._rules[(user, namespace)] = list(self._resolve(user, namespace))
        return found

    def _resolve(self, user: User, namespace: str) -> Iterator[Json]:
        for binding in self._objects("clusterrolebindings", None):
            if _binds(binding, user):
                yield from self.role_rules(binding["roleRef"], "")
        if namespace:
            for binding in self._objects("rolebindings", namespace):
                if _binds(binding, user):
                    yield from self.role_rules(binding["roleRef"], namespace)

    def role_rules(self, reference: Json, namespace: str) -> list[Json]:
        """The rules of a role that a binding in `namespace` refers to; none when it is missing."""
        record = self.role(reference, namespace)
        return as_list(orjson.loads(record.body).get("rules")) if record is not None else []

    def role(self, reference: Json, namespace: str) -> Record | None:
        """The role that a binding in `namespace` refers to."""
        cluster = reference["kind"] == "ClusterRole"
        collection = self._store.collection(f"{RBAC}/{'clusterroles' if cluster else 'roles'}")
        return collection.records.get(("" if cluster else namespace, reference["name"]))

    def _objects(self, plural: str, namespace: str | None) -> Iterator[Json]:
        collection = self._store.collection(f"{RBAC}/{plural}")
        for key in collection.within(namespace):
            yield orjson.loads(collection.records[key].body)


def _permits(rule: Json, action: Action) -> bool:
    names = None if action.path else rule.get("resourceNames")
    return concerns(rule, action) and not (names and action.name not in names)


def concerns(rule: Json, action: Action) -> bool:
    """Whether a rule is about such an action, whatever the names that it is limited to."""
    verbs = as_list(rule.get("verbs"))
    if action.verb not in verbs and "*" not in verbs:
        return False
    if action.path:
        return any(_path_fits(given, action.path) for given in as_list(rule.get("nonResourceURLs")))
    groups = as_list(rule.get("apiGroups"))
    if action.group not in groups and "*" not in groups:
        return False
    return _resource_fits(as_list(rule.get("resources")), action.resource)


def _resource_fits(given: Iterable[str], resource: str) -> bool:
    if resource in given or "*" in given:
        return True
    _, slash, subresource = resource.partition("/")
    return bool(slash) and f"*/{subresource}" in given


def _path_fits(given: str, path: str) -> bool:
    if given.endswith("*"):
        return path.startswith(given[:-1])
    return given == path


def _binds(binding: Json, user: User) -> bool:
    return _bound(binding, user) is not None


def _whole_name(subject: Json) -> str:
    namespace = subject.get("namespace")
    return f"{subject['name']}/{namespace}" if namespace else str(subject["name"])


def _bound(binding: Json, user: User) -> Json | None:
    """The first subject of a binding that is this user."""
    for subject in as_list(binding.get("subjects")):
        kind, name = subject["kind"], subject["name"]
        if kind == "User" and name == user.name:
            return subject
        if kind == "Group" and name in user.groups:
            return subject
        account = f"{_SERVICE_ACCOUNT}:{subject.get('namespace', '')}:{name}"
        if kind == "ServiceAccount" and account == user.name:
            return subject
    return None
