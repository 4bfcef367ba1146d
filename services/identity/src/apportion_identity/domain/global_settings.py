"""The settings that operators change at run time: which there are, and what they may say (spec 01, data).

Only these are kept: a misspelt key would be obeyed by nobody. Values are text; `canonical` returns their one form.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

from apportion_common.errors import InvalidArgument, NotFound

from apportion_identity.domain.domain_names import canonical_domain

ValueType = Literal["int", "list"]
Items = Literal["domains", "subjects"]

_INT: Final = re.compile(r"-?[0-9]{1,9}")
_SEPARATORS: Final = re.compile(r"[\s,]+")
_SUBJECT: Final = re.compile(r"(?:service|service_account|user):[A-Za-z0-9._-]{1,100}")


@dataclass(frozen=True, slots=True)
class KnownSetting:
    """A setting that the service obeys; a list's items are separated by commas or white space."""

    key: str
    value_type: ValueType
    default: str
    description: str
    minimum: int = 0
    maximum: int = 0
    """Least and greatest value of an int; of a list, how many items it has."""
    items: Items = "domains"

    def canonical(self, text: str) -> str:
        """Return the value in its one form. Raises InvalidArgument SETTING_VALUE_MALFORMED or SETTING_OUT_OF_RANGE."""
        if self.value_type == "int":
            return str(self.int_of(text))
        return ",".join(self.list_of(text))

    def int_of(self, text: str) -> int:
        """Return the number that the text says, within its range; raises as `canonical` does."""
        if _INT.fullmatch(text.strip()) is None:
            raise self._malformed("a whole number in decimal digits")
        value = int(text)
        if not self.minimum <= value <= self.maximum:
            raise self._out_of_range(f"lies between {self.minimum} and {self.maximum}")
        return value

    def list_of(self, text: str) -> tuple[str, ...]:
        """Return the items that the text says, each once, sorted; raises as `canonical` does."""
        items = {self._item(item) for item in _SEPARATORS.split(text) if item}
        if not self.minimum <= len(items) <= self.maximum:
            raise self._out_of_range(f"has {self.minimum} to {self.maximum} items")
        return tuple(sorted(items))

    def _item(self, text: str) -> str:
        if self.items == "subjects":
            if _SUBJECT.fullmatch(text) is None:
                raise self._malformed("a list of token subjects, such as service:gateway")
            return text
        try:
            return canonical_domain(text)
        except InvalidArgument:
            raise self._malformed("a list of domain names") from None

    def _malformed(self, wanted: str) -> InvalidArgument:
        return InvalidArgument("SETTING_VALUE_MALFORMED", f"{self.key} must be {wanted}.", field="value")

    def _out_of_range(self, holds: str) -> InvalidArgument:
        return InvalidArgument("SETTING_OUT_OF_RANGE", f"{self.key} {holds}.", field="value")


_ALL: Final = (
    KnownSetting(
        "invite_token_ttl_hours",
        "int",
        "48",
        "How long an invitation can be accepted, in hours.",
        minimum=1,
        maximum=720,
    ),
    KnownSetting(
        "invite_daily_limit",
        "int",
        "100",
        "Most invitations of an organisation on one day (UTC); 0 stops inviting.",
        maximum=100_000,
    ),
    KnownSetting(
        "claim_token_ttl_hours",
        "int",
        "72",
        "How long the address that proves a domain claim takes mail, in hours.",
        minimum=1,
        maximum=720,
    ),
    KnownSetting(
        "claims_daily_limit",
        "int",
        "100",
        "Most domain claims of an organisation on one day (UTC); 0 stops claiming.",
        maximum=100_000,
    ),
    KnownSetting(
        "conflict_due_hours",
        "int",
        "72",
        "How long operators have to settle a conflict before it is escalated again, in hours.",
        minimum=1,
        maximum=8_760,
    ),
    KnownSetting(
        "shared_mail_domains",
        "list",
        "",
        "Domains of mail providers that nobody can claim, beside the built-in ones.",
        maximum=2_000,
    ),
    KnownSetting(
        "trusted_mail_relays",
        "list",
        "",
        "Token subjects of the mail servers whose word for a client's address counts, so that SPF may prove a claim.",
        maximum=100,
        items="subjects",
    ),
)
KNOWN_SETTINGS: Final = {setting.key: setting for setting in _ALL}


def known_setting(key: str) -> KnownSetting:
    """Return the setting of that name. Raises NotFound SETTING_NOT_FOUND."""
    setting = KNOWN_SETTINGS.get(key)
    if setting is None:
        raise NotFound("SETTING_NOT_FOUND", "There is no such setting.", field="key")
    return setting
