"""Contract of the running lab: Magnum's own driver makes, grows and removes a cluster."""

from typing import Any

import pytest

from tests.openstack_lab import until

pytestmark = [
    pytest.mark.labs,
    pytest.mark.openstack,
    pytest.mark.slow,
    pytest.mark.timeout(1080),
    # The SDK warns of its own inside.
    pytest.mark.filterwarnings("ignore::PendingDeprecationWarning"),
]

TEMPLATE = {
    "image_id": "fedora-coreos",
    "external_network_id": "public",
    "flavor_id": "m1.small",
    "master_flavor_id": "m1.small",
    "coe": "kubernetes",
    "network_driver": "calico",
    "docker_volume_size": 5,
    "docker_storage_driver": "overlay2",
    "dns_nameserver": "8.8.8.8",
    "floating_ip_enabled": False,
    "master_lb_enabled": False,
    "tls_disabled": True,
}


class Magnum:
    """Magnum's API, of which the SDK knows only a part."""

    def __init__(self, cloud: Any) -> None:
        self.session = cloud.session

    def call(self, method: str, path: str, body: Any = None) -> Any:
        answer = self.session.request(
            path,
            method,
            json=body,
            endpoint_filter={"service_type": "container-infra", "interface": "public"},
            headers={"OpenStack-API-Version": "container-infra latest"},
        )
        return answer.json() if answer.text else {}

    def clusters(self) -> dict[str, str]:
        """Status by id."""
        return {c["uuid"]: c["status"] or "" for c in self.call("GET", "/clusters")["clusters"]}

    def wait(self, cluster: str, action: str) -> str:
        """Wait until the action is over, which the conductor takes from a queue; the status."""
        return until(
            lambda: self.clusters().get(cluster, ""),
            lambda status: status.startswith(action) and not status.endswith("IN_PROGRESS"),
            600,
            2,
        )


def test_a_cluster_is_made_grows_and_goes(cloud: Any, name: str) -> None:
    magnum = Magnum(cloud)
    key = cloud.compute.create_keypair(name=name)
    template = magnum.call(
        "POST", "/clustertemplates", {"name": name, "keypair_id": name} | TEMPLATE
    )
    cluster = magnum.call(
        "POST",
        "/clusters",
        {"name": name, "cluster_template_id": template["uuid"], "node_count": 1, "keypair": name},
    )["uuid"]
    assert magnum.wait(cluster, "CREATE") == "CREATE_COMPLETE"
    groups = magnum.call("GET", f"/clusters/{cluster}/nodegroups")["nodegroups"]
    assert {group["role"]: group["node_count"] for group in groups} == {"master": 1, "worker": 1}
    magnum.call("POST", f"/clusters/{cluster}/actions/resize", {"node_count": 2})
    assert magnum.wait(cluster, "UPDATE") == "UPDATE_COMPLETE"
    magnum.call("DELETE", f"/clusters/{cluster}")
    until(magnum.clusters, lambda found: cluster not in found, 600)
    magnum.call("DELETE", f"/clustertemplates/{template['uuid']}")
    cloud.compute.delete_keypair(key)
    assert not [server.name for server in cloud.compute.servers() if name in server.name]
