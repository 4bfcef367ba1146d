"""Rows that were not taken, written as they come: a CSV file that can be mended and sent.

A log lies beside its checkpoint and is on disk before the checkpoint passes its rows. A run that goes on after row n
keeps what the log says of the rows up to n and learns the rest again, so that at whatever instant an earlier run was
killed, no row is missing and none is there twice.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

from apportion_cli.ingest.rows import COLUMNS, FileProblem, Row

REASON_COLUMNS: Final = ("row", "reason", "message")
"""Behind the columns of usage; a file of usage may have them, they say nothing there."""


class Rejection(NamedTuple):
    """A row that was not taken."""

    row: int
    reason: str
    message: str


class RowLog:
    """The log of one file's sending, and a copy of it where a person wants one."""

    def __init__(self, file: Path) -> None:
        """Nothing is read or written yet."""
        self.file = file
        self._copy: Path | None = None
        self._streams: list[BinaryIO] = []
        self._places: dict[int, tuple[int, int]] = {}
        self._end = 0
        self._unsynced = False

    def __len__(self) -> int:
        """Return how many rows it has."""
        return len(self._places)

    def start(self, kept_rows: float, copy: Path | None = None) -> int:
        """Keep what is said of the first `kept_rows` rows of the file, and return how many of them it names.

        The copy is kept the same from now on. Raises FileProblem when it would take the place of something else.
        """
        if copy is not None and copy.exists() and not _is_log(copy):
            raise FileProblem(f"{copy} exists and is no list of rejected rows; name another file for them.")
        self._copy = copy
        kept = {row: record for row, record in _records(self.file) if row <= kept_rows}
        self._rewrite(kept[row] for row in sorted(kept))
        return len(self)

    def add(self, found: Sequence[tuple[Row, str, str]]) -> int:
        """Append rows with their reasons and messages, and return how many; a row that is there stays as it is."""
        fresh = {row.number: (row, reason, message) for row, reason, message in reversed(found)}
        records = [
            (number, _record((*row[1:], number, reason, message)))
            for number, (row, reason, message) in sorted(fresh.items())
            if number not in self._places
        ]
        if not records:
            return 0
        if not self._end:
            self.start(0)
        if not self._streams:
            self._open()
        for stream in self._streams:
            # A process that is killed here leaves whole records and at worst a cut one, which the next start drops.
            stream.write(b"".join(record for _, record in records))
            stream.flush()
        self._unsynced = True
        for number, record in records:
            self._places[number] = (self._end, len(record))
            self._end += len(record)
        return len(records)

    def sync(self) -> None:
        """Return when all that was added is on disk."""
        if self._unsynced:
            for stream in self._streams:
                os.fsync(stream.fileno())
            self._unsynced = False

    def finish(self) -> None:
        """Put the rows in the order of the file: what is mended and sent has to keep it. An empty log goes."""
        if list(self._places) != sorted(self._places):
            with self.file.open("rb") as stream:
                self._rewrite(_at(stream, *self._places[row]) for row in sorted(self._places))
        self.close()
        if not self._places:
            self.file.unlink(missing_ok=True)

    def first(self, count: int) -> list[Rejection]:
        """Return the first rejections in the order of the file."""
        if not self._places:
            return []
        with self.file.open("rb") as stream:
            records = [_at(stream, *self._places[row]) for row in sorted(self._places)[:count]]
        return [_rejection(record) for record in records]

    def _rewrite(self, records: Iterable[bytes]) -> None:
        """Replace the log and its copy by these records, whole or not at all."""
        self.close()
        places: dict[int, tuple[int, int]] = {}
        fresh = self.file.with_suffix(f".{os.getpid()}")
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with fresh.open("wb") as stream:
            stream.write(_HEADER)
            end = len(_HEADER)
            for record in records:
                stream.write(record)
                places[_rejection(record).row] = (end, len(record))
                end += len(record)
            stream.flush()
            os.fsync(stream.fileno())
        fresh.replace(self.file)
        self._places, self._end = places, end
        if self._copy is not None:
            beside = self._copy.with_name(f".{self._copy.name}.{os.getpid()}")
            beside.write_bytes(self.file.read_bytes())
            beside.replace(self._copy)

    def _open(self) -> None:
        files = [self.file] if self._copy is None else [self.file, self._copy]
        self._streams = [file.open("ab") for file in files]

    def close(self) -> None:
        """Close its files; what is added later opens them again."""
        for stream in self._streams:
            stream.close()
        self._streams = []


def _record(fields: Sequence[object]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerow(fields)
    # Text that is not Unicode has to be mended anyhow.
    return text.getvalue().encode("utf-8", "backslashreplace")


_HEADER: Final = _record((*COLUMNS, *REASON_COLUMNS))


def _rejection(record: bytes) -> Rejection:
    fields = next(csv.reader(io.StringIO(record.decode(), newline="")))
    number, reason, message = fields[len(COLUMNS) :]
    return Rejection(int(number), reason, message)


def _records(file: Path) -> Iterator[tuple[int, bytes]]:
    """Yield the whole records of a log by their row's number; nothing where there is none, or it is another file."""
    if not file.exists() or not _is_log(file):
        return
    with file.open("rb") as stream:
        stream.seek(len(_HEADER))
        record = b""
        for line in stream:
            record += line
            # A line break inside quotes is not the record's end.
            if record.count(b'"') % 2 == 0 and record.endswith(b"\n"):
                yield _rejection(record).row, record
                record = b""


def _is_log(file: Path) -> bool:
    if not file.is_file():
        return False
    with file.open("rb") as stream:
        begun = stream.read(len(_HEADER))
    return begun == _HEADER or not begun


def _at(stream: BinaryIO, offset: int, length: int) -> bytes:
    stream.seek(offset)
    return stream.read(length)
