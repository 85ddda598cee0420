"""Each resource type in a stack's life: made, read, changed in place, gone without a trace."""

from __future__ import annotations

import pytest

from labs.aws.tests.contract_cases import GROUPS, template


@pytest.mark.parametrize("group", sorted(GROUPS))
def test_types_live_and_die_as_in_aws(aws, stacks, name, group):
    if group == "warehouses":
        aws.client("secretsmanager").create_secret(Name=f"{name}-pw", SecretString="Passw0rd123")
    before = exists(aws)
    created = stacks.create(name, template(group, name, changed=False))
    assert created == "CREATE_COMPLETE", stacks.failures(name)
    outputs = stacks.outputs(name)
    empty = [key for key, value in outputs.items() if not value]
    assert not empty, f"attributes without a value: {empty}"
    assert len(outputs) == sum(len(part.attributes) for part in GROUPS[group].values())
    ids = physical_ids(stacks, name)
    if any(part.change for part in GROUPS[group].values()):
        updated = stacks.update(name, template(group, name, changed=True))
        assert updated == "UPDATE_COMPLETE", stacks.failures(name)
        assert physical_ids(stacks, name) == ids, "an update in place keeps the physical id"
    for logical, part in GROUPS[group].items():
        if part.read is not None:
            assert part.read(aws, ids[logical]) == part.after, f"{logical} shows the update"
    deleted = stacks.delete(name)
    assert deleted == "DELETE_COMPLETE", stacks.failures(name)
    left = {row for row in exists(aws) - before if name in str(row)}
    assert not left, "something is left behind"


def exists(aws) -> set[tuple[str, str]]:
    rows = aws.page("state")["resources"]
    return {(row["type"], row["id"]) for row in rows if not row["id"].endswith("-pw")}


def physical_ids(stacks, name: str) -> dict[str, str]:
    rows = stacks.cf.describe_stack_resources(StackName=name)["StackResources"]
    return {row["LogicalResourceId"]: row["PhysicalResourceId"] for row in rows}
