"""Gives a new cloud what tests start from, one thread a service. Does nothing twice.

Reads {"services": [...], "computes": 2, "metalDriver": "fake-hardware"} from standard input; ends
once every service is up.
"""

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import openstack

PATIENCE_SECONDS = 300
FLAVORS = {
    "m1.tiny": (1, 512, 1),
    "m1.small": (1, 2048, 20),
    "m1.medium": (2, 4096, 40),
    "m1.large": (4, 8192, 80),
    "m1.xlarge": (8, 16384, 160),
}
"""Virtual processors, memory in MiB, disk in GiB."""
METAL_FLAVOR = "baremetal"
METAL_CLAIM = {
    "resources:CUSTOM_BAREMETAL": "1",
    "resources:VCPU": "0",
    "resources:MEMORY_MB": "0",
    "resources:DISK_GB": "0",
}
"""What places a server on a node of ironic, as a whole."""
IMAGES = {"cirros": {}, "fedora-coreos": {"os_distro": "fedora-coreos"}}
NODES = 4
PUBLIC = {"start": "172.24.4.10", "end": "172.24.4.250"}


def names(things):
    return {thing.name for thing in things}


def nova(cloud, facts):
    have = names(cloud.compute.flavors())
    for name, (processors, memory, disk) in FLAVORS.items():
        if name not in have:
            cloud.compute.create_flavor(name=name, vcpus=processors, ram=memory, disk=disk)
    metal = "ironic" in facts["services"]
    if metal and METAL_FLAVOR not in have:
        flavor = cloud.compute.create_flavor(name=METAL_FLAVOR, vcpus=32, ram=131072, disk=900)
        cloud.compute.create_flavor_extra_specs(flavor, METAL_CLAIM)

    def up():
        played = [h for h in cloud.compute.hypervisors() if h.name.startswith("lab-compute-")]
        services = [s for s in cloud.compute.services() if s.state == "up"]
        wanted = facts["computes"] + 2 + metal
        return len(played) >= facts["computes"] and len(services) >= wanted

    wait("nova", up)


def glance(cloud, _facts):
    have = names(cloud.image.images())
    for name, properties in IMAGES.items():
        if name not in have:
            cloud.image.create_image(
                name,
                data=b"\0" * 65536,
                disk_format="raw",
                container_format="bare",
                visibility="public",
                min_disk=1,
                use_import=False,
                validate_checksum=False,
                **properties,
            )


def neutron(cloud, _facts):
    if "public" in names(cloud.network.networks()):
        return
    network = cloud.network.create_network(
        name="public",
        is_router_external=True,
        is_shared=False,
        provider_network_type="flat",
        provider_physical_network="public",
    )
    cloud.network.create_subnet(
        name="public",
        network_id=network.id,
        ip_version=4,
        cidr="172.24.4.0/24",
        gateway_ip="172.24.4.1",
        enable_dhcp=False,
        allocation_pools=[PUBLIC],
    )


def cinder(cloud, _facts):
    if "fake" not in names(cloud.block_storage.types()):
        extra = {"volume_backend_name": "fake"}
        cloud.block_storage.create_type(name="fake", extra_specs=extra)

    def up():
        return sum(service.state == "up" for service in cloud.block_storage.services()) >= 2

    wait("cinder", up)


def heat(cloud, _facts):
    def up():
        answer = cloud.orchestration.get("/services").json()
        return any(service["status"] == "up" for service in answer.get("services", []))

    wait("heat", up)


def ironic(cloud, facts):
    metal = cloud.baremetal
    have = {node.name: node for node in metal.nodes(details=True)}
    nodes = []
    for index in range(NODES):
        name = f"bm-{index}"
        node = have.get(name) or metal.create_node(
            name=name,
            driver=facts["metalDriver"],
            resource_class="baremetal",
            properties={"cpus": 32, "memory_mb": 131072, "local_gb": 900, "cpu_arch": "x86_64"},
        )
        if not list(metal.ports(node=node.id)):
            metal.create_port(node_id=node.id, address=f"52:54:00:00:01:{index:02x}")
        nodes.append(node)
    # All at once: each step takes the conductor a while.
    for state, verb, goal in (
        ("enroll", "manage", "manageable"),
        ("manageable", "provide", "available"),
    ):
        moving = [n for n in map(metal.get_node, nodes) if n.provision_state == state]
        for node in moving:
            metal.set_node_provision_state(node, verb)
        metal.wait_for_nodes_provision_state(moving, goal, timeout=PATIENCE_SECONDS)
    for node in map(metal.get_node, nodes):
        if node.power_state is None:  # Unknown at first; nova takes no such node.
            metal.set_node_power_state(node, "power off")


def wait(what, ready):
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            if ready():
                return
            reason = "not up"
        except Exception as error:  # noqa: BLE001  # Whatever it is, it may pass.
            reason = repr(error)
        if time.monotonic() > deadline:
            raise SystemExit(f"{what}: {reason}")
        time.sleep(1)


SEEDS = {
    "nova": nova,
    "glance": glance,
    "neutron": neutron,
    "cinder": cinder,
    "heat": heat,
    "ironic": ironic,
}


def main() -> None:
    facts = json.load(sys.stdin)
    seeds = [SEEDS[service] for service in facts["services"] if service in SEEDS]

    def plant(seed):
        seed(openstack.connect(cloud="lab-admin"), facts)

    with ThreadPoolExecutor(len(seeds) or 1) as pool:
        list(pool.map(plant, seeds))


main()
