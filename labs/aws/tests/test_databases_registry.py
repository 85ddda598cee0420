"""What all labs of a user share, and what the clusters of one lab must not."""

from __future__ import annotations

import stat
from pathlib import Path

from isthmus_lab_aws.databases.children import free_port
from isthmus_lab_aws.databases.registry import _kept_secret


def test_of_two_labs_that_start_at_once_the_first_ones_secret_stays(tmp_path: Path) -> None:
    file = tmp_path / "administrator"

    def slowly() -> str:
        assert _kept_secret(file, lambda: "of the first") == "of the first"
        return "of the second"

    assert _kept_secret(file, slowly) == "of the first"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [found.name for found in tmp_path.iterdir()] == ["administrator"]


def test_a_port_that_a_cluster_has_is_not_given_again_though_nobody_listens() -> None:
    given = range(20_000, 29_900)
    assert free_port(("127.0.0.1",), but=given) not in given
