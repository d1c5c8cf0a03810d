"""Every law of Python, by the name of its folder of seeds."""

from __future__ import annotations

from tests.fuzz import back_ends, files
from tests.fuzz.law import Law

LAWS: dict[str, Law] = {**back_ends.LAWS, **files.LAWS}

if __name__ == "__main__":
    print("\n".join(LAWS))  # noqa: T201 - for scripts/fuzz.sh
