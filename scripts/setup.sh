#!/usr/bin/env bash
# Bring .venv up to date: interpreter, locked packages, native extension. `make setup` calls it.
#
# A step runs again only when what it depends on has changed, told by stamps inside .venv that hold
# a checksum of the inputs. A stamp is removed before its step and written after it, so a set-up
# that was interrupted is never taken for a finished one.
#
#   PYTHON=/path/to/python3.13 make setup     use this interpreter and no other
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
root=$PWD
venv=$root/.venv
stamps=$venv/.setup
lock=requirements/dev.lock

say() { printf 'setup: %s\n' "$*"; }
die() {
  printf 'setup: %s\n' "$*" >&2
  exit 1
}
# Names something the machine lacks; the set-up goes on to name the others, then stops.
missing=0
lack() {
  printf 'setup: %s\n' "$*" >&2
  missing=1
}

# Prints why interpreter $1 cannot carry the project; nothing when it can.
probe_python() {
  "$1" - <<'PY' 2>/dev/null || echo "does not run"
import sys

version = ".".join(map(str, sys.version_info[:3]))
if sys.version_info < (3, 12):
    sys.exit(print("is Python %s, and 3.12 or later is needed" % version))
import sysconfig

if sys.implementation.name != "cpython" or sysconfig.get_config_var("Py_GIL_DISABLED"):
    sys.exit(print("is not the standard build of CPython"))
try:
    import ensurepip
    import venv
except ImportError as error:
    sys.exit(print("is Python %s without the module %s (a separate package on some systems, "
                   "e.g. python3.%d-venv)" % (version, error.name, sys.version_info[1])))
PY
}

# Sets `python` to the first interpreter that can carry the project: its real path, so that neither
# a version manager's shim nor an activated virtualenv (perhaps the one replaced here) stays behind.
find_python() {
  local candidate why reasons=""
  for candidate in ${PYTHON:+"$PYTHON"} python3.12 python3.13 python3.14 python3 \
    "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.*/bin/python3; do
    why="is not an executable"
    if command -v "$candidate" >/dev/null 2>&1; then
      why=$(probe_python "$candidate")
      if [ -z "$why" ]; then
        python=$("$candidate" -c 'import sys; print(sys._base_executable)')
        return
      fi
      reasons="$reasons; $candidate $why"
    fi
    if [ "$candidate" = "${PYTHON:-}" ]; then
      lack "PYTHON=$PYTHON $why: name Python 3.12 or later, or leave PYTHON out."
      return
    fi
  done
  lack "no suitable Python found: install Python 3.12 or later with its venv module," \
    "or name one with PYTHON=/path/to/python3.12${reasons:+ (tried:${reasons#;})}."
}

# Sets `linker` to the first C compiler that links a program.
find_linker() {
  local candidate scratch
  linker=""
  scratch=$(mktemp -d)
  echo 'int main(void) { return 0; }' >"$scratch/a.c"
  for candidate in cc gcc clang; do
    if "$candidate" -o "$scratch/a" "$scratch/a.c" >/dev/null 2>&1; then
      linker=$(command -v "$candidate")
      break
    fi
  done
  rm -rf "$scratch"
  [ -n "$linker" ] || lack "no C linker found: install gcc or clang (the package build-essential" \
    "or gcc on most systems, the command line tools on macOS) so that cc links a program."
}

# Checks cargo and rustc against the workspace's rust-version.
check_rust() {
  local want have tool
  want=$(sed -n 's/^rust-version *= *"\([0-9.]*\)".*/\1/p' Cargo.toml)
  for tool in cargo rustc; do
    have=$("$tool" --version 2>/dev/null | sed -n 's/^[a-z]* \([0-9]*\.[0-9]*\).*/\1/p') || true
    if [ -z "$have" ]; then
      lack "$tool not found or not working: install the Rust toolchain" \
        "($want or later, with rustup or your system's packages) and put it on PATH."
    elif [ "${have%%.*}" -lt "${want%%.*}" ] || {
      [ "${have%%.*}" -eq "${want%%.*}" ] &&
        [ "$(echo "$have" | cut -d. -f2)" -lt "$(echo "$want" | cut -d. -f2)" ]
    }; then
      lack "$tool is $have, and $want or later is needed: update the Rust toolchain."
    fi
  done
}

# One checksum over names and contents of what each step reads. The clone's own path counts: a
# virtualenv does not survive a move.
packages_sum() { { echo "$root"; grep -v '^ *#' "$lock"; } | cksum; }
extension_sum() {
  {
    find Cargo.* pyproject.toml rust -type f \
      \( -name '*.rs' -o -name '*.toml' -o -name '*.lock' \) -exec cksum {} + | sort
    rustc --version 2>/dev/null || true
  } | cksum
}

# True when stamp $1 holds $2.
done_already() { [ "$(cat "$stamps/$1" 2>/dev/null)" = "$2" ]; }

install_packages() {
  local total
  find_linker
  check_rust
  find_python
  [ "$missing" -eq 0 ] || exit 1
  say "creating .venv with $("$python" --version) ($python)"
  rm -rf "$stamps"
  rm -rf "$venv"
  "$python" -m venv "$venv"
  # Rust links through `cc`; a machine may have the compiler under another name only.
  command -v cc >/dev/null 2>&1 || ln -s "$linker" "$venv/bin/cc"
  total=$(grep -c '==' "$lock")
  say "installing up to $total locked packages (some minutes the first time)"
  "$venv/bin/python" -m pip install --disable-pip-version-check --no-input --progress-bar off \
    --require-hashes -r "$lock" | progress "$total" ||
    die "the locked packages could not be installed: the reason is above."
  mkdir -p "$stamps"
}

# Turns pip's two lines a package into one in twenty packages.
progress() {
  awk -v total="$1" '
    /^Collecting / { if (++n % 20 == 0) { print "setup: " n " of " total " packages found"; fflush() } }
    /^Installing collected/ { print "setup: unpacking " n " packages"; fflush() }'
}

build_extension() {
  check_rust
  [ "$missing" -eq 0 ] || exit 1
  say "building the native extension (cargo, release profile; some minutes the first time)"
  PATH="$venv/bin:$PATH" "$venv/bin/python" -m pip install --disable-pip-version-check --no-input \
    --quiet --no-build-isolation --no-deps --editable "$root" ||
    die "the native extension could not be built: the reason is above."
}

works() { "$venv/bin/python" -c "$1" >/dev/null 2>&1; }

# True when PYTHON is unset, or is what .venv was made from.
same_python() {
  local base='import sys; print(sys.base_prefix, sys.version_info)'
  [ -z "${PYTHON:-}" ] || [ "$("$PYTHON" -c "$base" 2>/dev/null)" = "$("$venv/bin/python" -c "$base")" ]
}

[ -f "$lock" ] || die "$lock is missing: restore it from version control."
want=$(packages_sum)
if ! done_already packages "$want" || ! works "" || ! same_python; then
  install_packages
  echo "$want" >"$stamps/packages"
fi

want=$(extension_sum)
if ! done_already extension "$want" || ! ls bayesrca/_core.*so >/dev/null 2>&1; then
  rm -f "$stamps/extension"
  build_extension
  works "import bayesrca._core" || die "the extension was built but cannot be imported:" \
    "run .venv/bin/python -c 'import bayesrca._core' to see why."
  echo "$want" >"$stamps/extension"
  say "ready"
fi
