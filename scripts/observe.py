"""What is done with the evidence of test runs.

- `python -m scripts.observe clear`: forget it; `make test` begins with that
- `python -m scripts.observe check`: fail when a whole run did not see what it should; `make test` ends with that
- `python -m scripts.observe write`: renew docs/observed-answers.json. After a whole `make test` the file says what was
  seen in it; after single tests what they saw is added. What is no longer in the code is forgotten either way.
"""

from __future__ import annotations

import argparse
import shutil
import sys

from apportion_dev.testing.observed import SERVICER, WIRE, Fact

from scripts import error_reasons, observed, status_table
from scripts.observed import EVIDENCE, Observed

WHOLE = EVIDENCE / "whole-run"
"""Is there when the evidence is that of a whole `make test`."""


def seen_in(facts: set[Fact], before: Observed) -> Observed:
    """Add facts to what was seen before."""
    before.add(facts, {name: reason.modules for name, reason in error_reasons.collect().items()})
    return before


def clear() -> int:
    """Forget all evidence."""
    shutil.rmtree(EVIDENCE, ignore_errors=True)
    return 0


def check() -> int:
    """Compare what a whole run has seen with what is built, declared and documented."""
    if not EVIDENCE.exists():
        print("There is no evidence of a test run; run `make test`.")
        return 1
    seen = seen_in(observed.evidence(), Observed())
    WHOLE.touch()
    found = {
        "RPCs that are implemented and were never answered OK": status_table.unanswered(status_table.rpcs(), seen),
        "reasons that the code declares and nothing returned": error_reasons.unseen(seen),
        "reasons that were returned and are not documented (run `make observe`)": undocumented(seen),
        "reasons that came with another status than the code declares": odd_statuses(seen),
    }
    for what, names in found.items():
        if names:
            print(f"\n{what}:")
            print("".join(f"  {name}\n" for name in sorted(names)), end="")
    if any(found.values()):
        return 1
    implemented = sum(rpc.is_answered for rpc in seen.rpcs.values())
    print(f"seen in this run: {implemented} RPCs answered OK, {len(seen.reasons)} reasons, all of them documented")
    return 0


def undocumented(seen: Observed) -> list[str]:
    """Return the reasons that were seen and are not on the page of errors."""
    page = error_reasons.DOCUMENT.read_text(encoding="utf-8")
    return [name for name in seen.reasons if f"| `{name}` |" not in page]


def odd_statuses(seen: Observed) -> list[str]:
    """Return the answers whose reason is declared with other statuses."""
    declared = error_reasons.collect()
    return [
        f"{name}: {reason} as {status}"
        for name, rpc in seen.rpcs.items()
        for answers in (rpc.wire, rpc.servicer)
        for status, reasons in answers.items()
        for reason in reasons
        if reason in declared and status not in declared[reason].statuses
    ]


def write() -> int:
    """Renew the checked-in file."""
    facts = observed.evidence()
    if not any(fact[0] in (WIRE, SERVICER) for fact in facts):
        print("No test run has left evidence; run `make test`, or the tests that show what is new.")
        return 1
    seen = seen_in(facts, Observed() if WHOLE.exists() else observed.load())
    seen.keep((row.key for row in status_table.rpcs()), error_reasons.all_reasons())
    observed.FILE.write_text(observed.text_of(seen), encoding="utf-8")
    return 0


def main() -> int:
    commands = {"clear": clear, "check": check, "write": write}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=commands)
    return commands[parser.parse_args().command]()


if __name__ == "__main__":
    sys.exit(main())
