"""Usage files: CSV with a header, or NDJSON; plain or gzip. Both are told by their first bytes, not by their name."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple

COLUMNS: Final = ("request_id", "org", "project", "sku", "quantity", "event_time")
OPTIONAL: Final = frozenset({"project"})
GZIP_MAGIC: Final = b"\x1f\x8b"
CHUNK_BYTES: Final = 1 << 20


class FileProblem(ValueError):
    """The file cannot be read as usage; the message is a full sentence that names the row."""


class RowRejected(Exception):
    """A row that can be no event; as metering would have rejected it."""

    def __init__(self, reason: str, message: str) -> None:
        """Keep the stable reason and the full sentence."""
        super().__init__(message)
        self.reason = reason
        self.message = message


class Row(NamedTuple):
    """One use, as the file says it; `number` is the 1-based data row."""

    number: int
    request_id: str
    org: str
    project: str
    sku: str
    quantity: str
    event_time: str


class FileSummary(NamedTuple):
    """What a first pass over a file tells."""

    sha256: str
    """Of the file's bytes as they lie on disk, hex."""
    line_count: int
    """Lines with content, a CSV's header included."""
    is_json: bool

    @property
    def row_count(self) -> int:
        """Data rows, where no row has a line break in a quoted field."""
        return self.line_count if self.is_json else max(self.line_count - 1, 0)


def inspect(path: Path) -> FileSummary:
    """Hash and count a file. Raises FileProblem when it cannot be read."""
    with path.open("rb") as raw:
        digest = hashlib.file_digest(raw, "sha256").hexdigest()
    with _reading(path, lambda: 0), _content(path) as stream:
        lines, last, first = 0, b"\n", b""
        while chunk := stream.read(CHUNK_BYTES):
            first = first or chunk.lstrip()[:1]
            lines += chunk.count(b"\n")
            last = chunk[-1:]
    return FileSummary(digest, lines + (last != b"\n"), first == b"{")


def read_rows(path: Path) -> Iterator[Row]:
    """Yield the rows of a file in its order. Raises FileProblem at the first row that is malformed."""
    at = 0
    with _reading(path, lambda: at), _content(path) as stream:
        text = io.TextIOWrapper(stream, encoding="utf-8-sig", newline="")
        first = text.readline()
        rows = _json_rows(first, text) if first.lstrip().startswith("{") else _csv_rows(first, text)
        for row in rows:
            at = row.number
            yield row


def _csv_rows(header: str, text: io.TextIOWrapper) -> Iterator[Row]:
    names = next(csv.reader([header]), [])
    missing = [name for name in COLUMNS if name not in names and name not in OPTIONAL]
    if missing:
        raise FileProblem(f"The header lacks {', '.join(missing)}; it must name {', '.join(COLUMNS)}.")
    width = len(names)
    as_written = tuple(names) == COLUMNS
    places = [names.index(name) if name in names else -1 for name in COLUMNS]
    number = 0
    for fields in csv.reader(text, strict=True):
        if not fields:
            continue
        number += 1
        if len(fields) != width:
            raise FileProblem(f"Row {number} has {len(fields)} fields instead of {width}.")
        if not as_written:
            fields = [fields[place] if place >= 0 else "" for place in places]
        yield Row(number, *fields)


def _json_rows(first: str, text: io.TextIOWrapper) -> Iterator[Row]:
    number = 0
    for line in _lines(first, text):
        if not line.strip():
            continue
        number += 1
        try:
            # A number keeps its digits: it goes on as text.
            content = json.loads(line, parse_float=str, parse_int=str)
        except json.JSONDecodeError as error:
            raise FileProblem(f"Row {number} is not JSON: {error.msg} at column {error.colno}.") from None
        if not isinstance(content, dict):
            raise FileProblem(f"Row {number} is not a JSON object.")
        values: list[Any] = [content.get(name, "" if name in OPTIONAL else None) for name in COLUMNS]
        values[COLUMNS.index("project")] = values[COLUMNS.index("project")] or ""
        wrong = [name for name, value in zip(COLUMNS, values, strict=True) if not isinstance(value, str)]
        if wrong:
            raise FileProblem(f"Row {number} has no text or number in {', '.join(wrong)}.")
        yield Row(number, *values)


def _lines(first: str, text: io.TextIOWrapper) -> Iterator[str]:
    yield first
    yield from text


@contextmanager
def _content(path: Path) -> Iterator[BinaryIO]:
    """Open the file's bytes, unpacked where they are packed."""
    with path.open("rb") as raw:
        packed = raw.read(len(GZIP_MAGIC)) == GZIP_MAGIC
        raw.seek(0)
        if packed:
            with gzip.open(raw, "rb") as stream:
                yield stream  # type: ignore[misc]
        else:
            yield raw


@contextmanager
def _reading(path: Path, row: object) -> Iterator[None]:
    """Turn what may go wrong while reading into a FileProblem that names the place."""
    try:
        yield
    except UnicodeDecodeError:
        raise FileProblem(f"{path} is not UTF-8 text after row {_at(row)}.") from None
    except csv.Error as error:
        raise FileProblem(f"{path} is not CSV after row {_at(row)}: {error}.") from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise FileProblem(f"{path} is cut off or damaged after row {_at(row)}: {error}") from None
    except OSError as error:
        raise FileProblem(f"{path} cannot be read: {error.strerror}.") from None


def _at(row: object) -> int:
    assert callable(row)
    return int(row())
