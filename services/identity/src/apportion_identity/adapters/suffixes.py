"""The public suffix list that comes with its package, private section included (github.io is a suffix like co.uk)."""

from __future__ import annotations

from publicsuffixlist import PublicSuffixList


class PackagedSuffixes:
    """Answers from the packaged list; a top-level domain that it does not know is a suffix too (its rule `*`)."""

    def __init__(self) -> None:
        """Read the list: some ten thousand rules, once for a process."""
        self._list = PublicSuffixList()

    def is_public_suffix(self, domain: str) -> bool:
        """Return whether names right below are registered by different parties."""
        return bool(self._list.is_public(domain))

    def registrable(self, domain: str) -> str | None:
        """Return one label more than the suffix; None of a suffix itself."""
        found: str | None = self._list.privatesuffix(domain)
        return found
