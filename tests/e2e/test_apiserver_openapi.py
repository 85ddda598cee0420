"""Beside a real kube-apiserver's: what the embedded API publishes of itself, and how."""

import base64
import json
import os
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import httpx2
import yaml

from isthmus import apiserver
from isthmus.apiserver.openapi_protobuf import encode
from tests import published
from tests.apiserver_client import running
from tests.kubernetes_plane import MARKS
from tests.openapi_decoder import decode

pytestmark = [*MARKS]
GVK = "x-kubernetes-group-version-kind"
NOT_SERVED = {
    "pretty", "shardSelector", "ignoreStoreReadErrorWithClusterBreakingPotential",
    "resourceVersion",  # Of a read, it is published for custom kinds only; we read it everywhere.
}  # fmt: skip
PROTOBUF = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"


def test_protobuf_of_the_real_document(kubernetes_plane: str, tmp_path: Path) -> None:
    with client(kubernetes_plane, tmp_path) as server:
        plain, binary = both_forms(server)

    ours, theirs = decode(encode(plain)), decode(binary)

    assert len(ours["definitions"]) > 500
    for part in ("swagger", "info", "definitions", "parameters", "paths"):
        assert said(ours[part]) == said(theirs[part])


def both_forms(server: httpx2.Client) -> tuple[Any, bytes]:
    """The document as JSON and as protobuf, both of one moment: kinds of others come and go."""
    while True:
        plain = server.get("/openapi/v2").content
        binary = server.get("/openapi/v2", headers={"accept": PROTOBUF}).content
        if server.get("/openapi/v2").content == plain:
            return json.loads(plain), binary


def test_definitions_of_built_in_kinds_are_the_real_ones(
    kubernetes_plane: str, tmp_path: Path
) -> None:
    """`GOLDEN=overwrite` writes them anew, from the newest Kubernetes that is tested with."""
    file = Path(apiserver.__file__).with_name("published.json")
    with client(kubernetes_plane, tmp_path) as server:
        real = [server.get(f"/openapi/v3/{path}").json() for path in published.group_versions()]
    text = published.selected(real)
    if os.environ.get("GOLDEN") == "overwrite":
        file.write_text(text)
    assert text == file.read_text(), f"{file.name} lags behind Kubernetes: GOLDEN=overwrite"


async def test_operations_are_the_real_ones(kubernetes_plane: str, tmp_path: Path) -> None:
    with client(kubernetes_plane, tmp_path) as server:
        real = {p: server.get(f"/openapi/v3/{p}").json() for p in published.group_versions()}
    async with running(tmp_path / "data") as (_, api):
        index = (await api("GET", "/openapi/v3")).json["paths"]
        ours = {path: (await api("GET", f"/openapi/v3/{path}")).json for path in index}

    assert ours.keys() | {"apis/autoscaling/v1"} == real.keys()
    for path, document in ours.items():
        known = dict(told(real[path]))
        for operation, how in told(document):
            assert known[operation] == how, operation


ALIKE = ("operationId", "tags", "x-kubernetes-action", GVK)


def told(document: Any) -> Iterator[tuple[str, Any]]:
    """What can be called, and how, but for what is not served."""
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if method == "parameters":
                continue
            given = [*item.get("parameters", ()), *operation.get("parameters", ())]
            names = {str(p.get("name") or p["$ref"].rpartition("/")[2]) for p in given}
            how = {name: operation.get(name) for name in ALIKE}
            how["parameters"] = sorted(names - NOT_SERVED)
            yield f"{method} {path}", how


def client(kubeconfig: str, folder: Path) -> httpx2.Client:
    config = yaml.safe_load(kubeconfig)
    cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
    context = ssl.create_default_context(cadata=authority)
    for part in ("client-certificate", "client-key"):
        (folder / part).write_bytes(base64.b64decode(user[f"{part}-data"]))
    context.load_cert_chain(folder / "client-certificate", folder / "client-key")
    return httpx2.Client(base_url=cluster["server"], verify=context, timeout=60)


def said(value: Any) -> Any:
    """A value without zeros and empty lists, which Go's encoder leaves out of a message."""
    if isinstance(value, dict):
        parts = {name: said(part) for name, part in cast("dict[str, Any]", value).items()}
        return {name: part for name, part in parts.items() if part not in (None, [], 0)}
    if isinstance(value, list):
        return [said(part) for part in cast("list[Any]", value)]
    return json.loads(json.dumps(value))
