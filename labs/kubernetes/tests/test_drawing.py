"""Routers, floating addresses and security groups on real namespaces, with nobody in them."""

import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from isthmus_lab_kubernetes import networks
from isthmus_lab_kubernetes.cloud.doors import listen_inside
from isthmus_lab_kubernetes.cloud.drawing import Drawing
from isthmus_lab_kubernetes.cloud.wanted import Card, Leg, Router, Rule, Wanted
from isthmus_lab_kubernetes.machines import Port
from isthmus_lab_kubernetes.settings import Lab
from tests.openstack_lab import until

pytestmark = [pytest.mark.labs, pytest.mark.guests]
ANY = Rule("egress")
API = Rule("ingress", protocol="tcp", first=6443, last=6443, cidr="0.0.0.0/0")
CARDS = tuple(
    Card(
        id=f"{number}{'0' * 10}-card",
        network="inner",
        mac=f"fa:16:3e:00:00:0{number}",
        addresses=(f"10.63.0.{number}0",),
        groups=(group,),
    )
    for number, group in ((1, "control"), (2, "worker"))
)
ROUTER = Router(
    id="router",
    legs=(Leg("leg-inner", "inner", ("10.63.0.1/24",)),),
    outside=Leg("leg-outer", "outer", ("198.18.63.5/24",)),
    gateway="198.18.63.1",
    floating=(("198.18.63.9", "10.63.0.10"),),
)
WANTED = Wanted(
    cards=CARDS,
    groups={"control": (ANY, API), "worker": (ANY, Rule("ingress", group="worker"))},
    routers=(ROUTER,),
    outside={"outer": ("198.18.63.1/24",)},
)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    if os.geteuid() != 0 or shutil.which("nft") is None:
        pytest.skip("needs nft and root")
    made = Lab(tmp_path)
    for name, card in zip(("one", "two"), CARDS, strict=True):
        port = Port(card.id, "inner", card.mac, (f"{card.addresses[0]}/24",), gateway="10.63.0.1")
        networks.power_on(made, name, (port,))
    yield made
    networks.remove_all(made)
    assert not list(Path("/sys/class/net").glob(f"il{made.tag}*"))


@pytest.fixture
def echo(lab: Lab) -> Iterator[Callable[[str, int], None]]:
    """Answer on a port in a guest's namespace with who called."""
    open_ones: list[tuple[socket.socket, threading.Thread]] = []

    def work(listening: socket.socket) -> None:
        with listening, suppress(OSError):  # It is shut.
            while True:
                made, caller = listening.accept()
                with made, suppress(OSError):  # Who called has given up.
                    made.sendall(caller[0].encode())

    def start(guest: str, port: int) -> None:
        path = Path("/run/netns") / lab.namespace("vm", guest)
        (listening,) = listen_inside(path, [("0.0.0.0", port)])
        open_ones.append((listening, threading.Thread(target=work, args=(listening,))))
        open_ones[-1][1].start()

    yield start
    for listening, thread in open_ones:
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()


def call(address: str, port: int) -> str:
    """Who the other end says that we are; empty if nobody answers in two seconds."""
    try:
        with socket.create_connection((address, port), timeout=2) as made:
            return made.recv(100).decode()
    except OSError:
        return ""


def call_from(lab: Lab, guest: str, address: str, port: int) -> str:
    script = (
        f"import socket; s = socket.create_connection(('{address}', {port}), 2);"
        " print(s.recv(100).decode(), end='')"
    )
    namespace = f"--net=/run/netns/{lab.namespace('vm', guest)}"
    command = ["nsenter", namespace, "--", "python3", "-c", script]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def answered(ask: Callable[..., str], *where: Any, caller: str) -> None:
    """Wait until the other end sees this caller: a cable carries a moment after it is laid."""
    until(lambda: ask(*where), caller.__eq__, 60)


def test_what_may_pass_passes_and_nothing_else(lab: Lab, echo: Callable[[str, int], None]) -> None:
    drawing = Drawing(lab)
    cards = [card.id for card in CARDS]
    assert drawing.draw(WANTED, cards)
    assert not drawing.draw(WANTED, cards)
    for port in (6443, 10250):
        echo("one", port)
    echo("two", 8080)

    # The host, by the floating address.
    answered(call, "198.18.63.9", 6443, caller="198.18.63.1")
    assert call("198.18.63.9", 10250) == "", "the security group lets nothing else in"
    # Within the network.
    answered(call_from, lab, "two", "10.63.0.10", 6443, caller="10.63.0.20")
    assert call_from(lab, "two", "10.63.0.10", 10250) == ""
    assert call_from(lab, "one", "10.63.0.20", 8080) == "", "one is not of the group worker"
    # By the router and back.
    answered(call_from, lab, "two", "198.18.63.9", 6443, caller="198.18.63.5")

    address = ("ip", "-n", lab.namespace("vm", "two"), "addr")
    subprocess.run([*address, "add", "10.63.0.77/24", "dev", "eth0"], check=True)
    subprocess.run([*address, "del", "10.63.0.20/24", "dev", "eth0"], check=True)
    assert call_from(lab, "two", "10.63.0.10", 6443) == "", "a false address does not pass"


def test_a_floating_address_moves_and_a_router_goes(
    lab: Lab, echo: Callable[[str, int], None]
) -> None:
    drawing = Drawing(lab)
    cards = [card.id for card in CARDS]
    drawing.draw(WANTED, cards)
    namespace = lab.namespace("rtr", "router")
    assert networks.exists(namespace)
    bare = Router(ROUTER.id, ROUTER.legs, ROUTER.outside, ROUTER.gateway)
    assert drawing.draw(Wanted(CARDS, WANTED.groups, (bare,), WANTED.outside), cards)
    echo("one", 6443)
    assert call("198.18.63.9", 6443) == ""
    assert drawing.draw(Wanted(CARDS, WANTED.groups), cards)
    assert not networks.exists(namespace)
    assert not networks.exists(lab.namespace("net", "outer"))
    assert drawing.draw(Wanted(), [])
    assert not networks.exists(lab.namespace("net", "inner"))


def test_power_comes_back_as_often_as_it_goes(lab: Lab) -> None:
    card = CARDS[0]
    port = Port(card.id, "inner", card.mac, (f"{card.addresses[0]}/24",))
    for _ in range(10):
        namespace = networks.power_on(lab, "one", (port,))
        networks.remove_namespace(namespace)
