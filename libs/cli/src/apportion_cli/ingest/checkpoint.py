"""How far a file has come: the rows below a checkpoint are all acknowledged, so that a killed run goes on there.

Beside it lie the rows that were answered and not taken: what is below a checkpoint is never asked for again.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from apportion_cli.ingest.row_log import RowLog

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
        self.rejected = RowLog(self.file.with_suffix(".rejected.csv"))
        """Rows that were refused: they can be mended and sent."""
        self.dead_lettered = RowLog(self.file.with_suffix(".dead-lettered.csv"))
        """Rows that metering took and did not store, as far as it was asked: they are dead letters there."""
        self._saved_s = float("-inf")
        self._last = Progress()

    def load(self) -> Progress:
        """Return the progress that was saved; none where nothing readable was."""
        try:
            content = json.loads(self.file.read_text(encoding="utf-8"))
            return Progress(int(content["acknowledged_rows"]), bool(content["finished"]))
        except (OSError, ValueError, KeyError, TypeError):
            return Progress()

    def start(self, resume: bool, rejected: Path | None = None) -> int:
        """Return rows to skip: those of an unfinished run, if it is to be resumed. A finished file is sent again.

        What that run was told of its rows is kept; `rejected` is to hold the refused rows, too. Raises FileProblem when
        it holds something else.
        """
        found = self.load()
        resumed = resume and not found.finished
        skipped = found.acknowledged_rows if resumed else 0
        self.rejected.start(skipped, rejected)
        # A row that is dead-lettered is answered as a duplicate from then on, so every answer to it is kept.
        self.dead_lettered.start(math.inf if resumed else 0)
        self._last = Progress(skipped)
        return skipped

    def advance(self, acknowledged_rows: int) -> None:
        """Remember how far it is; written twice a second at most."""
        self._last = Progress(acknowledged_rows)
        if time.monotonic() - self._saved_s >= SAVE_INTERVAL_S:
            self.save()

    def finish(self, acknowledged_rows: int) -> None:
        """Note that the whole file is acknowledged."""
        self.rejected.finish()
        self.dead_lettered.finish()
        self._last = Progress(acknowledged_rows, finished=True)
        self.save()

    def close(self) -> None:
        """Close the logs' files; what comes later opens them again."""
        self.rejected.close()
        self.dead_lettered.close()

    def save(self) -> None:
        """Write what is remembered, whole or not at all, after the rows that it passes."""
        self.rejected.sync()
        self.dead_lettered.sync()
        self._saved_s = time.monotonic()
        self.file.parent.mkdir(parents=True, exist_ok=True)
        fresh = self.file.with_suffix(f".{os.getpid()}")
        content = {"acknowledged_rows": self._last.acknowledged_rows, "finished": self._last.finished}
        fresh.write_text(json.dumps(content) + "\n", encoding="utf-8")
        fresh.replace(self.file)
