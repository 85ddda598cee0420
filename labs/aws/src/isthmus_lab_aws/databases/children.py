"""Child processes that never outlive the lab and never run as root.

Database servers refuse to run as root, and a lab that was killed must leave nothing behind. Both
are the work of util-linux' `setpriv`: it gives the child an unprivileged user and asks the kernel
to stop it when the lab dies (`PR_SET_PDEATHSIG`), however the lab dies.

The kernel watches the *thread* that started a child, so every child is started by one thread that
lives as long as the process.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Container, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

_starter = ThreadPoolExecutor(max_workers=1, thread_name_prefix="lab-children")
_UNPRIVILEGED_USER = "nobody"


class ChildFailed(RuntimeError):
    """A command of a database server ended with an error; the message carries its last words."""


def start(
    command: Sequence[str | Path], *, log: Path, reaches: Path, death_signal: str = "INT"
) -> subprocess.Popen[bytes]:
    """Start a server that ends with the lab.

    Args:
        command: program and arguments.
        log: file to which its output is appended.
        reaches: the folder that the child must be able to enter.
        death_signal: what the kernel sends it when the lab is gone.
    """

    def spawn() -> subprocess.Popen[bytes]:
        with log.open("ab") as out:
            return subprocess.Popen(  # the arguments are our own
                [*_prefix(reaches), "--pdeathsig", death_signal, "--", *map(str, command)],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env=_environment(),
                cwd="/",
                start_new_session=True,
            )

    return _starter.submit(spawn).result()


def run(command: Sequence[str | Path], *, reaches: Path, text: str = "") -> str:
    """Run a command to its end as the unprivileged user and return its output.

    Raises:
        ChildFailed: it ended with an error.
    """
    done = subprocess.run(
        [*_prefix(reaches), "--", *map(str, command)],
        input=text,
        capture_output=True,
        text=True,
        env=_environment(),
        cwd="/",
        timeout=60,
        check=False,
    )
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()[-3:]
        raise ChildFailed(f"{Path(str(command[0])).name}: {' / '.join(said)}")
    return done.stdout


def stop(child: subprocess.Popen[bytes], how: signal.Signals, patience_seconds: float = 20) -> None:
    """Ask a child to end, and insist when it does not."""
    if child.poll() is None:
        child.send_signal(how)
        try:
            child.wait(patience_seconds)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def end_predecessor(lock: Path, data: Path, how: signal.Signals, patience_seconds: float) -> None:
    """End the server that a killed lab left over this data, and return once it is gone.

    The kernel asks it to end with the lab, but not when the lab dies in the moment of its start.

    Args:
        lock: file whose first line is the server's process id.
        data: folder that the server names in its command line.
        how: what asks it to end.
        patience_seconds: after this it is killed.
    """

    def runs(pid: int) -> bool:
        with contextlib.suppress(OSError):
            return str(data).encode() in Path(f"/proc/{pid}/cmdline").read_bytes()
        return False

    try:
        process = int(lock.read_text().split("\n", 1)[0])
    except (OSError, ValueError):
        return
    deadline = time.monotonic() + patience_seconds
    with contextlib.suppress(ProcessLookupError):
        if runs(process):
            os.kill(process, how)
        while runs(process):
            if time.monotonic() > deadline:
                os.kill(process, signal.SIGKILL)
            time.sleep(0.02)


def own(*paths: Path) -> None:
    """Give files, and folders with all in them, to the user as whom children run."""
    if os.geteuid() != 0:
        return
    user = pwd.getpwnam(_UNPRIVILEGED_USER)
    for path in paths:
        os.chown(path, user.pw_uid, user.pw_gid)
        for below in path.rglob("*"):
            os.chown(below, user.pw_uid, user.pw_gid, follow_symlinks=False)


def free_port(hosts: Sequence[str], but: Container[int] = ()) -> int:
    """A TCP port that is free on all these addresses now, outside the kernel's ephemeral range.

    An endpoint must survive a restart of the lab; an ephemeral port might be taken by then.
    `but` is none of these.
    """
    while True:
        port = 20_000 + secrets.randbelow(10_000)
        if port not in but and all(is_free(host, port) for host in hosts):
            return port


def random_net() -> str:
    """A loopback network that hardly anybody else uses, as the first three numbers."""
    return f"127.{16 + secrets.randbelow(200)}.{secrets.randbelow(256)}"


def is_free(host: str, port: int) -> bool:
    """Whether a server could listen there now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def _prefix(reaches: Path) -> list[str]:
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise ChildFailed("setpriv is not installed; it is part of util-linux (Linux only)")
    if os.geteuid() != 0:
        return [setpriv]
    user = pwd.getpwnam(_UNPRIVILEGED_USER)
    demoted = [setpriv, f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
    if not _open_to_all(reaches):
        # Root's own folders (0700) may lie above the data; the child may pass through them.
        demoted += ["--inh-caps=+dac_override", "--ambient-caps=+dac_override"]
    return demoted


def _open_to_all(folder: Path) -> bool:
    return all(parent.stat().st_mode & 0o001 for parent in folder.resolve().parents)


def _environment() -> dict[str, str]:
    return {"PATH": os.environ.get("PATH", os.defpath), "LANG": "C", "TZ": "UTC"}
