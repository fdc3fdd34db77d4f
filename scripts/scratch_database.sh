# shellcheck shell=bash disable=SC2154
# A migrated database that lives as long as the script that sources this; needs settings.sh, report.sh and running services.
# Leaves its address in scratch_url; `sql URL ARGUMENTS…` is psql.

psql=$(command -v psql || brew --prefix postgresql@17)
if [ -d "$psql" ]; then psql=$psql/bin/psql; fi
scratch=metachat_scratch_$$
scratch_url=${DATABASE_URL%/*}/$scratch

sql() { # URL ARGUMENTS…
  local url=$1
  shift
  "$psql" "$url" --no-psqlrc --quiet --set=ON_ERROR_STOP=1 "$@"
}

drop_scratch() {
  sql "$DATABASE_URL" --command="DROP DATABASE IF EXISTS $scratch WITH (FORCE)" >/dev/null 2>&1 || true
}

# By psql, not by the api's own migrate: that one does not compile while a query lacks its description.
create_scratch() {
  local file
  sql "$DATABASE_URL" --command="CREATE DATABASE $scratch"
  for file in "$root"/migrations/*.sql; do
    case $file in *.down.sql) continue ;; esac
    if head -n 1 "$file" | grep -q '^-- no-transaction'; then
      sql "$scratch_url" --file="$file"
    else
      sql "$scratch_url" --single-transaction --file="$file"
    fi
  done
}
