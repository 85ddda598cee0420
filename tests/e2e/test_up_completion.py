"""What the shell offers on TAB."""

import pytest

from tests.installation import Installation, a_namespace, isthmus, up


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    with up(tmp_path_factory.mktemp("tab")) as installation:
        installation.apply(a_namespace("shop"))
        yield installation


def offered(home: Installation, line: str) -> list[str]:
    """Ask as bash does."""
    words = line.split(" ")
    done = isthmus(
        KUBECONFIG=str(home.kubeconfig),
        _ISTHMUS_COMPLETE="complete_bash",
        COMP_WORDS=line,
        COMP_CWORD=str(len(words) - 1),
        _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1",
        code=None,
    )
    return done.stdout.split()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("isthmus or", "orphans"),
        ("isthmus get servicei", "serviceinstance/"),
        ("isthmus get offering/aurora-p", "offering/aurora-postgresql"),
        ("isthmus get si -n sh", "shop"),
        ("isthmus catalog show sq", "sqs"),
    ],
)
def test_names_are_offered(home: Installation, line, expected):
    assert expected in offered(home, line)


def test_without_a_server_nothing_breaks(tmp_path):
    nowhere = Installation(data_dir=tmp_path, process=None, log=tmp_path)  # type: ignore[arg-type]
    assert offered(nowhere, "isthmus get offering/a") == []
