"""Brings what a lab stands on: Debian's database, broker and cache, and OpenStack from PyPI.

The Python environment is made once for each lock file and shared by all labs; it is never changed
after that, so that a lab may start while another one runs.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from isthmus_lab_openstack.settings import PACKAGE, LabError, Settings, cache

SYSTEM_PROGRAMS = {
    Path("/usr/sbin/mariadbd"): "mariadb-server",
    Path("/usr/lib/rabbitmq/bin/rabbitmq-server"): "rabbitmq-server",
    Path("/usr/bin/memcached"): "memcached",
}
_COMPUTE_PACKAGE = '''"""Compute drivers of the lab, from the folders in ISTHMUS_LAB_DRIVER_PATH.

Nova loads drivers from below nova.virt only; this package's path lets them live elsewhere.
"""
import os

__path__ = [*filter(None, os.environ.get("ISTHMUS_LAB_DRIVER_PATH", "").split(":"))]
'''


def lock_file() -> Path:
    """The lock of the environment: in a checkout beside the sources, in a wheel inside."""
    checkout = PACKAGE.parents[1] / "requirements.txt"
    return checkout if checkout.exists() else PACKAGE / "requirements.txt"


def digest() -> str:
    """Names the environment; whatever changes it changes this."""
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    parts = (lock_file().read_bytes(), python.encode(), _COMPUTE_PACKAGE.encode())
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]


def home() -> Path:
    """The cache folder of this lock: the environment and copies of fresh databases."""
    return cache() / digest()


def binaries() -> Path:
    """Where the environment's programs are."""
    return home() / "venv" / "bin"


def missing_programs() -> list[str]:
    """The Debian packages that are not installed."""
    return [package for file, package in SYSTEM_PROGRAMS.items() if not file.exists()]


def installed() -> bool:
    """Whether `install` would have nothing to do."""
    return not missing_programs() and (home() / "venv.done").exists()


def install(lab: Settings) -> None:
    """Bring what is missing. Does nothing where all is there.

    Raises:
        LabError: A package is missing and cannot be installed.
    """
    if missing := missing_programs():
        _install_debian(missing)
    home().mkdir(parents=True, exist_ok=True)
    with (home() / "install.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (home() / "venv.done").exists():
            _install_python(lab)
            (home() / "venv.done").touch()


def _install_debian(packages: list[str]) -> None:
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise LabError(f"not installed: {' '.join(packages)}; install them with apt, as root")
    # RUNLEVEL=1 keeps the packages from starting the machine's own daemons.
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    apt = ["apt-get", "-q", "-o", "DPkg::Lock::Timeout=300"]
    if subprocess.run(["apt-cache", "show", packages[0]], capture_output=True).returncode:
        subprocess.run([*apt, "update"], env=environment, capture_output=True)
    command = [*apt, "install", "-y", "--no-install-recommends", *packages]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise LabError(f"apt could not install {' '.join(packages)}: {done.stdout[-1000:]}")


def _install_python(lab: Settings) -> None:
    venv, tools = home() / "venv", home() / "uv"
    shutil.rmtree(venv, ignore_errors=True)
    uv = shutil.which("uv") or str(tools / "bin" / "uv")
    log = lab.log / "install.log"
    if not Path(uv).exists():
        _run([sys.executable, "-m", "venv", str(tools)], log)
        _run([str(tools / "bin" / "pip"), "-q", "install", "uv"], log)
    _run([uv, "venv", "-q", "-p", sys.executable, str(venv)], log)
    # Without byte code each of twenty processes would compile OpenStack for itself.
    install = [uv, "pip", "install", "-q", "--compile-bytecode", "--require-hashes"]
    _run([*install, "-p", str(venv / "bin" / "python"), "-r", str(lock_file())], log)
    (virt,) = venv.glob("lib/python3*/site-packages/nova/virt")
    (virt / "lab").mkdir(exist_ok=True)
    (virt / "lab" / "__init__.py").write_text(_COMPUTE_PACKAGE)


def _run(command: list[str], log: Path) -> None:
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    with log.open("ab") as output:
        done = subprocess.run(command, stdout=output, stderr=output, env=environment)
    if done.returncode:
        tail = log.read_text(errors="replace")[-1500:]
        raise LabError(f"{' '.join(command)} failed; see {log}:\n{tail}")
