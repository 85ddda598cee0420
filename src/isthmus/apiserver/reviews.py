"""Questions about rights and identity, which are asked by creating an object that is not kept.

Source: https://kubernetes.io/docs/reference/access-authn-authz/authorization/#checking-api-access
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from isthmus.apiserver.authn import AUTHENTICATED, User
from isthmus.apiserver.errors import bad_request
from isthmus.apiserver.jsonvalues import Json, as_list, as_map
from isthmus.apiserver.rbac import Action, Authorizer


@dataclass(frozen=True, slots=True)
class Review:
    """One kind of question."""

    group: str
    plural: str
    kind: str
    namespaced: bool = False


_AUTHZ, _AUTHN = "authorization.k8s.io", "authentication.k8s.io"
REVIEWS = (
    Review(_AUTHZ, "selfsubjectaccessreviews", "SelfSubjectAccessReview"),
    Review(_AUTHZ, "selfsubjectrulesreviews", "SelfSubjectRulesReview"),
    Review(_AUTHZ, "subjectaccessreviews", "SubjectAccessReview"),
    Review(_AUTHZ, "localsubjectaccessreviews", "LocalSubjectAccessReview", namespaced=True),
    Review(_AUTHN, "selfsubjectreviews", "SelfSubjectReview"),
    Review(_AUTHN, "tokenreviews", "TokenReview"),
)
SELF_SERVICE = frozenset(r.plural for r in REVIEWS if r.plural.startswith("self"))
"""What everybody who is authenticated may ask about themselves."""


def find(group: str, version: str, plural: str) -> Review | None:
    """The review served under this path."""
    for review in REVIEWS:
        if (review.group, "v1", review.plural) == (group, version, plural):
            return review
    return None


class Reviews:
    """Answers reviews.

    Args:
        authorizer: Knows the rights.
        authenticate: The user who holds a token.
    """

    def __init__(
        self, authorizer: Authorizer, authenticate: Callable[[str], Awaitable[User | None]]
    ) -> None:
        self._authorizer = authorizer
        self._authenticate = authenticate

    async def answer(self, review: Review, asked: Json, user: User) -> Json:
        """The object that was created, with its status.

        Raises:
            ApiError: 400, it lacks what it must say.
        """
        spec: Json = as_map(asked.get("spec"))
        answers: dict[str, Callable[[Json, User], Json]] = {
            "SelfSubjectAccessReview": self._access,
            "SelfSubjectRulesReview": self._rules,
            "SelfSubjectReview": self._self,
        }
        answer = answers.get(review.kind, self._other_access)
        out: Json = {
            "kind": review.kind,
            "apiVersion": f"{review.group}/v1",
            "metadata": as_map(asked.get("metadata")),
        }
        if review.kind != "SelfSubjectReview":
            out["spec"] = {} if review.kind == "TokenReview" else spec
        if review.kind == "TokenReview":
            out["status"] = await self._token(spec)
        else:
            out["status"] = answer(spec, user)
        return out

    def _access(self, spec: Json, user: User) -> Json:
        resource, other = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
        if resource is not None:
            subresource = resource.get("subresource")
            action = Action(
                resource.get("verb", ""),
                resource.get("group", ""),
                resource.get("resource", "") + (f"/{subresource}" if subresource else ""),
                resource.get("namespace", ""),
                resource.get("name", ""),
            )
        elif other is not None:
            action = Action(other.get("verb", ""), path=other.get("path", "") or "/")
        else:
            raise bad_request("spec needs resourceAttributes or nonResourceAttributes")
        return {"allowed": self._authorizer.allowed(user, action)}

    def _other_access(self, spec: Json, user: User) -> Json:
        del user
        groups = frozenset((*as_list(spec.get("groups")), AUTHENTICATED))
        return self._access(spec, User(spec.get("user") or "", groups))

    def _rules(self, spec: Json, user: User) -> Json:
        if user.is_master:
            every = ["*"]
            resources = [{"verbs": every, "apiGroups": every, "resources": every}]
            paths = [{"verbs": every, "nonResourceURLs": every}]
            return {"resourceRules": resources, "nonResourceRules": paths, "incomplete": False}
        rules = self._authorizer.rules(user, spec.get("namespace") or "")
        return {
            "resourceRules": [rule for rule in rules if rule.get("resources")],
            "nonResourceRules": [rule for rule in rules if rule.get("nonResourceURLs")],
            "incomplete": False,
        }

    def _self(self, spec: Json, user: User) -> Json:
        del spec
        return {"userInfo": {"username": user.name, "groups": sorted(user.groups)}}

    async def _token(self, spec: Json) -> Json:
        found = await self._authenticate(str(spec.get("token") or ""))
        if found is None:
            return {"authenticated": False}
        who = {"username": found.name, "groups": sorted(found.groups)}
        return {"authenticated": True, "user": who}
