"""The offerings of this checkout, and an instance of each plan, as tests use them."""

import base64
from functools import cache
from pathlib import Path
from typing import Any

from isthmus.api.v1alpha1 import Offering, Provider, ServiceInstance, ServiceInstanceSpec, Stack
from isthmus.core import automatic, catalog, manifests
from isthmus.core.compose.claim import compose

FOLDER = Path(__file__).parent.parent / "catalog" / "offerings"
NAMES = sorted(file.stem for file in FOLDER.glob("*.yaml"))
_CREDENTIAL = {
    f"applicationCredential{part}": {"secretKeyRef": {"name": "user", "key": part.lower()}}
    for part in ("Id", "Secret")
} | {"authUrl": "https://keystone.example.com/v3"}

OPENSHIFT = {
    "bootstrapIgnition": {"secretKeyRef": {"name": "shift-ignition", "key": "url"}},
    "bootstrapSha512": "ab" * 64,
    "authority": base64.b64encode(b"-----BEGIN CERTIFICATE-----\nMII\n").decode(),
}
"""What openshift-install would have written."""

NEEDED = {
    ("pod-network-neutron", "usual"): _CREDENTIAL
    | {
        "podCidr": "10.244.0.0/16",
        "routerId": "0a1b2c3d-0000-4000-8000-000000000000",
        "subnetId": "0a1b2c3d-0000-4000-8000-000000000001",
        "clusterId": "shop-7a1e0c52-uid",
    },
    ("pod-network-ovn-kubernetes", "usual"): {
        "podCidr": "10.244.0.0/16",
        "serviceCidr": "10.96.0.0/16",
        "podMtu": 1392,
        "internalEndpoint": "10.64.0.10:6443",
    },
    **{("openshift-nova", plan): OPENSHIFT for plan in ("standard", "production")},
    **{("storage-cinder", plan): _CREDENTIAL for plan in ("dev", "production", "custom")},
    ("route53", "production"): {"domain": "shop.example.com"},
    ("elb-application", "production"): {
        "certificateArn": "arn:aws:acm:us-east-1:111122223333:certificate/0a1b2c3d"
    },
    ("elb-network", "production"): {
        "certificateArn": "arn:aws:acm:us-east-1:111122223333:certificate/0a1b2c3d"
    },
    ("elb-classic", "production"): {
        "certificateArn": "arn:aws:acm:us-east-1:111122223333:certificate/0a1b2c3d"
    },
}
"""What a plan cannot know and a tenant has to say."""


@cache
def manifest(name: str) -> manifests.Manifest:
    (document,) = manifests.read((FOLDER / f"{name}.yaml").read_text())
    return document


@cache
def offering(name: str) -> Offering:
    parsed = Offering.parse(manifest(name).body)
    assert isinstance(parsed, Offering)
    return parsed


def plans() -> list[tuple[str, str]]:
    return [(name, plan.name) for name in NAMES for plan in offering(name).spec.plans]


def asked(name: str, plan: str, parameters: dict[str, Any] | None = None) -> ServiceInstanceSpec:
    """What a tenant asks for: as little as the plan allows."""
    given = NEEDED.get((name, plan), {}) | (parameters or {})
    return ServiceInstanceSpec(offering=name, plan=plan, parameters=given)


def composed(
    name: str,
    plan: str,
    parameters: dict[str, Any] | None = None,
    *,
    uid: str = "7a1e0c52-uid",
    services: tuple[str, ...] = (),
) -> Stack:
    """The Stack of a new instance, in a cloud that has these services."""
    definition = offering(name).spec
    provider = a_provider(next(iter(definition.stacks)), services)
    spec = asked(name, plan, parameters)
    values = catalog.values_of(definition, spec)
    decided = automatic.decide(definition, values, automatic.Place(provider=provider))
    meta = {"name": "shop", "namespace": "team-a", "uid": uid}
    body = {"metadata": meta, "spec": spec.model_dump(mode="json", by_alias=True)}
    return compose(ServiceInstance.parse(body), definition, provider, decided.values)


def a_provider(driver: str, services: tuple[str, ...] | None = ()) -> Provider:
    """A Provider that is Ready, and has said which services there are."""
    status = {"services": services, "conditions": [_READY]}
    spec = {"driver": driver}
    return Provider.parse({"metadata": {"name": driver}, "spec": spec, "status": status})


_READY = {"type": "Ready", "status": "True", "reason": "Ready"}
