"""The page of the documentation that lists every difference which the script knows."""

from tests.docs.reference import NOTE
from tests.oracle.script import Chapter, chapters, reasons

_HEAD = """\
# The embedded API beside kube-apiserver

A script of {count} steps, good and bad, is played against the embedded API and against a real
kube-apiserver {release} on etcd with its controllers: commands of kubectl, and requests as clients
send them. Exit codes, status codes, outputs, bodies and warnings are compared. `make test-labs`
does so wherever the real one can be built; `tests/oracle/chapters` has the script.

What differs by nature is not compared: uids, resourceVersions, times and ages, addresses, tokens,
names of temporary files, the width of columns, the order of `managedFields`. In {differing} steps
the answers differ; each is here with its reason. The test fails when another one differs, and when
one of these no longer does.

| chapter | what it is about | steps |
|---|---|---|
"""


def page(release: str) -> str:
    """The page, as Markdown.

    Args:
        release: Version of the real one.
    """
    found = chapters()
    steps = [step for chapter in found for step in chapter.steps]
    differing = sum(bool(step.differs) for step in steps)
    head = _HEAD.format(count=len(steps), differing=differing, release=release)
    rows = [f"| {c.name} | {c.about} | {len(c.steps)} |\n" for c in found]
    return NOTE + head + "".join(rows) + "".join(_reason(key, found) for key in reasons())


def _reason(key: str, found: list[Chapter]) -> str:
    rows = [
        f"| {chapter.name} | `{_shown(step.do)}` |\n"
        for chapter in found
        for step in chapter.steps
        if step.differs == key
    ]
    if not rows:
        return ""
    return (
        f"\n## {key[0].upper()}{key[1:]}\n\n{reasons()[key]}\n\n| chapter | step |\n|---|---|\n"
        + "".join(rows)
    )


def _shown(command: str) -> str:
    text = command.replace("${namespace}", "NAMESPACE").replace("|", "\\|").replace("\n", " ")
    return text if len(text) <= 160 else text[:157] + "..."
