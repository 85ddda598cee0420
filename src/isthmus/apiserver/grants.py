"""Nobody grants what they do not have themselves, unless they may `escalate` or `bind`.

Source: https://kubernetes.io/docs/reference/access-authn-authz/rbac/#privilege-escalation-prevention-and-bootstrapping
"""

from itertools import chain, product

from isthmus.apiserver.admission import Admission
from isthmus.apiserver.authn import User
from isthmus.apiserver.errors import Cause, forbidden, not_found
from isthmus.apiserver.jsonvalues import Json, as_list, as_map
from isthmus.apiserver.kinds import RBAC
from isthmus.apiserver.rbac import Action, Authorizer, concerns

_PARTS = (
    ("APIGroups", "apiGroups"), ("Resources", "resources"), ("ResourceNames", "resourceNames"),
    ("NonResourceURLs", "nonResourceURLs"), ("Verbs", "verbs"),
)  # fmt: skip
_EVERYTHING: tuple[Json, ...] = (
    {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]},
    {"verbs": ["*"], "nonResourceURLs": ["*"]},
)
_KEPT_UP = ("ownerReferences", "finalizers", "managedFields")


class Grants:
    """Refuses roles and bindings that give more than their writer has.

    Args:
        authorizer: Knows the rights.
    """

    def __init__(self, authorizer: Authorizer) -> None:
        self._authorizer = authorizer

    def check(self, admission: Admission) -> list[Cause]:
        """Let a role or a binding pass; nothing is wrong with it otherwise.

        A role is looked at whatever of it changes: its labels may give its rules to another one.

        Raises:
            ApiError: 403, naming the rules that the caller lacks; 404, the role that is bound is
                not there, so that nobody can tell what it gives.
        """
        user, obj = admission.options.user, admission.obj
        if user.is_master or _is_upkeep(obj, admission.old):
            return []
        namespace: str = obj["metadata"].get("namespace", "")
        if "roleRef" in obj:
            rules = self._bound(user, admission, namespace)
        else:
            rules = self._given(user, admission, namespace)
        lacking = [rule for rule in rules if not self._covers(user, namespace, rule)]
        if lacking:
            groups = ",".join(f'"{group}"' for group in sorted(user.groups))
            raise forbidden(
                admission.resource,
                obj["metadata"]["name"],
                f'user "{user.name}" (groups=[{groups}]) is attempting to grant RBAC permissions'
                " not currently held:\n" + "\n".join(map(_compact, lacking)),
            )
        return []

    def _bound(self, user: User, admission: Admission, namespace: str) -> list[Json]:
        """The rules that a binding gives, as far as they matter."""
        reference: Json = admission.obj["roleRef"]
        name: str = reference["name"]
        plural = "clusterroles" if reference["kind"] == "ClusterRole" else "roles"
        if self._authorizer.allowed(user, Action("bind", RBAC, plural, namespace, name)):
            return []
        if self._authorizer.role(reference, namespace) is None:
            raise not_found(admission.resource, name)  # Kubernetes names the binding's kind, too.
        return self._authorizer.role_rules(reference, namespace)

    def _given(self, user: User, admission: Admission, namespace: str) -> list[Json]:
        """The rules that a role gives, as far as they matter."""
        obj, old, name = admission.obj, admission.old, admission.obj["metadata"]["name"]
        pardon = Action("escalate", RBAC, admission.resource.plural, namespace, name)
        if self._authorizer.allowed(user, pardon):
            return []
        gathers = any(as_map(role).get("aggregationRule") for role in (obj, old))
        if gathers and not all(self._covers(user, "", rule) for rule in _EVERYTHING):
            why = "must have cluster-admin privileges to use the aggregationRule"
            raise forbidden(admission.resource, name, why)
        return as_list(obj.get("rules"))

    def _covers(self, user: User, namespace: str, rule: Json) -> bool:
        """Whether the user's own rules hold everything of `rule`."""
        verbs, paths, groups, resources, names = (
            set(as_list(rule.get(part)))
            for part in ("verbs", "nonResourceURLs", "apiGroups", "resources", "resourceNames")
        )
        for verb, path in product(verbs, paths):
            if not self._authorizer.allowed(user, Action(verb, path=path)):
                return False
        own = self._authorizer.rules(user, namespace)
        for verb, group, resource in product(verbs, groups, resources):
            action = Action(verb, group, resource, namespace)
            limits = [as_list(r.get("resourceNames")) for r in own if concerns(r, action)]
            if not limits:
                return False
            if all(limits) and not (names and names.issubset(chain(*limits))):
                return False
        return True


def _is_upkeep(obj: Json, old: Json | None) -> bool:
    """Whether an update changes nothing but what garbage collection is about."""
    if old is None:
        return False
    before, after = (
        {**role, "metadata": {k: v for k, v in role["metadata"].items() if k not in _KEPT_UP}}
        for role in (old, obj)
    )
    return before == after


def _compact(rule: Json) -> str:
    """A rule on one line, as Kubernetes shows it."""
    parts = [
        f"{title}:[" + ", ".join(f'"{value}"' for value in rule[name]) + "]"
        for title, name in _PARTS
        if rule.get(name)
    ]
    return "{" + ", ".join(parts) + "}"
