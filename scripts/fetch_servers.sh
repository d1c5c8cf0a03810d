#!/usr/bin/env bash
# Put Prometheus and Alertmanager where the tests look for them, without root and without installing
# anything: target/servers, from the packages of the system's own apt sources (30 MB).
#
# The Alertmanager is to be started in that folder. BAYESRCA_SERVERS, which the tests honour too,
# names another folder. Exit code 3: this machine cannot fetch them, the reason is in the last line;
# the tests that need them are then skipped.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
folder=${BAYESRCA_SERVERS:-target/servers}
servers=(prometheus prometheus-alertmanager)

cannot() {
  printf 'fetch_servers: %s\n' "$*" >&2
  exit 3
}

present() {
  local server
  for server in "${servers[@]}"; do
    [ -x "$folder/$server" ] || command -v "$server" >/dev/null 2>&1 || return 1
  done
}

if present; then
  echo "fetch_servers: ${servers[*]} are at hand"
  exit 0
fi
for tool in apt-get dpkg-deb; do
  command -v "$tool" >/dev/null 2>&1 ||
    cannot "no $tool here: install Prometheus and Alertmanager and put them on PATH," \
      "or name their folder with BAYESRCA_SERVERS"
done
mkdir -p "$folder"
draft=$(mktemp -d "$folder/.draft.XXXXXX")
trap 'rm -rf "$draft"' EXIT
(cd "$draft" && apt-get download --quiet "${servers[@]}" >apt.log 2>&1) ||
  cannot "apt-get download ${servers[*]} failed ($(tail -n 1 "$draft/apt.log")): run apt-get update"
for package in "$draft"/*.deb; do
  dpkg-deb --extract "$package" "$draft/unpacked"
done
# Debian's Alertmanager reads its templates from a fixed folder, which only an installation makes.
# In the copy here the folder's name becomes another of the same length: where it is started.
templates=/usr/share/prometheus/alertmanager
here=$(printf '%*s' $((${#templates} / 2)) '' | sed 's#.#./#g')
LC_ALL=C sed -i "s#$templates#$here#g" "$draft/unpacked/usr/bin/prometheus-alertmanager"
mv "$draft/unpacked$templates"/*.tmpl "$folder/"
for server in "${servers[@]}"; do
  # From another release the program may miss a library: told now, not by a test that fails.
  "$draft/unpacked/usr/bin/$server" --version >/dev/null 2>&1 ||
    cannot "$server of this system's packages does not run here"
  mv "$draft/unpacked/usr/bin/$server" "$folder/$server"
done
echo "fetch_servers: ${servers[*]} are in $folder"
