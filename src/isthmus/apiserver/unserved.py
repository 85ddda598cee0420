"""What a Kubernetes cluster serves and this API does not, so that it is refused in clear words."""

from isthmus.apiserver.errors import ApiError, unknown_path

_RUNNING = "Pods, workloads and what belongs to running them"
GROUPS = {
    "admissionregistration.k8s.io": "admission webhooks and admission policies",
    "apiregistration.k8s.io": "aggregated API servers",
    "flowcontrol.apiserver.k8s.io": "priority levels and flow schemas",
    "certificates.k8s.io": "requests to sign certificates",
    **dict.fromkeys(
        (
            *("apps", "autoscaling", "batch", "discovery.k8s.io", "metrics.k8s.io"),
            *("networking.k8s.io", "node.k8s.io", "policy", "resource.k8s.io"),
            *("scheduling.k8s.io", "storage.k8s.io"),
        ),
        _RUNNING,
    ),
}
"""Groups of Kubernetes, and what they are about."""
CORE = frozenset((
    "bindings", "componentstatuses", "endpoints", "limitranges", "nodes", "persistentvolumeclaims",
    "persistentvolumes", "pods", "podtemplates", "replicationcontrollers", "services",
))  # fmt: skip
"""Resources of the core group that have to do with running something."""


_ISSUER = (
    "OpenID discovery of the issuer of ServiceAccounts' tokens is not served; ask about a token"
    " with a TokenReview"
)
_PATHS: dict[str, str] = dict.fromkeys(
    ("/.well-known/openid-configuration", "/openid/v1/jwks"), _ISSUER
)


def unserved_path(path: str) -> ApiError:
    """The same of a path that is that of no resource."""
    return unknown_path(_PATHS.get(path, ""))


def unserved(group: str, plural: str = "") -> ApiError:
    """The refusal of a path that nothing is served under, with the reason where it is known."""
    about = GROUPS.get(group) or (_RUNNING if not group and plural in CORE else "")
    return unknown_path(f"{about} are not served; use a Kubernetes cluster" if about else "")
