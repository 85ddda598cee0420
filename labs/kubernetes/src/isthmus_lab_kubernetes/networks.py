"""The lab's cables: a network namespace with a bridge for each network, and guests plugged into it.

No bridge lies in the host's own namespace; an uplink is the one cable from there to a network.
"""

import fcntl
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

from isthmus_lab_kubernetes.commands import run
from isthmus_lab_kubernetes.machines import Port
from isthmus_lab_kubernetes.settings import Lab, LabError

BRIDGE = "bridge"
METADATA = "169.254.169.254"


def exists(namespace: str) -> bool:
    """True if a network namespace has been made."""
    return Path(f"/run/netns/{namespace}").exists()


def inside(namespace: str, *command: str | Path) -> str:
    """Run a program in a network namespace, without the new mounts of `ip netns exec`."""
    return run("nsenter", f"--net=/run/netns/{namespace}", "--", *command)


@contextmanager
def _locked(lab: Lab) -> Generator[None]:
    """Let one process at a time make shared things: commands and the agent do so side by side."""
    lab.state.mkdir(parents=True, exist_ok=True)
    with (lab.state / "networks.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def ensure_network(lab: Lab, network: str) -> str:
    """Make a network's namespace and bridge if need be; returns the namespace's name."""
    name = lab.namespace("net", network)
    with _locked(lab):
        if not exists(name):
            run("ip", "netns", "add", name)
            run("ip", "-n", name, "link", "set", "lo", "up")
            # No spanning tree, no multicast snooping: a frame passes at once.
            quick = ("forward_delay", "0", "mcast_snooping", "0")
            run("ip", "-n", name, "link", "add", BRIDGE, "type", "bridge", *quick)
            run("ip", "-n", name, "link", "set", BRIDGE, "up")
    return name


def remove_namespace(name: str) -> None:
    """Remove a namespace with all cables that end in it."""
    if exists(name):
        run("ip", "netns", "del", name)


def keep_networks(lab: Lab, wished: Callable[[], set[str]]) -> bool:
    """Remove the networks that nobody wishes any more; true if there were any.

    Who wishes one is asked when nobody can make one: a guest is written down before it is plugged.
    """
    with _locked(lab):
        names = {lab.namespace("net", network) for network in wished()}
        there = Path("/run/netns").glob(f"{lab.namespace('net', '')}*")
        gone = [path.name for path in there if path.name not in names]
        for name in gone:
            remove_namespace(name)
    return bool(gone)


def uplink(lab: Lab, network: str, addresses: tuple[str, ...]) -> None:
    """Lay a cable from the host into a network, and give the host these addresses at its end."""
    outer = f"il{lab.tag}{network[:7]}"
    namespace = ensure_network(lab, network)
    with _locked(lab):
        if not Path(f"/sys/class/net/{outer}").exists():
            peer = ("peer", "name", "uplink", "netns", namespace)
            run("ip", "link", "add", outer, "type", "veth", *peer)
            run("ip", "-n", namespace, "link", "set", "uplink", "master", BRIDGE, "up")
            run("ip", "link", "set", outer, "up")
    for address in addresses:
        run("ip", "addr", "replace", address, "dev", outer)


def power_on(lab: Lab, guest: str, ports: tuple[Port, ...]) -> str:
    """Make a guest's namespace anew, with its cards: what it had configured died with its power."""
    namespace = lab.namespace("vm", guest)
    for port in ports:
        unplug(lab, port)
    remove_namespace(namespace)
    run("ip", "netns", "add", namespace)
    run("ip", "-n", namespace, "link", "set", "lo", "up")
    run("ip", "-n", namespace, "addr", "add", f"{METADATA}/32", "dev", "lo")
    for number, port in enumerate(ports):
        plug(lab, namespace, f"eth{number}", port)
    return namespace


def plug(lab: Lab, namespace: str, card: str, port: Port) -> None:
    """Lay the cable from a network's bridge to a guest's card, configured as DHCP would."""
    network = ensure_network(lab, port.network)
    unplug(lab, port)
    run(
        "ip",
        "-n",
        network,
        "link",
        "add",
        port.tap,
        "type",
        "veth",
        "peer",
        "name",
        card,
        "netns",
        namespace,
    )
    run("ip", "-n", network, "link", "set", port.tap, "mtu", str(port.mtu), "master", BRIDGE, "up")
    run("ip", "-n", namespace, "link", "set", card, "address", port.mac, "mtu", str(port.mtu))
    for address in port.addresses:
        run("ip", "-n", namespace, "addr", "add", address, "dev", card)
    run("ip", "-n", namespace, "link", "set", card, "up")
    for destination, hop in port.routes:
        run("ip", "-n", namespace, "route", "replace", destination, "via", hop, "dev", card)
    if port.gateway and "default" not in run("ip", "-n", namespace, "route", "show", "default"):
        run("ip", "-n", namespace, "route", "add", "default", "via", port.gateway, "dev", card)


def unplug(lab: Lab, port: Port) -> None:
    """Pull a guest's cable; nothing if there is none."""
    network = lab.namespace("net", port.network)
    if not _plugged(network, port):
        return
    try:
        run("ip", "-n", network, "link", "del", port.tap)
    except LabError:
        # The kernel takes the cables of a removed namespace away in its own time: now, perhaps.
        if _plugged(network, port):
            raise


def _plugged(network: str, port: Port) -> bool:
    if not exists(network):
        return False
    return port.tap in run("ip", "-n", network, "-br", "link", "show", "type", "veth")


def remove_all(lab: Lab) -> None:
    """Remove every namespace of the lab, and the host's ends of their cables."""
    # With its namespace a cable would go, too, but later: the next lab may use the same addresses.
    for card in sorted(Path("/sys/class/net").glob(f"il{lab.tag}*")):
        try:
            run("ip", "link", "del", card.name)
        except LabError:
            if card.exists():
                raise
    folder = Path("/run/netns")
    for path in sorted(folder.glob(f"il{lab.tag}-*")) if folder.exists() else ():
        remove_namespace(path.name)
