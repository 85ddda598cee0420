"""RBAC, systematically: each verb, on each resource, at each scope, is granted alone.

What was granted is then allowed, and everything beside it refused: the same resource with other
verbs and in other places, and the same verb on every other resource.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from isthmus.apiserver.kinds import builtin_resources
from isthmus.apiserver.resources import subresource_verbs
from tests.apiserver_client import (
    DEFINITIONS,
    Answer,
    Client,
    entitle,
    running,
    widget,
    widget_definition,
)

METHODS = {
    "get": "GET", "list": "GET", "watch": "GET", "create": "POST", "update": "PUT",
    "patch": "PATCH", "delete": "DELETE", "deletecollection": "DELETE",
}  # fmt: skip
ON_COLLECTIONS = frozenset(("list", "watch", "create", "deletecollection"))
MINE, OTHERS, EVERYWHERE = "mine", "others", ""
SUBJECTS = {"User": "", "ServiceAccount": "system:serviceaccount:default:"}
"""Who is given rights, and what their names begin with when somebody acts as them."""


@dataclass(frozen=True)
class Kind:
    """A resource or subresource, and what can be done to it."""

    group: str
    version: str
    full: str
    namespaced: bool
    verbs: tuple[str, ...]

    def path(self, verb: str, namespace: str) -> str:
        plural, _, subresource = self.full.partition("/")
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        parts = [root, *(["namespaces", namespace] if namespace else []), plural]
        if subresource or verb not in ON_COLLECTIONS:
            parts.append("a")
        if subresource:
            parts.append(subresource)
        query = "watch=1&timeoutSeconds=1" if verb == "watch" else "dryRun=All"
        return "/".join(parts) + f"?{query}"

    def places(self, verb: str) -> tuple[str, ...]:
        """Namespaces in which it can be tried; an empty one is the whole cluster."""
        if not self.namespaced:
            return (EVERYWHERE,)
        across = verb in ("list", "watch", "deletecollection")
        return (MINE, OTHERS, EVERYWHERE) if across else (MINE, OTHERS)


def kinds() -> Iterator[Kind]:
    """Everything built in, and a kind of a definition with its subresources."""
    for resource in builtin_resources():
        verbs = tuple(METHODS)
        yield Kind(resource.group, resource.version, resource.plural, resource.namespaced, verbs)
        for name in resource.subresources:
            some = subresource_verbs(name)
            full = f"{resource.plural}/{name}"
            yield Kind(resource.group, resource.version, full, resource.namespaced, some)
    yield Kind("example.com", "v1", "widgets", True, tuple(METHODS))
    for name in ("status", "scale"):
        yield Kind("example.com", "v1", f"widgets/{name}", True, ("get", "update", "patch"))


KINDS = tuple(kinds())


@dataclass(frozen=True)
class Grant:
    """One verb on one resource, in one namespace or (empty) everywhere."""

    kind: Kind
    verb: str
    namespace: str

    def allows(self, kind: Kind, verb: str, place: str) -> bool:
        if (kind, verb) != (self.kind, self.verb):
            return False
        return self.namespace == EVERYWHERE or (kind.namespaced and place == self.namespace)


async def give(admin: Client, grant: Grant, subject: str, name: str) -> None:
    rule = {
        "apiGroups": [grant.kind.group], "resources": [grant.kind.full], "verbs": [grant.verb]
    }  # fmt: skip
    await entitle(admin, subject, name, [rule], namespace=grant.namespace)


def attempts(grant: Grant) -> Iterator[tuple[Kind, str, str]]:
    for verb in grant.kind.verbs:
        for place in grant.kind.places(verb):
            yield grant.kind, verb, place
    for kind in KINDS:
        if kind is not grant.kind and grant.verb in kind.verbs:
            yield kind, grant.verb, MINE if kind.namespaced else EVERYWHERE


def lacks(answer: Answer, user: str, verb: str) -> bool:
    """Whether a right was missing; a 403 may have other reasons, too."""
    return answer.code == 403 and f'User "{user}" cannot {verb} ' in answer.json["message"]


@pytest.mark.timeout(600)  # thousands of requests
@pytest.mark.parametrize(("subject", "prefix"), SUBJECTS.items(), ids=SUBJECTS)
@pytest.mark.parametrize("namespace", [EVERYWHERE, MINE], ids=["cluster", "namespace"])
async def test_a_right_is_that_right_and_no_other(
    tmp_path: Path, namespace: str, subject: str, prefix: str
) -> None:
    async with running(tmp_path) as (server, admin):
        await admin("POST", DEFINITIONS, widget_definition())
        for name in (MINE, OTHERS):
            await admin("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
            await admin("POST", f"/apis/example.com/v1/namespaces/{name}/widgets", widget())
        grants = [Grant(kind, verb, namespace) for kind in KINDS for verb in kind.verbs]
        users = [f"u{number}" for number in range(len(grants))]
        for grant, user in zip(grants, users, strict=True):
            await give(admin, grant, subject, user)
        wrong: list[str] = []
        for grant, user in zip(grants, users, strict=True):
            someone = Client(server, "admin")
            someone.headers.append((b"impersonate-user", (prefix + user).encode()))
            for kind, verb, place in attempts(grant):
                path = kind.path(verb, place)
                answer = await someone(METHODS[verb], path, {"metadata": {"name": "a"}})
                if lacks(answer, prefix + user, verb) is grant.allows(kind, verb, place):
                    wrong.append(f"{grant} and {METHODS[verb]} {path}: {answer.code}")
        assert not wrong, "\n".join(wrong[:20])


@pytest.mark.parametrize("verb", METHODS)
async def test_a_right_to_one_name_is_no_right_to_another(tmp_path: Path, verb: str) -> None:
    """Requests that name no object are not covered by `resourceNames`, but for lists of one."""
    async with running(tmp_path) as (server, admin):
        rule: Any = {
            "apiGroups": [""], "resources": ["configmaps"], "verbs": [verb], "resourceNames": ["a"]
        }  # fmt: skip
        await entitle(admin, "User", "anna", [rule])
        anna = Client(server, server.issue_token("anna", []))
        path = "/api/v1/namespaces/default/configmaps"
        body = {"metadata": {"name": "a"}}

        async def code(suffix: str) -> int:
            return (await anna(METHODS[verb], path + suffix, body)).code

        query = "?watch=1&timeoutSeconds=1" if verb == "watch" else "?dryRun=All"
        if verb in ON_COLLECTIONS:
            assert await code(query) == 403
            if verb != "create":
                assert await code(f"{query}&fieldSelector=metadata.name%3Da") != 403
                assert await code(f"{query}&fieldSelector=metadata.name%3Db") == 403
        else:
            assert await code(f"/a{query}") != 403
            assert await code(f"/b{query}") == 403


SUBRESOURCES = (
    ("example.com", "widgets"), ("example.com", "widgets/status"), ("example.com", "widgets/scale"),
    ("", "configmaps"), ("", "resourcequotas/status"), ("", "serviceaccounts/token"),
)  # fmt: skip


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("*", {full for _, full in SUBRESOURCES}),
        ("*/status", {"widgets/status", "resourcequotas/status"}),
        ("*/scale", {"widgets/scale"}),
        ("*/*", set[str]()),
        ("widgets", {"widgets"}),
        ("widgets/*", set[str]()),
        ("widgets/status", {"widgets/status"}),
        ("widget*", set[str]()),
        ("/status", set[str]()),
    ],
)
async def test_stars_among_resources(tmp_path: Path, given: str, meant: set[str]) -> None:
    async with running(tmp_path) as (server, admin):
        await admin("POST", DEFINITIONS, widget_definition())
        rule: Any = {"apiGroups": ["*"], "resources": [given], "verbs": ["*"]}
        await entitle(admin, "Group", "some", [rule])
        anna = Client(server, server.issue_token("anna", ["some"]))
        found = set[str]()
        for api_group, full in SUBRESOURCES:
            kind = Kind(api_group, "v1", full, True, ())
            verb = "create" if full.endswith("/token") else "update"
            answer = await anna(METHODS[verb], kind.path(verb, "default"), {"metadata": {}})
            found |= set() if lacks(answer, "anna", verb) else {full}
        assert found == meant
