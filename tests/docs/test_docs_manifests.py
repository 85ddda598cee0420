"""What pages show of clusters, pools, machines, networks and storage fits the catalog.

Their blocks cannot run here, since they need a cloud. So each object is furnished as its controller
does, held against its offering and composed to its Stack.
"""

from typing import Any

import pytest
import yaml

from isthmus.api.v1alpha1 import (
    AnyClaim,
    ClaimSpec,
    Cluster,
    Machine,
    Network,
    NodePool,
    OfferingSpec,
    ServiceInstance,
    Stack,
    StorageBackend,
)
from isthmus.core import automatic, catalog
from isthmus.core.compose import cluster as of_cluster
from isthmus.core.compose import node_pool, storage_backend
from isthmus.core.compose.claim import compose
from tests.catalog_files import NAMES, OPENSHIFT, a_provider, offering
from tests.docs.blocks import blocks, pages

CLAIMS = {k.__name__: k for k in (Cluster, Machine, Network, ServiceInstance, StorageBackend)}
PLACEHOLDERS = {name: OPENSHIFT[name] for name in ("bootstrapSha512", "authority")}
"""Parameters that a page leaves as ``...``, since they would be long: anything that fits."""
META = {"namespace": "team-a", "uid": "7a1e0c52-uid"}
RUNNING = {
    "endpoint": "https://10.64.0.5:6443",
    "caHash": f"sha256:{'0' * 64}",
    "provider": "our-cloud",
    "version": "v1.36.3",
    "outputs": {"NetworkId": "net", "SubnetId": "sub", "SecurityGroupId": "sg", "RouterId": "r"},
}


def shown() -> list[Any]:
    """Every object of these kinds that names an offering of the catalog, or whose cluster does."""
    found = []
    for page in pages():
        for block in blocks(page):
            for body in documents(block.text) if block.language == "yaml" else ():
                if offering_of(body) in NAMES:
                    name = f"{page.stem}-{body['kind']}-{body['metadata']['name']}"
                    found.append(pytest.param(body, id=name))
    return found


def documents(text: str) -> list[dict[str, Any]]:
    found = [body for body in yaml.safe_load_all(text) if isinstance(body, dict)]
    return [body for body in found if {"kind", "metadata", "spec"} <= body.keys()]


def offering_of(body: dict[str, Any]) -> str:
    if body["kind"] == "NodePool":
        return body["spec"].get("offering") or "kubernetes-nova-pool"
    if body["kind"] not in CLAIMS or "kubeconfigSecret" in body["spec"]:
        return ""
    return filled(body, CLAIMS[body["kind"]]).spec.offering


def filled(body: dict[str, Any], kind: type[Any]) -> Any:
    """Parse an object, with something for what the page leaves open."""
    spec = dict(body["spec"])
    given = dict(spec.get("parameters") or {})
    spec["parameters"] = {k: PLACEHOLDERS[k] if v == "..." else v for k, v in given.items()}
    status = {"status": RUNNING} if kind is Cluster else {}
    return kind.parse(body | {"metadata": META | body["metadata"], "spec": spec} | status)


def composed(claim: AnyClaim, definition: OfferingSpec) -> Stack:
    provider = a_provider(next(iter(definition.stacks)))
    values = catalog.values_of(definition, claim.spec)
    decided = automatic.decide(definition, values, automatic.Place(provider=provider))
    return compose(claim, definition, provider, decided.values)


CLUSTER = filled(
    {
        "metadata": {"name": "any"},
        "spec": {"offering": "kubernetes-nova", "plan": "dev", "provider": "our-cloud"},
    },
    Cluster,
)
"""Where pools and storage of a page land."""


def furnished(body: dict[str, Any], definition: OfferingSpec) -> AnyClaim:
    if body["kind"] == "NodePool":
        cluster = offering(CLUSTER.spec.offering).spec
        values = catalog.values_of(cluster, ClaimSpec(offering="kubernetes-nova", plan="dev"))
        pool = filled(body, NodePool)
        group = node_pool.group_of(pool, CLUSTER, definition, revision="r", inherited=values)
        return node_pool.resized(group, definition, node_pool.Size(count=1))
    claim = filled(body, CLAIMS[body["kind"]])
    if isinstance(claim, Cluster):
        return of_cluster.furnished(claim, definition)
    if isinstance(claim, StorageBackend):
        cloud = a_provider("openstack")
        settings = {"settings": {"authUrl": "https://keystone.example.com/v3"}, "region": "one"}
        spec = cloud.spec.model_copy(update=settings)
        cloud = cloud.model_copy(update={"spec": spec})
        return storage_backend.furnished(claim, definition, CLUSTER, cloud)
    return claim


@pytest.mark.parametrize("body", shown())
def test_what_a_page_shows_fits_its_offering(body):
    definition = offering(offering_of(body)).spec
    stack = composed(furnished(body, definition), definition)
    assert stack.spec.template


def test_each_kind_is_shown_somewhere():
    kinds = {parameter.values[0]["kind"] for parameter in shown()}
    assert kinds == {*CLAIMS, "NodePool"}
