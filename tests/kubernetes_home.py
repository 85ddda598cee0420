"""The embedded API server as a cluster: a kubeconfig that leads to it, over TLS."""

import asyncio
import base64
import uuid
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from isthmus.api.meta import Json
from isthmus.apiserver import ApiServer, ServerConfig
from isthmus.drivers.kubernetes import DRIVER
from isthmus.drivers.kubernetes.kube import Kube, UnknownKind, reach
from isthmus.drivers.kubernetes.kubeconfig import parse
from isthmus.drivers.kubernetes.manifests import ID, STATEFUL
from isthmus.ports import Api, Endpoint, StackEngine
from isthmus.runtime.kube import path_of
from tests.polling import eventually

CRDS = Api("apiextensions.k8s.io/v1", "customresourcedefinitions", namespaced=False)
NAMESPACES = Api("v1", "namespaces", namespaced=False)
GROUP = "shop.example.com"
"""Of the kind Queue, unless a test wants another."""


def kubeconfig(server: str, *, ca_pem: str = "", **user: Any) -> str:
    """A kubeconfig with one of everything."""
    trusted = base64.b64encode(ca_pem.encode()).decode()
    return yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "here",
            "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u"}}],
            "clusters": [
                {"name": "c", "cluster": {"server": server, "certificate-authority-data": trusted}}
            ],
            "users": [{"name": "u", "user": user}],
        }
    )


def endpoint(config: str, *, installation: str = "test", **settings: str) -> Endpoint:
    """A Provider of the driver ``kubernetes``."""
    return Endpoint(
        provider="here",
        region="",
        settings=settings,
        credentials={"kubeconfig": config},
        installation=installation,
    )


@asynccontextmanager
async def serving(folder: Path) -> AsyncGenerator[str]:
    """Serve an empty API and give a kubeconfig of its administrator."""
    server = await ApiServer.open(ServerConfig(data_dir=folder))
    task = asyncio.create_task(server.serve())
    try:
        await eventually(lambda: _serving(server))
        token = server.issue_token("tester", ["system:masters"])
        yield kubeconfig(server.url, ca_pem=server.ca_pem, token=token)
    finally:
        await server.close()
        await task


async def _serving(server: ApiServer) -> bool:
    return bool(server.url) and not server.url.endswith(":0")


def queue_definition(group: str = GROUP) -> Json:
    """A kind whose objects can be refused, and whose engine cannot change."""
    spec: Json = {
        "type": "object",
        "properties": {
            "size": {"type": "integer"},
            "engine": {
                "type": "string",
                "x-kubernetes-validations": [
                    {"rule": "self == oldSelf", "message": "field is immutable"}
                ],
            },
        },
        "x-kubernetes-validations": [
            {"rule": "!has(self.size) || self.size < 1000", "message": "no luck"}
        ],
    }
    schema: Json = {
        "type": "object",
        "properties": {
            "spec": spec,
            "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        },
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"queues.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"plural": "queues", "singular": "queue", "kind": "Queue"},
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": schema},
                    "subresources": {"status": {}},
                }
            ],
        },
    }


def queue(name: str, group: str = GROUP, **spec: Any) -> Json:
    """An object of that kind."""
    return {
        "apiVersion": f"{group}/v1",
        "kind": "Queue",
        "metadata": {"name": name},
        "spec": spec,
    }


def config_map(name: str, **data: str) -> Json:
    """The plainest object."""
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


@asynccontextmanager
async def inhabited(config: str, namespace: str, *definitions: Json) -> AsyncGenerator[Kube]:
    """Lend a cluster's API with a namespace and kinds that go with the block."""
    async with reach(parse(config)) as kube:
        made = [
            await kube.send("POST", path_of(NAMESPACES), body=_namespace(namespace)),
            *[await kube.send("POST", path_of(CRDS), body=crd) for crd in definitions],
        ]
        try:
            for crd in definitions:
                await eventually(lambda crd=crd: _served(kube, crd), within=30)
            yield kube
        finally:
            for obj in reversed(made):
                api = CRDS if obj["kind"] == "CustomResourceDefinition" else NAMESPACES
                await kube.send("DELETE", path_of(api, name=obj["metadata"]["name"]))


def _namespace(name: str) -> Json:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


async def _served(kube: Kube, crd: Json) -> bool:
    spec = crd["spec"]
    try:
        await kube.kind(f"{spec['group']}/{spec['versions'][0]['name']}", spec["names"]["kind"])
    except UnknownKind:
        return False
    return True


@dataclass
class KubernetesSubject:
    """See ``tests.contract.test_stack_engine.Subject``."""

    engine: StackEngine
    group: str
    installation: str = "test"
    stateful: tuple[str, ...] = ()

    def template(self, *, size: int = 10, name: str = "one", secret: bool = False) -> Json:
        jobs = queue(f"{name}-jobs", self.group, size=size)
        jobs["metadata"]["annotations"] = {ID: "Jobs", STATEFUL: "true"}
        objects = [jobs]
        if secret:
            word = {"word": {"$parameter": "Word"}}
            login = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "login"}}
            objects.append(login | {"stringData": word})
        return {"manifests": objects, "outputs": {"Id": {"$get": ["Jobs", "metadata.uid"]}}}

    def break_creation(self, template: Json) -> Json:
        bad = queue("bad", self.group, size=5000)
        bad["metadata"]["annotations"] = {ID: "Bad"}
        return template | {"manifests": [*template["manifests"], bad]}


@asynccontextmanager
async def kubernetes_subject(config: str) -> AsyncGenerator[KubernetesSubject]:
    """A namespace, and a kind of the test's own, in a cluster."""
    own = f"t{uuid.uuid4().hex[:8]}"
    group = f"{own}.example.com"
    async with (
        inhabited(config, own, queue_definition(group)),
        DRIVER.open(endpoint(config, namespace=own)) as connection,
    ):
        yield KubernetesSubject(connection.engine, group)
