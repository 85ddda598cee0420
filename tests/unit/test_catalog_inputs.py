"""What a tenant may get wrong is refused at once, by the name of the field that the tenant has."""

import pytest

from isthmus.api.v1alpha1 import Cluster, Network, Provider
from isthmus.core.compose.claim import compose
from isthmus.errors import InvalidSpec
from tests.catalog_files import composed, offering

RANGES = [
    ("kubernetes-nova", {"podCidr": "999.1.1.1/99"}, "podCidr: write a range"),
    ("kubernetes-nova", {"podCidr": "10.244.0.0/16\n"}, "podCidr: write a range"),
    ("kubernetes-nova", {"podCidr": "10.244.0.0/28"}, "podCidr: 10.244.0.0/28 is too small"),
    ("kubernetes-nova", {"podCidr": "10.96.0.0/16"}, "serviceCidr: 10.96.0.0/16 overlaps"),
    ("kubernetes-nova", {"podCidr": "10.64.0.0/16"}, "podCidr: 10.64.0.0/16 overlaps"),
    ("kubernetes-nova", {"serviceCidr": "10.64.2.0/24"}, "serviceCidr: 10.64.2.0/24 overlaps"),
    ("kubernetes-nova", {"serviceCidr": "10.96.0.0/8"}, "serviceCidr: write a range"),
    ("kubernetes-nova", {"serviceCidr": "11.0.0.0/8"}, "serviceCidr: 11.0.0.0/8 is too large"),
    ("kubernetes-nova", {"nodeCidr": "10.64.0.0/30"}, "nodeCidr: 10.64.0.0/30 is too small"),
    ("kubernetes-nova", {"apiCidr": "everybody"}, "apiCidr: write a range"),
    ("kubernetes-nova", {"nodePortCidr": "10.0.0.1/8"}, "nodePortCidr: write a range"),
    ("kubernetes-nova", {"dnsServers": ["1.2.3"]}, "dnsServers.0: write one address"),
    ("network", {"cidr": "10.0.0.1/24"}, "cidr: write a range"),
    ("network", {"cidr": "10.0.0.0/30"}, "cidr: 10.0.0.0/30 is too small"),
    ("network", {"openPorts": ["99999"]}, "openPorts.0: write a port"),
    ("network", {"nameServers": ["dns"]}, "nameServers.0: write one address"),
    ("network", {"allowedCidr": "10.0.0.0/33"}, "allowedCidr: write a range"),
    ("machine", {"address": "nonsense"}, "address: write one address"),
]


@pytest.mark.parametrize(("name", "parameters", "words"), RANGES)
def test_addresses_that_cannot_be_are_refused(name, parameters, words):
    with pytest.raises(InvalidSpec) as caught:
        composed(name, "custom", parameters)
    assert caught.value.message.startswith(f"spec.parameters.{words}")


def of(kind, spec):
    name = spec["offering"]
    provider = Provider.parse({"metadata": {"name": "c"}, "spec": {"driver": "openstack"}})
    metadata = {"name": "shop", "namespace": "team-a", "uid": "7a1e0c52-uid"}
    return compose(kind.parse({"metadata": metadata, "spec": spec}), offering(name).spec, provider)


@pytest.mark.parametrize(
    ("kind", "spec", "words"),
    [
        (
            Cluster,
            {"offering": "kubernetes-nova", "plan": "dev", "network": {"podCidr": "10.96.0.0/12"}},
            "spec.parameters.serviceCidr: 10.96.0.0/16 overlaps spec.network.podCidr, 10.96.0.0/12",
        ),
        (
            Cluster,
            {"offering": "kubernetes-nova", "plan": "dev", "network": {"serviceCidr": "10.96/16"}},
            "spec.network.serviceCidr: write a range",
        ),
        (
            Cluster,
            {"offering": "kubernetes-nova", "plan": "dev", "kubernetesVersion": "latest"},
            "spec.kubernetesVersion: ",
        ),
        (Network, {"offering": "network", "plan": "custom", "cidr": "10.0.0.9/24"}, "spec.cidr: "),
    ],
)
def test_the_field_is_the_one_that_the_tenant_has_written(kind, spec, words):
    with pytest.raises(InvalidSpec) as caught:
        of(kind, spec)
    assert caught.value.message.startswith(words)


def test_a_machines_metadata_are_not_ours():
    with pytest.raises(InvalidSpec, match=r"spec\.parameters\.metadata: names that begin"):
        composed("machine", "custom", {"metadata": {"isthmus-uid": "somebody's"}})


def test_our_tag_comes_after_the_tenants_metadata():
    template = composed("machine", "custom", {"metadata": {"team": "web"}}).spec.template
    merged = template["resources"]["server"]["properties"]["metadata"]["map_merge"]
    assert merged == [{"team": "web"}, {"isthmus-uid": "7a1e0c52-uid"}]
