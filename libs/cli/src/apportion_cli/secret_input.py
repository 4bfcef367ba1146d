"""Secrets of a command: read from a file or standard input, never from an argument, which every process can see."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from apportion_common.files import write_file

from apportion_cli.display import print_line
from apportion_cli.run import fail, read_file

SECRET_CHARS_MAX = 16_384
_PRIVATE = 0o600


def _writable(file: Path | None) -> Path | None:
    """Refuse a place that cannot be written to before anything is asked for: what is given once would be lost."""
    if file is not None and (file.is_dir() or not os.access(file.parent, os.W_OK)):
        raise typer.BadParameter(f"No file can be written at {file}.")
    return file


SaveOption = Annotated[
    Path | None,
    typer.Option(
        "--save", callback=_writable, help="Write the secret into this file, private to you, and do not show it."
    ),
]


def read_secret(file: Path | None, what: str) -> str:
    """Return a secret from a file, else asked for without an echo, else from standard input. Ends when there is
    none.
    """
    if file is not None:
        content = read_file(file)
    elif sys.stdin.isatty():
        content = str(typer.prompt(what, hide_input=True)).encode()
    else:
        content = sys.stdin.buffer.read(SECRET_CHARS_MAX + 1)
    place = "Standard input" if file is None else str(file)
    content = content.strip()
    if not content:
        fail(f"{place} is empty: it should hold the {what}.")
    if len(content) > SECRET_CHARS_MAX or not content.isascii():
        fail(f"{place} holds no {what}.")
    return content.decode("ascii")


def print_secret(what: str, secret: str, save: Path | None) -> None:
    """Show a secret that is given once, or write it into a file."""
    if save is None:
        print_line(f"{what}, given once:")
        typer.echo(secret)
        return
    write_file(save, f"{secret}\n".encode(), _PRIVATE)
    print_line(f"{what} is in {save}; it is given once.")
