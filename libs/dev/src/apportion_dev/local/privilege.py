"""Who a server runs as: PostgreSQL refuses root, so as root its processes drop to an unprivileged account."""

from __future__ import annotations

import hashlib
import os
import pwd
import shutil
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path

# initdb looks its user up by number, so the account must have a passwd entry; every system ships one of these.
UNPRIVILEGED_ACCOUNTS = ("nobody", "daemon", "bin")

PATH_HASH_HEX_DIGITS = 12


class UnsafeFolderError(RuntimeError):
    """A folder below the shared temporary directory belongs to somebody else or can be written by others."""


@dataclass(frozen=True, slots=True)
class Account:
    """The user and group that a child process runs as."""

    uid: int
    gid: int


def drop_account() -> Account | None:
    """Return the account to drop to: None for an ordinary user (stay), an unprivileged one for root.

    Raises RuntimeError when root finds no unprivileged account at all.
    """
    if os.geteuid() != 0:
        return None
    for name in UNPRIVILEGED_ACCOUNTS:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        if entry.pw_uid != 0:
            return Account(entry.pw_uid, entry.pw_gid)
    raise RuntimeError(f"None of the accounts {', '.join(UNPRIVILEGED_ACCOUNTS)} exists to run PostgreSQL as.")


def _others_may(path: Path, permission: int) -> bool:
    """Return whether the permission bit for others is set on the path."""
    try:
        return bool(path.stat().st_mode & permission)
    except OSError:
        return False


def others_can_enter(folder: Path) -> bool:
    """Return whether an account without rights of its own can walk down to the folder and read in it.

    Parts that do not exist yet are passed over: their maker sets a fitting mode.
    """
    resolved = folder.resolve()
    existing = [part for part in (resolved, *resolved.parents) if part.exists()]
    return all(_others_may(part, stat.S_IXOTH) for part in existing)


def others_can_read(file: Path) -> bool:
    """Return whether an account without rights of its own can open the file."""
    return others_can_enter(file.resolve().parent) and _others_may(file, stat.S_IROTH)


def path_hash(path: Path) -> str:
    """Return a short stable name for a path, so that two checkouts get two folders."""
    return hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:PATH_HASH_HEX_DIGITS]


def own_temporary_folder(name: str, mode: int) -> Path:
    """Make (or find) our own folder of that name below the system's temporary directory.

    The directory is shared and the name can be foretold, so a folder, link or mode that somebody else prepared
    is refused with UnsafeFolderError.
    """
    folder = Path(tempfile.gettempdir()) / name
    try:
        folder.mkdir(mode=mode)
        folder.chmod(mode)
    except FileExistsError:
        pass
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise UnsafeFolderError(f"{folder} is not a folder of our own that only we can write; remove it.")
    return folder


def link_tree(source: Path, target: Path) -> None:
    """Lay a tree out a second time by hard links, or by copies where a link cannot be made or read by others."""

    def place(origin: str, destination: str) -> str:
        readable = _others_may(Path(origin), stat.S_IROTH)
        if readable:
            try:
                os.link(origin, destination)
                return destination
            except OSError:
                pass
        shutil.copy2(origin, destination)
        if not readable:
            copy = Path(destination)
            copy.chmod(copy.stat().st_mode | stat.S_IRGRP | stat.S_IROTH | (copy.stat().st_mode & stat.S_IXUSR) >> 6)
        return destination

    shutil.copytree(source, target, copy_function=place, symlinks=True)
    for folder in (target, *(path for path in target.rglob("*") if path.is_dir() and not path.is_symlink())):
        folder.chmod(0o755)
