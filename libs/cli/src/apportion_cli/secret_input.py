"""Secrets of a command: read from a file or standard input, never from an argument, which every process can see."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from apportion_common.local.keys import write_file

from apportion_cli.client import fail
from apportion_cli.display import say

SECRET_CHARS_MAX = 16_384
_PRIVATE = 0o600

SaveOption = Annotated[
    Path | None, typer.Option("--save", help="Write the secret into this file, private to you, and do not show it.")
]


def read_secret(file: Path | None, what: str) -> str:
    """A secret from a file, else from standard input, else asked for without an echo. Ends when there is none."""
    if file is not None:
        text = file.read_text(encoding="utf-8")
    elif sys.stdin.isatty():
        text = typer.prompt(what, hide_input=True)
    else:
        text = sys.stdin.read(SECRET_CHARS_MAX + 1)
    text = text.strip()
    if not text or len(text) > SECRET_CHARS_MAX:
        fail(f"There is no {what} of at most {SECRET_CHARS_MAX:,} characters.")
    return text


def give_secret(what: str, secret: str, save: Path | None) -> None:
    """Show a secret that is given once, or write it into a file."""
    if save is None:
        say(f"{what}, given once:")
        typer.echo(secret)
        return
    write_file(save, f"{secret}\n".encode(), _PRIVATE)
    say(f"{what} is in {save}; it is given once.")
