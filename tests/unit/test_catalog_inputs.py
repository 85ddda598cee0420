"""What a tenant may get wrong is refused at once, by the name of the field that the tenant has."""

import pytest

from isthmus.api.v1alpha1 import Cluster, Network, ServiceInstance
from isthmus.core import catalog
from isthmus.core.compose.claim import compose
from isthmus.errors import InvalidSpec
from tests.catalog_files import OPENSHIFT, a_provider, composed, offering

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


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"bootstrapIgnition": None}, "the bootstrap server needs `bootstrapIgnition`"),
        ({"bootstrapSha512": None}, ".bootstrapSha512: write the 128 digits"),
        ({"bootstrapSha512": "ab"}, ".bootstrapSha512: write the 128 digits"),
        ({"authority": None}, '"authority" is a required property'),
        ({"authority": "bm8gY2VydGlmaWNhdGUgYXQgYWxsLCBub25l"}, ".authority: write what follows"),
        ({"apiAddress": "10.67.0.5"}, ".apiAddress: 10.67.0.5 is not in spec.parameters.nodeCidr"),
        ({"ingressAddress": "10.66.0.5"}, ".ingressAddress: 10.66.0.5 overlaps"),
    ],
)
def test_an_openshift_that_could_not_boot_is_refused(parameters, words):
    asked = {k: v for k, v in (OPENSHIFT | parameters).items() if v is not None}
    spec = {"offering": "openshift-nova", "plan": "standard", "parameters": asked}
    with pytest.raises(InvalidSpec) as caught:
        of(ServiceInstance, spec)
    assert words in caught.value.message


def test_without_its_bootstrap_server_an_openshift_needs_no_file_of_it():
    asked = {"authority": OPENSHIFT["authority"], "bootstrapping": False}
    assert of(
        ServiceInstance,
        {"offering": "openshift-nova", "plan": "standard", "parameters": asked},
    )


def of(kind, spec):
    definition = offering(spec["offering"]).spec
    claim = kind.parse({"metadata": META, "spec": spec})
    values = catalog.values_of(definition, claim.spec)
    return compose(claim, definition, a_provider("openstack"), values)


META = {"name": "shop", "namespace": "team-a", "uid": "7a1e0c52-uid"}


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
        (
            Cluster,
            {
                "offering": "kubernetes-nova",
                "plan": "dev",
                "network": {"plugin": "neutron"},
                "parameters": {"network": "6f0c", "subnet": "a1"},
            },
            "spec.parameters.network: plugin `neutron` needs the router of",
        ),
        (
            Cluster,
            {
                "offering": "kubernetes-nova",
                "plan": "dev",
                "network": {"plugin": "neutron"},
                "parameters": {"externalNetwork": ""},
            },
            "spec.parameters.externalNetwork: plugin `neutron` needs a router",
        ),
        (
            Cluster,
            {"offering": "kubernetes-nova", "plan": "dev", "parameters": {"network": "6f0c"}},
            "spec.parameters.subnet: name the subnet of that network",
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
