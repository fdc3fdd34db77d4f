# shellcheck shell=bash
# Exports what .env says: NAME=value lines, as docker compose reads them. The environment wins, and an empty value is none.
# Sourced before settings.sh, so that ports and directories may stand there too.

dotenv=$(dirname "${BASH_SOURCE[0]}")/../.env
if [ -f "$dotenv" ]; then
  while IFS= read -r line || [ -n "$line" ]; do
    [[ $line =~ ^([A-Z][A-Z0-9_]*)=(.+)$ ]] || continue
    name=${BASH_REMATCH[1]} value=${BASH_REMATCH[2]}
    if [[ $value =~ ^\"(.*)\"$ || $value =~ ^\'(.*)\'$ ]]; then value=${BASH_REMATCH[1]}; fi
    [ -n "${!name:-}" ] || export "$name=$value"
  done <"$dotenv"
fi
