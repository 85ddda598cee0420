"""Valid objects; a test overrides what it is about."""

from typing import Any

from isthmus.api.meta import Json, ObjectMeta
from isthmus.api.v1alpha1 import OfferingSpec, Provider, ServiceInstance

PARAMETERS: Json = {
    "type": "object",
    "required": ["size"],
    "properties": {
        "size": {
            "type": "string",
            "enum": ["small", "large"],
            "title": "Size",
            "description": "How big it is.",
            "x-updatable": True,
        },
        "nodes": {
            "type": "integer",
            "minimum": 1,
            "maximum": 9,
            "default": 1,
            "title": "Nodes",
            "description": "How many of them.",
            "x-updatable": True,
        },
        "engine": {
            "type": "string",
            "default": "sql",
            "title": "Engine",
            "description": "Cannot change.",
            "x-updatable": False,
        },
        "licence": {
            "type": "string",
            "writeOnly": True,
            "title": "Licence",
            "description": "A secret.",
            "x-updatable": True,
        },
    },
}


def an_offering_spec(**overrides: Any) -> OfferingSpec:
    body: Json = {
        "title": "Database",
        "description": "A database.",
        "category": "database",
        "parameters": PARAMETERS,
        "plans": [
            {"name": "dev", "title": "Dev", "parameters": {"size": "small"}},
            {
                "name": "production",
                "title": "Production",
                "parameters": {"size": "large"},
                "fixed": ["size"],
            },
        ],
        "stacks": {
            "fake": {
                "template": {
                    "Resources": {
                        "Db": {
                            "Type": "Fake::Db",
                            "Properties": {
                                "Size": "${size}",
                                "Nodes": "${nodes}",
                                "Name": "${isthmus.namespace}-${isthmus.name}",
                                "Sub": "${AWS::Region} $${literal}",
                            },
                        }
                    },
                    "Outputs": {"Host": {"Value": "db.test"}},
                },
                "parameters": {"Licence": "${licence}", "Engine": "${engine}"},
                "stateful": ["Db"],
            }
        },
    }
    return OfferingSpec.model_validate(body | overrides)


def a_provider(**overrides: Any) -> Provider:
    body: Json = {"metadata": {"name": "here"}, "spec": {"driver": "fake"}}
    return Provider.model_validate(body | overrides)


def an_instance(**spec: Any) -> ServiceInstance:
    wanted: Json = {"offering": "database", "plan": "dev"} | spec
    meta = ObjectMeta.model_validate(
        {"name": "db", "namespace": "team-a", "uid": "0f-uid", "generation": 3}
    )
    return ServiceInstance.model_validate({"metadata": meta, "spec": wanted})
