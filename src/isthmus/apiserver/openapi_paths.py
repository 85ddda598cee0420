"""Paths of the OpenAPI documents: every request that a kind takes, as generated clients call it.

A parameter is described once a document and referred to. Those of patches stand there in full: by
them kubectl finds out what a server can do, and it follows no reference.

Source: https://kubernetes.io/docs/reference/using-api/api-concepts/
"""

import re
from collections.abc import Iterable
from typing import NamedTuple

from isthmus.apiserver.jsonvalues import Json
from isthmus.apiserver.openapi_schemas import META, Schemas, reference
from isthmus.apiserver.resources import Resource, subresource_verbs
from isthmus.apiserver.reviews import Review

_FORMS = ("application/json", "application/yaml")
_PATCHES = (
    "application/apply-patch+yaml", "application/json-patch+json", "application/merge-patch+json",
)  # fmt: skip
_STRATEGIC = "application/strategic-merge-patch+json"


def _query(name: str, kind: str, words: str) -> Json:
    schema = {"type": kind, "uniqueItems": True}
    return {"name": name, "in": "query", "description": words, "schema": schema}


_LISTED: dict[str, Json] = {
    name: _query(name, kind, words)
    for name, kind, words in (
        ("allowWatchBookmarks", "boolean", "Whether a watch tells now and then how far it is."),
        ("continue", "string", "Where a list goes on, from the metadata of its last page."),
        ("fieldSelector", "string", "Which objects, by their fields."),
        ("labelSelector", "string", "Which objects, by their labels."),
        ("limit", "integer", "How many objects a page of a list has at most."),
        ("resourceVersion", "string", "Of which version a list is; after which a watch begins."),
        ("resourceVersionMatch", "string", "Exact or NotOlderThan: what resourceVersion means."),
        ("sendInitialEvents", "boolean", "Whether a watch begins with what there is."),
        ("timeoutSeconds", "integer", "How long a watch lasts."),
        ("watch", "boolean", "Whether changes are told from now on, instead of a list."),
    )
}
_DRY_RUN = _query("dryRun", "string", "All: everything is checked, and nothing is kept.")
_DELETED: dict[str, Json] = {
    "dryRun": _DRY_RUN,
    "gracePeriodSeconds": _query(
        "gracePeriodSeconds", "integer", "Read and not heeded: nothing here needs time to end."
    ),
    "orphanDependents": _query("orphanDependents", "boolean", "The older form of Orphan."),
    "propagationPolicy": _query(
        "propagationPolicy", "string", "Orphan, Background or Foreground: of what it owns."
    ),
}
_NAMESPACE: Json = {
    "name": "namespace", "in": "path", "required": True, "description": "Where the objects are.",
    "schema": {"type": "string", "uniqueItems": True},
}  # fmt: skip
_WRITTEN: dict[str, Json] = {
    "dryRun": _DRY_RUN,
    "fieldManager": _query("fieldManager", "string", "On whose behalf fields are written."),
    "fieldValidation": _query(
        "fieldValidation", "string", "Ignore, Warn or Strict: of unknown and double fields."
    ),
}
_FORCE = _query("force", "boolean", "Whether an apply takes over the fields of others.")
_CLEARED = [name for name in _LISTED if name not in ("allowWatchBookmarks", "watch")]
SHARED: dict[str, Json] = {**_LISTED, **_DELETED, **_WRITTEN, "namespace": _NAMESPACE}
"""The parameters that are described once a document."""


def _shared(*names: str) -> list[Json]:
    return [{"$ref": f"#/components/parameters/{name}"} for name in names]


class _Action(NamedTuple):
    """What is the same of all operations that do the same.

    Attributes:
        verb: How their identifiers begin.
        words: What they do.
        parameters: Their parameters in the query.
        codes: With what they are answered.
    """

    verb: str
    words: str
    parameters: list[Json]
    codes: tuple[str, ...] = ("200",)


_ACTIONS = {
    "list": _Action("list", "list or watch objects of kind {kind}", _shared(*_LISTED)),
    "post": _Action("create", "create {of}a {kind}", _shared(*_WRITTEN), ("200", "201", "202")),
    "deletecollection": _Action(
        "delete", "delete collection of {kind}", _shared(*_CLEARED, *_DELETED)
    ),
    "get": _Action("read", "read {of}the specified {kind}", _shared("resourceVersion")),
    "put": _Action(
        "replace", "replace {of}the specified {kind}", _shared(*_WRITTEN), ("200", "201")
    ),
    "patch": _Action(
        "patch",
        "partially update {of}the specified {kind}",
        [*_WRITTEN.values(), _FORCE],
        ("200", "201"),
    ),
    "delete": _Action("delete", "delete a {kind}", _shared(*_DELETED), ("200", "202")),
    "watch": _Action("watch", "watch an object of kind {kind}", _shared(*_LISTED)),
    "watchlist": _Action("watch", "watch objects of kind {kind}", _shared(*_LISTED)),
}
_METHODS = {"get": "get", "update": "put", "patch": "patch", "create": "post"}
_FOREIGN = {"scale": ("autoscaling", "Scale"), "token": ("authentication.k8s.io", "TokenRequest")}
"""Subresources that are objects of another kind."""
_ANSWERS = {"200": "OK", "201": "Created", "202": "Accepted"}


class _Kind:
    """A kind whose operations are described.

    Args:
        group: API group.
        version: Version.
        kind: Its name.
        patches: How it can be patched.
    """

    def __init__(self, group: str, version: str, kind: str, patches: Iterable[str] = ()) -> None:
        self.kind = kind
        self._gvk = {"group": group, "version": version, "kind": kind}
        self._patches = patches
        # For rbac.authorization.k8s.io/v1 this is rbacAuthorization_v1, and RbacAuthorizationV1.
        words = re.split(r"[.-]", group.removesuffix(".k8s.io") or "core")
        title = "".join(word[:1].upper() + word[1:] for word in words)
        self._tag = f"{title[:1].lower()}{title[1:]}_{version}"
        self._prefix = title + version[:1].upper() + version[1:]

    def operation(self, action: str, named: str, answer: str, of: str = "") -> Json:
        """One operation.

        Args:
            action: What is done, a key of `_ACTIONS`.
            named: What its identifier says after the group and version.
            answer: The definition of what it answers, and of what it is sent.
            of: The subresource.
        """
        verb, words, parameters, codes = _ACTIONS[action]
        out: Json = {
            "tags": [self._tag],
            "description": words.format(kind=self.kind, of=f"{of} of " if of else ""),
            "operationId": f"{verb}{self._prefix}{named}",
            "parameters": parameters,
            "responses": {
                **{c: {"description": _ANSWERS[c], "content": _content(answer)} for c in codes},
                "401": {"description": "Unauthorized"},
            },
            "x-kubernetes-action": action,
            "x-kubernetes-group-version-kind": self._gvk,
        }
        if action in ("post", "put"):
            out["requestBody"] = {"content": _content(answer), "required": True}
        elif action == "patch":
            content = _content(META + "Patch", self._patches)
            out["requestBody"] = {"content": content, "required": True}
        elif action in ("delete", "deletecollection"):
            out["requestBody"] = {"content": _content(META + "DeleteOptions")}
        return out


def _content(name: str, forms: Iterable[str] = _FORMS) -> Json:
    return {form: {"schema": reference(name)} for form in forms}


def _path_name(kind: str) -> Json:
    schema = {"type": "string", "uniqueItems": True}
    words = f"name of the {kind}"
    return {"name": "name", "in": "path", "required": True, "description": words, "schema": schema}


def of_review(review: Review, schemas: Schemas) -> Json:
    """The path of a question that is asked by creating an object."""
    scope = "Namespaced" if review.namespaced else ""
    within = "/namespaces/{namespace}" if review.namespaced else ""
    schema = schemas.of_kind(review.group, review.kind)
    asked = _Kind(review.group, "v1", review.kind).operation("post", scope + review.kind, schema)
    item: Json = {"post": asked}
    if review.namespaced:
        item["parameters"] = _shared("namespace")
    return {f"/apis/{review.group}/v1{within}/{review.plural}": item}


def of_resource(resource: Resource, schemas: Schemas) -> Json:
    """Every path of a resource."""
    item, listed = schemas.of(resource)
    for name in ("Patch", "DeleteOptions", "Status"):
        schemas.known(META + name)
    patches = _PATCHES if resource.custom else (*_PATCHES, _STRATEGIC)
    kind = _Kind(resource.group, resource.version, resource.kind, patches)
    out = _whole(resource, kind, item, listed)
    base, parameters, scope = _place(resource)
    one: Json = {"parameters": [_path_name(resource.kind), *parameters]}
    for name in sorted(resource.subresources):
        of = f"{scope}{kind.kind}{name.title()}"
        out[f"{base}/{{name}}/{name}"] = {**one, **_subresource(name, kind, item, of, schemas)}
    if not resource.custom:
        out |= _watches(resource, kind, schemas.known(META + "WatchEvent"))
    return out


def _place(resource: Resource) -> tuple[str, list[Json], str]:
    """The path of the collection, its parameters, and how identifiers name its scope."""
    if resource.namespaced:
        path = f"{resource.path}/namespaces/{{namespace}}/{resource.plural}"
        return path, _shared("namespace"), "Namespaced"
    return f"{resource.path}/{resource.plural}", [], ""


def _whole(resource: Resource, kind: _Kind, item: str, listed: str) -> Json:
    """The paths of collections and objects."""
    base, parameters, scope = _place(resource)
    named, status = scope + kind.kind, META + "Status"
    many: Json = {"parameters": parameters} if parameters else {}
    many["get"] = kind.operation("list", named, listed)
    many["post"] = kind.operation("post", named, item)
    if "deletecollection" in resource.verbs:
        many["delete"] = kind.operation("deletecollection", f"Collection{named}", status)
    one: Json = {
        "parameters": [_path_name(kind.kind), *parameters],
        "get": kind.operation("get", named, item),
        "put": kind.operation("put", named, item),
        "patch": kind.operation("patch", named, item),
        "delete": kind.operation("delete", named, status),
    }
    out: Json = {base: many, base + "/{name}": one}
    if resource.namespaced:
        everywhere = kind.operation("list", f"{kind.kind}ForAllNamespaces", listed)
        out[f"{resource.path}/{resource.plural}"] = {"get": everywhere}
    return out


def _subresource(name: str, kind: _Kind, item: str, named: str, schemas: Schemas) -> Json:
    out: Json = {}
    group, foreign = _FOREIGN.get(name, ("", ""))
    schema = schemas.of_kind(group, foreign) if foreign else item
    for verb in subresource_verbs(name):
        method = _METHODS[verb]
        out[method] = kind.operation(method, named, schema, name)
        if name == "token":
            gvk = {"group": group, "version": "v1", "kind": foreign}
            out[method]["x-kubernetes-group-version-kind"] = gvk
    return out


def _watches(resource: Resource, kind: _Kind, event: str) -> Json:
    """The older way to watch, which only built-in kinds have."""
    base, parameters, scope = _place(resource)
    base = f"{resource.path}/watch{base.removeprefix(resource.path)}"
    many: Json = {"parameters": parameters} if parameters else {}
    named = scope + kind.kind
    out: Json = {
        base: {**many, "get": kind.operation("watchlist", f"{named}List", event)},
        base + "/{name}": {
            "parameters": [_path_name(kind.kind), *parameters],
            "get": kind.operation("watch", named, event),
        },
    }
    if resource.namespaced:
        everywhere = kind.operation("watchlist", f"{kind.kind}ListForAllNamespaces", event)
        out[f"{resource.path}/watch/{resource.plural}"] = {"get": everywhere}
    return out
