"""The template of this driver: manifests, and outputs that are read from what became of them.

::

    manifests:
      - apiVersion: v1
        kind: Secret
        metadata: {name: login}
        stringData: {password: {$parameter: Password}}
      - apiVersion: apps/v1
        kind: Deployment
        ...
    outputs:
      Url: {$join: ["http://", {$get: [Service/web, "status.loadBalancer.ingress[0].ip"]}]}
      Classes: {$names: StorageClass}

An object's logical id is its annotation ``isthmus.dev/id``, else ``Kind/name``, with the namespace
between them where one is written. Secret parameters may stand in Secrets only. Conditions and lists
are told in ``expanding``.
"""

import base64
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

import yaml

from isthmus.api.meta import GROUP, Json
from isthmus.core.documents import without_nulls
from isthmus.core.render import as_text
from isthmus.core.stacks import TAG_INSTALLATION, TAG_NAME, TAG_NAMESPACE, TAG_UID, NativeStack
from isthmus.drivers.kubernetes.expanding import expanded
from isthmus.drivers.kubernetes.fields import part
from isthmus.drivers.kubernetes.kube import Ref
from isthmus.drivers.kubernetes.paths import look_up
from isthmus.errors import InvalidSpec

ID: Final = f"{GROUP}/id"
"""Annotation: the object's logical id."""
STATEFUL: Final = f"{GROUP}/stateful"
"""Annotation: ``"true"`` says that the object's loss is a loss of data."""

CRD: Final = "CustomResourceDefinition"
_STATEFUL_KINDS: Final = frozenset({"PersistentVolumeClaim", "PersistentVolume", "Namespace", CRD})
"""A Namespace and a definition take everything in them along."""
_ORDER: Final = (
    ("Namespace",),
    (CRD,),
    ("PriorityClass", "StorageClass", "RuntimeClass", "IngressClass", "VolumeSnapshotClass"),
    ("ServiceAccount", "Role", "ClusterRole"),
    ("RoleBinding", "ClusterRoleBinding"),
    ("ResourceQuota", "LimitRange", "NetworkPolicy", "PodDisruptionBudget"),
    ("Secret", "ConfigMap"),
    ("PersistentVolume", "PersistentVolumeClaim"),
    ("Service",),
    ("DaemonSet", "Deployment", "StatefulSet", "ReplicaSet", "Pod", "Job", "CronJob"),
    (),  # All others: their operator and its webhooks should run by then.
    ("HorizontalPodAutoscaler", "Ingress"),
    ("APIService", "MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"),
)
"""What comes before what; deletion goes the other way."""
_RANK: Final = {kind: rank for rank, kinds in enumerate(_ORDER) for kind in kinds}
_OTHERS: Final = _ORDER.index(())
_BEFORE_OTHERS: Final = 1
"""The highest rank of kinds that others need to be there at all: namespaces, definitions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """One wanted object. ``body`` may hold secrets: never log it."""

    id: str
    ref: Ref
    body: Json
    stateful: bool = False
    secret: bool = False
    """A secret parameter stands in it."""

    def __repr__(self) -> str:
        return f"Manifest({self.id!r}, {self.ref})"

    @property
    def rank(self) -> int:
        """Its place in the order of creation."""
        return rank(self.ref.kind)

    @property
    def transient(self) -> bool:
        """Whether the cluster removes it by itself once it has run."""
        spec = cast("Json", self.body.get("spec") or {})
        return self.ref.kind == "Job" and "ttlSecondsAfterFinished" in spec


def rank(kind: str) -> int:
    """Return the place of a kind in the order of creation."""
    return _RANK.get(kind, _OTHERS)


def founding(kind: str) -> bool:
    """Tell whether others cannot even be tried before objects of this kind are there."""
    return rank(kind) <= _BEFORE_OTHERS


def read(template: Json) -> tuple[Json, ...]:
    """Return a template's objects one by one; lists and YAML text are opened.

    Raises:
        InvalidSpec: It is not a template of this driver; the message names the place.
    """
    if unknown := sorted(set(template) - {"manifests", "outputs"}):
        raise InvalidSpec(f"template.{unknown[0]}: unknown; known are: manifests, outputs.")
    listed = template.get("manifests")
    if not isinstance(listed, list) or not listed:
        raise InvalidSpec("template.manifests: write a list of Kubernetes objects.")
    found = tuple(
        _checked(obj, f"template.manifests[{index}]")
        for index, entry in enumerate(cast("list[Any]", listed))
        for obj in _opened(entry, f"template.manifests[{index}]")
    )
    if twice := _twice(identify(obj) for obj in found):
        raise InvalidSpec(
            f"template.manifests: two objects have the id {twice!r}; give one an annotation {ID}."
        )
    return found


def identify(obj: Json) -> str:
    """Return an object's logical id."""
    meta = part(obj, "metadata")
    given = part(meta, "annotations").get(ID)
    if given:
        return str(given)
    return "/".join(str(p) for p in (obj["kind"], meta.get("namespace"), meta["name"]) if p)


def manifest(obj: Json, stack: NativeStack, namespace: str) -> Manifest:
    """Return what is sent for one object: parameters filled in, our tags on it.

    Args:
        obj: As ``read`` returns it.
        stack: Whose it is.
        namespace: Where it is; empty for a cluster-scoped kind.

    Raises:
        InvalidSpec: A parameter has no value, or a secret one stands outside of a Secret.
    """
    logical_id = identify(obj)
    used = set(parameters(obj))
    secret = used & stack.secret_parameters
    if secret and obj["kind"] != "Secret":
        raise InvalidSpec(
            f"template.manifests: {logical_id}: parameter {min(secret)!r} is secret, so it may "
            "stand in a Secret only; refer to that Secret here."
        )
    body = _encoded(cast("Json", fill(obj, stack.parameters, logical_id)))
    meta = dict(part(body, "metadata"))
    annotations = part(meta, "annotations")
    labels = part(meta, "labels")
    meta["labels"] = labels | {TAG_UID: stack.tags.get(TAG_UID, "")}
    meta["annotations"] = annotations | _tags(stack) | {ID: logical_id}
    if namespace:
        meta["namespace"] = namespace
    marked = str(annotations.get(STATEFUL, "")).lower()
    stateful = obj["kind"] in _STATEFUL_KINDS if marked == "" else marked == "true"
    return Manifest(
        id=logical_id,
        ref=Ref(str(obj["apiVersion"]), str(obj["kind"]), namespace, str(meta["name"])),
        body=body | {"metadata": meta},
        stateful=stateful or logical_id in stack.stateful,
        secret=bool(secret),
    )


def _encoded(body: Json) -> Json:
    """Return a Secret with its plain texts as data: of these the server knows the managers."""
    if body["kind"] != "Secret" or "stringData" not in body:
        return body
    plain = part(body, "stringData")
    data = {k: base64.b64encode(str(v).encode()).decode() for k, v in plain.items()}
    kept = {key: value for key, value in body.items() if key != "stringData"}
    return kept | {"data": part(body, "data") | data}


def _tags(stack: NativeStack) -> Json:
    return {
        key: stack.tags[key]
        for key in (TAG_INSTALLATION, TAG_NAMESPACE, TAG_NAME)
        if stack.tags.get(key)
    }


def fill(node: Any, parameters: Mapping[str, str], where: str) -> Any:
    """Return a copy with ``$parameter`` and ``$join`` replaced by their values."""
    if isinstance(node, list):
        return [fill(item, parameters, where) for item in cast("list[Any]", node)]
    if not isinstance(node, dict):
        return node
    fields = cast("Json", node)
    if "$parameter" in fields:
        name = str(fields["$parameter"])
        if name not in parameters:
            raise InvalidSpec(f"{where}: parameter {name!r} has no value.")
        return parameters[name]
    if "$join" in fields:
        return "".join(as_text(part) for part in fill(fields["$join"], parameters, where))
    return {key: fill(value, parameters, where) for key, value in fields.items()}


def parameters(node: Any) -> Iterator[str]:
    """Yield the names of the parameters that stand in a document."""
    if isinstance(node, dict):
        fields = cast("Json", node)
        if "$parameter" in fields:
            yield str(fields["$parameter"])
        for value in fields.values():
            yield from parameters(value)
    elif isinstance(node, list):
        for item in cast("list[Any]", node):
            yield from parameters(item)


# Outputs.


def outputs(spec: Mapping[str, Any], objects: Mapping[str, Json]) -> dict[str, str]:
    """Evaluate outputs; one that is not there yet is left out."""
    found = {name: _output(node, objects) for name, node in spec.items()}
    return {name: value for name, value in found.items() if value is not None}


def check_outputs(template: Json, stack: NativeStack, kinds: Mapping[str, str]) -> Json:
    """Return the outputs of a template, its plain parameters filled in.

    Raises:
        InvalidSpec: One is not of this driver's form, or would show a secret.
    """
    spec = without_nulls(cast("Json", expanded(part(template, "outputs"), "template.outputs")))
    if secret := set(parameters(spec)) & stack.secret_parameters:
        raise InvalidSpec(f"template.outputs: parameter {min(secret)!r} is secret.")
    for name, node in spec.items():
        for logical_id in _read_from(node):
            kind = kinds.get(logical_id)
            if kind is None:
                raise InvalidSpec(f"template.outputs.{name}: there is no object {logical_id!r}.")
            if kind == "Secret":
                raise InvalidSpec(
                    f"template.outputs.{name}: outputs are shown, so none is read from a Secret."
                )
    return cast("Json", fill(spec, stack.parameters, "template.outputs"))


def _read_from(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        fields = cast("Json", node)
        if "$get" in fields:
            got = fields["$get"]
            if not isinstance(got, list) or len(cast("list[Any]", got)) != 2:
                raise InvalidSpec("template.outputs: write $get: [logical id, path].")
            yield str(cast("list[Any]", got)[0])
        for part in cast("list[Any]", fields.get("$join") or []):
            yield from _read_from(part)


def _output(node: Any, objects: Mapping[str, Json]) -> str | None:
    if not isinstance(node, dict):
        return str(node)
    fields = cast("Json", node)
    if "$join" in fields:
        parts = [_output(part, objects) for part in fields["$join"]]
        return None if None in parts else "".join(part or "" for part in parts)
    if "$names" in fields:
        return ",".join(sorted(_names(str(fields["$names"]), objects))) or None
    logical_id, path = fields["$get"]
    value = look_up(objects.get(str(logical_id)), str(path))
    return None if value is None else str(value)


def _names(kind: str, objects: Mapping[str, Json]) -> Iterator[str]:
    for obj in objects.values():
        if obj["kind"] == kind:
            yield str(obj["metadata"]["name"])


# The form of a template.


def _opened(entry: Any, where: str) -> Iterator[Any]:
    entry = expanded(entry, where)
    if entry is None:
        return
    if isinstance(entry, str):
        try:
            documents = list(yaml.safe_load_all(entry))
        except yaml.YAMLError as exc:
            raise InvalidSpec(f"{where}: it is not valid YAML: {exc}") from exc
        for document in documents:
            if document is not None:
                yield from _opened(document, where)
    elif isinstance(entry, list):
        for item in cast("list[Any]", entry):
            yield from _opened(item, where)
    elif isinstance(entry, dict) and cast("Json", entry).get("kind") == "List":
        yield from _opened(cast("Json", entry).get("items") or [], where)
    else:
        yield entry


def _checked(obj: Any, where: str) -> Json:
    if not isinstance(obj, dict):
        raise InvalidSpec(f"{where}: write a Kubernetes object.")
    fields = cast("Json", obj)
    for key in ("apiVersion", "kind"):
        if not isinstance(fields.get(key), str) or not fields[key]:
            raise InvalidSpec(f"{where}.{key}: is required.")
    meta = fields.get("metadata")
    if not isinstance(meta, dict) or not cast("Json", meta).get("name"):
        raise InvalidSpec(
            f"{where}.metadata.name: is required; generateName would make a new object each time."
        )
    return without_nulls({key: value for key, value in fields.items() if key != "status"})


def _twice(ids: Iterator[str]) -> str:
    seen: set[str] = set()
    for logical_id in ids:
        if logical_id in seen:
            return logical_id
        seen.add(logical_id)
    return ""
