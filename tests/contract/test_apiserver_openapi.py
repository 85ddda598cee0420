"""OpenAPI documents: whole, consistent, and enough to make a client of."""

import json
import re
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from typing import Any

import pytest

from isthmus.apiserver.kinds import builtin_resources
from isthmus.apiserver.resources import Resource
from isthmus.apiserver.schema import Schema
from tests.apiserver_client import DEFINITIONS, WIDGETS, Client, running, widget, widget_definition
from tests.openapi_decoder import decode
from tests.polling import eventually
from tests.published import META, references

JsonObject = dict[str, Any]
PROTOBUF_2 = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
CORE, RBAC = "api/v1", "apis/rbac.authorization.k8s.io/v1"
EXTENSIONS, EXAMPLE = "apis/apiextensions.k8s.io/v1", "apis/example.com/v1"
WIDGET = "com.example.v1.Widget"
ALL = WIDGETS.replace("/namespaces/default", "")
MANY = WIDGETS.replace("default", "{namespace}")
METHODS = {"get", "put", "post", "patch", "delete"}


@pytest.fixture
async def api(tmp_path: Path) -> AsyncGenerator[Client]:
    async with running(tmp_path) as (_, client):
        await client("POST", DEFINITIONS, widget_definition())
        yield client


async def documents(api: Client) -> dict[str, JsonObject]:
    index = (await api("GET", "/openapi/v3")).json["paths"]
    return {
        path: (await api("GET", entry["serverRelativeURL"])).json for path, entry in index.items()
    }


def operations(document: JsonObject) -> Iterator[tuple[str, str, JsonObject, list[JsonObject]]]:
    """Path, method, operation and its parameters, those of the path and shared ones included."""
    known = document["components"]["parameters"]
    for path, item in document["paths"].items():
        for method in METHODS & item.keys():
            given = [*item.get("parameters", ()), *item[method]["parameters"]]
            named = [known[p["$ref"].rpartition("/")[2]] if "$ref" in p else p for p in given]
            yield path, method, item[method], named


async def test_every_reference_leads_somewhere(api: Client) -> None:
    for path, document in (await documents(api)).items():
        components = document["components"]
        for name in references(document):
            assert name in components["schemas"] or name in components["parameters"], path
        named = set(references({**document, "components": {}})) | {
            found for schema in components["schemas"].values() for found in references(schema)
        }
        assert components["schemas"].keys() <= named, f"{path}: something is there for nobody"


async def test_operations_can_be_told_apart_and_called(api: Client) -> None:
    seen = set[str]()
    for document in (await documents(api)).values():
        for path, _, operation, parameters in operations(document):
            identifier = operation["operationId"]
            assert identifier not in seen
            seen.add(identifier)
            names = [(p["in"], p["name"]) for p in parameters]
            assert len(names) == len(set(names)), identifier
            places = set(re.findall(r"\{(\w+)\}", path))
            assert places == {name for where, name in names if where == "path"}, path
    assert {"listExampleComV1NamespacedWidget", "patchCoreV1NamespacedConfigMap"} <= seen
    assert {"createCoreV1NamespacedServiceAccountToken", "replaceCoreV1NamespaceFinalize"} <= seen


async def test_a_custom_kind_has_everything_that_a_client_calls(api: Client) -> None:
    document = (await documents(api))[EXAMPLE]

    found = {
        path: {method for p, method, *_ in operations(document) if p == path}
        for path in document["paths"]
    }
    assert found == {
        ALL: {"get"},
        MANY: {"get", "post", "delete"},
        MANY + "/{name}": {"get", "put", "patch", "delete"},
        MANY + "/{name}/status": {"get", "put", "patch"},
        MANY + "/{name}/scale": {"get", "put", "patch"},
    }
    for path, method, operation, parameters in operations(document):
        names = {parameter["name"] for parameter in parameters}
        answer = operation["responses"]["200"]["content"]["application/json"]["schema"]["$ref"]
        if operation["x-kubernetes-action"] == "list":
            assert names >= {"watch", "limit", "continue", "labelSelector", "resourceVersion"}
            assert answer.endswith(f"{WIDGET}List")
        elif method == "delete":
            assert names >= {"propagationPolicy", "dryRun"}
            assert answer.endswith("meta.v1.Status")
            body = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"]
            assert body.endswith("meta.v1.DeleteOptions")
        elif path.endswith("/scale"):
            assert answer.endswith("io.k8s.api.autoscaling.v1.Scale")
        else:
            assert answer.endswith(WIDGET)


async def test_a_patch_says_in_full_what_it_takes(api: Client) -> None:
    """kubectl finds out by it what a server can do, and follows no reference."""
    for document in (await documents(api)).values():
        for path, item in document["paths"].items():
            if "patch" in item:
                names = {p.get("name") for p in item["patch"]["parameters"]}
                assert names == {"dryRun", "fieldManager", "fieldValidation", "force"}, path
                forms = item["patch"]["requestBody"]["content"]
                custom = path.startswith(f"/{EXAMPLE}")
                assert ("application/strategic-merge-patch+json" in forms) is not custom


async def test_lists_and_metadata_of_a_custom_kind(api: Client) -> None:
    schemas = (await documents(api))[EXAMPLE]["components"]["schemas"]

    gvk = {"group": "example.com", "version": "v1"}
    kind, listed = schemas[WIDGET], schemas[f"{WIDGET}List"]
    assert kind["x-kubernetes-group-version-kind"] == [{**gvk, "kind": "Widget"}]
    assert kind["x-kubernetes-selectable-fields"] == [{"fieldPath": "spec.color"}]
    assert kind["properties"]["spec"]["required"] == ["size"]
    assert listed["x-kubernetes-group-version-kind"] == [{**gvk, "kind": "WidgetList"}]
    assert listed["properties"]["items"]["items"]["$ref"].endswith(WIDGET)
    assert "continue" in schemas[f"{META}ListMeta"]["properties"]
    assert "fieldsV1" in schemas[f"{META}ManagedFieldsEntry"]["properties"]


async def test_what_goes_without_saying_of_embedded_objects_is_said(api: Client) -> None:
    definition = widget_definition()
    spec = definition["spec"]
    spec["group"], definition["metadata"]["name"] = "more.example.com", "widgets.more.example.com"
    del spec["versions"][0]["selectableFields"]
    embedded = {"type": "object", "x-kubernetes-embedded-resource": True,
                "x-kubernetes-preserve-unknown-fields": True}  # fmt: skip
    fields = {"inner": embedded, "port": {"x-kubernetes-int-or-string": True}}
    spec["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"] = {
        "type": "object", "properties": fields
    }  # fmt: skip
    assert (await api("POST", DEFINITIONS, definition)).code == 201

    found = (await documents(api))["apis/more.example.com/v1"]["components"]["schemas"]

    told = found["com.example.more.v1.Widget"]["properties"]["spec"]["properties"]
    assert told["inner"]["required"] == ["kind", "apiVersion"]
    assert told["inner"]["properties"]["metadata"]["allOf"][0]["$ref"].endswith("ObjectMeta")
    assert told["port"]["anyOf"] == [{"type": "integer"}, {"type": "string"}]


@pytest.mark.parametrize(
    ("document", "path"),
    [
        (
            EXTENSIONS,
            "CustomResourceDefinition.spec.versions.schema.openAPIV3Schema.properties.not",
        ),
        (CORE, "Namespace.status.conditions.reason"),
        (RBAC, "ClusterRole.aggregationRule.clusterRoleSelectors.matchExpressions.operator"),
        (CORE, "ResourceQuota.spec.scopeSelector.matchExpressions.scopeName"),
        (CORE, "Secret.metadata.managedFields.fieldsV1"),
        (CORE, "ConfigMapList.metadata.remainingItemCount"),
        (CORE, "Status.details.causes.field"),
        (CORE, "DeleteOptions.preconditions.uid"),
        (CORE, "WatchEvent.object"),
    ],
)
async def test_whole_fields_of_built_in_kinds(api: Client, document: str, path: str) -> None:
    schemas = (await documents(api))[document]["components"]["schemas"]
    kind, *fields = path.split(".")
    (schema,) = [part for name, part in schemas.items() if name.endswith(f".{kind}")]
    for field in fields:
        schema = schema["properties"][field]
        while not schema.get("properties"):
            if references_of(schema):
                schema = {**schema, **schemas[references_of(schema)]}
            inner = schema.get("items") or schema.get("additionalProperties")
            if not isinstance(inner, dict):
                break
            schema = inner


def references_of(schema: JsonObject) -> str:
    given = [schema, *schema.get("allOf", ())]
    return next((p["$ref"].rpartition("/")[2] for p in given if "$ref" in p), "")


def differences(told: JsonObject, known: JsonObject, valid: JsonObject, path: str) -> Iterator[str]:
    """Where what is published and what is validated do not say the same of a kind's fields."""
    if valid.get("x-kubernetes-preserve-unknown-fields"):
        return
    if name := references_of(told):
        told = {**told, **known[name]}
    for rule in ("x-kubernetes-list-type", "x-kubernetes-list-map-keys"):
        if told.get(rule) != valid.get(rule):
            yield f"{path}: {rule}"
    ours, theirs = valid.get("properties", {}), told.get("properties", {})
    for field in {*ours, *theirs} - {"apiVersion", "kind", "metadata"}:
        if field not in ours or field not in theirs:
            yield f"{path}.{field}: only one of them knows it"
        else:
            yield from differences(theirs[field], known, ours[field], f"{path}.{field}")
    for inner in ("items", "additionalProperties"):
        if isinstance(valid.get(inner), dict):
            yield from differences(told[inner], known, valid[inner], f"{path}[]")


@pytest.mark.parametrize("resource", builtin_resources(), ids=lambda r: f"{r.group}/{r.plural}")
async def test_what_is_published_is_what_is_validated(resource: Resource, api: Client) -> None:
    path = f"apis/{resource.group_version}" if resource.group else CORE
    schemas = (await documents(api))[path]["components"]["schemas"]
    gvk = {"group": resource.group, "version": resource.version, "kind": resource.kind}
    (told,) = [s for s in schemas.values() if gvk in s.get("x-kubernetes-group-version-kind", ())]

    raw = Schema(resource.schema.raw).raw
    assert list(differences(told, schemas, raw, resource.kind)) == []


async def test_version_2_in_both_forms(api: Client) -> None:
    plain = (await api("GET", "/openapi/v2")).json
    binary = await api("GET", "/openapi/v2", accept=PROTOBUF_2)

    assert binary.headers["content-type"] == PROTOBUF_2.replace("@", ".")
    assert decode(binary.body) == plain
    for schema in plain["definitions"].values():
        text = json.dumps({**schema, "properties": list(schema.get("properties", {}).values())})
        assert not re.search(r'components/schemas|"(nullable|oneOf|allOf)": [\[t]', text)
    color = plain["definitions"][WIDGET]["properties"]["spec"]["properties"]["color"]
    assert color == {"type": "string", "enum": ["red", "green"]}
    assert plain["definitions"][WIDGET]["properties"]["metadata"]["$ref"].endswith("ObjectMeta")
    patch = plain["paths"][MANY + "/{name}"]["patch"]
    assert {p["name"] for p in patch["parameters"]} >= {"body", "fieldValidation", "force"}
    for name in references(plain):
        assert name in plain["definitions"] or name in plain["parameters"]

    more = widget_definition()
    more["spec"]["group"], more["metadata"]["name"] = "m.example.com", "widgets.m.example.com"
    await api("POST", DEFINITIONS, more)
    assert b"com.example.m.v1.Widget" in (await api("GET", "/openapi/v2", accept=PROTOBUF_2)).body


async def test_documents_change_with_their_kinds_alone(api: Client) -> None:
    before = (await api("GET", "/openapi/v3")).json["paths"]
    two = widget_definition()["spec"]["versions"]
    two.append({**two[0], "name": "v2", "storage": False})
    two[0]["schema"]["openAPIV3Schema"]["description"] = "Another one."
    crd, kind = f"{DEFINITIONS}/widgets.example.com", "application/merge-patch+json"
    assert (await api("PATCH", crd, {"spec": {"versions": two}}, kind=kind)).code == 200

    after = (await api("GET", "/openapi/v3")).json["paths"]
    await api("DELETE", crd)
    without = {path: entry for path, entry in before.items() if path != EXAMPLE}

    async def is_gone() -> bool:
        return (await api("GET", "/openapi/v3")).json["paths"] == without

    await eventually(is_gone)
    assert after.keys() - before.keys() == {"apis/example.com/v2"}
    assert {path for path in before if before[path] != after[path]} == {EXAMPLE}
    assert (await api("GET", f"/openapi/v3/{EXAMPLE}")).code == 404


async def test_documents_stay_small(api: Client) -> None:
    """A kube-apiserver's of the core group alone has 1.6 MB, most of it written again and again."""
    sizes = {
        path: len((await api("GET", f"/openapi/v3/{path}")).body)
        for path in (await api("GET", "/openapi/v3")).json["paths"]
    }
    assert sum(sizes.values()) < 600_000, sizes
    assert sizes[EXAMPLE] < 50_000


async def test_a_definition_stays_as_it_was_written(api: Client) -> None:
    """A default that is an object is checked with the defaults within, and published without."""
    definition = widget_definition()
    spec = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    depth = {"type": "integer", "default": 3}
    nested = {"type": "object", "default": {}, "properties": {"depth": depth}}
    spec["properties"]["nested"] = nested
    crd = f"{DEFINITIONS}/widgets.example.com"
    kind = "application/merge-patch+json"

    patched = await api("PATCH", crd, {"spec": definition["spec"]}, kind=kind)

    assert patched.code == 200
    told = (await documents(api))[EXAMPLE]["components"]["schemas"][WIDGET]
    assert told["properties"]["spec"]["properties"]["nested"] == nested
    made = await api("POST", WIDGETS, widget())
    assert made.json["spec"]["nested"] == {"depth": 3}
