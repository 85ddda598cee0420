"""No request of an entitled caller, however odd, is answered with a server error."""

import asyncio
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.apiserver_client import DEFINITIONS, WIDGETS, running, widget, widget_definition
from tests.fuzzing import Memory, examples

MEMORY = Memory()
CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
PATHS = (
    f"{WIDGETS}/a", f"{WIDGETS}/a/status", f"{WIDGETS}/a/scale", f"{CONFIG_MAPS}/a",
    "/api/v1/namespaces/default/secrets/a", f"{DEFINITIONS}/widgets.example.com",
    "/apis/rbac.authorization.k8s.io/v1/clusterroles/a",
    "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/a", "/api/v1/namespaces/default",
    WIDGETS, CONFIG_MAPS, DEFINITIONS, "/api/v1/namespaces",
    "/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings",
    "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
    "/apis/authentication.k8s.io/v1/tokenreviews",
)  # fmt: skip
KINDS = (
    "application/json", "application/merge-patch+json", "application/json-patch+json",
    "application/apply-patch+yaml", "application/strategic-merge-patch+json",
    "application/vnd.kubernetes.protobuf", "nonsense",
)  # fmt: skip
NAMES = st.sampled_from((
    "metadata", "name", "spec", "status", "size", "data", "stringData", "labels", "annotations",
    "finalizers", "ownerReferences", "managedFields", "rules", "verbs", "roleRef", "subjects",
    "kind", "apiVersion", "names", "versions", "schema", "openAPIV3Schema", "replicas", "ports",
    "tags", "uid", "token", "resourceAttributes", "type", "immutable", "op", "path", "value",
    "resourceVersion", "aggregationRule", "additionalPrinterColumns", "subresources", "group",
))  # fmt: skip
LEAVES = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False)
    | st.sampled_from(("a", "", "default", "v1", "Widget", "example.com/v1", "/spec/size", "add",
                       "widgets.example.com", "\u0000", "1", "x" * 300))
)  # fmt: skip
JSON = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)
SHAPED = st.fixed_dictionaries(
    {"metadata": st.fixed_dictionaries({"name": st.just("a")}, optional={"labels": JSON,
     "annotations": JSON, "ownerReferences": JSON, "managedFields": JSON, "finalizers": JSON})},
    optional={"spec": JSON, "data": JSON, "rules": JSON, "subjects": JSON, "status": JSON,
              "apiVersion": st.just("example.com/v1"), "kind": st.just("Widget")},
)  # fmt: skip
QUERIES = st.dictionaries(
    st.sampled_from(("dryRun", "fieldManager", "force", "fieldValidation", "labelSelector", "limit",
                     "fieldSelector", "continue", "resourceVersion", "propagationPolicy")),
    st.sampled_from(("All", "true", "x", "", "Strict", "a=b", "metadata.name=a", "1", "-1",
                     "Foreground", "\u00e9", "W10=", "WzEsIm5zIiwibiJd")),
    max_size=3,
)  # fmt: skip
REQUESTS = st.tuples(
    st.sampled_from(("POST", "PUT", "PATCH", "PATCH", "DELETE", "GET")),
    st.sampled_from(PATHS),
    st.sampled_from(KINDS),
    QUERIES,
    JSON | SHAPED | st.binary(max_size=30),
)


class Api:
    """One server for all examples, driven from outside its loop."""

    def __init__(self, runner: asyncio.Runner, folder: Path) -> None:
        self._runner = runner
        self._context = running(folder)
        _, self._client = self.run(self._context.__aenter__())
        self.call("POST", DEFINITIONS, widget_definition())

    def run(self, what: Coroutine[Any, Any, Any]) -> Any:
        return self._runner.run(what)

    def call(self, method: str, path: str, body: Any, kind: str = "application/json") -> int:
        return self.run(self._client(method, path, body, kind=kind)).code

    def close(self) -> None:
        self.run(self._context.__aexit__(None, None, None))


@pytest.fixture(scope="module")
def api() -> Any:
    with tempfile.TemporaryDirectory() as folder, asyncio.Runner() as runner, MEMORY:
        api = Api(runner, Path(folder))
        yield api
        api.close()


@examples(300)
@given(REQUESTS)
@example(
    ("POST", PATHS[-2], KINDS[0], {}, {"spec": {"resourceAttributes": False}})
)  # found once: 500
@MEMORY.measured
def test_odd_requests_are_answered_or_refused(api: Api, wanted: Any) -> None:
    method, path, kind, query, body = wanted
    api.call("POST", WIDGETS, widget("a"))
    api.call("POST", CONFIG_MAPS, {"metadata": {"name": "a"}})
    text = "&".join(f"{name}={quote(value)}" for name, value in query.items())

    code = api.call(method, f"{path}?{text}", body, kind)

    assert code < 500 or code == 504, (method, path, kind, query, body)
