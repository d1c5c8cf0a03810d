"""Generate `bayesrca.api` from `protos/`, or check that the committed code is what they generate.

    .venv/bin/python scripts/gen_protos.py           # write bayesrca/api
    .venv/bin/python scripts/gen_protos.py --check   # exit 1 and name the files when they differ

Everything below `bayesrca/api` is written here, `__init__.py` files included, and nothing else may
live there: a file that no proto generates is reported by `--check` and removed otherwise.
The two gRPC outputs are asked only for files that declare a service, because the plugins write an
empty module for every other one.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROTOS = ROOT / "protos"
PACKAGE = Path("bayesrca/api")
SERVICE = re.compile(r"^\s*service\s+\w+\s*\{", re.MULTILINE)
IGNORED = {"__pycache__", ".DS_Store"}
INIT = '"""Generated from `protos/{where}` by `scripts/gen_protos.py`: do not edit."""\n'


def main() -> int:
    """Generate or check; return the process's exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    check = parser.parse_args().check
    sources = sorted(PROTOS.glob(f"{PACKAGE}/**/*.proto"))
    if not sources:
        print(f"gen_protos: no .proto file below {PROTOS / PACKAGE}", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory(prefix="bayesrca-protos-") as scratch:
        out = Path(scratch)
        generate(sources, out)
        fresh, committed = tree(out / PACKAGE), tree(ROOT / PACKAGE)
        if check:
            return report(fresh, committed)
        write(fresh, committed)
    print(f"gen_protos: {len(fresh)} files in {PACKAGE}")
    return 0


def generate(sources: list[Path], out: Path) -> None:
    """Run protoc on `sources` and write the Python package tree below `out`."""
    # The plugins are console scripts of this interpreter's environment, which need not be active.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    environment = {**os.environ, "PATH": path}
    services = [s for s in sources if SERVICE.search(s.read_text(encoding="utf-8"))]
    protoc(sources, [f"--python_out={out}", f"--mypy_out=quiet:{out}"], environment)
    if services:
        protoc(services, [f"--grpc_python_out={out}", f"--mypy_grpc_out=quiet:{out}"], environment)
    package = out / PACKAGE
    for folder in [package, *(p for p in package.rglob("*") if p.is_dir())]:
        where = folder.relative_to(out).as_posix()
        (folder / "__init__.py").write_text(INIT.format(where=where), encoding="utf-8")


def protoc(sources: list[Path], outputs: list[str], environment: dict[str, str]) -> None:
    """Run one protoc call of grpcio-tools; leave the program with its message when it fails."""
    command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{PROTOS}", *outputs]
    command += [s.relative_to(PROTOS).as_posix() for s in sources]
    done = subprocess.run(command, cwd=ROOT, env=environment, check=False)
    if done.returncode:
        sys.exit(f"gen_protos: protoc failed with exit code {done.returncode} (run `make setup`?)")


def tree(root: Path) -> dict[str, bytes]:
    """Return the files below `root` by relative path, caches left out."""
    files = (p for p in root.rglob("*") if p.is_file() and IGNORED.isdisjoint(p.parts))
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in files}


def report(fresh: dict[str, bytes], committed: dict[str, bytes]) -> int:
    """Print every difference between the two trees; return 1 when there is one, else 0."""
    drift = [f"{n}: missing" for n in sorted(fresh.keys() - committed.keys())]
    drift += [f"{n}: no proto generates it" for n in sorted(committed.keys() - fresh.keys())]
    both = sorted(fresh.keys() & committed.keys())
    drift += [f"{n}: differs" for n in both if fresh[n] != committed[n]]
    for line in drift:
        print(f"gen_protos: {PACKAGE}/{line}", file=sys.stderr)
    if drift:
        print("gen_protos: run `make gen` and commit the result", file=sys.stderr)
    return 1 if drift else 0


def write(fresh: dict[str, bytes], committed: dict[str, bytes]) -> None:
    """Make `bayesrca/api` hold exactly `fresh`, leaving files alone whose content is right."""
    root = ROOT / PACKAGE
    for name in committed.keys() - fresh.keys():
        (root / name).unlink()
    for name, content in fresh.items():
        if committed.get(name) != content:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(content)
    for cache in root.rglob("__pycache__"):
        shutil.rmtree(cache, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
