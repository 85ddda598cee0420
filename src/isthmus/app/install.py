"""What a fresh API must hold before anything can work: kinds, roles, catalog.

Everything is idempotent, and a second start writes nothing that has not changed.
"""

import asyncio
import hashlib
from collections.abc import Iterable, Mapping
from typing import Any, cast

import structlog
import yaml

from isthmus.api.crd import crd
from isthmus.api.meta import API_VERSION, GROUP, Json
from isthmus.api.v1alpha1 import KINDS, OfferingSpec
from isthmus.core.stacks import digest
from isthmus.errors import AlreadyExists, InvalidSpec
from isthmus.faces.cli.objects import part
from isthmus.ports import Api, Store

log = structlog.get_logger(__name__)

SOURCE = f"{GROUP}/source"
"""Annotation: digest of what we wrote, so that we see whether there is anything new to write."""
CRDS = Api("apiextensions.k8s.io/v1", "customresourcedefinitions", namespaced=False)
OFFERINGS = Api(API_VERSION, "offerings", namespaced=False)
NAMESPACES = Api("v1", "namespaces", namespaced=False)
SYSTEM_NAMESPACE = "isthmus-system"
_RBAC = "rbac.authorization.k8s.io/v1"
_ROLES = {
    "ClusterRole": Api(_RBAC, "clusterroles", namespaced=False),
    "ClusterRoleBinding": Api(_RBAC, "clusterrolebindings", namespaced=False),
}
_DIGITS = 16
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


async def ensure(store: Store, api: Api, obj: Json) -> Json:
    """Have an object as given; what we wrote before and has not changed since stays untouched."""
    body = _stamped(obj, SOURCE, digest(obj))
    meta = body["metadata"]
    found = await store.get(api, meta.get("namespace", ""), meta["name"])
    if found is None:
        try:
            return await store.create(api, body)
        except AlreadyExists:
            return await ensure(store, api, obj)
    if _stamp(found, SOURCE) == _stamp(body, SOURCE):
        return found
    return await store.replace(api, _over(found, body))


async def kinds(store: Store) -> None:
    """Have the definitions of our kinds."""
    await asyncio.gather(*(ensure(store, CRDS, crd(kind)) for kind in KINDS))


async def roles(store: Store, files: Mapping[str, str]) -> None:
    """Have the roles of controllers and people, given as texts by file name."""
    found = [obj for text in files.values() for obj in _documents(text)]
    await asyncio.gather(*(ensure(store, _ROLES[obj["kind"]], obj) for obj in found))


async def namespace(store: Store, name: str) -> None:
    """Have a namespace."""
    if await store.get(NAMESPACES, "", name) is None:
        await store.create(NAMESPACES, {"metadata": {"name": name}})


async def installation(store: Store) -> str:
    """Return what tells this installation from others: as usual, the uid of kube-system."""
    found = await store.get(NAMESPACES, "", "kube-system")
    return found["metadata"]["uid"] if found is not None else ""


async def catalog(store: Store, files: Mapping[str, str]) -> None:
    """Have the offerings, given as texts by name; one that somebody edited stays as it is."""
    listing = await store.list(OFFERINGS)
    known = {obj["metadata"]["name"]: obj for obj in listing.items}
    wanted = files.items()
    await asyncio.gather(*(_offering(store, name, text, known.get(name)) for name, text in wanted))


async def _offering(store: Store, name: str, text: str, found: Json | None) -> None:
    source = hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]
    if found is not None and _stamp(found, SOURCE) == source:
        return
    body = _stamped(_only(_documents(text), name), SOURCE, source)
    body = _stamped(body, _INSTALLED, _spec_digest(body))
    if found is None:
        await store.create(OFFERINGS, body)
    elif _spec_digest(found) == _stamp(found, _INSTALLED):
        await store.replace(OFFERINGS, _over(found, body))
    else:
        log.warning(
            "edited offering kept",
            offering=name,
            hint=f"isthmus catalog install --force {name}.yaml takes the new one",
        )


_INSTALLED = f"{GROUP}/installed"
"""Annotation: digest of the spec as we wrote it; a spec that differs was edited by somebody."""


def _spec_digest(obj: Json) -> str:
    spec = OfferingSpec.model_validate(obj["spec"])
    return digest(spec.model_dump(mode="json", by_alias=True))[:_DIGITS]


def _documents(text: str) -> list[Json]:
    documents: Iterable[Any] = yaml.load_all(text, Loader=_LOADER)
    return [cast("Json", obj) for obj in documents if obj]


def _only(found: list[Json], name: str) -> Json:
    if len(found) != 1 or found[0]["metadata"]["name"] != name:
        raise InvalidSpec(f"{name}.yaml: must hold one Offering of the name {name!r}")
    return found[0]


def _stamped(obj: Json, key: str, value: str) -> Json:
    meta: Json = obj["metadata"]
    annotations = part(meta, "annotations") | {key: value[:_DIGITS]}
    return obj | {"metadata": meta | {"annotations": annotations}}


def _stamp(obj: Json, key: str) -> str:
    return str(part(obj, "metadata.annotations").get(key, ""))


def _over(found: Json, wanted: Json) -> Json:
    """Return what is wanted as the next version of what is there."""
    version = {"resourceVersion": found["metadata"]["resourceVersion"]}
    return wanted | {"metadata": wanted["metadata"] | version}
