"""Generate `bayesrca/_core.pyi` from the Rust bindings, or check that the committed stub is it.

    .venv/bin/python scripts/gen_stubs.py           # write bayesrca/_core.pyi
    .venv/bin/python scripts/gen_stubs.py --check   # exit 1 with the difference

maturin builds the bindings with PyO3's introspection data and writes the stub. PyO3 cannot see
NumPy's types, so a function that takes or gives an array says so in its signature attribute,

    #[pyo3(signature = (x: "numpy.typing.NDArray[numpy.float64]") -> "float")]

and PyO3 copies that text without importing what it names: the imports are added here.
"""

from __future__ import annotations

import argparse
import difflib
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
STUB = Path("bayesrca/_core.pyi")
MANIFEST = "rust/bayesrca-python/Cargo.toml"
MODULE_DOCSTRING = re.compile(r'\A""".*?"""\n+', re.DOTALL)


def main() -> int:
    """Generate or check; return the process's exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    check = parser.parse_args().check
    with tempfile.TemporaryDirectory(prefix="bayesrca-stubs-") as scratch:
        fresh = add_imports(generate(Path(scratch)))
    target = ROOT / STUB
    committed = target.read_text(encoding="utf-8") if target.exists() else ""
    if not check:
        if fresh != committed:
            target.write_text(fresh, encoding="utf-8")
        print(f"gen_stubs: {STUB}")
        return 0
    if fresh == committed:
        return 0
    old, new = (text.splitlines(keepends=True) for text in (committed, fresh))
    names = (f"{STUB} (committed)", f"{STUB} (generated)")
    sys.stderr.writelines(difflib.unified_diff(old, new, *names))
    print(f"gen_stubs: {STUB} differs: run `make gen` and commit it", file=sys.stderr)
    return 1


def generate(out: Path) -> str:
    """Build the bindings with introspection into `out` and return the stub that maturin wrote."""
    maturin = Path(sys.executable).parent / "maturin"
    command = [str(maturin), "generate-stubs", "--out", str(out), "--manifest-path", MANIFEST]
    command += ["--features", "stubs", "--interpreter", sys.executable]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{done.stdout}{done.stderr}gen_stubs: maturin failed (run `make setup`?)")
    return (out / STUB).read_text(encoding="utf-8")


def add_imports(stub: str) -> str:
    """Return `stub` with imports for the NumPy names that annotations written in Rust use."""
    needed = [f"import {module}\n" for module in ("numpy", "numpy.typing") if f"{module}." in stub]
    docstring = MODULE_DOCSTRING.match(stub)
    position = docstring.end() if docstring else 0
    return stub[:position] + "".join(needed) + stub[position:]


if __name__ == "__main__":
    sys.exit(main())
