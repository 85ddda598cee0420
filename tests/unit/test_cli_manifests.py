"""Files as people write them; mistakes are named by file and line."""

import pytest

from isthmus.faces.cli import manifests
from isthmus.faces.cli.failures import CommandFailed, Exit

GOOD = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\ndata:\n  x: '1'\n"


def test_documents_folders_and_lists(tmp_path):
    (tmp_path / "b.yaml").write_text(f"{GOOD}---\n{GOOD.replace('name: a', 'name: b')}")
    (tmp_path / "a.json").write_text(
        '{"kind": "List", "apiVersion": "v1", "items": [{"apiVersion": "v1", '
        '"kind": "ConfigMap", "metadata": {"name": "listed", "namespace": "n"}}]}'
    )
    (tmp_path / "notes.txt").write_text("not a manifest")
    found = manifests.read([str(tmp_path)])
    assert [(m.name, m.namespace) for m in found] == [("listed", "n"), ("a", ""), ("b", "")]


def test_a_field_has_a_place(tmp_path):
    file = tmp_path / "x.yaml"
    file.write_text(GOOD)
    (found,) = manifests.read([str(file)])
    assert found.place("data.x") == f"{file}:6"
    assert found.place("data.unknown.deeper") == f"{file}:5", "the nearest that is there"
    assert found.place() == f"{file}:1"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [1\nb: 2\n", "x.yaml:2: "),
        ("- 1\n", "x.yaml:1: expected an object"),
        ("kind: X\nmetadata: {name: a}\n", "x.yaml:1: apiVersion is missing"),
        ("apiVersion: v1\nkind: X\nmetadata: {}\n", "metadata.name is missing"),
        ("a: 1\na: 2\n", "x.yaml:2: key 'a' is written twice"),
        ("", "there is no object in it"),
    ],
)
def test_mistakes_are_placed(tmp_path, text, words):
    file = tmp_path / "x.yaml"
    file.write_text(text)
    with pytest.raises(CommandFailed) as failure:
        manifests.read([str(file)])
    assert words in failure.value.message
    assert failure.value.code == Exit.INVALID


def test_an_absent_file_is_named(tmp_path):
    with pytest.raises(CommandFailed, match="No such file"):
        manifests.read([str(tmp_path / "absent.yaml")])
