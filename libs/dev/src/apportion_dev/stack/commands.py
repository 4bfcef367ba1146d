"""`apportion stack …`: start, end, watch and use the local stack."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from apportion_client.local_stack import (
    READY,
    StackError,
    StackState,
    find_data_folder,
    running_state,
    running_supervisor,
)

from apportion_dev.local.machine import EXTENSION_MAX
from apportion_dev.local.process import process_exists, tail
from apportion_dev.stack.console import LogFollower, readable
from apportion_dev.stack.credentials import TOKEN_LIFE_S, Passwords, mint_local_token
from apportion_dev.stack.environment import stream_environment
from apportion_dev.stack.foreground import run_command, run_stack
from apportion_dev.stack.guide import guide
from apportion_dev.stack.layout import Layout
from apportion_dev.stack.options import StackOptions, streams_mib
from apportion_dev.stack.supervisor import MAKE_STREAMS_COMMAND

SERVERS_UP_TIMEOUT_S = 420
"""For PostgreSQL, NATS and the migrations; what services may take to get ready comes on top."""
DOWN_TIMEOUT_S = 90
POLL_S = 0.1
LOG_LINES = 50
SUPERVISOR = "supervisor"

app = typer.Typer(name="stack", help="The local stack: PostgreSQL, NATS and the five services.", no_args_is_help=True)

DataOption = Annotated[
    Path | None, typer.Option("--data", help="The stack's folder (default: APPORTION_LOCAL_DIR, or .local here).")
]


def _layout(data: Path | None) -> Layout:
    return Layout(find_data_folder() if data is None else data.expanduser().resolve())


def _print_line(text: str) -> None:
    typer.echo(text, err=True)


def _options(*, restart: bool = False) -> StackOptions:
    """Return the options of a stack as its settings have them; a wrong setting ends the command."""
    try:
        return StackOptions(restart=restart)
    except StackError as error:
        _print_line(str(error))
        raise typer.Exit(2) from None


def _ready(layout: Layout) -> StackState | None:
    state = running_state(layout.root)
    return state if state is not None and state.phase == READY else None


@app.command()
def up(data: DataOption = None) -> None:
    """Start the stack in the background, wait until it is ready, and say how to use it; fine when it is up.

    A service may take 180 seconds to get ready, or as many as APPORTION_READY_TIMEOUT_S says, and longer on a machine
    that has more to do than it can. APPORTION_STREAMS_MIB sizes the streams that a first start makes.
    """
    layout = _layout(data)
    # The supervisor has its own limits, which grow with the machine's load, and ends when they are passed.
    timeout_s = EXTENSION_MAX * (SERVERS_UP_TIMEOUT_S + _options().ready_timeout_s)
    daemon = None if running_supervisor(layout.root) is not None else start_daemon(layout)
    progress = LogFollower(layout.logs, _print_line, only=SUPERVISOR)
    deadline = time.monotonic() + timeout_s
    while (state := _ready(layout)) is None:
        ended = running_supervisor(layout.root) is None if daemon is None else daemon.poll() is not None
        if ended and running_supervisor(layout.root) is None:
            _print_line(f"The stack did not come up. The end of {layout.log_file(SUPERVISOR)}:")
            _print_line(tail(layout.log_file(SUPERVISOR), LOG_LINES))
            raise typer.Exit(1)
        if time.monotonic() > deadline:
            _print_line(f"The stack was not ready within {timeout_s} s; 'apportion stack logs' shows why.")
            raise typer.Exit(1)
        progress.step()
        time.sleep(POLL_S)
    progress.step()
    typer.echo(guide(layout, state))


def start_daemon(layout: Layout, command: Sequence[str] | None = None) -> subprocess.Popen[bytes]:
    """Start the stack's supervisor as a session of its own, which goes on when this process has ended."""
    layout.make()
    default = [sys.executable, "-m", "apportion_dev.stack.foreground", str(layout.root)]
    descriptor = os.open(layout.log_file(SUPERVISOR), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        return subprocess.Popen(
            default if command is None else command,
            stdin=subprocess.DEVNULL,
            stdout=descriptor,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    finally:
        os.close(descriptor)


@app.command()
def down(data: DataOption = None) -> None:
    """End the stack and everything it started; fine when none is up."""
    layout = _layout(data)
    pid = running_supervisor(layout.root)
    if pid is None:
        typer.echo(f"No stack is up in {layout.root}.")
        return
    if pid == 0:
        _print_line("The stack is only just starting; try again.")
        raise typer.Exit(1)
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + DOWN_TIMEOUT_S
    # The lock is let go a moment before the process is gone.
    while running_supervisor(layout.root) is not None or process_exists(pid):
        if time.monotonic() > deadline:
            # Its children die with it.
            os.kill(pid, signal.SIGKILL)
            _print_line(f"The stack did not end within {DOWN_TIMEOUT_S} s and was killed.")
            raise typer.Exit(1)
        time.sleep(POLL_S)
    typer.echo("The stack has ended.")


@app.command()
def run(
    data: DataOption = None,
    restart: Annotated[bool, typer.Option(help="Restart what dies instead of ending everything.")] = False,
) -> None:
    """Run the stack here with its logs on the console, until Ctrl-C; everything it started ends with it."""
    layout, options = _layout(data), _options(restart=restart)
    layout.make()
    follower = LogFollower(layout.logs)
    follower.start()
    try:
        code = run_stack(layout, options)
    finally:
        follower.stop()
    raise typer.Exit(code)


@app.command(name="exec", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def execute(context: typer.Context, data: DataOption = None) -> None:
    """Run a command beside a stack of its own (in a temporary folder unless one is named) and return its exit code."""
    command = list(context.args)
    if not command:
        _print_line("Name the command to run: apportion stack exec -- COMMAND.")
        raise typer.Exit(2)
    options = _options()
    if data is not None:
        raise typer.Exit(run_command(_layout(data), options, command, keep_data=True))
    folder = Path(tempfile.mkdtemp(prefix="apportion-"))
    # PostgreSQL runs as another account when this is root; what must stay private lies in private folders.
    folder.chmod(0o711 if os.geteuid() == 0 else 0o700)
    layout = Layout(folder)
    code = 1
    try:
        code = run_command(layout, options, command, keep_data=False)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    raise typer.Exit(code)


@app.command()
def status(data: DataOption = None) -> None:
    """Say whether the stack is up and what runs where; exit code 1 when it is not ready."""
    layout = _layout(data)
    state = running_state(layout.root)
    if state is None:
        typer.echo(f"No stack is up in {layout.root}.")
        raise typer.Exit(1)
    typer.echo(f"The stack in {layout.root} is {state.phase} (supervisor process {state.supervisor_pid}).")
    places = {"postgres": state.postgres_address, "nats": state.nats_url, **state.addresses}
    missing = False
    for name, place in places.items():
        pid = state.pids.get(name)
        alive = pid is not None and process_exists(pid)
        missing = missing or not alive
        typer.echo(f"  {name:<12} {place:<28} {f'process {pid}' if alive else 'not running'}")
    if state.smtp_address:
        typer.echo(f"  {'smtp':<12} {state.smtp_address:<28} of identity")
    if state.phase != READY or missing:
        raise typer.Exit(1)


@app.command()
def logs(
    process: Annotated[str | None, typer.Argument(help="A service, postgres, nats, migrate or supervisor.")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="How many lines of each file.")] = LOG_LINES,
    data: DataOption = None,
) -> None:
    """Show the end of the logs of the stack, or of one process, in readable lines."""
    layout = _layout(data)
    files = {file.stem: file for file in sorted(layout.logs.glob("*.log"))}
    if process is not None and process not in files:
        _print_line(f"There is no log of {process}; there are logs of {', '.join(files) or 'nothing yet'}.")
        raise typer.Exit(1)
    follower = LogFollower(layout.logs, only=process)
    for name, file in files.items():
        if lines and process in (None, name):
            for line in tail(file, lines).splitlines():
                typer.echo(readable(name, line))
    if follow:
        try:
            follower.run()
        except KeyboardInterrupt:
            return


@app.command(name="make-streams")
def make_missing_streams(data: DataOption = None) -> None:
    """Make the streams that are missing, after one was deleted; lanes that used it may then have to be cleared."""
    layout = _layout(data)
    state = running_state(layout.root)
    if state is None:
        _print_line(f"No stack is up in {layout.root}.")
        raise typer.Exit(1)
    passwords = Passwords.create_or_load(layout)
    environment = stream_environment(passwords, state.nats_url, Path(state.ca_file), streams_mib())
    raise typer.Exit(subprocess.run(MAKE_STREAMS_COMMAND, env=environment, check=False).returncode)


@app.command()
def token(
    org: Annotated[str | None, typer.Option("--org", help="The organisation that the token is bound to.")] = None,
    role: Annotated[list[str] | None, typer.Option("--role", help="A role; may be given more than once.")] = None,
    sub: Annotated[str, typer.Option("--sub", help="Whom the token speaks for.")] = "user:local",
    ttl_s: Annotated[int, typer.Option("--ttl-s", min=1, max=86_400, help="Its life in seconds.")] = TOKEN_LIFE_S,
    amr: Annotated[
        list[str] | None, typer.Option("--amr", help="How its holder signed in (RFC 8176); may repeat.")
    ] = None,
    data: DataOption = None,
) -> None:
    """Print a token signed by the local stack's key, for trying things out."""
    try:
        typer.echo(mint_local_token(_layout(data), sub, role or [], org_id=org, ttl_s=ttl_s, amr=amr or ()))
    except StackError as error:
        _print_line(str(error))
        raise typer.Exit(1) from None
