"""Writes the checked-in checksums of the revisions: adds new ones, and refuses to change one that is there.

A revision that is applied nowhere yet may be written anew: its line is taken out of the file by hand first, or
`--renew` writes them all. Once a release has it, that is caught by the tests.
"""

from __future__ import annotations

import argparse
import json
import sys

from apportion_migrate.checksums import MANIFEST_FILE, changed, checksums, load_manifest
from apportion_migrate.plan import find_root, load_plan


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--renew", action="store_true", help="write all of them, changed ones too")
    arguments = parser.parse_args()
    plan = load_plan(find_root())
    now = {service: checksums(plan.script(service), service) for service in plan.services}
    found = changed(load_manifest(plan.root), now)
    if found and not arguments.renew:
        print("\n".join(("Revisions that are there never change:", *found)), file=sys.stderr)
        return 1
    (plan.root / MANIFEST_FILE).write_text(json.dumps(now, indent=2) + "\n", encoding="utf-8")
    print(f"{MANIFEST_FILE}: {sum(map(len, now.values()))} revisions")
    return 0


if __name__ == "__main__":
    sys.exit(main())
