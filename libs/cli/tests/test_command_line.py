"""The command line as a whole: help, clear errors, and calls by reflection."""

from __future__ import annotations

import decimal
from decimal import Decimal

import grpc
import pytest
from apportion_cli import main
from apportion_cli.commands.call import _parse
from apportion_cli.main import app
from apportion_client.reflection import MethodUnknown, reflect
from google.protobuf import json_format
from google.protobuf.message import Message
from grpc_health.v1 import health, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from typer.testing import CliRunner

COMMANDS = (
    "apply",
    "ingest",
    "status",
    "sweep",
    "close",
    "reopen",
    "invoice",
    "statement",
    "lines",
    "digest",
    "verify",
)
OTHERS = ("call", "token", "stack", "dead-letters")
HEADER = "request_id,org,project,sku,quantity,event_time\n"

runner = CliRunner()


@pytest.fixture(autouse=True)
def nowhere(tmp_path, monkeypatch):
    monkeypatch.setenv("APPORTION_LOCAL_DIR", str(tmp_path / "no-stack"))


def test_every_command_explains_itself():
    for command in (*COMMANDS, *OTHERS):
        result = runner.invoke(app, [command, "--help"])
        assert result.exit_code == 0, command


def test_without_a_stack_it_is_said_how_to_start_one():
    result = runner.invoke(app, ["status"])
    assert result.exit_code == 1
    assert "start one with 'apportion stack up'" in result.output.replace("\n", " ")


def test_a_malformed_file_ends_before_anything_is_sent(tmp_path):
    file = tmp_path / "usage.csv.gz"
    file.write_bytes(b"\x1f\x8bnot gzip at all")
    result = runner.invoke(app, ["ingest", str(file)])
    assert result.exit_code == 1
    assert "cut off or damaged" in result.output


@pytest.mark.parametrize("content", ["{", "{}", "[]"])
def test_a_file_that_is_no_scenario_is_said_to_be_none(tmp_path, content):
    file = tmp_path / "scenario.json"
    file.write_text(content)
    events = tmp_path / "events.csv"
    events.write_text(HEADER)
    for arguments in (["apply", str(file)], ["verify", str(file), str(events)]):
        result = runner.invoke(app, arguments)
        assert result.exit_code == 1
        assert "is not JSON" in result.output or "is no scenario" in result.output


@pytest.mark.parametrize("arguments", [["/GetTrialBalance"], ["ledger/GetDigest", "{"], ["ledger/GetDigest", "3"]])
def test_a_call_that_is_none_is_refused(arguments):
    result = runner.invoke(app, ["call", *arguments])
    assert result.exit_code == 1


@pytest.fixture
async def channel():
    server = grpc.aio.server()
    servicer = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    reflection.enable_server_reflection(("grpc.health.v1.Health", reflection.SERVICE_NAME), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as opened:
        yield opened
    await server.stop(None)


def said(message: Message) -> dict[str, object]:
    found: dict[str, object] = json_format.MessageToDict(message)
    return found


async def test_a_method_is_called_with_what_the_server_says_of_it(channel):
    method = await reflect(channel, "grpc.health.v1.Health", "Check")
    answer = await method.caller(channel)(_parse(method, {"service": ""}), timeout=60)
    assert said(answer) == {"status": "SERVING"}


async def test_a_stream_of_answers_is_told_from_a_single_one(channel):
    method = await reflect(channel, "grpc.health.v1.Health", "Watch")
    assert (method.takes_stream, method.gives_stream) == (False, True)
    async for answer in method.caller(channel)(method.request(), timeout=60):
        assert said(answer) == {"status": "SERVING"}
        break


async def test_what_the_server_does_not_have_is_said_with_what_it_has(channel):
    with pytest.raises(MethodUnknown, match=r"no method 'Nope'; it has .*Check"):
        await reflect(channel, "grpc.health.v1.Health", "Nope")
    with pytest.raises(MethodUnknown, match=r"no service nope.Nope here; there are .*grpc.health.v1.Health"):
        await reflect(channel, "nope.Nope", "Nope")
    method = await reflect(channel, "grpc.health.v1.Health", "Check")
    for content in ({"nothing": 1}, [], 3):
        with pytest.raises(json_format.ParseError):
            _parse(method, content)


def test_what_the_command_line_adds_up_is_exact_beyond_the_digits_of_one_number(monkeypatch):
    largest = Decimal("999999999999999999.999999999")
    added: list[Decimal] = []
    monkeypatch.setattr(main, "app", lambda: added.append(sum([largest] * 10**5, Decimal(0))))
    with decimal.localcontext():
        main.main()
    assert added == [Decimal("99999999999999999999999.9999")]
