"""Feature flags: ten names, asked through OpenFeature, answered from the environment and a file of settings.

All are closed unless something opens them: `FEATURE_<NAME>=on` in the process's environment, or a line of the same form
in the file that FEATURE_FLAGS_FILE names. The file has the last word and is read again whenever it changes, so that a
feature opens and closes without a restart. What stands behind a flag is declared once per service, as a FlagTable: the
RPCs that are refused, the consumers that pause and the seeds that are not loaded while it is closed (docs/flags.md).
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NoReturn

from openfeature import api
from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import FlagNotFoundError, TypeMismatchError
from openfeature.flag_evaluation import FlagResolutionDetails, Reason
from openfeature.provider import AbstractProvider, Metadata

from apportion_common.errors import FailedPrecondition
from apportion_common.logs import get_logger

FLAGS: Final = (
    "domain_claims",
    "private_suggestions",
    "por_ledger",
    "entitlements",
    "metering",
    "pricing_engine",
    "budgets_caps",
    "org_hierarchy",
    "group_billing",
    "estimator",
)
"""Every flag of the platform (spec 06, "Flags")."""

PREFIX: Final = "FEATURE_"
FILE_SETTING: Final = "FEATURE_FLAGS_FILE"

_WORDS: Final = {"on": True, "true": True, "1": True, "off": False, "false": False, "0": False}

_NUMBERS: Final = itertools.count(1)

log = get_logger(__name__)


class FlagError(ValueError):
    """A flag, or what is said of one, that cannot be; the message is a full sentence."""


@dataclass(frozen=True, kw_only=True)
class FlagScope:
    """What stands behind one flag in a service: RPCs by name, background tasks by name, seed files by name.

    `fields` are requests of RPCs behind no flag that stand behind this one when they set a field: `CreateOrg.parent`.
    """

    flag: str
    rpcs: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()
    consumers: tuple[str, ...] = ()
    seeds: tuple[str, ...] = ()


class FlagTable:
    """Which RPCs, consumers and seeds of a service stand behind which flag; `always` are the RPCs behind none."""

    def __init__(self, service_name: str, scopes: Sequence[FlagScope], *, always: Sequence[str]) -> None:
        """Declare for a gRPC service by its full name; FlagError for an unknown flag, or a thing behind two."""
        self.service_name = service_name
        self.scopes = tuple(scopes)
        self.always = frozenset(self._full(name) for name in always)
        unknown = sorted({scope.flag for scope in scopes} - set(FLAGS))
        if unknown:
            raise FlagError(f"There is no flag {unknown[0]!r}.")
        self.rpcs = self._by_thing((scope.flag, map(self._full, scope.rpcs)) for scope in scopes)
        self.consumers = self._by_thing((scope.flag, scope.consumers) for scope in scopes)
        self.seeds = self._by_thing((scope.flag, scope.seeds) for scope in scopes)
        self.fields: dict[str, list[tuple[str, str]]] = {}
        for scope in scopes:
            for name in scope.fields:
                rpc, _, field = name.partition(".")
                self.fields.setdefault(self._full(rpc), []).append((field, scope.flag))
        if forgotten := sorted(self.fields.keys() - self.always):
            raise FlagError(f"{forgotten[0]} has a field behind a flag and is not always open.")
        if both := sorted(self.always & self.rpcs.keys()):
            raise FlagError(f"{both[0]} is both behind a flag and always open.")

    def check(self, methods: Iterable[str]) -> None:
        """See that every method (`/package.Service/Method`) is declared, and nothing else. Raises FlagError."""
        odd = set(methods) ^ (self.always | self.rpcs.keys())
        if odd:
            raise FlagError(f"The flags of {self.service_name} and its contract differ in: {', '.join(sorted(odd))}.")

    def _full(self, name: str) -> str:
        return f"/{self.service_name}/{name}"

    @staticmethod
    def _by_thing(pairs: Iterable[tuple[str, Iterable[str]]]) -> dict[str, str]:
        found: dict[str, str] = {}
        for flag, things in pairs:
            for thing in things:
                if found.setdefault(thing, flag) != flag:
                    raise FlagError(f"{thing} stands behind both {found[thing]} and {flag}.")
        return found


class EnvironmentProvider(AbstractProvider):
    """OpenFeature's side: a flag is what the file says, else what the environment says, else what the caller expects.

    A file that cannot be read, or that says something else than on or off, changes nothing: what it said before holds.
    """

    def __init__(self, environ: Mapping[str, str], file: Path | None) -> None:
        """Read the environment once, and the file whenever it changes. FlagError for a value that is no on or off."""
        self._environment = _parse(environ.items())
        self._file = file
        self._state: tuple[int, int, int] | None = None
        self._settings: dict[str, bool] = {}

    def get_metadata(self) -> Metadata:
        """Return the provider's name."""
        return Metadata("apportion-environment")

    def resolve_boolean_details(
        self, flag_key: str, default_value: bool, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[bool]:
        """Return whether a flag is open, and by whose word. Raises FlagNotFoundError for a name that is none of
        FLAGS.
        """
        if flag_key not in FLAGS:
            raise FlagNotFoundError(f"There is no flag {flag_key!r}.")
        self._read_again()
        for variant, values in (("settings", self._settings), ("environment", self._environment)):
            if flag_key in values:
                return FlagResolutionDetails(value=values[flag_key], reason=Reason.STATIC, variant=variant)
        return FlagResolutionDetails(value=default_value, reason=Reason.DEFAULT)

    def resolve_string_details(
        self, flag_key: str, default_value: str, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[str]:
        """Refuses: flags are open or closed."""
        _only_boolean()

    def resolve_integer_details(
        self, flag_key: str, default_value: int, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[int]:
        """Refuses: flags are open or closed."""
        _only_boolean()

    def resolve_float_details(
        self, flag_key: str, default_value: float, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[float]:
        """Refuses: flags are open or closed."""
        _only_boolean()

    def resolve_object_details(
        self, flag_key: str, default_value: Any, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[Any]:
        """Refuses: flags are open or closed."""
        _only_boolean()

    def _read_again(self) -> None:
        """Take the file's word again when the file is another one than at the last look."""
        if self._file is None:
            return
        try:
            found = self._file.stat()
            state = (found.st_mtime_ns, found.st_size, found.st_ino)
            if state == self._state:
                return
            lines = self._file.read_text(encoding="utf-8").splitlines()
            self._settings = _parse(_pair(line) for line in lines if line.strip() and not line.startswith("#"))
        except FileNotFoundError:
            state, self._settings = (0, 0, 0), {}
        except (OSError, ValueError) as error:
            state = (0, 0, 0) if isinstance(error, OSError) else state
            if state != self._state:
                log.error("flags.file_unusable", file=str(self._file), error=str(error))
        if state != self._state:
            log.info("flags.settings", **self._settings)
        self._state = state


class Flags:
    """What a process asks: whether a flag is open now."""

    def __init__(self, domain: str, environ: Mapping[str, str] | None = None, file: Path | None = None) -> None:
        """Ask through an OpenFeature client of our own, in a domain named for the service, over environment and file.

        Raises FlagError for a value of the environment that is no on or off.
        """
        # A domain has one provider: two of the same name in one process would answer for each other.
        domain = f"{domain}.{next(_NUMBERS)}"
        api.set_provider_and_wait(EnvironmentProvider(os.environ if environ is None else environ, file), domain)
        self._client = api.get_client(domain)

    def is_open(self, flag: str) -> bool:
        """Return whether a flag is open now: closed unless something opens it. FlagError for a name that is no flag."""
        if flag not in FLAGS:
            raise FlagError(f"There is no flag {flag!r}.")
        return self._client.get_boolean_value(flag, default_value=False)

    def paused(self, table: FlagTable, consumer: str) -> Callable[[], bool]:
        """Return what a consumer asks before it takes anything: whether its flag is closed. FlagError for one
        behind none.
        """
        if consumer not in table.consumers:
            raise FlagError(f"{consumer} stands behind no flag.")
        flag = table.consumers[consumer]
        return lambda: not self.is_open(flag)


def feature_disabled(flag: str) -> FailedPrecondition:
    """Return the rejection of an RPC behind a closed flag (spec 06, "Flags")."""
    return FailedPrecondition("FEATURE_DISABLED", f"The feature {flag} is closed in this environment.", feature=flag)


def variable(flag: str) -> str:
    """Return the environment variable of a flag, such as FEATURE_POR_LEDGER."""
    return f"{PREFIX}{flag.upper()}"


def all_open() -> dict[str, str]:
    """Return the environment that opens every flag: for the local stack and for tests."""
    return {variable(flag): "on" for flag in FLAGS}


def from_file(environ: Mapping[str, str]) -> Path | None:
    """Return the file of settings that an environment names, if any."""
    return Path(environ[FILE_SETTING]) if environ.get(FILE_SETTING) else None


def _pair(line: str) -> tuple[str, str]:
    name, equals, value = line.partition("=")
    if not equals:
        raise FlagError(f"{line.strip()[:40]!r} does not read {PREFIX}NAME=on or {PREFIX}NAME=off.")
    return name.strip(), value.strip()


def _parse(pairs: Iterable[tuple[str, str]]) -> dict[str, bool]:
    """Return the flags among names and values; an empty value says nothing. FlagError for a value that is no on or
    off.
    """
    found: dict[str, bool] = {}
    for name, value in pairs:
        if not name.startswith(PREFIX) or name == FILE_SETTING or not value:
            continue
        flag = name.removeprefix(PREFIX).lower()
        if flag not in FLAGS:
            log.warning("flags.unknown", name=name)
            continue
        if value.lower() not in _WORDS:
            raise FlagError(f"{name} is neither on nor off.")
        found[flag] = _WORDS[value.lower()]
    return found


def _only_boolean() -> NoReturn:
    raise TypeMismatchError("A flag is open or closed.")
