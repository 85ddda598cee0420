"""What a real kube-apiserver says of itself in both forms of OpenAPI v2, ours reads and writes."""

import base64
import json
import ssl
from pathlib import Path
from typing import Any, cast

import httpx2
import yaml

from isthmus.apiserver.openapi_protobuf import encode
from tests.kubernetes_plane import MARKS
from tests.openapi_decoder import decode

pytestmark = [*MARKS]
PROTOBUF = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"


def test_protobuf_of_the_real_document(kubernetes_plane: str, tmp_path: Path) -> None:
    with client(kubernetes_plane, tmp_path) as server:
        plain = server.get("/openapi/v2").json()
        binary = server.get("/openapi/v2", headers={"accept": PROTOBUF}).content

    ours, theirs = decode(encode(without_references(plain))), decode(binary)

    assert len(ours["definitions"]) > 500
    for part in ("swagger", "info", "definitions", "paths"):
        assert said(ours[part]) == said(theirs[part])


def client(kubeconfig: str, folder: Path) -> httpx2.Client:
    config = yaml.safe_load(kubeconfig)
    cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
    context = ssl.create_default_context(cadata=authority)
    for part in ("client-certificate", "client-key"):
        (folder / part).write_bytes(base64.b64decode(user[f"{part}-data"]))
    context.load_cert_chain(folder / "client-certificate", folder / "client-key")
    return httpx2.Client(base_url=cluster["server"], verify=context, timeout=60)


def without_references(document: Any) -> Any:
    """Parameters of ours are never references to others."""
    for item in document["paths"].values():
        for name, part in item.items():
            holder, key = (item, name) if name == "parameters" else (part, "parameters")
            holder[key] = [p for p in holder.get(key, ()) if "$ref" not in p]
    return document


def said(value: Any) -> Any:
    """A value without zeros and empty lists, which Go's encoder leaves out of a message."""
    if isinstance(value, dict):
        parts = {name: said(part) for name, part in cast("dict[str, Any]", value).items()}
        return {name: part for name, part in parts.items() if part not in (None, [], 0)}
    if isinstance(value, list):
        return [said(part) for part in cast("list[Any]", value)]
    return json.loads(json.dumps(value))
