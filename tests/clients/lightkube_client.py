"""lightkube: server-side apply, patch, get, list, delete."""

import sys

from lightkube import Client, KubeConfig
from lightkube.generic_resource import create_namespaced_resource
from lightkube.resources.core_v1 import Namespace
from lightkube.types import PatchType

client = Client(KubeConfig.from_file(sys.argv[1]), field_manager="light", namespace="default")
Widget = create_namespaced_resource("example.com", "v1", "Widget", "widgets")
client.apply(Widget(metadata={"name": "light"}, spec={"size": 4}))
client.patch(Widget, "light", {"spec": {"size": 5}}, patch_type=PatchType.MERGE)
assert client.get(Widget, "light")["spec"]["size"] == 5
assert "default" in {namespace.metadata.name for namespace in client.list(Namespace)}
client.delete(Widget, "light")
