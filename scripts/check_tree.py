"""Rules about the tree that no linter knows: run by `make check`.

- the native module is imported by `bayesrca.kernels`, `bayesrca.columns` and `bayesrca/__init__.py`
  only;
- no committed file names a package registry's host or a path of the machine it was written on;
- the locks hold hashes and no addresses, agree with each other, and satisfy pyproject.toml.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).resolve().parent.parent
NATIVE = "bayesrca._core"
NATIVE_IMPORTERS = ("bayesrca/__init__.py", "bayesrca/kernels/", "bayesrca/columns/")
HOST = re.compile(r"\b(?:pypi|pythonhosted|crates|npmjs|maven|rubygems)\.(?:org|io|com)\b", re.I)
MACHINE_PATH = re.compile(r"(?<![\w.~-])(?:/root|/(?:home|Users)/[\w.-]+)/")
ADDRESS = re.compile(r"://|--(?:extra-)?index-url|--find-links|(?:^| @ )file:", re.MULTILINE)
PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", re.MULTILINE)


def main() -> int:
    """Run every rule, print each breach, return 1 when there is one."""
    files = committed_files()
    breaches = [*native_imports(files), *addresses(files), *locks()]
    for breach in breaches:
        print(f"check_tree: {breach}", file=sys.stderr)
    print(f"check_tree: {len(files)} files, {len(breaches)} breaches")
    return 1 if breaches else 0


def committed_files() -> list[str]:
    """Return the paths that version control holds or would take up, relative to the root."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return [name for name in listed.split("\0") if name and (ROOT / name).is_file()]


def native_imports(files: list[str]) -> Iterator[str]:
    """Yield the places that reach past kernels and columns to the native module."""
    # import-linter cannot hold this rule: it sees Python sources only, and _core has none.
    for name in files:
        if not (name.startswith("bayesrca/") and name.endswith(".py")):
            continue
        if name.startswith(NATIVE_IMPORTERS):
            continue
        tree = ast.parse((ROOT / name).read_bytes())
        for node in ast.walk(tree):
            if not isinstance(node, ast.Import | ast.ImportFrom):
                continue
            if any(f"{module}.".startswith(f"{NATIVE}.") for module in imported(node)):
                yield f"{name}:{node.lineno}: imports {NATIVE}; go through kernels or columns"


def imported(node: ast.Import | ast.ImportFrom) -> list[str]:
    """Return the dotted names that an import statement may bind."""
    names = [alias.name for alias in node.names]
    if isinstance(node, ast.Import):
        return names
    return [f"{node.module}", *(f"{node.module}.{name}" for name in names)]


def addresses(files: list[str]) -> Iterator[str]:
    """Yield the lines that name a registry's host or a path of this machine."""
    here = re.compile(re.escape(str(ROOT)) + r"\b")
    for name in files:
        content = (ROOT / name).read_bytes()
        if b"\0" in content[:8192]:
            continue
        for number, line in enumerate(content.decode("utf-8", "replace").splitlines(), start=1):
            # Cargo.lock holds cargo's fixed identifier of its default registry, not an address.
            if HOST.search(line) and Path(name).name != "Cargo.lock":
                yield f"{name}:{number}: names a package registry's host"
            if MACHINE_PATH.search(line) or here.search(line):
                yield f"{name}:{number}: names a path of one machine"


def locks() -> Iterator[str]:
    """Yield what is wrong with requirements/*.lock."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    groups = project["dependency-groups"]
    runtime, dev = (read_lock(kind) for kind in ("runtime", "dev"))
    for kind, (text, pins) in {"runtime": runtime, "dev": dev}.items():
        where = f"requirements/{kind}.lock"
        if ADDRESS.search(text):
            yield f"{where}: holds an address; write it with `make lock`"
        if text.count("==") > text.count("--hash=") or not pins:
            yield f"{where}: a pin has no hash; write it with `make lock`"
    for name, version in runtime[1].items():
        other = dev[1].get(name)
        if other != version:
            yield f"requirements: {name} is {version} in runtime.lock, {other} in dev.lock"
    yield from unmet(project["project"]["dependencies"], runtime[1], "runtime.lock")
    wanted = [r for group in groups.values() for r in group if isinstance(r, str)]
    yield from unmet([*wanted, *project["build-system"]["requires"]], dev[1], "dev.lock")


def read_lock(kind: str) -> tuple[str, dict[str, str]]:
    """Return a lock's text and its pins by normalised name."""
    text = (ROOT / f"requirements/{kind}.lock").read_text(encoding="utf-8")
    return text, {normalise(name): version for name, version in PIN.findall(text)}


def unmet(requirements: list[str], pins: dict[str, str], lock: str) -> Iterator[str]:
    """Yield the requirements of pyproject.toml that a lock does not satisfy."""
    for text in requirements:
        requirement = Requirement(text)
        pin = pins.get(normalise(requirement.name))
        if pin is None or Version(pin) not in requirement.specifier:
            yield f"requirements/{lock}: {text} is locked at {pin}; run `make lock`"


def normalise(name: str) -> str:
    """Return a distribution's name as the packaging rules compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    sys.exit(main())
