"""The API server is a package of its own: it runs where nothing else of this project is.

Its code is copied into an empty tree, and with it the distributions that it needs, and only those.
"""

import ast
import json
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

from isthmus import apiserver
from isthmus.api import v1alpha1

CODE = Path(apiserver.__file__).parent
DISTRIBUTIONS = (
    "PyJWT", "PyYAML", "cryptography", "google-re2", "httptools", "httpx2", "jsonschema-rs",
    "orjson",
)  # fmt: skip
"""What it needs; each is named in pyproject.toml."""
SHARED = {"Cluster", "Operation"}
"""Words of Kubernetes and of OpenAPI as well."""
SERVES_A_CRD = """
import asyncio, json, pathlib, ssl, sys, urllib.request
sys.path += sys.argv[1:3]
from isthmus.apiserver import ApiServer, ServerConfig

DEFINITION = {
    "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
    "metadata": {"name": "shirts.example.com"},
    "spec": {
        "group": "example.com", "scope": "Namespaced",
        "names": {"plural": "shirts", "singular": "shirt", "kind": "Shirt"},
        "versions": [{"name": "v1", "served": True, "storage": True, "schema": {
            "openAPIV3Schema": {"type": "object", "properties": {"size": {
                "type": "integer", "default": 4,
                "x-kubernetes-validations": [{"rule": "self > 0"}]}}}}}],
    },
}
SHIRTS = "/apis/example.com/v1/namespaces/default/shirts"

def asked(server, path, body=None):
    data = json.dumps(body).encode() if body else None
    headers = {"Authorization": "Bearer admin", "Content-Type": "application/json"}
    request = urllib.request.Request(server.url + path, data, headers)
    trusted = ssl.create_default_context(cadata=server.ca_pem)
    with urllib.request.urlopen(request, context=trusted) as answer:
        return json.load(answer)

async def main(folder):
    server = await ApiServer.open(ServerConfig(pathlib.Path(folder), admin_token="admin"))
    _ = server.url
    serving = asyncio.create_task(server.serve())
    crds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    await asyncio.to_thread(asked, server, crds, DEFINITION)
    shirt = {"apiVersion": "example.com/v1", "kind": "Shirt", "metadata": {"name": "a"}}
    await asyncio.to_thread(asked, server, SHIRTS, shirt)
    found = await asyncio.to_thread(asked, server, SHIRTS)
    server.stop()
    await serving
    await server.close()
    ours = sorted(name for name in sys.modules if name.split(".")[0] == "isthmus")
    print(json.dumps({"sizes": [item["size"] for item in found["items"]], "modules": ours}))

asyncio.run(main(sys.argv[3]))
"""


def needed(name: str, extra: str = "") -> set[str]:
    """A distribution and everything that it requires."""
    found = {name}
    for text in metadata.requires(name) or ():
        wanted = Requirement(text)
        if wanted.marker is None or wanted.marker.evaluate({"extra": extra}):
            found |= needed(wanted.name)
    return found


def bring(name: str, folder: Path) -> None:
    """Link the files of an installed distribution into a folder."""
    found = metadata.distribution(name)
    for top in {file.parts[0] for file in found.files or () if file.parts[0] != ".."}:
        link = folder / top
        if not link.exists():
            link.symlink_to(Path(str(found.locate_file(top))).resolve())


def test_it_serves_a_kind_where_nothing_else_of_this_project_is(tmp_path: Path) -> None:
    libraries, code = tmp_path / "libraries", tmp_path / "code"
    libraries.mkdir()
    for name in DISTRIBUTIONS:
        for each in needed(name):
            bring(each, libraries)
    shutil.copytree(
        CODE, code / "isthmus" / "apiserver", ignore=shutil.ignore_patterns("__pycache__")
    )

    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", SERVES_A_CRD, code, libraries, tmp_path / "data"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )

    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["sizes"] == [4]
    assert [n for n in said["modules"] if not f"{n}.".startswith("isthmus.apiserver.")] == [
        "isthmus"
    ]


def test_it_names_no_kind_of_this_project() -> None:
    kinds = {kind.__name__ for kind in v1alpha1.KINDS} - SHARED
    assert len(kinds) > 5
    for path in CODE.glob("*.py"):
        text = path.read_text()
        assert "isthmus.dev" not in text, path
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Constant):
                assert node.value not in kinds, (path, node.value)
