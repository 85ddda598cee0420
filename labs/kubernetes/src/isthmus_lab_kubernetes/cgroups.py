"""A guest's cgroup of every version 1 controller, with the memory and CPU of its flavor."""

import os
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
CONTROLLERS = ("cpu", "cpuacct", "cpuset", "memory", "devices", "freezer", "blkio", "pids")


def supported() -> bool:
    """True where every controller is mounted as version 1, as the guests need."""
    return all((ROOT / name / "cgroup.procs").exists() for name in CONTROLLERS)


def make(name: str, memory_mib: int, cpus: float) -> list[Path]:
    """Make the cgroups, or give those that exist new limits; 0 is without limit."""
    groups = [ROOT / controller / name for controller in CONTROLLERS]
    for group in groups:
        group.mkdir(exist_ok=True)
    for item in ("cpuset.cpus", "cpuset.mems"):
        (ROOT / "cpuset" / name / item).write_text((ROOT / "cpuset" / item).read_text())
    limit = memory_mib << 20 if memory_mib else -1
    (ROOT / "memory" / name / "memory.limit_in_bytes").write_text(str(limit))
    quota = int(cpus * 100_000) if cpus else -1
    (ROOT / "cpu" / name / "cpu.cfs_quota_us").write_text(str(quota))
    # On a busy host a virtual machine weighs as many processes as it has processors.
    (ROOT / "cpu" / name / "cpu.shares").write_text(str(int(1024 * max(cpus, 1))))
    return groups


def remove(name: str) -> None:
    """Remove the cgroups and all below them; nothing may run there any more."""
    for controller in CONTROLLERS:
        for folder, _, _ in os.walk(ROOT / controller / name, topdown=False):
            os.rmdir(folder)


def empty(name: str) -> bool:
    """True once nothing runs in the cgroups or below them."""
    for controller in CONTROLLERS:
        for folder, _, _ in os.walk(ROOT / controller / name):
            if (Path(folder) / "cgroup.procs").read_text():
                return False
    return True
