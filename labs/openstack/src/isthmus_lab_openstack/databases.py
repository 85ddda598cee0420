"""Fresh databases: made by the services' own migrations once, and copied from then on."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from isthmus_lab_openstack import migrations, packages, seeding
from isthmus_lab_openstack.configuration.nova import hosts
from isthmus_lab_openstack.processes import environment
from isthmus_lab_openstack.settings import HOST, PASSWORD, LabError, Settings

_KEPT = ("mysql", "keystone")
"""What a copy holds, below `var`: the databases, and the keys that their contents need."""


def copy_folder(lab: Settings) -> Path:
    """Where the copy for these services is, or would be."""
    sources = (Path(migrations.__file__), seeding.REGISTER)
    made_of = "\n".join([*lab.services, *(file.read_text() for file in sources)])
    return packages.home() / f"databases-{hashlib.sha256(made_of.encode()).hexdigest()[:12]}"


def prepare(lab: Settings) -> bool:
    """Lay out the database server's files; returns whether the databases have yet to be made."""
    if (lab.var / "mysql" / "mysql").exists():
        return not (lab.var / "databases.done").exists()
    source = copy_folder(lab)
    if source.exists():
        for name in _KEPT:
            shutil.rmtree(lab.var / name, ignore_errors=True)
            _copy(source / name, lab.var / name)
        (lab.var / "databases.done").touch()
        return False
    _run(
        lab,
        "mysql",
        ["mariadb-install-db", "--no-defaults", "--user=root", f"--datadir={lab.var}/mysql",
         "--skip-test-db", "--auth-root-authentication-method=socket"],
    )  # fmt: skip
    return True


def make(lab: Settings) -> None:
    """Create and migrate the databases; each service's is done once. Raises LabError."""
    names = [name for service in lab.services for name in migrations.DATABASES[service]]
    user = f"lab@'{HOST}'"
    sql(
        lab,
        "".join(f"CREATE DATABASE IF NOT EXISTS `{name}`;" for name in names)
        + f"CREATE USER IF NOT EXISTS {user} IDENTIFIED BY '{PASSWORD}';"
        + f"GRANT ALL ON *.* TO {user};",
    )
    with ThreadPoolExecutor(os.cpu_count() or 2) as pool:
        for _ in pool.map(partial(_migrate, lab), lab.services):
            pass


def keep_copy(lab: Settings) -> None:
    """Keep what was made for the labs to come; the database server must be down."""
    (lab.var / "databases.done").touch()
    goal = copy_folder(lab)
    fresh = goal.with_name(f"{goal.name}.{os.getpid()}")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    for name in _KEPT:
        _copy(lab.var / name, fresh / name)
    try:
        fresh.rename(goal)
    except OSError:  # Another lab was faster.
        shutil.rmtree(fresh)


def settle(lab: Settings) -> None:
    """Tell the databases this lab's addresses and hosts; does nothing where they know them."""
    statements = [
        "UPDATE keystone.endpoint e JOIN keystone.service s ON e.service_id = s.id "
        f"SET e.url = '{url}' WHERE s.type = '{kind}';"
        for _, kind, url in seeding.catalog(lab)
    ]
    if lab.has("nova"):
        # As `nova-manage cell_v2 discover_hosts` would, but before the hosts are there.
        statements += [
            "INSERT IGNORE INTO nova_api.host_mappings (created_at, cell_id, host) "
            f"SELECT NOW(), id, '{host}' FROM nova_api.cell_mappings "
            "WHERE name = 'cell1';"
            for host in hosts(lab)
        ]
    sql(lab, "".join(statements))


def sql(lab: Settings, statements: str) -> str:
    """Run statements as the database's owner and return what they print."""
    command = ["mariadb", "--no-defaults", f"--socket={lab.run}/mysql.sock", "-uroot", "-N", "-B"]
    done = subprocess.run([*command, "-e", statements], capture_output=True, text=True)
    if done.returncode:
        raise LabError(f"the database refused: {done.stderr.strip()}")
    return done.stdout


def _copy(source: Path, goal: Path) -> None:
    command = ["cp", "-a", "--reflink=auto", "--sparse=always", str(source), str(goal)]
    subprocess.run(command, check=True)


def _migrate(lab: Settings, service: str) -> None:
    done = lab.var / f"migrated-{service}"
    if done.exists():
        return
    for command in migrations.commands(lab, packages.binaries(), service):
        _run(lab, f"migrate-{service}", command)
    done.touch()


def _run(lab: Settings, log_name: str, command: list[str]) -> None:
    file = lab.log / f"{log_name}.log"
    with file.open("ab") as log:
        done = subprocess.run(
            command,
            stdout=log,
            stderr=log,
            env=environment(lab, packages.binaries())
            | {"OS_PLACEMENT_CONFIG_DIR": str(lab.etc / "placement")},
        )
    if done.returncode:
        tail = file.read_text(errors="replace")[-2500:]
        raise LabError(f"{command[0]} failed; see {file}:\n{tail}")
