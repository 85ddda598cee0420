"""Who may do what: Kubernetes' roles and bindings, asked for every request.

Source: https://kubernetes.io/docs/reference/access-authn-authz/rbac/
"""

from collections.abc import Iterable, Iterator
from itertools import product
from typing import NamedTuple

import orjson

from isthmus.apiserver.admission import Admission
from isthmus.apiserver.authn import User
from isthmus.apiserver.errors import ApiError, Cause, forbidden
from isthmus.apiserver.history import Event
from isthmus.apiserver.jsonvalues import Json, as_list
from isthmus.apiserver.kinds import RBAC
from isthmus.apiserver.store import Collection, Store

_SERVICE_ACCOUNT = "system:serviceaccount"
_PARTS = (
    ("APIGroups", "apiGroups"), ("Resources", "resources"), ("ResourceNames", "resourceNames"),
    ("NonResourceURLs", "nonResourceURLs"), ("Verbs", "verbs"),
)  # fmt: skip


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
        cluster = reference["kind"] == "ClusterRole"
        collection = self._store.collection(f"{RBAC}/{'clusterroles' if cluster else 'roles'}")
        record = collection.records.get(("" if cluster else namespace, reference["name"]))
        if record is None:
            return []
        role = orjson.loads(record.body)
        return as_list(role.get("rules"))

    def _objects(self, plural: str, namespace: str | None) -> Iterator[Json]:
        collection = self._store.collection(f"{RBAC}/{plural}")
        for key in collection.within(namespace):
            yield orjson.loads(collection.records[key].body)

    def may_grant(self, admission: Admission) -> list[Cause]:
        """Nobody grants what they do not have themselves, unless they may `escalate` or `bind`.

        Raises:
            ApiError: 403, naming the rules that the caller lacks.
        """
        user, obj = admission.options.user, admission.obj
        if user.is_master:
            return []
        namespace: str = obj["metadata"].get("namespace", "")
        name: str = obj["metadata"]["name"]
        plural = admission.resource.plural
        if plural in ("roles", "clusterroles"):
            rules: list[Json] = as_list(obj.get("rules"))
            if admission.old is not None and admission.old.get("rules") == obj.get("rules"):
                return []
            pardon = Action("escalate", RBAC, plural, namespace, name)
        else:
            reference = obj["roleRef"]
            rules = self.role_rules(reference, namespace)
            target = "clusterroles" if reference["kind"] == "ClusterRole" else "roles"
            pardon = Action("bind", RBAC, target, namespace, reference["name"])
        if self.allowed(user, pardon):
            return []
        lacking = [rule for rule in rules if not self._covers(user, namespace, rule)]
        if lacking:
            groups = ",".join(f'"{group}"' for group in sorted(user.groups))
            raise forbidden(
                admission.resource,
                name,
                f'user "{user.name}" (groups=[{groups}]) is attempting to grant RBAC permissions'
                " not currently held:\n" + "\n".join(map(_compact, lacking)),
            )
        return []

    def _covers(self, user: User, namespace: str, rule: Json) -> bool:
        """Whether the user's own rules hold everything of `rule`."""
        verbs = as_list(rule.get("verbs"))
        for verb, path in product(verbs, as_list(rule.get("nonResourceURLs"))):
            if not self.allowed(user, Action(verb, path=path)):
                return False
        names = rule.get("resourceNames") or ("",)
        groups, resources = as_list(rule.get("apiGroups")), as_list(rule.get("resources"))
        return all(
            self.allowed(user, Action(verb, group, resource, namespace, name))
            for verb, group, resource, name in product(verbs, groups, resources, names)
        )


def _compact(rule: Json) -> str:
    """A rule on one line, as Kubernetes shows it."""
    parts = [
        f"{title}:[" + ", ".join(f'"{value}"' for value in rule[name]) + "]"
        for title, name in _PARTS
        if rule.get(name)
    ]
    return "{" + ", ".join(parts) + "}"


def _permits(rule: Json, action: Action) -> bool:
    verbs = as_list(rule.get("verbs"))
    if action.verb not in verbs and "*" not in verbs:
        return False
    if action.path:
        return any(_path_fits(given, action.path) for given in as_list(rule.get("nonResourceURLs")))
    groups = as_list(rule.get("apiGroups"))
    if action.group not in groups and "*" not in groups:
        return False
    names = rule.get("resourceNames")
    if names and action.name not in names:
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
