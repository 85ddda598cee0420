"""What a pod network is told: packets that fit, and nothing that it did not ask for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.core.compose.in_cluster import key_of
from isthmus.core.compose.pod_network import OVERHEAD_BYTES, offering_of, pod_mtu
from isthmus.errors import InvalidSpec
from tests.catalog_files import offering

PLUGINS = st.sampled_from(sorted(OVERHEAD_BYTES))


@given(PLUGINS, st.integers(576, 9216))
def test_a_pods_packet_and_its_headers_fit_into_the_nodes(plugin: str, mtu: int) -> None:
    values = {"networkPlugin": plugin, "mtu": mtu}
    if mtu - OVERHEAD_BYTES[plugin] < 576:
        with pytest.raises(InvalidSpec, match=r"spec\.network\.mtu"):
            pod_mtu(values)
    else:
        assert pod_mtu(values) + OVERHEAD_BYTES[plugin] == mtu


@pytest.mark.parametrize(
    ("plugin", "name"),
    [
        ("flannel", ""),
        ("ovn-kubernetes", "pod-network-ovn-kubernetes"),
        ("neutron", "pod-network-neutron"),
        ("", ""),
    ],
)
def test_the_blueprint_says_who_brings_a_network(plugin: str, name: str) -> None:
    found = offering_of(offering("kubernetes-nova").spec, {"networkPlugin": plugin})
    assert found == name
    if name:
        assert offering(name).spec.category == "network"


@pytest.mark.parametrize(
    ("parameter", "key"),
    [
        ("applicationCredentialId", "application-credential-id"),
        ("userKey", "user-key"),
        ("key", "key"),
        ("chapPassword2", "chap-password2"),
    ],
)
def test_a_secret_parameter_has_its_key(parameter: str, key: str) -> None:
    assert key_of(parameter) == key
