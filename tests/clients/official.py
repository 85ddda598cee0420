"""The official Python client: typed, custom objects, watch, and the dynamic one."""

import sys

from kubernetes import client, config, watch
from kubernetes.dynamic import DynamicClient

PLACE = ("example.com", "v1", "default", "widgets")


def widget(name: str, size: int) -> dict:
    """A Widget."""
    kind = {"apiVersion": "example.com/v1", "kind": "Widget"}
    return {**kind, "metadata": {"name": name}, "spec": {"size": size}}


def typed(api: client.ApiClient) -> None:
    """Built-in kinds as classes."""
    core = client.CoreV1Api(api)
    metadata = client.V1ObjectMeta(name="c")
    core.create_namespaced_config_map(
        "default", client.V1ConfigMap(metadata=metadata, data={"a": "b"})
    )
    core.patch_namespaced_config_map("c", "default", {"data": {"a": None, "x": "y"}})
    assert core.read_namespaced_config_map("c", "default").data == {"x": "y"}
    assert "default" in [ns.metadata.name for ns in core.list_namespace().items]


def custom(api: client.ApiClient) -> None:
    """Custom objects as dictionaries, and a watch of them."""
    objects = client.CustomObjectsApi(api)
    made = objects.create_namespaced_custom_object(*PLACE, widget("official", 2))
    status = {"status": {"conditions": [{"type": "Painted", "status": "True"}]}}
    objects.patch_namespaced_custom_object_status(*PLACE, "official", status)
    objects.delete_namespaced_custom_object(*PLACE, "official")
    seen = watch.Watch().stream(
        objects.list_namespaced_custom_object,
        *PLACE,
        resource_version=made["metadata"]["resourceVersion"],
        timeout_seconds=1,
    )
    assert [event["type"] for event in seen] == ["MODIFIED", "DELETED"]
    left = objects.list_namespaced_custom_object(*PLACE)["items"]
    assert "official" not in [found["metadata"]["name"] for found in left]


def dynamic(api: client.ApiClient) -> None:
    """What discovery alone tells."""
    widgets = DynamicClient(api).resources.get(api_version="example.com/v1", kind="Widget")
    made = widgets.server_side_apply(
        body=widget("dynamic", 3), namespace="default", field_manager="dynamic"
    )
    assert made.spec.size == 3
    assert widgets.get(name="dynamic", namespace="default").spec.color == "red"
    widgets.delete(name="dynamic", namespace="default")


if __name__ == "__main__":
    API = config.new_client_from_config(sys.argv[1])
    for part in (typed, custom, dynamic):
        part(API)
