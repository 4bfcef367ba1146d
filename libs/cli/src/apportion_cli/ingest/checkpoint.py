"""How far a file has come: the rows below a checkpoint are all acknowledged, so that a killed run goes on there."""

from __future__ import annotations

import hashlib
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

FOLDER: Final = "ingest"
SAVE_INTERVAL_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class Progress:
    """Rows below which everything is acknowledged, and whether the file is through."""

    acknowledged_rows: int = 0
    finished: bool = False


class Checkpoint:
    """The checkpoint of one file under one prefix at one address."""

    def __init__(self, data_folder: Path, file_sha256: str, prefix: str, address: str) -> None:
        """Name its file below the local data folder; nothing is read or written yet."""
        key = hashlib.sha256("\n".join((file_sha256, prefix, address)).encode()).hexdigest()
        self.file = data_folder / FOLDER / f"{key[:32]}.json"
        self._saved_s = float("-inf")
        self._last = Progress()

    def load(self) -> Progress:
        """Return the progress that was saved; none where nothing readable was."""
        try:
            content = json.loads(self.file.read_text(encoding="utf-8"))
            return Progress(int(content["acknowledged_rows"]), bool(content["finished"]))
        except (OSError, ValueError, KeyError, TypeError):
            return Progress()

    def start(self, resume: bool) -> int:
        """Return rows to skip: those of an unfinished run, if it is to be resumed. A finished file is sent again."""
        found = self.load()
        self._last = Progress(found.acknowledged_rows if resume and not found.finished else 0)
        return self._last.acknowledged_rows

    def advance(self, acknowledged_rows: int) -> None:
        """Remember how far it is; written twice a second at most."""
        self._last = Progress(acknowledged_rows)
        if time.monotonic() - self._saved_s >= SAVE_INTERVAL_S:
            self.save()

    def finish(self, acknowledged_rows: int) -> None:
        """Note that the whole file is acknowledged."""
        self._last = Progress(acknowledged_rows, finished=True)
        self.save()

    def save(self) -> None:
        """Write what is remembered, whole or not at all."""
        self._saved_s = time.monotonic()
        self.file.parent.mkdir(parents=True, exist_ok=True)
        fresh = self.file.with_suffix(f".{os.getpid()}")
        content = {"acknowledged_rows": self._last.acknowledged_rows, "finished": self._last.finished}
        fresh.write_text(json.dumps(content) + "\n", encoding="utf-8")
        fresh.replace(self.file)
