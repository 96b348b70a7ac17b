"""As whom the embedded PostgreSQL runs, and so where its data lie.

PostgreSQL refuses root. An ordinary user runs it as itself. For root there are three ways, tried in this order:

1. data that already belong to an ordinary user: as that user;
2. a user namespace of its own, in which root is called by an ordinary user's name. On the disk everything
   stays root's, so it works below a folder that is closed to everybody else, such as /root;
3. a system user, with a copy of the binaries and the data below /var/lib/watchkeeper.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import pwd
import shutil
import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

PR_SET_PDEATHSIG = 1  # linux/prctl.h
CLONE_NEWUSER = 0x10000000  # linux/sched.h
SYSTEM_FOLDER = Path("/var/lib/watchkeeper")
SYSTEM_USERS = ("watchkeeper", "postgres", "nobody")

_libc = ctypes.CDLL(None, use_errno=True)


class NoAccount(Exception):
    """There is nobody as whom PostgreSQL could run here."""


@dataclass(frozen=True)
class Account:
    """One way to run the server. `become` is called in the child, between fork and exec."""

    folder: Path  # holds the folder `data` and, if its path is short enough, the socket
    install: Path  # holds the folder `bin`
    uid: int  # owner of the files, as seen from outside
    gid: int
    become: Callable[[], None]

    def preexec(self) -> Callable[[], None]:
        """What a child does before exec: become this account, and stop cleanly when its parent dies."""
        parent = os.getpid()

        def before_exec() -> None:
            self.become()
            # After `become`: the kernel forgets the signal at every change of credentials.
            _libc.prctl(PR_SET_PDEATHSIG, signal.SIGINT, 0, 0, 0)
            if os.getppid() != parent:  # the parent died before the line above
                os._exit(1)

        return before_exec


def choose_account(folder: Path, install: Path) -> Account:
    """The account for the database that belongs to `folder` (`var/postgres`).

    Raises `NoAccount` with what can be done.
    """
    if os.geteuid() != 0:
        return Account(folder, install, os.geteuid(), os.getegid(), lambda: None)
    elsewhere = SYSTEM_FOLDER / hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
    for account in (_as_owner(folder, install), _in_namespace(folder, install, elsewhere)):
        if account is not None and _works(account):
            return account
    if (folder / "data" / "PG_VERSION").exists():
        raise NoAccount(
            f"the data in {folder} were made by root inside a user namespace, which this system does not allow "
            "now: allow user namespaces, or set DATABASE_URL"
        )
    return _as_system_user(elsewhere, install)


def _as_owner(folder: Path, install: Path) -> Account | None:
    data = folder / "data"
    if not data.exists() or data.stat().st_uid == 0:
        return None
    return _account_of(pwd.getpwuid(data.stat().st_uid), folder, install)


def _account_of(entry: pwd.struct_passwd, folder: Path, install: Path) -> Account:
    def become() -> None:
        os.setgroups([])
        os.setgid(entry.pw_gid)
        os.setuid(entry.pw_uid)

    return Account(folder, install, entry.pw_uid, entry.pw_gid, become)


def _in_namespace(folder: Path, install: Path, elsewhere: Path) -> Account | None:
    if (elsewhere / "data" / "PG_VERSION").exists():  # begun as a system user: go on there
        return None
    entry = _some_system_user()  # initdb wants a name for its user
    if entry is None:
        return None
    uid, gid, outer = entry.pw_uid, entry.pw_gid, os.getegid()

    def become() -> None:
        if _libc.unshare(CLONE_NEWUSER) != 0:
            raise OSError(ctypes.get_errno(), "user namespaces are not allowed")
        for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} 0 1"), ("gid_map", f"{gid} {outer} 1")):
            file = os.open(f"/proc/self/{name}", os.O_WRONLY)  # plain: truncating is not allowed from inside
            os.write(file, text.encode())
            os.close(file)

    return Account(folder, install, 0, outer, become)


def _works(account: Account) -> bool:
    """Whether the account can run the binaries and write to its folder: asked of the kernel, not guessed."""
    shell = 'test -w "$0" && exec "$1" --version'
    probe = ["sh", "-c", shell, str(account.folder), str(account.install / "bin" / "postgres")]
    try:
        done = subprocess.run(  # noqa: S603
            probe, cwd="/", preexec_fn=account.preexec(), capture_output=True, timeout=20, check=False
        )
    except (subprocess.SubprocessError, OSError):
        return False
    return done.returncode == 0


def _some_system_user() -> pwd.struct_passwd | None:
    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    return next((known[name] for name in SYSTEM_USERS if name in known), None)


def _as_system_user(folder: Path, install: Path) -> Account:
    entry = _some_system_user()
    if entry is None:
        raise NoAccount("PostgreSQL does not run as root, and there is none of these users: " + ", ".join(SYSTEM_USERS))
    copied = _copy_of(install, folder)
    os.chown(folder, entry.pw_uid, entry.pw_gid)
    account = _account_of(entry, folder, copied)
    if not _works(account):
        raise NoAccount(f"the user {entry.pw_name} cannot run PostgreSQL in {folder}; set DATABASE_URL")
    return account


def _copy_of(install: Path, folder: Path) -> Path:
    """The binaries at a place that the system user can read, copied again when they have changed."""
    stamp = (install / "bin" / "postgres").stat().st_mtime_ns
    copied = folder / f"binaries-{stamp}" / install.name
    folder.mkdir(parents=True, exist_ok=True)
    SYSTEM_FOLDER.chmod(0o755)
    folder.chmod(0o700)
    if copied.exists():
        return copied
    unfinished = folder / "binaries.unfinished"
    shutil.rmtree(unfinished, ignore_errors=True)
    shutil.copytree(install, unfinished / install.name, symlinks=True)
    libraries = install.parent.parent / f"{install.parent.name}.libs"  # where the wheel's own libraries lie
    if libraries.exists():
        shutil.copytree(libraries, folder / libraries.name, symlinks=True, dirs_exist_ok=True)
    for path in unfinished.rglob("*"):
        if not path.is_symlink():
            path.chmod(path.stat().st_mode | 0o444 | (0o111 if path.is_dir() else 0))
    for old in folder.glob("binaries-*"):
        shutil.rmtree(old)
    unfinished.rename(copied.parent)
    return copied
