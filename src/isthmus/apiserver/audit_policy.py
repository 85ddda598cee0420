"""What of a request goes into the audit log: the rules of Kubernetes' audit `Policy`.

The first rule that fits decides; where none does, nothing is written. `RequestResponse` is refused,
since answers hold what nobody should find in a log.

Source: https://kubernetes.io/docs/tasks/debug/debug-cluster/audit/#audit-policy
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any

from isthmus.apiserver.authn import User
from isthmus.apiserver.configuration import InvalidConfiguration, fields, listed, read
from isthmus.apiserver.targets import Target

_VERSIONS = ("audit.k8s.io/v1",)
_STAGES = frozenset(("omitStages", "omitManagedFields"))
_RULE = frozenset(
    ("level", "users", "userGroups", "verbs", "resources", "namespaces", "nonResourceURLs",
     "omitStages", "omitManagedFields")
)  # fmt: skip
_SENSITIVE = frozenset((("", "secrets"), ("authentication.k8s.io", "tokenreviews")))


class Level(IntEnum):
    """How much is written."""

    NONE = 0
    METADATA = 1
    REQUEST = 2


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule; an empty list fits everything.

    Attributes:
        level: What is written when it fits.
        users: Names of users.
        groups: One of the user's must be here.
        verbs: Verbs.
        resources: Group, resources and names of objects.
        namespaces: Namespaces; `` stands for what has none.
        paths: Of requests outside of resources; `*` at the end fits any rest.
    """

    level: Level
    users: Collection[str] = ()
    groups: Collection[str] = ()
    verbs: Collection[str] = ()
    resources: Sequence[tuple[str, Collection[str], Collection[str]]] = ()
    namespaces: Collection[str] = ()
    paths: Sequence[str] = ()

    def fits(self, user: User, verb: str, target: Target | None, path: str) -> bool:
        """Whether the rule speaks of this request."""
        if self.users and user.name not in self.users:
            return False
        if self.groups and not user.groups.intersection(self.groups):
            return False
        if self.verbs and verb not in self.verbs:
            return False
        if target is None:
            return self._fits_path(path)
        return self._fits_target(target)

    def _fits_path(self, path: str) -> bool:
        if self.resources or self.namespaces:
            return False
        return not self.paths or any(
            path.startswith(p[:-1]) if p.endswith("*") else path == p for p in self.paths
        )

    def _fits_target(self, target: Target) -> bool:
        if self.paths or (self.namespaces and target.namespace not in self.namespaces):
            return False
        return not self.resources or any(
            group == target.group
            and (not plurals or any(_names(given, target) for given in plurals))
            and (not names or target.name in names)
            for group, plurals, names in self.resources
        )


def _names(given: str, target: Target) -> bool:
    plural, slash, subresource = given.partition("/")
    if plural not in ("*", target.plural):
        return False
    return (slash and subresource == "*") or subresource == target.subresource or given == "*"


@dataclass(frozen=True, slots=True)
class Policy:
    """Rules in order."""

    rules: Sequence[Rule] = (Rule(Level.METADATA),)

    def level(self, user: User, verb: str, target: Target | None, path: str) -> Level:
        """How much of a request is written; of Secrets and tokens never what was sent."""
        for rule in self.rules:
            if rule.fits(user, verb, target, path):
                if target is None or _is_sensitive(target):
                    return min(rule.level, Level.METADATA)
                return rule.level
        return Level.NONE


def _is_sensitive(target: Target) -> bool:
    return (target.group, target.plural) in _SENSITIVE or target.subresource == "token"


def load(path: Path) -> Policy:
    """Read a policy file.

    Raises:
        InvalidConfiguration: It cannot be read, or asks for what is not there.
    """
    try:
        content = read(path, _VERSIONS, "Policy")
        fields("", content, _STAGES | {"apiVersion", "kind", "metadata", "rules"})
        rules = listed("", content, "rules")
        if not rules:
            raise InvalidConfiguration("rules: give at least one")  # noqa: TRY301 - gets its file below
        return Policy([_rule(f"rules[{i}]", rule) for i, rule in enumerate(rules)])
    except InvalidConfiguration as error:
        raise InvalidConfiguration(f"{path}: {error}") from error


def _rule(at: str, entry: Any) -> Rule:
    found = fields(at, entry, _RULE)
    levels = {level.name.title(): level for level in Level}
    if found.get("level") not in levels:
        raise InvalidConfiguration(
            f"{at}.level: must be one of {', '.join(levels)}; answers are never written"
        )
    known = frozenset(("group", "resources", "resourceNames"))
    resources: list[tuple[str, Collection[str], Collection[str]]] = []
    for number, given in enumerate(listed(at, found, "resources")):
        where = f"{at}.resources[{number}]"
        one = fields(where, given, known)
        names = listed(where, one, "resources"), listed(where, one, "resourceNames")
        resources.append((str(one.get("group") or ""), *names))
    return Rule(
        levels[found["level"]],
        listed(at, found, "users"),
        listed(at, found, "userGroups"),
        listed(at, found, "verbs"),
        resources,
        listed(at, found, "namespaces"),
        listed(at, found, "nonResourceURLs"),
    )
