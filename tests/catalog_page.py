"""The reference pages of the catalog, one a cloud, written from the offerings themselves."""

from typing import Any

import orjson

from isthmus.api.v1alpha1 import OfferingSpec, Plan, PriceList
from isthmus.core import catalog, prices, schemas
from isthmus.core.render import as_text
from tests.catalog_files import NAMES, asked, offering

INTRO = """\
# Catalog

<!-- Written from catalog/offerings by `GOLDEN=overwrite pytest tests/unit/test_catalog_page.py`;
change the offerings instead. -->

One file each under `catalog/offerings`; [write an offering](../howto/write-an-offering.md) says
what is in them. What holds for all of them:

* **Plans.** `dev` is small and leaves nothing behind when its ServiceInstance is deleted.
  `production` is what a review would ask for, and keeps the data (a final snapshot, or the resource
  itself) when the instance is deleted; parameters marked *fixed* cannot be overridden there.
  `custom` starts from the defaults. Encryption, private access, TLS and our tags are in every plan
  and cannot be switched off.
* **Network.** Offerings that live in a VPC take `vpcId` with `subnetIds`. Without them the stack
  makes a small private network of its own, `10.242.0.0/24`, with no way to or from the internet:
  whatever shall reach the service runs in it, or the network is peered (an account has five VPCs a
  region unless you ask AWS for more). `allowedCidr` says who may connect.
* **Deletion.** `onDelete` says what stays. Deletion protection keeps everybody else from deleting;
  deleting the ServiceInstance lifts it first.
* **Bindings.** Each binding gets a credential of its own, revoked with it; see
  [the keys of the Secret](secret-keys.md). Prefer `iam-role` to `iam-user`: its `principal` is
  whoever may take the role, for a workload in Kubernetes `{oidcProvider, subject}` of its service
  account, for example `{oidcProvider: oidc.eks.eu-central-1.amazonaws.com/id/ABC, subject:
  "system:serviceaccount:shop:web"}`.
* **Prices** are AWS's public list prices of the region and date that are stated, before taxes and
  discounts; what is not known is left out. `isthmus plan` shows them.
"""

OPENSTACK = """\
# Catalog: OpenStack

<!-- Written from catalog/offerings by `GOLDEN=overwrite pytest tests/unit/test_catalog_page.py`;
change the offerings instead. -->

One file each under `catalog/offerings`, realised by Heat. [Blueprints of
clusters](../explanation/cluster-blueprints.md) says how the clusters work, which of them a test has
seen running, and what was only created.
"""
KUBERNETES = """\
# Catalog: Kubernetes

<!-- Written from catalog/offerings by `GOLDEN=overwrite pytest tests/unit/test_catalog_page.py`;
change the offerings instead. -->

One file each under `catalog/offerings`: what Isthmus brings into a Kubernetes cluster. Their
manifests hold to the schemas of a real Kubernetes API in tests; [storage in a
cluster](../howto/storage-in-a-cluster.md) says what has been seen running.
"""
INTROS = {"aws": INTRO, "openstack": OPENSTACK, "kubernetes": KUBERNETES}
"""By driver; each has a page."""


def page(driver: str) -> str:
    """Everything that a tenant may choose and gets, offering by offering."""
    names = [name for name in NAMES if driver in offering(name).spec.stacks]
    rows = [
        f"| [{offering(n).spec.title}](#{anchor(offering(n).spec.title)}) | `{n}` | "
        f"{offering(n).spec.category} | {_strategies(offering(n).spec)} | "
        f"{', '.join(f'`{a.name}`' for a in offering(n).spec.actions)} |"
        for n in names
    ]
    head = ["| service | offering | category | credentials | actions |", "|---|---|---|---|---|"]
    sections = [_section(name, offering(name).spec) for name in names]
    return "\n".join([INTROS[driver], *head, *rows, "", *sections])


def anchor(title: str) -> str:
    return title.lower().replace(" ", "-")


_WHOSE = {"aws": "AWS's", "openstack": "OpenStack's", "kubernetes": "Its"}


def _strategies(spec: OfferingSpec) -> str:
    return ", ".join(f"`{c.strategy}`" for stack in spec.stacks.values() for c in stack.credentials)


def _section(name: str, spec: OfferingSpec) -> str:
    parts = [f"## {spec.title}\n", f"`{name}`. {spec.description}\n"]
    if spec.documentation:
        driver = next(iter(spec.stacks))
        parts.append(f"[{_WHOSE[driver]} documentation]({spec.documentation})\n")
    parts += [_plans(spec), _parameters(spec), _binding(spec), _actions(spec)]
    parts += [_prices(name, spec, listed) for listed in spec.prices]
    return "\n".join(part for part in parts if part)


def _plans(spec: OfferingSpec) -> str:
    rows = [f"| `{p.name}` | {p.description} | {_values(p)} |" for p in spec.plans]
    return "\n".join(["| plan | what | values |", "|---|---|---|", *rows, ""])


def _values(plan: Plan) -> str:
    shown = [f"`{key}: {_text(value)}`" for key, value in plan.parameters.items()]
    fixed = [f"fixed: {', '.join(f'`{name}`' for name in plan.fixed)}"] if plan.fixed else []
    return "<br>".join(shown + fixed)


def _parameters(spec: OfferingSpec) -> str:
    head = ["| parameter | help | values | default | changes |", "|---|---|---|---|---|"]
    rows = [
        f"| `{name}` | {_cell(s['title'])}. {_cell(s['description'])} | {_kind(s)} | "
        f"{_default(s)} | {'yes' if s['x-updatable'] else 'no'} |"
        for name, s in schemas.properties(spec.parameters).items()
    ]
    return "\n".join([*head, *rows, ""])


def _kind(schema: dict[str, Any]) -> str:
    if "enum" in schema:
        return ", ".join(f"`{as_text(value)}`" for value in schema["enum"])
    if "minimum" in schema:
        return f"{schema['type']}, {schema['minimum']} to {schema.get('maximum', 'any')}"
    if "format" in schema:
        return _addresses(schema)
    if "pattern" in schema:
        return f"`{_cell(schema['pattern'])}`"
    return schema["type"]


def _addresses(schema: dict[str, Any]) -> str:
    parts = [schema["format"].replace("ipv4-", "IPv4 ").replace("-", " ")]
    if prefix := schema.get("x-prefix"):
        parts.append(f"/{prefix['from']} to /{prefix['to']}")
    parts += [f"apart from `{name}`" for name in schema.get("x-apart-from", [])]
    parts += [f"in `{schema['x-within']}`"] if "x-within" in schema else []
    return ", ".join(parts)


def _default(schema: dict[str, Any]) -> str:
    value = schema.get("default", "")
    return f"`{_text(value)}`" if value not in ("", []) else ""


def _text(value: Any) -> str:
    """A value as somebody would write it."""
    nested = isinstance(value, dict) or (
        isinstance(value, list) and any(type(v) is dict for v in value)
    )
    return orjson.dumps(value).decode() if nested else as_text(value)


def _binding(spec: OfferingSpec) -> str:
    if spec.binding is None:
        return ""
    keys = ", ".join(f"`{key}`" for key in spec.binding.keys)
    lines = [f"Secret of a binding: type `{spec.binding.type}`, keys {keys}; and by strategy:\n"]
    for stack in spec.stacks.values():
        for credential in stack.credentials:
            own = ", ".join(f"`{key}`" for key in credential.keys)
            lines.append(f"* `{credential.strategy}`: {own}")
    given = schemas.properties(spec.binding.parameters)
    if given:
        lines.append("\nParameters of a binding:\n")
    lines += [f"* `{name}`: {s['description']} {_choices(s)}".rstrip() for name, s in given.items()]
    return "\n".join([*lines, ""])


def _choices(schema: dict[str, Any]) -> str:
    default = f"Default {_default(schema)}." if schema.get("default") else ""
    return f"One of {_kind(schema)}. {default}" if "enum" in schema else default


def _actions(spec: OfferingSpec) -> str:
    if not spec.actions:
        return ""
    rows = []
    for action in spec.actions:
        inputs = schemas.properties(action.parameters)
        shown = "<br>".join(f"`{k}`: {_cell(s['description'])}" for k, s in inputs.items())
        rows.append(f"| `{action.name}` | {action.description} | {shown} |")
    return "\n".join(["| action | what | parameters |", "|---|---|---|", *rows, ""])


def _prices(name: str, spec: OfferingSpec, listed: PriceList) -> str:
    intro = (
        f"[List prices]({listed.source}) in {listed.region} as of {listed.as_of}, "
        f"{listed.currency}:\n"
    )
    lines = [_hourly(name, spec, plan, listed) for plan in spec.plans if listed.hourly]
    lines += [f"* {u.name}: {u.amount} a {u.unit}" for u in listed.usage]
    return "\n".join([intro, *lines, ""])


def _hourly(name: str, spec: OfferingSpec, plan: Plan, listed: PriceList) -> str:
    values = catalog.values_of(spec, asked(name, plan.name))
    found = prices.estimate(spec, plan.name, values, (listed.driver, listed.region))
    known = found.per_hour if found is not None else None
    said = f"{known.normalize():f} an hour" if known is not None else "not known"
    return f"* plan `{plan.name}` as it is: {said}"


def _cell(text: str) -> str:
    """Return a text that a table's cell can hold."""
    return text.replace("|", "\\|")
