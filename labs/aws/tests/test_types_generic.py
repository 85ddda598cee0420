"""Types that nobody implements: made by their schema, marked generic, never a silent success."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from isthmus_lab_aws import schemas
from isthmus_lab_aws.schema_paths import definition, paths


def template(kind: str, outputs: dict[str, str], **properties: Any) -> dict[str, Any]:
    return {
        "Resources": {"Thing": {"Type": kind, "Properties": properties}},
        "Outputs": {
            "Ref": {"Value": {"Ref": "Thing"}},
            **{
                key: {"Value": {"Fn::GetAtt": ["Thing", attribute]}}
                for key, attribute in outputs.items()
            },
        },
    }


def group(name: str, expression: str = "fault = true") -> dict[str, Any]:
    properties = {"GroupName": name, "FilterExpression": expression}
    return template("AWS::XRay::Group", {"Arn": "GroupARN"}, **properties)


def domain(name: str, **more: str) -> dict[str, Any]:
    return template("AWS::CodeArtifact::Domain", {"Arn": "Arn"}, DomainName=name, **more)


def test_life_of_a_generic_type(aws, stacks, name) -> None:
    assert stacks.create(name, group(name)) == "CREATE_COMPLETE", stacks.failures(name)
    first = stacks.outputs(name)
    assert first["Arn"].startswith("arn:aws:xray:us-east-1:111122223333:group/")
    assert "AWS::XRay::Group" in str(aws.page("state"))
    assert stacks.update(name, group(name, "error = true")) == "UPDATE_COMPLETE"
    assert stacks.outputs(name) == first
    assert stacks.delete(name) == "DELETE_COMPLETE"
    assert first["Ref"] not in str(aws.page("state"))


def test_taken_name_is_refused_and_a_new_name_replaces(stacks, name) -> None:
    assert stacks.create(name, domain(name)) == "CREATE_COMPLETE", stacks.failures(name)
    first = stacks.outputs(name)["Ref"]
    assert stacks.update(name, domain(f"{name}-b")) == "UPDATE_COMPLETE", stacks.failures(name)
    assert stacks.outputs(name)["Ref"] != first
    assert stacks.delete(name) == "DELETE_COMPLETE"


def test_unknown_type_is_refused(stacks, name) -> None:
    with pytest.raises(ClientError, match=r"Unrecognized resource types|E3006"):
        stacks.begin(name, template("AWS::Nowhere::Thing", {}))


def test_physical_ids_and_attributes_can_be_made_for_every_type() -> None:
    """A primary identifier and a definition for each attribute are found for all types."""
    strange: list[str] = []
    for kind in schemas.names():
        found = schemas.schema(kind)
        assert found is not None
        if not paths(found, "primaryIdentifier"):
            strange.append(kind)
        for path in paths(found, "readOnlyProperties"):
            definition(found, path)
    assert not strange
