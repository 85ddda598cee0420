"""What clients ask first: which groups, versions and resources there are.

Source: https://kubernetes.io/docs/concepts/overview/kubernetes-api/#discovery-api
"""

import base64
import hashlib
from collections.abc import Sequence

from isthmus.apiserver.crds import version_priority
from isthmus.apiserver.http import Request, Response
from isthmus.apiserver.jsonvalues import Json
from isthmus.apiserver.resources import Registry, Resource, subresource_verbs
from isthmus.apiserver.reviews import REVIEWS
from isthmus.apiserver.unserved import unserved

GIT_VERSION = "v1.32.0"
_FOREIGN_KINDS: dict[str, Json] = {
    "scale": {"group": "autoscaling", "version": "v1", "kind": "Scale"},
    "token": {"group": "authentication.k8s.io", "version": "v1", "kind": "TokenRequest"},
}

_CUSTOM_VERBS = (
    "delete", "deletecollection", "get", "list", "patch", "create", "update", "watch",
)  # fmt: skip
"""In the order in which Kubernetes lists those of custom kinds."""

VERSION: Json = {
    "major": "1",
    "minor": "32",
    "gitVersion": GIT_VERSION + "+isthmus",
    "gitCommit": "",
    "gitTreeState": "clean",
    "buildDate": "2026-01-01T00:00:00Z",
    "goVersion": "",
    "compiler": "python",
    "platform": "any",
}


class Discovery:
    """Answers under `/api` and `/apis`, in the legacy and the aggregated form.

    Args:
        registry: What is served.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def answer(self, request: Request, parts: list[str]) -> Response:
        """Answer a path such as `/apis/apps/v1`, split into its parts.

        Raises:
            ApiError: 404.
        """
        accept = request.header(b"accept")
        if len(parts) == 1:
            for version in ("v2", "v2beta1"):
                if "as=APIGroupDiscoveryList" in accept and f"v={version};" in accept + ";":
                    return self._aggregated(parts[0], version)
            return Response.json(self._core() if parts[0] == "api" else self._group_list())
        groups = self._groups()
        if parts[0] == "apis" and len(parts) == 2:
            if not parts[1] or parts[1] not in groups:
                raise unserved(parts[1])
            group = _group(parts[1], groups[parts[1]])
            return Response.json({"kind": "APIGroup", "apiVersion": "v1", **group})
        group, version = ("", parts[1]) if parts[0] == "api" else (parts[1], parts[2])
        if version not in groups.get(group, ()):
            raise unserved("" if group in groups else group)
        return Response.json({
            "kind": "APIResourceList",
            "apiVersion": "v1",
            "groupVersion": f"{group}/{version}" if group else version,
            "resources": self._legacy_entries(group, version),
        })  # fmt: skip

    def paths(self) -> list[str]:
        """Every path that is answered here."""
        groups = self._groups()
        below = [f"/apis/{group}" for group in groups if group]
        below += [
            f"/apis/{group}/{version}" if group else f"/api/{version}"
            for group, versions in groups.items()
            for version in versions
        ]
        return ["/api", "/apis", *below]

    def _groups(self) -> dict[str, list[str]]:
        groups = self._registry.groups()
        for review in REVIEWS:
            groups.setdefault(review.group, ["v1"])
        return {group: sorted(versions, key=version_priority) for group, versions in groups.items()}

    def _core(self) -> Json:
        return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}

    def _group_list(self) -> Json:
        groups = [_group(name, versions) for name, versions in self._groups().items() if name]
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}

    def _legacy_entries(self, group: str, version: str) -> list[Json]:
        entries: list[Json] = []
        for resource in self._registry.of(group, version):
            entry: Json = {
                "name": resource.plural,
                "singularName": resource.singular or resource.kind.lower(),
                "namespaced": resource.namespaced,
                "kind": resource.kind,
                "verbs": list(_CUSTOM_VERBS if resource.custom else resource.verbs),
            }
            entries.append({**entry, **_naming(resource), "storageVersionHash": _hash(resource)})
            for name in sorted(resource.subresources, reverse=True):
                kind = _subresource_kind(resource, name)
                entries.append({
                    "name": f"{resource.plural}/{name}",
                    "singularName": "",
                    "namespaced": resource.namespaced,
                    "verbs": list(subresource_verbs(name)),
                    **(kind if name in _FOREIGN_KINDS else {"kind": resource.kind}),
                })  # fmt: skip
        entries += [
            {
                "name": review.plural,
                "singularName": review.kind.lower(),
                "namespaced": review.namespaced,
                "kind": review.kind,
                "verbs": ["create"],
            }
            for review in REVIEWS
            if (group, version) == (review.group, "v1")
        ]
        return entries

    def _aggregated(self, root: str, version: str) -> Response:
        items = [
            {
                "metadata": {"name": group or None, "creationTimestamp": None},
                "versions": [self._aggregated_version(group, v) for v in versions],
            }
            for group, versions in self._groups().items()
            if bool(group) == (root == "apis")
        ]
        response = Response.json({
            "kind": "APIGroupDiscoveryList",
            "apiVersion": f"apidiscovery.k8s.io/{version}",
            "metadata": {},
            "items": items,
        })  # fmt: skip
        response.content_type = (
            f"application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList".encode()
        )
        response.headers.append((b"vary", b"Accept"))
        return response

    def _aggregated_version(self, group: str, version: str) -> Json:
        resources = [_aggregated_entry(r) for r in self._registry.of(group, version)]
        resources += [
            {
                "resource": review.plural,
                "responseKind": {"group": group, "version": "v1", "kind": review.kind},
                "scope": "Namespaced" if review.namespaced else "Cluster",
                "singularResource": review.kind.lower(),
                "verbs": ["create"],
            }
            for review in REVIEWS
            if (group, version) == (review.group, "v1")
        ]
        return {"version": version, "resources": resources, "freshness": "Current"}


def _aggregated_entry(resource: Resource) -> Json:
    return {
        "resource": resource.plural,
        "responseKind": _gvk(resource),
        "scope": "Namespaced" if resource.namespaced else "Cluster",
        "singularResource": resource.singular or resource.kind.lower(),
        "verbs": list(_CUSTOM_VERBS if resource.custom else resource.verbs),
        **_naming(resource),
        "subresources": [
            {
                "subresource": name,
                "responseKind": _subresource_kind(resource, name),
                "verbs": list(subresource_verbs(name)),
            }
            for name in sorted(resource.subresources, reverse=True)
        ],
    }


def _hash(resource: Resource) -> str:
    """Changes when objects are stored in another version; all versions of a kind share one here."""
    group = resource.collection.partition("/")[0]
    stored = f"{group}/{resource.stored_version}/{resource.kind}"
    return base64.b64encode(hashlib.sha256(stored.encode()).digest()[:8]).decode()


def _gvk(resource: Resource) -> Json:
    return {"group": resource.group, "version": resource.version, "kind": resource.kind}


def _subresource_kind(resource: Resource, name: str) -> Json:
    return _FOREIGN_KINDS.get(name) or _gvk(resource)


def _naming(resource: Resource) -> Json:
    out: Json = {}
    if resource.short_names:
        out["shortNames"] = list(resource.short_names)
    if resource.categories:
        out["categories"] = list(resource.categories)
    return out


def _group(name: str, versions: Sequence[str]) -> Json:
    listed = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
    return {"name": name, "versions": listed, "preferredVersion": listed[0]}
