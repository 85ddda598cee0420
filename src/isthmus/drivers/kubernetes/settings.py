"""The settings of a Provider of this driver, checked before anything is called."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from isthmus.drivers.kubernetes.kubeconfig import Target, parse
from isthmus.errors import InvalidSpec
from isthmus.ports import Endpoint

KNOWN: Final = frozenset({"context", "kubeconfigKey", "namespace", "readySeconds"})
_READY_SECONDS: Final = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Which cluster, and how we treat it."""

    target: Target
    namespace: str
    """Where inventories are, and objects that name no namespace."""
    patience: timedelta
    """After a change, objects may take so long to become ready."""
    installation: str


def read(endpoint: Endpoint) -> Settings:
    """Read a Provider's settings and its kubeconfig.

    Raises:
        InvalidSpec: Names the first wrong field and what would be right.
    """
    given = endpoint.settings
    if unknown := sorted(set(given) - KNOWN):
        raise InvalidSpec(
            f"spec.settings.{unknown[0]}: unknown to driver kubernetes; known are: "
            f"{', '.join(sorted(KNOWN))}."
        )
    key = given.get("kubeconfigKey", "") or "kubeconfig"
    text = endpoint.credentials.get(key, "")
    if not text:
        raise InvalidSpec(
            f"spec.credentialsSecret: name a Secret whose key {key!r} holds a kubeconfig."
        )
    target = parse(text, given.get("context", ""))
    return Settings(
        target=target,
        namespace=given.get("namespace", "") or target.namespace,
        patience=timedelta(seconds=_seconds(given.get("readySeconds", ""))),
        installation=endpoint.installation,
    )


def _seconds(text: str) -> int:
    if not text:
        return _READY_SECONDS
    if not text.isdigit() or not 1 <= int(text) <= 86_400:
        raise InvalidSpec("spec.settings.readySeconds: write whole seconds, from 1 to 86400.")
    return int(text)
