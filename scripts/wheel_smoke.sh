#!/usr/bin/env bash
# Build the wheel and use it as a stranger would: a new virtualenv with the runtime lock, an empty
# working folder, one analysis on the command line and the same one through a server on loopback.
# The folder is empty because the package lies at the root of the clone: from there, `import
# bayesrca` would find the sources and prove nothing about the wheel.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
root=$PWD
python=$root/.venv/bin/python
example=$root/examples/search_delay
scratch=$(mktemp -d)
server=""

finish() {
  if [ -n "$server" ]; then
    kill -TERM "$server" 2>/dev/null || true
    wait "$server" 2>/dev/null || true
  fi
  rm -rf "$scratch"
}
trap finish EXIT

say() { printf 'wheel-smoke: %s\n' "$*"; }
die() {
  printf 'wheel-smoke: %s\n' "$*" >&2
  exit 1
}

say "building"
# The virtualenv's own maturin and interpreter, without build isolation: nothing is fetched.
PATH="$root/.venv/bin:$PATH" "$python" -m pip wheel --disable-pip-version-check --quiet --no-build-isolation --no-deps \
  --wheel-dir "$scratch/dist" "$root"
wheel=$(ls "$scratch"/dist/bayesrca-*.whl)
say "built ${wheel##*/} ($(wc -c <"$wheel" | tr -d ' ') bytes)"

"$python" - "$wheel" <<'PY'
import re
import sys
import zipfile

names = zipfile.ZipFile(sys.argv[1]).namelist()
wanted = (
    r"bayesrca/_core\.[^/]*(so|pyd)",
    r"bayesrca/_core\.pyi",
    r"bayesrca/py\.typed",
    r"bayesrca/api/v1/\w+_pb2\.py",
    r"bayesrca/api/v1/\w+_pb2_grpc\.py",
    r"bayesrca-[^/]+\.dist-info/licenses/LICENSE",
)
for pattern in wanted:
    found = [name for name in names if re.fullmatch(pattern, name)]
    if not found or (pattern == wanted[0] and len(found) > 1):
        sys.exit(f"wheel-smoke: {len(found)} files in the wheel match {pattern}")
stray = [name for name in names if not re.match(r"bayesrca(/|-[^/]+\.dist-info/)", name)]
if stray:
    sys.exit(f"wheel-smoke: the wheel holds files outside the package: {stray[:5]}")
PY

say "installing it with requirements/runtime.lock in a new virtualenv"
"$python" -m venv "$scratch/venv"
pip=("$scratch/venv/bin/python" -m pip --disable-pip-version-check --quiet)
"${pip[@]}" install --require-hashes -r requirements/runtime.lock
"${pip[@]}" install --no-deps "$wheel"
"${pip[@]}" check

mkdir "$scratch/empty"
cd "$scratch/empty"
unset PYTHONPATH
bin=$scratch/venv/bin
say "using it from an empty folder"
"$bin/python" - <<'PY'
import sys

import bayesrca

assert "site-packages" in bayesrca.__file__, bayesrca.__file__
assert not {"pymc", "pytensor", "nutpie"} & sys.modules.keys(), "import bayesrca loads PyMC"
PY
"$bin/bayesrca" --help >/dev/null
"$bin/bayesrca" analyze "$example" --method screen --seed 1 --json >"$scratch/local.json"

"$bin/bayesrca" serve --port 0 >"$scratch/server.log" 2>&1 &
server=$!
address=""
for _ in $(seq 300); do
  address=$(sed -n 's/.*listening on \([^ ]*:[0-9][0-9]*\).*/\1/p' "$scratch/server.log" | head -n 1)
  [ -z "$address" ] || break
  kill -0 "$server" 2>/dev/null || break
  sleep 0.2
done
[ -n "$address" ] || die "the server did not start: $(cat "$scratch/server.log")"
say "asking the server at $address"
"$bin/bayesrca" analyze "$example" --server "$address" --method screen --seed 1 --json \
  >"$scratch/remote.json" || die "the call failed; the server says: $(cat "$scratch/server.log")"

"$bin/python" - "$scratch/local.json" "$scratch/remote.json" <<'PY'
import json
import sys

local, remote = (json.load(open(path, encoding="utf-8")) for path in sys.argv[1:])
for answer in (local, remote):
    total = answer["none"]["probability"] if isinstance(answer["none"], dict) else answer["none"]
    total += sum(cause["only"]["probability"] for cause in answer["causes"])
    total += sum(s["probability"] for s in answer["sets"] if len(s["components"]) > 1)
    assert answer["causes"], "no causes"
    assert 0.0 < total < 1.0 + 1e-9, f"the probabilities sum to {total}"
for key in ("method", "healthy", "none", "causes", "seed"):
    assert local[key] == remote[key], f"{key}: local {local[key]!r}, remote {remote[key]!r}"
first = local["causes"][0]
print(f"wheel-smoke: {first['component']} {first['probability']:.3f}, the same from both")
PY

kill -TERM "$server"
wait "$server" || die "the server did not stop cleanly on SIGTERM: $(cat "$scratch/server.log")"
server=""
say "passed"
