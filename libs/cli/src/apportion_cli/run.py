"""Running a command against the services, and one way to show an error."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import grpc
import typer
from apportion_client.failures import OutageTooLongError, describe
from apportion_client.local_stack import StackNotUpError
from apportion_client.names import NameUnknownError
from apportion_client.services import Services, connected
from rich.console import Console

from apportion_cli.exit_codes import NOT_DONE

T = TypeVar("T")

errors = Console(stderr=True, highlight=False, soft_wrap=True, markup=False)


def run(main: Callable[[Services], Coroutine[Any, Any, T]]) -> T:
    """Run a command against the services; an error ends it with one clear message and exit code 1."""

    async def whole() -> T:
        async with connected() as services:
            return await main(services)

    try:
        return asyncio.run(whole())
    except (StackNotUpError, OutageTooLongError, NameUnknownError) as error:
        fail(str(error))
    except grpc.aio.AioRpcError as error:
        fail(describe(error))
    except OSError as error:
        fail(f"{error.filename or 'A file'} cannot be read or written: {error.strerror}.")


def fail(message: str, code: int = NOT_DONE) -> NoReturn:
    """Say what is wrong and end with an exit code that says so."""
    errors.print(message, style="red")
    raise typer.Exit(code)


def read_file(file: Path) -> bytes:
    """Return what a file of the user's holds; one that cannot be read ends the command with exit code 1."""
    try:
        return file.read_bytes()
    except OSError as error:
        fail(f"{file} cannot be read: {error.strerror}.")
