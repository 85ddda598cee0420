"""Objects that every server starts with: namespaces, and the roles that people expect by name.

Source: https://kubernetes.io/docs/reference/access-authn-authz/rbac/#user-facing-roles
"""

from isthmus.apiserver.admission import Options
from isthmus.apiserver.authn import AUTHENTICATED, MASTERS, User
from isthmus.apiserver.jsonvalues import Json
from isthmus.apiserver.kinds import EVENTS, RBAC
from isthmus.apiserver.objects import Objects

SYSTEM = User("system:apiserver", frozenset((MASTERS, AUTHENTICATED)))
_READ = ["get", "list", "watch"]
_WRITE = ["create", "delete", "deletecollection", "patch", "update"]
_EVERY = ["*"]
_AGGREGATE = "rbac.authorization.k8s.io/aggregate-to-"


def _role(name: str, rules: list[Json], part_of: tuple[str, ...] = (), grows: str = "") -> Json:
    role: Json = {"metadata": {"name": name}, "rules": rules}
    if part_of:
        role["metadata"]["labels"] = {_AGGREGATE + target: "true" for target in part_of}
    if grows:
        selector = {"matchLabels": {_AGGREGATE + grows: "true"}}
        role["aggregationRule"] = {"clusterRoleSelectors": [selector]}
    return role


_CLUSTER_ROLES = (
    _role(
        "cluster-admin",
        [
            {"apiGroups": _EVERY, "resources": _EVERY, "verbs": _EVERY},
            {"nonResourceURLs": _EVERY, "verbs": _EVERY},
        ],
    ),
    _role("admin", [], grows="admin"),
    _role("edit", [], ("admin",), grows="edit"),
    _role("view", [], ("edit",), grows="view"),
    _role(
        "system:aggregate-to-view",
        [
            {
                "apiGroups": [""],
                "resources": ["configmaps", "serviceaccounts", "namespaces"],
                "verbs": _READ,
            },
            {"apiGroups": ["", EVENTS], "resources": ["events"], "verbs": _READ},
        ],
        ("view", "edit", "admin"),
    ),
    _role(
        "system:aggregate-to-edit",
        [
            {"apiGroups": [""], "resources": ["secrets"], "verbs": _READ + _WRITE},
            {"apiGroups": [""], "resources": ["configmaps", "serviceaccounts"], "verbs": _WRITE},
            {"apiGroups": ["", EVENTS], "resources": ["events"], "verbs": _WRITE},
        ],
        ("edit", "admin"),
    ),
    _role(
        "system:aggregate-to-admin",
        [{"apiGroups": [RBAC], "resources": ["roles", "rolebindings"], "verbs": _READ + _WRITE}],
        ("admin",),
    ),
)
_PUBLIC_PATHS = ["/healthz", "/livez", "/readyz", "/version", "/version/"]
_DISCOVERY_PATHS = [
    "/api", "/api/*", "/apis", "/apis/*", "/healthz", "/livez", "/openapi", "/openapi/*",
    "/readyz", "/version", "/version/",
]  # fmt: skip
_EVERYBODY = (
    _role("system:discovery", [{"nonResourceURLs": _DISCOVERY_PATHS, "verbs": ["get"]}]),
    _role("system:public-info-viewer", [{"nonResourceURLs": _PUBLIC_PATHS, "verbs": ["get"]}]),
    _role(
        "system:basic-user",
        [
            {
                "apiGroups": ["authorization.k8s.io"],
                "resources": ["selfsubjectaccessreviews", "selfsubjectrulesreviews"],
                "verbs": ["create"],
            },
            {
                "apiGroups": ["authentication.k8s.io"],
                "resources": ["selfsubjectreviews"],
                "verbs": ["create"],
            },
        ],
    ),
)
"""What every user may do, bound to all who are authenticated."""


def _binding(role: str, group: str) -> Json:
    return {
        "metadata": {"name": role},
        "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": role},
        "subjects": [{"kind": "Group", "apiGroup": RBAC, "name": group}],
    }


def ensure(objects: Objects) -> None:
    """Stage what is missing; what is there stays as somebody may have changed it."""
    wanted = [("", "namespaces", {"metadata": {"name": name}})
              for name in ("default", "kube-system", "kube-public")]  # fmt: skip
    wanted += [(RBAC, "clusterroles", role) for role in (*_CLUSTER_ROLES, *_EVERYBODY)]
    bindings = [_binding("cluster-admin", MASTERS)]
    bindings += [_binding(role["metadata"]["name"], AUTHENTICATED) for role in _EVERYBODY]
    wanted += [(RBAC, "clusterrolebindings", binding) for binding in bindings]
    for group, plural, template in wanted:
        resource = objects.registry.get(group, "v1", plural)
        name: str = template["metadata"]["name"]
        if objects.store.collection(resource.collection).current(("", name)) is None:
            obj: Json = {**template, "metadata": dict(template["metadata"])}
            objects.create(resource, "", obj, Options(SYSTEM, "apiserver"))
