#!/usr/bin/env bash
# Fuzz every parser of foreign bytes for so many seconds each: scripts/fuzz.sh SECONDS [TARGET...]
# docs/fuzzing.md says what is checked. What is found is left in target/fuzz/TARGET/crashes.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
seconds=${1:?seconds for each target}
shift
python=$PWD/.venv/bin/python
tools=$PWD/target/fuzz/tools
options=(-max_total_time="$seconds" -max_len=8192 -timeout=20 -rss_limit_mb=3000
  -print_final_stats=1)
mapfile -t native < <(sed -n 's/^name = "\(.*\)"$/\1/p' rust/fuzz/Cargo.toml | tail -n +2)
mapfile -t other < <("$python" -m tests.fuzz.targets)
wanted=("$@")
if [ $# -eq 0 ]; then wanted=("${native[@]}" "${other[@]}"); fi

has() {  # word, words...
  local word=$1; shift
  printf '%s\n' "$@" | grep -qxF -- "$word"
}

need_native() {
  rustup toolchain list 2>/dev/null | grep -q nightly || {
    echo "make fuzz: needs a nightly compiler: rustup toolchain install nightly" >&2; exit 1; }
  [ -x "$tools/bin/cargo-fuzz" ] ||
    cargo install cargo-fuzz --version 0.13.2 --locked --root "$tools"
}

need_other() {
  [ -d "$tools/python" ] || "$python" -m pip install --disable-pip-version-check --quiet \
    --require-hashes --target "$tools/python" -r requirements/fuzz.lock
}

broken=()
for target in "${wanted[@]}"; do
  out=target/fuzz/$target
  mkdir -p "$out/corpus" "$out/crashes"
  if has "$target" "${native[@]}"; then
    need_native
    run=(env RUSTUP_TOOLCHAIN=nightly "$tools/bin/cargo-fuzz" run --fuzz-dir rust/fuzz "$target")
    dash=(--)
  elif has "$target" "${other[@]}"; then
    need_other
    run=(env PYTHONPATH=".:$tools/python" "$python" -m tests.fuzz.run "$target")
    dash=()
  else
    echo "make fuzz: there is no target $target" >&2; exit 1
  fi
  echo "=== $target"
  if "${run[@]}" "$out/corpus" "tests/fuzz/seeds/$target" "${dash[@]}" "${options[@]}" \
      "-artifact_prefix=$PWD/$out/crashes/" >"$out/log" 2>&1; then
    grep -E 'DONE|number_of_executed_units' "$out/log"
  else
    tail -n 20 "$out/log"
    broken+=("$target")
  fi
done
if [ ${#broken[@]} -gt 0 ]; then
  echo "make fuzz: a law was broken by ${broken[*]}; the inputs are in target/fuzz/TARGET/crashes" >&2
  exit 1
fi
