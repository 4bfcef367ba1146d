"""Writes the checked-in checksums of the revisions: adds new ones, and refuses to change one that is there.

A revision that is applied nowhere yet may be written again: `--renew` writes it, unless main has it already.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from apportion_migrate.checksums import MANIFEST_FILE, changed, checksums, load_manifest, merged_manifest
from apportion_migrate.plan import load_plan

ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--renew", action="store_true", help="write those again that main does not have yet")
    arguments = parser.parse_args()
    plan = load_plan()
    now = {service: checksums(plan.script(service), service) for service in plan.services}
    found = changed(merged_manifest(ROOT) if arguments.renew else load_manifest(ROOT), now)
    if found:
        print("\n".join(("Revisions that are there never change:", *found)), file=sys.stderr)
        return 1
    (ROOT / MANIFEST_FILE).write_text(json.dumps(now, indent=2) + "\n", encoding="utf-8")
    print(f"{MANIFEST_FILE}: {sum(map(len, now.values()))} revisions")
    return 0


if __name__ == "__main__":
    sys.exit(main())
