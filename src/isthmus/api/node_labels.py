"""The labels and taints that a node may register itself with, and these rules as parts of a schema.

A kubelet refuses to start with any other label, and an API server to register such a node.

https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/
https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/#noderestriction
"""

from typing import Any, Final

NAME: Final = "[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
_PART: Final = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
KEY: Final = f"({_PART}([.]{_PART})*/)?{NAME}"
VALUE: Final = f"({NAME})?"
VALUE_BYTES: Final = 63
PREFIX_BYTES: Final = 253
KEY_BYTES: Final = PREFIX_BYTES + 1 + VALUE_BYTES
MOST: Final = 64
"""So many of each: an API server must know that before it takes a rule."""

RESERVED: Final = "([^/]*[.])?(kubernetes|k8s)[.]io/.*"
"""Of these a node gives itself only ``OWN`` and ``OWN_LABELS``."""
OWN: Final = "([^/]*[.])?(kubelet|node)[.]kubernetes[.]io/.*"
OWN_LABELS: Final = (
    "kubernetes.io/hostname",
    "kubernetes.io/os",
    "kubernetes.io/arch",
    "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region",
    "beta.kubernetes.io/instance-type",
    "beta.kubernetes.io/os",
    "beta.kubernetes.io/arch",
)
"""https://github.com/kubernetes/kubelet/blob/master/pkg/apis/well_known_labels.go"""

KEY_WORDS: Final = (
    "a name has letters, digits, '-', '_' and '.', at most 63, the first and the last a letter or "
    "digit; a domain may come before it, as in example.com/tier"
)
VALUE_WORDS: Final = (
    "a value has letters, digits, '-', '_' and '.', at most 63, the first and the last a letter or "
    "digit; or it is empty"
)
RESERVED_WORDS: Final = (
    "no node may give itself this label of kubernetes.io or k8s.io; take a domain of your own, or "
    "one below node.kubernetes.io, or label the nodes with kubectl once they have joined"
)
UNIQUE_WORDS: Final = "two taints have the same key and effect; remove one of them"


def _rule(rule: str, words: str) -> dict[str, str]:
    return {"rule": rule, "message": words}


def _is_key(name: str) -> str:
    return f"{name}.matches('^{KEY}$') && {name}.indexOf('/') <= {PREFIX_BYTES}"


LABELS_SCHEMA: Final[dict[str, Any]] = {
    "maxProperties": MOST,
    "x-kubernetes-validations": [
        _rule(f"self.all(k, {_is_key('k')})", KEY_WORDS),
        _rule(
            f"self.all(k, !k.matches('^{RESERVED}$') || k.matches('^{OWN}$') || "
            f"k in {list(OWN_LABELS)})",
            RESERVED_WORDS,
        ),
    ],
}
VALUE_SCHEMA: Final[dict[str, Any]] = {
    "maxLength": VALUE_BYTES,
    "x-kubernetes-validations": [_rule(f"self.matches('^{VALUE}$')", VALUE_WORDS)],
}
KEY_SCHEMA: Final[dict[str, Any]] = {
    "maxLength": KEY_BYTES,
    "x-kubernetes-validations": [_rule(_is_key("self"), KEY_WORDS)],
}
TAINTS_SCHEMA: Final[dict[str, Any]] = {
    "maxItems": MOST,
    "x-kubernetes-validations": [
        _rule(
            "self.all(t, self.exists_one(u, u.key == t.key && u.effect == t.effect))", UNIQUE_WORDS
        )
    ],
}
"""Rules for the API only: an object that was stored before them can still be read, and deleted."""
