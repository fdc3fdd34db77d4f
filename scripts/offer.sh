# shellcheck shell=bash disable=SC2154
# Programs of PyPI that tests and benches need, each in a folder of its own. Sourced after settings.sh and report.sh.

install() { # PACKAGE VERSION FOLDER
  local made
  if [ "$(cat "$3/version" 2>/dev/null)" = "$2" ]; then return; fi
  step "installing $1 $2" >&2
  mkdir -p "$cache"
  # Made aside and moved into place: a start that is interrupted leaves nothing half done.
  made=$(mktemp -d "$3.XXXXXX")
  python3 -m venv "$made"
  "$made/bin/pip" install --quiet --disable-pip-version-check "$1==$2"
  echo "$2" >"$made/version"
  rm -rf "$3"
  mv "$made" "$3"
}

# Prints the path of a command that runs a program with it, a module's or a file: a venv's own scripts hold the path it was made at.
offer() { # PACKAGE VERSION PROGRAM FOLDER
  install "$1" "$2" "$4"
  printf '#!/bin/sh\nexec "%s/bin/python" %s "$@"\n' "$4" "$3" >"$4/run"
  chmod +x "$4/run"
  echo "$4/run"
}
