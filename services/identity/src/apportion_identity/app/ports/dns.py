"""The DNS, whose records a mail is judged by."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from apportion_identity.domain.mail.types import Answer, Question


class DnsPort(Protocol):
    """The DNS, asked many questions at once."""

    async def ask(self, questions: Iterable[Question]) -> dict[Question, Answer]:
        """An answer to each question. Failures are answers too (servfail, timeout): nothing is raised for them."""
        ...
