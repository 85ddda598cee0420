"""Questions about rights and identity, which are asked by creating an object that is not kept.

Source: https://kubernetes.io/docs/reference/access-authn-authz/authorization/#checking-api-access
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import orjson

from isthmus.apiserver.authn import AUTHENTICATED, User
from isthmus.apiserver.errors import Cause, bad_request, invalid_request
from isthmus.apiserver.jsonvalues import Json, as_list, as_map
from isthmus.apiserver.metadata import timestamp
from isthmus.apiserver.rbac import Action, Authorizer
from isthmus.apiserver.service_accounts import ISSUER


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


_PLACES = {(review.group, "v1", review.plural): review for review in REVIEWS}


def find(group: str, version: str, plural: str) -> Review | None:
    """The review served under this path."""
    return _PLACES.get((group, version, plural))


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

    async def answer(self, review: Review, asked: Json, user: User, namespace: str = "") -> Json:
        """The object that was created, with its status.

        Args:
            review: Which question.
            asked: The body.
            user: Who asks.
            namespace: Of the path.

        Raises:
            ApiError: 400 or 422, it lacks what it must say, or contradicts itself.
        """
        spec: Json = as_map(asked.get("spec"))
        _check_types(spec)
        out: Json = {
            "kind": review.kind,
            "apiVersion": f"{review.group}/v1",
            "metadata": as_map(asked.get("metadata")),
        }
        if review.kind == "SelfSubjectReview":
            out["metadata"]["creationTimestamp"] = timestamp()
            out["status"] = {"userInfo": _shown(user)}
        elif review.kind == "TokenReview":
            out |= {"spec": {}, "status": await self._token(spec)}  # a token is not repeated
        elif review.kind == "SelfSubjectRulesReview":
            if not spec.get("namespace"):
                raise bad_request("no namespace on request")
            out |= {"spec": {}, "status": self._rules(spec, user)}
        else:
            _check_access(review, spec, namespace)
            subject = user if review.kind.startswith("Self") else _subject(spec)
            out |= {"spec": spec, "status": self._access(spec, subject)}
        return out

    def _access(self, spec: Json, user: User) -> Json:
        if spec.get("resourceAttributes") is not None:
            asked = {name: value or "" for name, value in spec["resourceAttributes"].items()}
            subresource = asked.get("subresource")
            action = Action(
                asked.get("verb", ""),
                asked.get("group", ""),
                asked.get("resource", "") + (f"/{subresource}" if subresource else ""),
                asked.get("namespace", ""),
                asked.get("name", ""),
            )
        else:
            other = as_map(spec.get("nonResourceAttributes"))
            action = Action(other.get("verb") or "", path=other.get("path") or "/")
        if not self._authorizer.allowed(user, action):
            return {"allowed": False}
        reason = self._authorizer.reason(user, action)
        return {"allowed": True, **({"reason": reason} if reason else {})}

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

    async def _token(self, spec: Json) -> Json:
        token = str(spec.get("token") or "")
        if not token:
            raise bad_request("token is required for TokenReview in authentication")
        audiences = as_list(spec.get("audiences"))
        found = await self._authenticate(token)
        if found is None or (audiences and ISSUER not in audiences):
            return {"user": {}, "error": "invalid bearer token"}
        return {"authenticated": True, "user": _shown(found), "audiences": [ISSUER]}


def _shown(user: User) -> Json:
    """A user as reviews tell of them: what everybody has comes last."""
    groups = sorted(user.groups, key=lambda group: (group == AUTHENTICATED, group))
    shown: Json = {"username": user.name, "groups": groups}
    if user.uid:
        shown["uid"] = user.uid
    if user.extra:
        shown["extra"] = {key: list(values) for key, values in user.extra}
    return shown


def _subject(spec: Json) -> User:
    """Of whom a question is; they have the groups that are named, and no others."""
    return User(spec.get("user") or "", frozenset(as_list(spec.get("groups"))))


_TEXTS = {
    "": ("user", "uid", "token", "namespace"),
    "resourceAttributes": ("namespace", "verb", "group", "version", "resource", "subresource",
                           "name"),
    "nonResourceAttributes": ("path", "verb"),
}  # fmt: skip
"""Fields of a review's `spec` that are strings, by what they are in."""


def _check_types(spec: Json) -> None:
    """Refuse what is not of its type, as a decoder does.

    Raises:
        ApiError: 400.
    """
    for place, names in _TEXTS.items():
        held = spec.get(place) if place else spec
        if not isinstance(held, dict | None):
            raise bad_request(f"spec.{place}: must be an object")
        for name in names:
            if not isinstance(as_map(held).get(name), str | None):
                where = f"{place}.{name}" if place else name
                raise bad_request(f"spec.{where}: must be a string")
    for name in ("groups", "audiences"):
        value = spec.get(name)
        if value is not None and not (
            isinstance(value, list) and all(isinstance(v, str) for v in as_list(value))
        ):
            raise bad_request(f"spec.{name}: must be a list of strings")


def _check_access(review: Review, spec: Json, namespace: str) -> None:
    """Refuse a question that is incomplete or contradicts itself.

    Raises:
        ApiError: 422.
    """
    resource, other = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    cause = None
    if resource is not None and other is not None:
        shown = {name.capitalize(): other.get(name, "") for name in ("path", "verb")}
        why = "cannot be specified in combination with resourceAttributes"
        cause = Cause("spec.nonResourceAttributes", f"{orjson.dumps(shown).decode()}: {why}")
    elif resource is None and other is None:
        why = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
        cause = Cause("spec.resourceAttributes", f"null: {why}")
    elif not review.kind.startswith("Self") and not spec.get("user") and not spec.get("groups"):
        cause = Cause("spec.user", '"": at least one of user or group must be specified')
    elif namespace and as_map(resource).get("namespace") != namespace:
        asked = as_map(resource).get("namespace", "")
        field = "spec.resourceAttributes.namespace"
        cause = Cause(field, f'"{asked}": must match metadata.namespace')
    if cause is not None:
        raise invalid_request(review.group, "", [cause])  # Kubernetes does not name the kind.
