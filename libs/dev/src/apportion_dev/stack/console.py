"""Log lines as a person reads them: each process's JSON lines, one readable line each."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

FOLLOW_S = 0.15
NAME_WIDTH = 10
READ_BYTES = 256 * 1024

_LEAD = ("timestamp", "time", "level", "event", "message", "service", "logger")


def readable(name: str, line: str) -> str:
    """Return a log line with its process's name before it; a JSON line as time, level, event and the rest."""
    prefix = f"{name:<{NAME_WIDTH}} | "
    try:
        entry = json.loads(line)
    except ValueError:
        return prefix + line
    if not isinstance(entry, dict):
        return prefix + line
    when = str(entry.get("timestamp", entry.get("time", "")))
    # The date is of no use on a console: keep what follows the T.
    time_of_day = when.partition("T")[2][:12] or when
    level = str(entry.get("level", "")).upper()
    event = str(entry.get("event", entry.get("message", "")))
    rest = [f"{key}={_short(value)}" for key, value in entry.items() if key not in _LEAD]
    return prefix + " ".join(part for part in (time_of_day, level, event, *rest) if part)


def _short(value: object) -> str:
    """Return a value on one line, quoted when it has blanks in it."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return json.dumps(text, ensure_ascii=False) if any(character.isspace() for character in text) else text


def write_to_stdout(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


@dataclass
class LogFollower:
    """Writes what is added to the log files of a folder, from now on, as readable lines."""

    folder: Path
    write: Callable[[str], None] = write_to_stdout
    only: str | None = None
    _offsets: dict[Path, int] = field(default_factory=dict, repr=False)
    _rests: dict[Path, bytes] = field(default_factory=dict, repr=False)
    _ending: threading.Event = field(default_factory=threading.Event, repr=False)
    _thread: threading.Thread | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        """Take what is in the files now as read."""
        self._offsets = {file: file.stat().st_size for file in self._files().values()}

    def start(self) -> None:
        """Follow in a thread of its own until `stop`."""
        self._thread = threading.Thread(target=self.run, name="log-follower", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Write what is left and end."""
        self._ending.set()
        if self._thread is not None:
            self._thread.join()

    def run(self) -> None:
        """Follow in this thread until `stop`."""
        while not self._ending.wait(FOLLOW_S):
            self.step()
        self.step()

    def step(self) -> None:
        """Write what was added since the last step."""
        for name, file in sorted(self._files().items()):
            added = self._read(file)
            while added:
                self._write_lines(name, file, added)
                added = self._read(file)

    def _files(self) -> Mapping[str, Path]:
        names = {file.stem: file for file in self.folder.glob("*.log")} if self.folder.is_dir() else {}
        return {name: file for name, file in names.items() if self.only in (None, name)}

    def _read(self, file: Path) -> bytes:
        offset = self._offsets.get(file, 0)
        try:
            with file.open("rb") as stream:
                stream.seek(offset)
                added = stream.read(READ_BYTES)
        except OSError:
            return b""
        self._offsets[file] = offset + len(added)
        return added

    def _write_lines(self, name: str, file: Path, added: bytes) -> None:
        *lines, rest = (self._rests.get(file, b"") + added).split(b"\n")
        self._rests[file] = rest
        for line in lines:
            self.write(readable(name, line.decode("utf-8", "replace").rstrip("\r")))
