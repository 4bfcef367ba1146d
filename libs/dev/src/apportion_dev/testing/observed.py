"""The pytest plugin that collects what the services really answer: RPCs, statuses and reasons, as evidence.

Nothing in production knows of it. In the process of a test it looks at these places:

- the access log's events (`wire`): what callers of an in-process server see, counted in the service's own tests;
  elsewhere the servicer is a stand-in, and what counts is how the server around it refuses (`server`);
- the servicers of the services (`servicer`): what a method returns or raises, called by a server or by a test;
- reasons that travel in what a servicer returns or a client receives (`data`): rejections, dead letters, verdicts;
- errors and stopped lanes that the product's code makes (`raised`, `stopped`), whoever catches them, and values of the
  classes that a service's tests name (`VERIFIED`, see `watch`).

Of the processes that tests start it reads the log files below pytest's temporary folder when the session ends.

Each process of pytest adds its evidence to a file of its own below the cache folder; `scripts/observed_answers.py`
reads them all.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import json
import os
import re
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from apportion_common import errors, rate_limit
from apportion_common.errors import ApportionError
from apportion_common.grpc.interceptors import metrics_log
from apportion_common.lanes.errors import LaneStopped
from apportion_common.settings import SERVICES
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

FOLDER: Final = "observed"
"""Name of the folder in pytest's cache that the files of evidence lie in."""
WIRE, SERVER, SERVICER, DATA = "wire", "server", "servicer", "data"
RAISED, STOPPED, VERIFIED = "raised", "stopped", "judged"
PASS_ON: Final = frozenset({__name__, errors.__name__, rate_limit.__name__})
"""Modules that make errors with the reasons that they are given: who gave it counts."""
REASON: Final = re.compile(r"[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)*")
_CONTRACT: Final = re.compile(r"/apportion\.(\w+)\.v1\.\w+/")

Fact = tuple[str, ...]
"""A kind of evidence and what was seen: (`wire`, method, status, reason), (`raised`, module, reason), …"""

facts: Final[set[Fact]] = set()
"""What this process has seen."""


class _Session:
    """What the plugin knows of the session: the test in progress, and the files that it reads and writes."""

    test: Path | None = None
    evidence: Path | None = None
    temporary: Path | None = None


def pytest_configure(config: pytest.Config) -> None:
    """Start to look, unless the session has no cache to write to."""
    cache = getattr(config, "cache", None)
    if cache is None or _Session.evidence is not None:
        return
    worker = getattr(config, "workerinput", {}).get("workerid", "main")
    _Session.evidence = Path(cache.mkdir(FOLDER)) / f"{worker}.json"
    _watch_access_log()
    _watch_servicers()
    _watch_clients()
    watch(ApportionError, lambda error: [error.reason], RAISED)
    watch(LaneStopped, lambda stopped: [stopped.reason], STOPPED)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Remember which file the test in progress stands in, and keep what it saw even if the session is killed."""
    _Session.test = item.path
    known = len(facts)
    try:
        return (yield)
    finally:
        if _Session.evidence is not None and len(facts) > known:
            add_evidence(_Session.evidence, facts)


@pytest.fixture(scope="session", autouse=True)
def _temporary_folder(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Remember where the tests' processes write their logs."""
    _Session.temporary = tmp_path_factory.getbasetemp()


def pytest_sessionfinish() -> None:
    """Read the logs of the processes and add all evidence to this process's file."""
    if _Session.temporary is not None:
        facts.update(facts_of_logs(sorted(_Session.temporary.rglob("*.log"))))
    if _Session.evidence is not None and facts:
        add_evidence(_Session.evidence, facts)


def add_evidence(file: Path, found: Iterable[Fact]) -> None:
    """Add facts to a file of evidence."""
    known = read_evidence(file) if file.exists() else set()
    lines = (json.dumps(fact) for fact in sorted({*known, *found}))
    written = file.with_suffix(f".{os.getpid()}")
    written.write_text("[\n" + ",\n".join(lines) + "\n]\n", encoding="utf-8")
    written.replace(file)  # Another run may be reading it.


def read_evidence(file: Path) -> set[Fact]:
    """Return the facts of a file of evidence."""
    return {tuple(fact) for fact in json.loads(file.read_text(encoding="utf-8"))}


def facts_of_logs(files: Iterable[Path]) -> Iterator[Fact]:
    """Return what the log files of services say of answers and stopped lanes; other files say nothing."""
    for file in files:
        with file.open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                if '"event": "rpc"' in line or '"event": "lane.stopped"' in line:
                    yield from _fact_of_line(line)


def _fact_of_line(line: str) -> Iterator[Fact]:
    try:
        event = json.loads(line)
    except ValueError:
        return  # A killed process leaves half a line.
    if event["event"] == "lane.stopped":
        yield STOPPED, str(event["reason"])
    elif service_of(event["method"]) == event.get("service"):
        yield WIRE, event["method"], event["code"], event["reason"]


def service_of(method: str) -> str:
    """Return the service that a full method name belongs to; an empty text for one of no service of ours."""
    found = _CONTRACT.match(method)
    return found[1] if found is not None else ""


def is_real(method: str) -> bool:
    """Return whether the service itself answers the method in the test in progress, and no stand-in for it."""
    test = "" if _Session.test is None else _Session.test.as_posix()
    service = service_of(method)
    return bool(service) and any(place in test for place in (f"/services/{service}/", "/tests/e2e/"))


class _AccessLog:
    """Stands before the access log and lets everything pass."""

    def __init__(self, log: Any) -> None:
        self._log = log

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    def info(self, event: str, **values: Any) -> Any:
        return self._seen("info", event, values)

    def error(self, event: str, **values: Any) -> Any:
        return self._seen("error", event, values)

    def _seen(self, level: str, event: str, values: dict[str, Any]) -> Any:
        if event == "rpc" and is_real(values["method"]):
            facts.add((WIRE, values["method"], values["code"], values["reason"]))
        elif event == "rpc" and values["reason"]:
            facts.add((SERVER, values["reason"]))
        return getattr(self._log, level)(event, **values)


def _watch_access_log() -> None:
    metrics_log.log = _AccessLog(metrics_log.log)


def _watch_servicers() -> None:
    """Watch the methods of every servicer class that a service defines, now or later; those of stand-ins are not."""
    for service in SERVICES:
        stubs = importlib.import_module(f"apportion.{service}.v1.{service}_service_pb2_grpc")
        contract = importlib.import_module(f"apportion.{service}.v1.{service}_service_pb2").DESCRIPTOR
        (described,) = contract.services_by_name.values()
        base = getattr(stubs, f"{described.name}Servicer")
        methods = {method.name: f"/{described.full_name}/{method.name}" for method in described.methods}
        watch = functools.partial(_watch_methods, f"apportion_{service}.", methods)
        for servicer in _descendants(base):  # Those that tests' conftest files have imported by now.
            watch(servicer)
        base.__init_subclass__ = classmethod(watch)


def _descendants(base: type) -> set[type]:
    children: set[type] = set(base.__subclasses__())
    return children.union(*map(_descendants, children))


def _watch_methods(package: str, methods: dict[str, str], servicer: type) -> None:
    if not servicer.__module__.startswith(package):
        return
    for name, behaviour in list(vars(servicer).items()):
        if name in methods:
            watched = _watched_stream if inspect.isasyncgenfunction(behaviour) else _watched
            setattr(servicer, name, watched(methods[name], behaviour))


def _watched(method: str, behaviour: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(behaviour)
    async def call(*args: Any, **kwargs: Any) -> Any:
        try:
            answer = await behaviour(*args, **kwargs)
        except ApportionError as error:
            facts.add((SERVICER, method, error.code, error.reason))
            raise
        facts.add((SERVICER, method, "OK", ""))
        facts.update((DATA, method, reason) for reason in reasons_in(answer))
        return answer

    return call


def _watched_stream(method: str, behaviour: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(behaviour)
    async def call(*args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        try:
            async for answer in behaviour(*args, **kwargs):
                facts.update((DATA, method, reason) for reason in reasons_in(answer))
                yield answer
        except ApportionError as error:
            facts.add((SERVICER, method, error.code, error.reason))
            raise
        facts.add((SERVICER, method, "OK", ""))

    return call


def _watch_clients() -> None:
    """Look at the messages that the test's own calls receive."""
    channel = importlib.import_module("grpc.aio._channel").Channel
    for kind in ("unary_unary", "unary_stream", "stream_unary", "stream_stream"):
        setattr(channel, kind, _watched_client(getattr(channel, kind)))


def _watched_client(make: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(make)
    def made(
        self: Any, method: str, request_serializer: Any = None, response_deserializer: Any = None, **more: Any
    ) -> Any:
        def read(raw: bytes) -> Any:
            message = response_deserializer(raw)
            if is_real(method):
                facts.update((DATA, method, reason) for reason in reasons_in(message))
            return message

        watched = None if response_deserializer is None else read
        return make(self, method, request_serializer, watched, **more)

    return made


def reasons_in(message: Message) -> Iterator[str]:
    """Return the stable reasons that a message carries in its fields named `reason`, at any depth."""
    if not _carries_reasons(message.DESCRIPTOR):
        return
    for field, value in message.ListFields():
        if field.name == "reason" and isinstance(value, str):
            if REASON.fullmatch(value):
                yield value
        elif field.message_type is not None and _carries_reasons(field.message_type):
            messages: Iterable[Message] = [value] if isinstance(value, Message) else value
            for one in messages:
                yield from reasons_in(one)


@functools.cache
def _carries_reasons(message: Descriptor) -> bool:
    """Return whether messages of the type may carry a reason."""
    seen, waiting = {message.full_name}, [message]
    while waiting:
        for field in waiting.pop().fields:
            if field.name == "reason" and field.type == FieldDescriptor.TYPE_STRING:
                return True
            inner = field.message_type
            is_map = inner is not None and inner.GetOptions().map_entry
            if inner is not None and not is_map and inner.full_name not in seen:
                seen.add(inner.full_name)
                waiting.append(inner)
    return False


def watch(kind: Any, reasons: Callable[[Any], Iterable[str]], evidence: str = VERIFIED) -> None:
    """Note the reasons of each instance of the class, also a named tuple, that code of the product makes."""

    def note(made: Any) -> None:
        module = _maker()
        if module:
            source = (module,) if evidence == RAISED else ()
            facts.update((evidence, *source, reason) for reason in reasons(made) if reason)

    if issubclass(kind, tuple):
        create = kind.__new__

        def new(*args: Any, **kwargs: Any) -> Any:
            made = create(*args, **kwargs)
            note(made)
            return made

        kind.__new__ = staticmethod(new)
        return
    make = kind.__init__

    @functools.wraps(make)
    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        make(self, *args, **kwargs)
        note(self)

    kind.__init__ = init


def _maker() -> str:
    """Return the module of the product that makes an error just now; an empty text when a test does."""
    frame = sys._getframe(1)  # Frames of this module are passed over.
    while frame.f_back is not None and frame.f_globals.get("__name__") in PASS_ON:
        frame = frame.f_back
    module = str(frame.f_globals.get("__name__", ""))
    return module if module.startswith("apportion_") and "/src/" in frame.f_code.co_filename else ""
