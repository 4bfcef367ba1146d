"""The stack starts, watches and ends everything; services are stand-ins, PostgreSQL and NATS are real."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import resource
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import jwt
import nats.errors
import psycopg
import pytest
from apportion_client.local_stack import StackError, StackState, running_supervisor
from apportion_client.settings import SERVICES
from apportion_common.bus.connection import connect
from apportion_common.topology import INTAKE_SUBJECT
from apportion_dev.local.machine import free_mib
from apportion_dev.local.nats import NatsError
from apportion_dev.local.process import process_exists
from apportion_dev.stack import supervisor
from apportion_dev.stack.foreground import EndedBySignal, ended_by_signals, run_stack
from apportion_dev.stack.layout import Layout
from apportion_dev.stack.options import StackOptions
from apportion_dev.stack.readiness import is_ready
from apportion_dev.stack.room import require_room
from apportion_dev.stack.supervisor import LocalStack
from apportion_dev.testing.clocks import FixedClock
from apportion_dev.testing.servers import NatsAccess
from nats.js import JetStreamContext
from pydantic import SecretStr

pytestmark = pytest.mark.stack

FAKE = Path(__file__).with_name("fake_service.py")
WAIT_S = 60
FILE_BYTES_MAX = 256 * 1024
MIGRATE = [sys.executable, "-c", "import os; print(*sorted(n for n in os.environ if n.endswith('_URL')))"]
START = datetime(2026, 1, 31, 12, tzinfo=UTC)


def fake_command(service: str) -> list[str]:
    return [sys.executable, str(FAKE), service]


def options(
    said: list[str] | None = None,
    *,
    restart: bool = False,
    service_env: Mapping[str, Mapping[str, str]] | None = None,
    migrate: list[str] | None = None,
) -> StackOptions:
    return StackOptions(
        restart=restart,
        migrate_command=MIGRATE if migrate is None else migrate,
        service_command=fake_command,
        service_env=service_env or {},
        say=(lambda _line: None) if said is None else said.append,
    )


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline, "It never came true."
        time.sleep(0.05)


def answers(url: str) -> bool:
    try:
        psycopg.connect(url).close()
    except psycopg.OperationalError:
        return False
    return True


@pytest.fixture
def folder() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="apportion-test-"))
    path.chmod(0o711)
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="module")
def stack() -> Iterator[LocalStack]:
    path = Path(tempfile.mkdtemp(prefix="apportion-test-"))
    path.chmod(0o711)
    dumps = {service: {"FAKE_DUMP": str(path / f"{service}.env")} for service in SERVICES}
    running = LocalStack(Layout(path), options(service_env=dumps))
    running.start()
    yield running
    running.destroy()
    shutil.rmtree(path)


def dumped(stack: LocalStack, service: str) -> dict[str, str]:
    found: dict[str, str] = json.loads((stack.layout.root / f"{service}.env").read_text(encoding="utf-8"))
    return found


def test_the_state_says_where_everything_is_and_holds_no_secret(stack: LocalStack) -> None:
    text = stack.layout.state_file.read_text(encoding="utf-8")
    state = StackState.read(stack.layout.state_file)
    assert state is not None
    assert state.phase == "ready"
    assert all(process_exists(pid) for pid in state.pids.values())
    assert set(state.pids) == {*SERVICES, "postgres", "nats"}
    assert all(is_ready(state.addresses[service], Path(state.ca_file)) for service in SERVICES)
    secrets = [*stack.passwords.nats.values(), *(pair.app for pair in stack.passwords.roles.values())]
    assert not any(secret in text for secret in secrets)


def test_a_service_gets_what_it_needs_and_nobody_elses_secrets(stack: LocalStack) -> None:
    for service in SERVICES:
        environment = dumped(stack, service)
        assert [name for name in environment if name.endswith("DATABASE_URL")] == [f"{service.upper()}_DATABASE_URL"]
        assert f"{service}_app" in environment[f"{service.upper()}_DATABASE_URL"]
        assert environment["NATS_USER"] == service
        assert environment["SERVICE_TOKEN_FILE"].endswith(f"tokens/{service}.jwt")
        assert environment["GRPC_LISTEN"] == environment[f"{service.upper()}_ADDRESS"] == stack.addresses[service]
        assert sum(name.startswith("FEATURE_") and value == "on" for name, value in environment.items()) == 10
        assert ("PRICING_GATE_OVERRIDE" in environment) is (service == "pricing")
        others = [stack.passwords.nats[other] for other in SERVICES if other != service]
        assert not any(secret in " ".join(environment.values()) for secret in others)


def test_the_migration_gets_the_owners_url_of_every_database(stack: LocalStack) -> None:
    said = stack.layout.log_file("migrate").read_text(encoding="utf-8").split()
    assert said == sorted(f"{service.upper()}_MIGRATION_DATABASE_URL" for service in SERVICES)


def test_each_service_reaches_its_own_database_alone(stack: LocalStack) -> None:
    url = dumped(stack, "ledger")["LEDGER_DATABASE_URL"]
    psycopg.connect(url).close()
    with pytest.raises(psycopg.OperationalError, match="permission denied"):
        psycopg.connect(url.replace("apportion_ledger", "apportion_orgs"))


def test_tokens_verify_and_say_whose_they_are(stack: LocalStack) -> None:
    published = jwt.PyJWKSet.from_dict(json.loads(stack.layout.jwks_file.read_text(encoding="ascii")))

    def claims(token: str) -> dict[str, object]:
        key = published[jwt.get_unverified_header(token)["kid"]]
        found: dict[str, object] = jwt.decode(token, key, algorithms=["EdDSA"], audience="apportion")
        return found

    ledger = claims(stack.layout.token_file("ledger").read_text(encoding="ascii"))
    assert (ledger["sub"], ledger["roles"]) == ("service:ledger", ["service"])
    assert claims(stack.layout.token_file("operator").read_text(encoding="ascii"))["roles"] == ["operator", "finance"]
    assert claims(stack.mint_token("user:1", ["Admin"], org_id="o1"))["org_id"] == "o1"
    assert stack.layout.token_file("operator").stat().st_mode & 0o077 == 0


def test_a_killed_service_comes_back_on_its_address_and_is_no_failure(stack: LocalStack) -> None:
    address = stack.addresses["ledger"]
    stack.kill("ledger", signal.SIGKILL)
    assert not is_ready(address, stack.keys.ca.certificate_file)
    with pytest.raises(StackError, match="exit code 7"):
        stack.start_service("ledger", {"FAKE_EXIT_CODE": "7"})
    stack.expect_exit("ledger")
    stack.start_service("ledger")
    assert is_ready(address, stack.keys.ca.certificate_file)
    assert stack.addresses["ledger"] == address
    assert not stack.failed.is_set()


def test_a_replica_runs_beside_its_service_on_an_address_of_its_own(stack: LocalStack) -> None:
    name = stack.start_replica("pricing", "second")
    assert stack.addresses[name] != stack.addresses["pricing"]
    assert all(is_ready(stack.addresses[each], stack.keys.ca.certificate_file) for each in (name, "pricing"))
    assert stack.stop_service(name) == 0
    with pytest.raises(StackError, match="name is taken"):
        stack.start_replica("pricing", "second")


def test_a_paused_service_does_not_answer_until_it_goes_on(stack: LocalStack) -> None:
    stack.pause("orgs")
    assert not is_ready(stack.addresses["orgs"], stack.keys.ca.certificate_file)
    stack.resume("orgs")
    until(lambda: is_ready(stack.addresses["orgs"], stack.keys.ca.certificate_file))


def test_killing_and_restarting_the_servers_is_no_failure(stack: LocalStack) -> None:
    for server in (stack.postgres, stack.nats):
        server.kill()
        time.sleep(0.5)
        server.start()
        server.restart()
    assert not stack.failed.is_set()


def test_a_name_that_the_stack_does_not_know_is_an_error(stack: LocalStack) -> None:
    with pytest.raises(StackError, match="no process named billing; it has identity"):
        stack.kill("billing")


def test_a_second_stack_runs_beside_the_first_and_starts_again_on_its_data(stack: LocalStack, folder: Path) -> None:
    second = LocalStack(Layout(folder), options())
    for _ in range(2):
        with second:
            ours, theirs = set(second.addresses.values()), set(stack.addresses.values())
            assert not ours & theirs
        second = LocalStack(Layout(folder), options())
    assert running_supervisor(folder) is None
    with pytest.raises(StackError, match="Another stack"):
        LocalStack(stack.layout, options()).start()
    assert is_ready(stack.addresses["orgs"], stack.keys.ca.certificate_file)


def test_a_service_that_dies_fails_the_stack_and_its_last_words_are_told(folder: Path) -> None:
    said: list[str] = []
    with LocalStack(Layout(folder), options(said)) as failing:
        pid = failing.state().pids["ledger"]
        os.kill(pid, signal.SIGKILL)
        until(failing.failed.is_set)
    report = "\n".join(said)
    assert "ledger died (signal 9)" in report
    assert '"event": "serving"' in report


def test_with_restart_what_dies_comes_back_without_what_armed_it(folder: Path) -> None:
    with LocalStack(Layout(folder), options(restart=True)) as restarting:
        for name in ("ledger", "nats", "postgres"):
            pid = restarting.state().pids[name]
            os.kill(pid, signal.SIGKILL)
            until(lambda name=name, pid=pid: restarting.state().pids.get(name, pid) != pid)  # type: ignore[misc]
        until(lambda: is_ready(restarting.addresses["ledger"], restarting.keys.ca.certificate_file))
        assert not restarting.failed.is_set()


def test_with_restart_the_stack_outlives_a_server_that_dies_again_and_again(folder: Path) -> None:
    said: list[str] = []
    with LocalStack(Layout(folder), options(said, restart=True)) as restarting:
        for _ in range(3):
            pid = restarting.state().pids["postgres"]
            os.kill(pid, signal.SIGKILL)
            until(lambda pid=pid: restarting.state().pids.get("postgres", pid) != pid)  # type: ignore[misc]
            until(lambda: answers(restarting.postgres.admin_url))
        assert not restarting.failed.is_set()
    # Later each time, whether it died once it ran or while it was started.
    assert any("in 0.5 s" in line for line in said)
    assert any("in 1 s" in line for line in said)


def test_with_restart_what_cannot_be_started_again_is_tried_until_it_can(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    with LocalStack(Layout(folder), options(said, restart=True)) as restarting:
        start, failures = restarting.nats.start, iter(range(2))

        def fail_twice() -> None:
            if next(failures, None) is not None:
                raise NatsError("The port is taken.")
            start()

        monkeypatch.setattr(restarting.nats, "start", fail_twice)
        pid = restarting.state().pids["nats"]
        os.kill(pid, signal.SIGKILL)
        until(lambda: restarting.state().pids.get("nats", pid) != pid)
        assert not restarting.failed.is_set()
    assert sum("nats could not be restarted, trying again in" in line for line in said) == 2


def test_a_nats_server_that_takes_nothing_since_a_write_failed_is_noticed_and_restarted(folder: Path) -> None:
    said: list[str] = []
    with LocalStack(Layout(folder), options(said)) as stack:
        pid = stack.state().pids["nats"]
        # What a full disk is to the server, without one: none of its files may grow beyond this.
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (FILE_BYTES_MAX, FILE_BYTES_MAX))
        asyncio.run(publish_until_it_takes_nothing(stack))
        until(lambda: "nats takes messages again." in said)
        assert stack.state().pids["nats"] != pid
        assert not stack.failed.is_set()
    assert any(line.startswith("nats takes nothing: JetStream stream") for line in said)


async def publish_until_it_takes_nothing(stack: LocalStack) -> None:
    password = SecretStr(stack.passwords.nats["metering"])
    access = NatsAccess(stack.nats.url, "metering", password, stack.keys.ca.certificate_file)
    client = await connect(access, "test")
    js = client.jetstream(timeout=1)
    taken = True
    while taken:
        taken = await is_taken(js, b"x" * (FILE_BYTES_MAX // 8))
    await client.close()


async def is_taken(js: JetStreamContext, payload: bytes) -> bool:
    try:
        await js.publish(f"{INTAKE_SUBJECT}.0", payload)
    except nats.errors.Error:
        return False
    return True


def test_a_first_start_without_the_room_that_it_needs_says_how_much_that_is(folder: Path) -> None:
    wanted = free_mib(folder) * 2
    given = dataclasses.replace(options(), streams_mib=wanted)
    stack = LocalStack(Layout(folder), given)
    with pytest.raises(StackError, match=r"needs [0-9.]+ GiB free .* and [0-9.]+ GiB are: .* APPORTION_STREAMS_MIB"):
        stack.start()
    assert not list(folder.glob("postgres/*"))
    (folder / "nats" / "store" / "jetstream" / "$G" / "streams" / "EVENTS").mkdir(parents=True)
    require_room(Layout(folder), wanted)


def test_a_service_that_never_gets_ready_and_a_failing_migration_leave_nothing_behind(folder: Path) -> None:
    failing = [sys.executable, "-c", "import sys; print('rows in the way'); sys.exit(3)"]
    cases = (
        (options(migrate=failing), "rows in the way"),
        (options(service_env={"orgs": {"FAKE_EXIT_CODE": "9"}}), "orgs ended before it was ready"),
    )
    for given, message in cases:
        stack = LocalStack(Layout(folder), given)
        with pytest.raises(StackError, match=message):
            stack.start()
        assert not stack.postgres.alive
        assert not stack.nats.alive
        assert not any(process.alive for process in stack.processes.values())
        assert running_supervisor(folder) is None


def test_tokens_are_renewed_as_time_goes_by(folder: Path) -> None:
    clock = FixedClock(START)
    given = options()
    with LocalStack(
        Layout(folder), StackOptions(migrate_command=MIGRATE, service_command=fake_command, say=given.say, clock=clock)
    ) as running:
        first = running.layout.token_file("operator").read_text(encoding="ascii")
        clock.advance(timedelta(seconds=301))
        until(lambda: running.layout.token_file("operator").read_text(encoding="ascii") != first)
        token = running.layout.token_file("operator").read_text(encoding="ascii")
    claims = jwt.decode(token, options={"verify_signature": False})
    assert claims["exp"] == int((START + timedelta(seconds=301 + 900)).timestamp())


def test_a_signal_in_the_moment_in_which_the_stack_gets_ready_ends_it_in_order(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Interrupted(threading.Thread):
        """A signal comes before the thread has begun to run."""

        def start(self) -> None:
            signal.raise_signal(signal.SIGINT)

    def ready(stack: LocalStack) -> None:
        monkeypatch.setattr(supervisor.threading, "Thread", Interrupted)

    monkeypatch.setattr(LocalStack, "_wait_ready", ready)
    assert run_stack(Layout(folder), options()) == 0
    assert running_supervisor(folder) is None


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_signal_whose_exception_was_swallowed_is_not_lost() -> None:
    class Finalized:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGTERM)

    with ended_by_signals() as ending:
        ending.check()
        Finalized()
        assert ending.number == signal.SIGTERM
        with pytest.raises(EndedBySignal):
            ending.check()
