"""The reference pages that are written from the code, so that they cannot lag behind it."""

from collections.abc import Iterable, Iterator
from typing import Any, cast

from prometheus_client.metrics import MetricWrapperBase

from isthmus import errors
from isthmus.api.crd import crd
from isthmus.api.meta import Json
from isthmus.api.v1alpha1 import KINDS
from isthmus.apiserver.metrics import Metric
from isthmus.errors import DeletionBlocked, Forbidden, IsthmusError, Retryable, Terminal

NOTE = "<!-- Written from the code by `GOLDEN=overwrite make docs`; change the code instead. -->\n"


def kinds_page() -> str:
    """Every field of every kind."""
    manifests = [crd(kind) for kind in KINDS]
    status = _schema_of(manifests[0])["properties"]["status"]
    condition = status["properties"]["conditions"]["items"]
    return "\n".join(
        [
            head("Kinds and fields", _KINDS_INTRO),
            *(_kind(manifest) for manifest in manifests),
            f"## Condition\n\n{condition['description']}\n",
            *_table("status.conditions[]", condition, elsewhere={}),
        ]
    )


def metrics_page(metrics: Iterable[MetricWrapperBase], api: Iterable[Metric]) -> str:
    """Every metric: of Isthmus, and of its API."""
    ours = [
        (m._name, m._type, m._labelnames, m._documentation)  # No public names.
        for m in metrics
    ]
    rows = [
        f"| `{name}` | {kind} | {', '.join(f'`{label}`' for label in labels)} | {words} |"
        for name, kind, labels, words in (
            *ours,
            *((m.name, m.type, m.labels, m.words) for m in api),
        )
    ]
    table = ["| metric | type | labels | what |", "|---|---|---|---|", *sorted(rows)]
    return "\n".join([head("Metrics", _METRICS_INTRO), *table, ""])


def errors_page() -> str:
    """Every reason that a condition may carry when something is wrong."""
    rows = [f"| `{e.reason}` | {_retried(e)} | {_sentence(e)} |" for e in _errors() if e.reason]
    table = ["| reason | next look | what it means |", "|---|---|---|", *rows]
    return "\n".join([head("Errors", _ERRORS_INTRO), *table, ""])


_KINDS_INTRO = """\
API group `isthmus.dev`, version `v1alpha1`. In a terminal, `kubectl explain serviceinstance.spec`
says the same. Everywhere: unknown fields are refused, times are UTC, and `status` is written by the
controllers only."""

_ERRORS_INTRO = """\
When something is wrong, the condition `Ready` carries one of these reasons and a message that names
the field or the native resource, and the remedy. What to do about each is in
[conditions](conditions.md#what-to-do)."""

_METRICS_INTRO = """\
Prometheus' text format at `/metrics` of the API. Those of the API itself, `apiserver_...`, have the
names and labels of Kubernetes' own, so dashboards made for a cluster show them; the Python package
`isthmus.apiserver` serves them by itself, too. A histogram ends in `_bucket`, `_sum` and
`_count`, a counter in `_total`. `outcome` is `done`, `waiting`, or the reason of the error. How to
use them: [read metrics, logs and traces](../howto/observe-isthmus.md)."""

_ELSEWHERE = {
    "status.conditions[]": "condition",
    "spec.definition": "offering",
}
"""Parts that have a section of their own."""


def head(title: str, intro: str) -> str:
    return f"# {title}\n\n{NOTE}\n{intro}\n"


def _kind(manifest: Json) -> str:
    spec = manifest["spec"]
    names, version = spec["names"], spec["versions"][0]
    schema = _schema_of(manifest)
    scope = "namespaced" if spec["scope"] == "Namespaced" else "for the whole installation"
    short = ", ".join(f"`{s}`" for s in names["shortNames"])
    columns = ", ".join(_column(c) for c in version["additionalPrinterColumns"])
    parts = [
        f"## {names['kind']}\n\n{schema['description']}\n",
        f"`{names['plural']}.{spec['group']}`, short {short}; {scope}. Columns: {columns}.\n",
    ]
    for part in ("spec", "status"):
        parts += _table(part, schema["properties"][part], elsewhere=_ELSEWHERE)
    return "\n".join(parts)


def _schema_of(manifest: Json) -> Json:
    return manifest["spec"]["versions"][0]["schema"]["openAPIV3Schema"]


def _table(path: str, schema: Json, elsewhere: dict[str, str]) -> list[str]:
    rows = list(_rows(path, schema, elsewhere))
    head = "| field | type | default | description |\n|---|---|---|---|"
    return [head, "\n".join(rows) + "\n"] if rows else []


def _column(column: Json) -> str:
    return column["name"] + (" (wide)" if column.get("priority") else "")


def _rows(path: str, schema: Json, elsewhere: dict[str, str]) -> Iterator[str]:
    required = set(cast("list[str]", schema.get("required", [])))
    for name, field in cast("dict[str, Json]", schema.get("properties", {})).items():
        here = f"{path}.{name}"
        default = "required" if name in required else _default(field)
        words = field.get("description", "").replace("\n", " ").replace("|", "\\|")
        inner = _inner_path(here, field)
        see = f" See [there](#{elsewhere[inner]})." if inner in elsewhere else ""
        yield f"| `{here}` | {_type(field)} | {default} | {words}{see} |"
        if not see:
            yield from _rows(inner, _inner(field), elsewhere)


def _inner(field: Json) -> Json:
    if field.get("type") == "array":
        return field.get("items", {})
    extra = field.get("additionalProperties")
    return cast("Json", extra) if isinstance(extra, dict) else field


def _inner_path(path: str, field: Json) -> str:
    if field.get("type") == "array":
        return f"{path}[]"
    return f"{path}.*" if isinstance(field.get("additionalProperties"), dict) else path


def _type(field: Json) -> str:
    if values := cast("list[Any]", field.get("enum", [])):
        return ", ".join(f"`{v}`" for v in values)
    kind = field.get("type", "any")
    if kind == "array":
        return f"list of {_type(field.get('items', {}))}"
    if isinstance(field.get("additionalProperties"), dict):
        return f"map to {_type(field['additionalProperties'])}"
    return str(field.get("format", kind))


def _default(field: Json) -> str:
    value = field.get("default")
    if value is None or value == "":
        return ""
    return f"`{value}`" if not isinstance(value, bool) else f"`{str(value).lower()}`"


def _errors() -> Iterator[type[IsthmusError]]:
    for value in vars(errors).values():
        if isinstance(value, type) and issubclass(value, IsthmusError):
            if value in (IsthmusError, Retryable, Terminal):
                continue
            yield value


def _retried(error: type[IsthmusError]) -> str:
    if issubclass(error, DeletionBlocked | Forbidden):
        return "at a change, or each minute"
    if issubclass(error, Terminal):
        return "at a change, or after 10 minutes"
    return "soon, then ever later up to 10 minutes"


def _sentence(error: type[IsthmusError]) -> str:
    return " ".join((error.__doc__ or "").split())
