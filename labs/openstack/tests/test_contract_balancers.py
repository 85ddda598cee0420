"""Contract of the running lab: load balancers with a real address, and nothing behind it."""

from typing import Any

import pytest

from tests.openstack_lab import until

pytestmark = [
    pytest.mark.labs,
    pytest.mark.openstack,
    pytest.mark.slow,
    # The SDK warns of its own inside.
    pytest.mark.filterwarnings("ignore::PendingDeprecationWarning"),
]


def test_a_balancer_gets_a_port_becomes_active_and_goes_with_all_its_parts(
    cloud: Any, name: str
) -> None:
    network = cloud.network.create_network(name=name)
    subnet = cloud.network.create_subnet(
        network_id=network.id, name=name, cidr="10.11.0.0/24", ip_version=4
    )
    balancers = cloud.load_balancer
    made = balancers.create_load_balancer(name=name, vip_subnet_id=subnet.id)

    def settled() -> Any:
        return until(
            lambda: balancers.get_load_balancer(made.id),
            lambda found: found.provisioning_status == "ACTIVE",
        )

    port = cloud.network.get_port(settled().vip_port_id)
    assert port.fixed_ips[0]["subnet_id"] == subnet.id
    listener = balancers.create_listener(
        name=name, load_balancer_id=made.id, protocol="TCP", protocol_port=6443
    )
    settled()
    pool = balancers.create_pool(
        name=name, listener_id=listener.id, protocol="TCP", lb_algorithm="ROUND_ROBIN"
    )
    settled()
    balancers.create_member(pool, address="10.11.0.9", protocol_port=6443, subnet_id=subnet.id)
    settled()
    balancers.create_health_monitor(
        pool_id=pool.id, type="TCP", delay=5, timeout=3, max_retries=3, name=name
    )
    assert settled().operating_status == "ONLINE"
    balancers.delete_load_balancer(made.id, cascade=True)
    until(lambda: balancers.find_load_balancer(made.id), lambda found: found is None)
    assert list(cloud.network.ports(network_id=network.id)) == []
    assert not [found for found in balancers.pools() if found.id == pool.id]
    cloud.network.delete_network(network)
