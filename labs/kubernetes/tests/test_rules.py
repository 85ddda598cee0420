import os
import shutil
import subprocess
from pathlib import Path

import pytest

from isthmus_lab_kubernetes.cloud.rules import network_rules, router_rules
from isthmus_lab_kubernetes.cloud.wanted import Card, Leg, Router, Rule, Wanted

GOLDEN = Path(__file__).parent / "golden"
CONTROL = Card(
    id="11111111-aaaa-bbbb",
    network="net",
    mac="fa:16:3e:00:00:01",
    addresses=("10.0.0.5",),
    groups=("control",),
    pairs=(("10.0.0.100", "fa:16:3e:00:00:01"), ("10.245.0.0/16", "fa:16:3e:00:00:01")),
)
WORKER = Card(
    id="22222222-aaaa-bbbb",
    network="net",
    mac="fa:16:3e:00:00:02",
    addresses=("10.0.0.6", "fd00::6"),
    groups=("worker",),
)
OPEN = Card(
    id="33333333-aaaa-bbbb",
    network="net",
    mac="fa:16:3e:00:00:03",
    addresses=("10.0.0.7",),
    secured=False,
)
ANY = (Rule("egress"), Rule("egress", ethertype="IPv6"))
WANTED = Wanted(
    cards=(CONTROL, WORKER, OPEN),
    groups={
        "control": (
            *ANY,
            Rule("ingress", protocol="tcp", first=6443, last=6443, cidr="0.0.0.0/0"),
            Rule("ingress", protocol="112", group="control"),
            Rule("ingress", group="worker"),
        ),
        "worker": (
            *ANY,
            Rule("ingress", protocol="udp", first=8472, last=8472, group="control"),
            Rule("ingress", protocol="tcp", first=30000, last=32767, cidr="192.0.2.7/24"),
            Rule("ingress", protocol="icmp", first=8, last=0),
            Rule("ingress", protocol="icmp"),
            Rule("ingress", ethertype="IPv6", group="control"),
        ),
    },
)
ROUTER = Router(
    id="44444444-aaaa-bbbb",
    legs=(Leg("55555555-aaaa", "net", ("10.0.0.1/24",)),),
    outside=Leg("66666666-aaaa", "public", ("172.24.4.10/24",)),
    gateway="172.24.4.1",
    floating=(("172.24.4.11", "10.0.0.5"),),
)


def golden(text: str, name: str) -> None:
    file = GOLDEN / name
    if os.environ.get("GOLDEN") == "overwrite":
        file.write_text(text)
    assert text == file.read_text(), f"{file} differs; GOLDEN=overwrite if that is meant"


def test_security_groups_become_chains_of_sender_and_receiver() -> None:
    golden(network_rules(WANTED, WANTED.cards), "network.nft")


def test_a_network_without_secured_cards_filters_nothing() -> None:
    text = network_rules(WANTED, [OPEN])
    assert "drop" not in text
    assert "vmap" not in text


def test_a_router_translates_floating_addresses() -> None:
    golden(router_rules(ROUTER, "qg-66666666-aa"), "router.nft")


def test_a_router_without_an_outside_translates_nothing() -> None:
    assert "nat to" not in router_rules(Router(id="r", legs=ROUTER.legs), "")


@pytest.mark.labs
@pytest.mark.parametrize("name", ["network.nft", "router.nft"])
def test_the_kernel_takes_the_rules(name: str) -> None:
    if shutil.which("nft") is None or os.geteuid() != 0:
        pytest.skip("needs nft, and root")
    # In a namespace of its own, twice: the second time replaces the first.
    for _ in range(2):
        command = ["unshare", "-n", "nft", "-f", str(GOLDEN / name)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
