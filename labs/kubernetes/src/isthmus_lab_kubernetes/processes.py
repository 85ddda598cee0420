"""Processes that outlive the command that started them, known by number and start time."""

from dataclasses import dataclass
from pathlib import Path


def stat_fields(pid: int) -> list[str]:
    """What follows the command's name in /proc/PID/stat; empty when there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return []


@dataclass(frozen=True)
class Process:
    """A process that is not mistaken for a later one with the same number."""

    pid: int
    started: str

    @classmethod
    def of(cls, pid: int) -> "Process":
        """The process that bears this number now."""
        fields = stat_fields(pid)
        return cls(pid, fields[19] if fields else "")

    @property
    def alive(self) -> bool:
        """True while it runs; a zombie does not."""
        fields = stat_fields(self.pid)
        return bool(fields) and fields[0] != "Z" and fields[19] == self.started

    @property
    def children(self) -> list[int]:
        """Its children's numbers."""
        if not self.alive:
            return []
        try:
            return [
                int(n)
                for n in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
            ]
        except OSError:
            return []


def first_of_a_namespace(pid: int) -> bool:
    """True for the PID 1 of a namespace below ours; false when there is no such process."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return False
    # Its numbers in our namespace and in each one below.
    return any(line.startswith("NSpid:") and line.split()[2:][-1:] == ["1"] for line in lines)


def parent_of(pid: int) -> int:
    """The number of a process' parent; 1 if there is no such process."""
    fields = stat_fields(pid)
    return int(fields[1]) if fields else 1
