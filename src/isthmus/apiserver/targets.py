"""What a path points to, and what is done with it.

Source: https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-uris
"""

from typing import NamedTuple

from isthmus.apiserver.errors import method_not_allowed, unknown_path
from isthmus.apiserver.unserved import unserved


class Target(NamedTuple):
    """What a path points to.

    Attributes:
        group: API group.
        version: Version.
        plural: Resource.
        namespace: Namespace, empty when the path names none.
        name: Object, empty for the collection.
        subresource: `status`, `scale`... or empty.
    """

    group: str
    version: str
    plural: str
    namespace: str = ""
    name: str = ""
    subresource: str = ""

    @property
    def full(self) -> str:
        """Resource with its subresource, as rights name it."""
        return f"{self.plural}/{self.subresource}" if self.subresource else self.plural

    @property
    def home(self) -> str:
        """The namespace whose rights count; a namespace is in itself, as in Kubernetes."""
        itself = not self.group and self.plural == "namespaces"
        return self.name if itself else self.namespace

    @property
    def qualified(self) -> str:
        """The same with its group, as metrics name it."""
        return f"{self.full}.{self.group}" if self.group else self.full


def parse_path(parts: list[str]) -> Target:
    """The target of a path below `/api` or `/apis`, split into its parts.

    Raises:
        ApiError: 404.
    """
    if parts[0] == "api" and len(parts) >= 3:
        group, version, rest = "", parts[1], parts[2:]
    elif parts[0] == "apis" and len(parts) >= 4:
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        raise unknown_path()
    namespace = ""
    if rest[0] == "namespaces" and len(rest) >= 3:
        own = not group and len(rest) == 3 and rest[2] in ("status", "finalize")
        if not own:
            namespace, rest = rest[1], rest[2:]
    if len(rest) > 3 or not all(parts):
        raise unserved(group, rest[0])
    name, subresource = (*rest[1:], "", "")[:2]
    return Target(group, version, rest[0], namespace, name, subresource)


def verb_of(method: str, target: Target, *, watch: bool) -> str:
    """Kubernetes' verb for a request.

    Raises:
        ApiError: 405.
    """
    if method in ("GET", "HEAD"):
        return "watch" if watch else ("get" if target.name else "list")
    if method == "POST" and (not target.name or target.subresource == "token"):
        return "create"
    if method == "DELETE":
        return "delete" if target.name else "deletecollection"
    if target.name and method in ("PUT", "PATCH"):
        return "update" if method == "PUT" else "patch"
    raise method_not_allowed()
