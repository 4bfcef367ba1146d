"""`apportion call`: any method of any service, by reflection."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer
from apportion_client.reflection import MethodUnknown, Reflected, ServiceUnknown, reflect, services_of
from apportion_client.services import CALL_TIMEOUT_S, Services
from apportion_client.settings import SERVICES
from google.protobuf import json_format
from google.protobuf.message import Message
from rich.console import Console

from apportion_cli.run import fail, run

DEFAULT_SERVICE = "metering"
"""Asked for what every service has, such as health."""

_output = Console(highlight=False, soft_wrap=True)


def call(
    method: Annotated[str, typer.Argument(help="SERVICE/METHOD; the service in full, or its short name.")],
    content: Annotated[str, typer.Argument(metavar="JSON", help="The request; a list where a stream is sent.")] = "{}",
    at: Annotated[str, typer.Option(help="Service to ask for what every service has, such as health.")] = "",
) -> None:
    """Call a method with a JSON request and print the answer as JSON.

    An error prints its status, reason, message and field violations, with exit code 1.
    """
    service, _, name = method.partition("/")
    if not service:
        fail(f"Name the method as SERVICE/METHOD, such as ledger/GetTrialBalance, of one of {', '.join(SERVICES)}.")
    try:
        given = json.loads(content)
    except json.JSONDecodeError as error:
        fail(f"The request is not JSON: {error}.")
    if not isinstance(given, dict | list):
        fail("The request must be a JSON object, or a list of them where a stream is sent.")
    full, address = _resolve(service, at)
    try:
        run(lambda services: _call(services, address, full, name, given))
    except (MethodUnknown, json_format.ParseError) as problem:
        fail(str(problem))


def _resolve(service: str, at: str) -> tuple[str, str]:
    """Return the full name of a service and where to ask for it."""
    if service in SERVICES:
        return f"apportion.{service}.v1.{service.capitalize()}Service", at or service
    parts = service.split(".")
    own = parts[1] if len(parts) > 1 and parts[0] == "apportion" and parts[1] in SERVICES else DEFAULT_SERVICE
    if at and at not in SERVICES:
        fail(f"{at} is no service: there are {', '.join(SERVICES)}.")
    return service, at or own


async def _call(services: Services, address: str, service: str, name: str, given: Any) -> None:
    channel = services.channel(address)
    try:
        method = await reflect(channel, service, name)
    except ServiceUnknown:
        raise ServiceUnknown(f"There is no service {service}; there are {', '.join(await _all(services))}.") from None
    if method.takes_stream:
        items = given if isinstance(given, list) else [given]
        requests = [_parse(method, item) for item in items]
        sent: Any = iter(requests)
    else:
        sent = _parse(method, given)
    answer = method.caller(channel)(sent, timeout=CALL_TIMEOUT_S)
    if method.gives_stream:
        async for item in answer:
            _print(item, method)
    else:
        _print(await answer, method)


async def _all(services: Services) -> list[str]:
    """Return the names of the five services, and those that every server has besides."""
    others = {name for service in SERVICES for name in await services_of(services.channel(service))}
    return [*SERVICES, *sorted(name for name in others if not name.startswith("apportion."))]


def _parse(method: Reflected, content: Any) -> Message:
    if not isinstance(content, dict):
        raise json_format.ParseError("The request must be a JSON object.")
    return json_format.ParseDict(content, method.request(), descriptor_pool=method.pool)


def _print(answer: Message, method: Reflected) -> None:
    text = json_format.MessageToJson(
        answer,
        preserving_proto_field_name=True,
        always_print_fields_with_no_presence=True,
        descriptor_pool=method.pool,
    )
    _output.out(text)
