"""Labels and taints of pools that a node may have, and such as it may not: cases of two tests."""

from typing import Any

from isthmus.api import node_labels as rules

LONGEST = "a" * 63
PREFIX = ".".join(["b" * 62] * 4)[:253]
LABELS: tuple[tuple[str, dict[str, str], str], ...] = (
    ("plain", {"tier": "web"}, ""),
    ("with a domain", {"example.com/tier": "Web_1.x"}, ""),
    ("without a value", {"tier": ""}, ""),
    ("as long as may be", {f"{PREFIX}/{LONGEST}": LONGEST}, ""),
    ("the kubelet's own domain", {"node.kubernetes.io/pool": "a"}, ""),
    ("one below it", {"gpu.node.kubernetes.io/pool": "a"}, ""),
    ("of the allowed ones", {"topology.kubernetes.io/zone": "a"}, ""),
    ("only like a reserved domain", {"mykubernetes.io/a": "", "k8s.ovn.org/b": ""}, ""),
    ("a role", {"node-role.kubernetes.io/worker": ""}, rules.RESERVED_WORDS),
    ("reserved itself", {"kubernetes.io/role": "a"}, rules.RESERVED_WORDS),
    ("reserved by its short name", {"cloud.k8s.io/a": ""}, rules.RESERVED_WORDS),
    ("kept from nodes", {"node-restriction.kubernetes.io/a": ""}, rules.RESERVED_WORDS),
    ("a space", {"a b": "x"}, rules.KEY_WORDS),
    ("what would end it", {'a"b\nc': "x"}, rules.KEY_WORDS),
    ("a line's end", {"a\n": "x"}, rules.KEY_WORDS),
    ("a colon", {"a:b": "x"}, rules.KEY_WORDS),
    ("no name", {"example.com/": "x"}, rules.KEY_WORDS),
    ("two slashes", {"a/b/c": "x"}, rules.KEY_WORDS),
    ("a domain with capitals", {"Example.com/a": "x"}, rules.KEY_WORDS),
    ("too long a name", {LONGEST + "a": "x"}, rules.KEY_WORDS),
    ("too long a domain", {"b" * 254 + "/a": "x"}, rules.KEY_WORDS),
    ("a hyphen at its end", {"tier": "web-"}, rules.VALUE_WORDS),
)
"""What is tried, and the words of its refusal; empty: it is taken."""
TOO_LONG = {"tier": LONGEST + "a"}
"""Refused as well; by an API as any text that is too long."""


def taint(key: str, value: str = "", effect: str = "NoSchedule") -> dict[str, Any]:
    return {"key": key, "value": value, "effect": effect}


TAINTS: tuple[tuple[str, list[dict[str, Any]], str], ...] = (
    ("plain", [taint("a", "b"), taint("a", "b", "NoExecute")], ""),
    ("of any domain", [taint("node-role.kubernetes.io/worker")], ""),
    ("a space", [taint("a b")], rules.KEY_WORDS),
    ("what would make two of it", [taint("a=b:NoSchedule,c")], rules.KEY_WORDS),
    ("a wrong value", [taint("a", "b c")], rules.VALUE_WORDS),
    ("twice the same", [taint("a", "b"), taint("a", "c")], rules.UNIQUE_WORDS),
)
