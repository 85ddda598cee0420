"""``isthmus controllers`` on a real kube-apiserver: one instance's life."""

from collections.abc import Iterator

import pytest

from tests.kubernetes_plane import MARKS
from tests.on_cluster import OnCluster, Plane, on_cluster

pytestmark = [*MARKS, pytest.mark.slow]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, plane_with_kinds: Plane) -> Iterator[OnCluster]:
    with on_cluster(tmp_path_factory.mktemp("home"), plane_with_kinds) as running:
        yield running


def test_an_instance_lives(home: OnCluster) -> None:
    before = home.lab("state")
    home.apply("ServiceInstance", "queue", {"offering": "sqs", "plan": "dev"})
    home.apply("ServiceBinding", "queue", {"instance": "queue"})
    home.until_ready("serviceinstances", "queue")
    home.until_ready("servicebindings", "queue")
    assert home.secret("queue")
    home.delete("servicebindings", "queue")
    home.delete("serviceinstances", "queue")
    home.until_gone("serviceinstances", "queue")
    assert home.left_in_lab(before) == {}
