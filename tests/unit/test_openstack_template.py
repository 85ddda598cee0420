"""Templates on their way, what tags say, and the table of states."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.api.meta import Json
from isthmus.api.v1alpha1 import Phase
from isthmus.core.stacks import (
    TAG_INSTALLATION,
    TAG_NAME,
    TAG_NAMESPACE,
    TAG_UID,
    NativeStack,
    StackName,
)
from isthmus.drivers.openstack import quotas, readings, states, template
from isthmus.drivers.openstack.quotas import Room
from isthmus.errors import InvalidSpec
from tests.golden_files import assert_golden

DIGEST = "0123456789abcdef" * 4
NAMES = (TAG_UID, TAG_NAMESPACE, TAG_NAME, TAG_INSTALLATION)
ACTIONS = (
    "CREATE", "DELETE", "UPDATE", "ROLLBACK", "SUSPEND", "RESUME", "ADOPT", "SNAPSHOT", "CHECK",
    "RESTORE",
)  # fmt: skip


def native(document: Json, **more: object) -> NativeStack:
    return NativeStack(name=StackName("s"), template=document, digest=DIGEST, **more)  # pyright: ignore[reportArgumentType]


def test_every_state_has_its_meaning():
    lines = [
        f"{name:22} {state.phase:8} {state.step:8} {state.says}".rstrip()
        for name, state in sorted(states.STATES.items())
    ]
    assert_golden("\n".join(lines) + "\n", "openstack/states.txt")


def test_no_state_of_heat_is_missing():
    endings = ("IN_PROGRESS", "COMPLETE", "FAILED")
    assert set(states.STATES) == {f"{a}_{e}" for a in ACTIONS for e in endings}


def test_a_state_that_heat_adds_later_counts_by_its_ending():
    assert states.of("MOVE_IN_PROGRESS").phase is Phase.WORKING
    assert states.of("MOVE_FAILED").phase is Phase.FAILED
    assert states.of("MOVE_COMPLETE").phase is Phase.READY


@given(
    tags=st.dictionaries(st.sampled_from(NAMES), st.text(min_size=1, max_size=300)),
    others=st.lists(st.from_regex(r"[a-z]{1,20}", fullmatch=True)),
)
def test_tags_are_read_as_they_were_written(tags: dict[str, str], others: list[str]):
    written = template.write_tags(tags, DIGEST, others)
    each = written.split(",")
    assert all(len(tag) <= 80 for tag in each)
    read = template.read_tags(each)
    assert (read.ours, read.digest, list(read.others)) == (tags, DIGEST, others)


def test_a_digest_fits_into_one_tag():
    assert template.write_tags({}, DIGEST) == f"isthmus:digest={DIGEST}"


def test_files_and_environment_are_no_part_of_the_template():
    nested = {"heat_template_version": "2021-04-16", "resources": {}}
    files = {"node.yaml": nested, "boot.sh": "#!/bin/sh"}
    document = template.prepare(
        native({"resources": {"a": {"type": "X", "metadata": None}}, "files": files})
    )
    assert document.template == {"resources": {"a": {"type": "X"}}}
    assert document.files["boot.sh"] == "#!/bin/sh"
    assert document.files["node.yaml"].startswith('{"heat_template_version"')


def test_a_secret_parameter_is_declared_and_hidden():
    wanted = {"parameters": {"Word": {"type": "string"}}, "resources": {}}
    document = template.prepare(native(wanted, secret_parameters=frozenset({"Word"})))
    assert document.template["parameters"]["Word"]["hidden"] is True
    with pytest.raises(InvalidSpec, match=r"template\.parameters\.Word"):
        template.prepare(native({"resources": {}}, secret_parameters=frozenset({"Word"})))


@pytest.mark.parametrize(
    ("said", "read"),
    [
        (
            "BadRequest: resources.g.resources[1].resources.Bad: no luck\n"
            "Neutron server returns request_ids: ['req-1']",
            "BadRequest: no luck",
        ),
        (
            'ResourceInError: resources.node: Went to status ERROR due to "Message: No valid host '
            'was found. , Code: 500"',
            "No valid host was found. (server ERROR, code 500)",
        ),
        ("state changed", "state changed"),
    ],
)
def test_the_cause_is_told_without_what_wraps_it(said: str, read: str):
    assert readings.words(said) == read


def server(**properties: object) -> Json:
    return {"resource_type": "OS::Nova::Server", "properties": {"flavor": "small"} | properties}


def test_what_a_stack_needs_is_summed_up():
    disk = {"image": "debian", "volume_size": 20}
    found = quotas.needs(
        [
            server(networks=[{"network": "n"}, {"port": "p"}]),
            server(block_device_mapping_v2=[disk]),
            {"resource_type": "OS::Neutron::SecurityGroup", "properties": {"rules": [{}, {}]}},
            {"resource_type": "OS::Heat::TestResource"},
        ],
        {"small": {"vcpus": 2, "ram": 2048}},
    )
    assert {name: count for name, count in found.items() if count} == {
        "instances": 2,
        "cores": 4,
        "ram": 4096,
        "ports": 1,
        "volumes": 1,
        "gigabytes": 20,
        "security groups": 1,
        "security group rules": 4,
    }


def test_only_what_does_not_suffice_is_named():
    rooms = {
        "cores": Room(limit=4, used=3),
        "ram": Room(limit=-1, used=9),
        "ports": Room(limit=5, used=0),
    }
    assert quotas.short({"cores": 2, "ram": 1, "ports": 5}, rooms) == (
        "quota cores: 2 more are needed, and 1 of 4 are left",
    )
