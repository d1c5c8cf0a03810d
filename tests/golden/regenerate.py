"""Rewrite the golden numbers after an intended change of the mathematics.

Run ``python tests/golden/regenerate.py`` from the root of the checkout, read what moved, and commit
the files together with the change that moved them.
"""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.golden.golden import NAMES, compute_golden, describe_change, path_of


def main() -> None:
    """Recompute every example and say how far its numbers moved."""
    for name in NAMES:
        path, new = path_of(name), compute_golden(name)
        moved = describe_change(json.loads(path.read_text()), new) if path.exists() else "new"
        path.write_text(json.dumps(new, indent=1) + "\n")
        sys.stdout.write(f"{name}: {moved}\n")


if __name__ == "__main__":
    main()
