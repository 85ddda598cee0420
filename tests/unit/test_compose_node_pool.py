"""A pool's groups: which servers they have, what names them, and what their offering is given."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.api.meta import Json, ObjectMeta
from isthmus.api.v1alpha1 import Cluster, ClusterSpec, NodePool, OfferingSpec
from isthmus.core.compose.node_pool import Size, group_of, resized, sized
from isthmus.errors import InvalidSpec
from tests.factories import an_offering_spec

PARAMETERS: Json = {
    "type": "object",
    "required": ["networkId"],
    "properties": {
        "count": {"type": "integer", "default": 0, "x-updatable": True},
        "removed": {"type": "array", "items": {"type": "string"}, "x-updatable": True},
        "joinToken": {"type": "string", "writeOnly": True, "x-updatable": True},
        "image": {"type": "string", "default": "debian"},
        "flavor": {"type": "string", "default": "small"},
        "labels": {"type": "object", "default": {}, "x-updatable": True},
        "kubernetesVersion": {"type": "string", "default": ""},
        "caHash": {"type": "string"},
        "endpoint": {"type": "string"},
        "networkId": {"type": "string"},
        "mirror": {"type": "string"},
    },
}


def a_definition() -> OfferingSpec:
    return an_offering_spec(
        parameters=PARAMETERS,
        plans=[{"name": "big", "title": "Big", "parameters": {"flavor": "big"}}],
    )


def a_cluster(**status: Any) -> Cluster:
    seen = {
        "endpoint": "https://192.0.2.7:6443",
        "caHash": "sha256:00",
        "version": "v1.36.1",
        "provider": "here",
        "outputs": {"NetworkId": "net-1", "Unknown": "x"},
    }
    return Cluster.model_validate(
        {
            "metadata": ObjectMeta(name="c", namespace="team-a"),
            "spec": {"offering": "kubernetes", "plan": "dev"},
            "status": seen | status,
        }
    )


def a_pool(**spec: Any) -> NodePool:
    meta = ObjectMeta.model_validate({"name": "workers", "namespace": "team-a", "uid": "0f"})
    return NodePool.model_validate({"metadata": meta, "spec": {"cluster": "c"} | spec})


def group(pool: NodePool, cluster: Cluster | None = None) -> Any:
    return group_of(
        pool,
        cluster or a_cluster(),
        a_definition(),
        revision="kubernetes-pool-1",
        inherited={"mirror": "http://mirror.test", "image": "other", "secret": "x"},
    )


def test_what_the_offering_declares_is_given() -> None:
    found = group(a_pool(image="ubuntu"))
    assert found.spec.offering == "kubernetes-pool"
    assert found.spec.plan == "big"
    assert found.spec.provider == "here"
    assert found.spec.parameters == {
        "image": "ubuntu",
        "kubernetesVersion": "1.36.1",
        "caHash": "sha256:00",
        "endpoint": "192.0.2.7:6443",
        "networkId": "net-1",
        "mirror": "http://mirror.test",
    }


def test_what_the_tenant_does_not_say_is_as_in_the_cluster() -> None:
    assert group(a_pool()).spec.parameters["image"] == "other"


def test_the_owner_is_the_pool() -> None:
    found = group(a_pool())
    assert found.owner_reference().name == "workers"
    assert found.owner_reference().kind == "NodePool"
    assert found.stack_name == f"pool-{found.metadata.name}"


def test_only_what_cannot_change_in_place_makes_another_group() -> None:
    before = group(a_pool()).metadata.name
    assert group(a_pool(labels={"a": "b"}, replicas=9, max=9)).metadata.name == before
    assert group(a_pool(image="ubuntu")).metadata.name != before
    assert group(a_pool(), a_cluster(caHash="sha256:01")).metadata.name != before


def test_a_pool_never_runs_ahead_of_its_control_plane() -> None:
    ahead = group(a_pool(kubernetesVersion="1.37.0"))
    assert ahead.spec.parameters["kubernetesVersion"] == "1.36.1"
    behind = group(a_pool(kubernetesVersion="1.35.4"))
    assert behind.spec.parameters["kubernetesVersion"] == "1.35.4"


@pytest.mark.parametrize("typed", [True, False])
def test_a_version_is_held_to_the_control_plane_however_it_is_asked_for(typed: bool) -> None:
    def asked(version: str) -> Any:
        given = {"kubernetesVersion": version}
        return group(a_pool(**(given if typed else {"parameters": given})))

    assert asked("1.37.0").spec.parameters["kubernetesVersion"] == "1.36.1"
    assert asked("1.33.0").spec.parameters["kubernetesVersion"] == "1.33.0"
    with pytest.raises(InvalidSpec, match=r"1\.33 or newer"):
        asked("1.32.0")


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"labels": {"node-role.kubernetes.io/worker": ""}}, "spec.labels.node-role"),
        ({"parameters": {"labels": {"a b": ""}}}, "spec.parameters.labels"),
        ({"parameters": {"taints": ["a=b:Bogus"]}}, "spec.parameters.taints.0"),
    ],
)
def test_what_no_node_could_be_given_is_refused(spec: Json, field: str) -> None:
    with pytest.raises(InvalidSpec) as refused:
        group(a_pool(**spec))
    assert refused.value.message.startswith(field)


def test_a_pool_of_an_attached_cluster_names_its_offering() -> None:
    attached = a_cluster().model_copy(
        update={
            "spec": ClusterSpec.model_validate(
                {"kubeconfigSecret": {"name": "theirs", "key": "config"}}
            )
        }
    )
    with pytest.raises(InvalidSpec, match=r"^spec.offering: Cluster 'c' is attached"):
        group(a_pool(), attached)
    assert group(a_pool(offering="mine-pool"), attached).spec.offering == "mine-pool"


def test_count_removed_and_token_are_given() -> None:
    found = resized(group(a_pool()), a_definition(), Size(count=2, removed=(1,)))
    assert found.spec.parameters["count"] == 2
    assert found.spec.parameters["removed"] == ["1"]
    assert found.spec.parameters["joinToken"] == {
        "secretKeyRef": {"name": "workers-join", "key": "token"}
    }


def test_what_is_not_declared_is_not_given() -> None:
    bare = an_offering_spec()
    spec = group(a_pool()).spec
    assert sized(spec, bare, Size(count=2), "x") == spec


SIZES = st.builds(
    Size,
    count=st.integers(0, 6),
    removed=st.sets(st.integers(0, 9), max_size=5).map(lambda s: tuple(sorted(s))),
)


@given(SIZES, st.sets(st.integers(0, 12)), st.integers(0, 4))
def test_the_others_stay_and_no_number_comes_back(size: Size, remove: set[int], add: int) -> None:
    after = size.changed(remove=frozenset(remove), add=add)
    stay = set(size.indexes) - remove
    assert stay <= set(after.indexes)
    assert len(after.indexes) == len(stay) + add
    assert not set(after.indexes) & {*size.removed, *(remove & set(size.indexes))}
