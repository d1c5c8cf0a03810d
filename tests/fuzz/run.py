"""Fuzz one law with coverage as the guide: ``python -m tests.fuzz.run TARGET [libFuzzer options]``.

``make fuzz`` runs all of them (docs/fuzzing.md). Needs atheris, which nothing else here does.
"""

from __future__ import annotations

import logging
import sys

import atheris  # type: ignore[import-untyped]

with atheris.instrument_imports(include=["bayesrca"]):
    from tests.fuzz.targets import LAWS

from tests.fuzz.mutator import mutate


def main() -> None:
    """Run the fuzzer until it is stopped or a law is broken."""
    logging.disable()
    target = sys.argv.pop(1)
    law = LAWS[target]

    def another(data: bytes, most: int, seed: int) -> bytes:
        return mutate(data, most, seed, atheris.Mutate)

    def run(data: bytes) -> None:
        law(data)

    atheris.Setup(sys.argv, run, custom_mutator=another)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
