# shellcheck shell=bash disable=SC2154
# Background processes, one pid file each. It holds the pid, the moment that process was born, so that a pid which the system
# gave to somebody else is never taken for ours, and a signature: what was started (a port, a build), to tell when it changed.
# Needs settings.sh and report.sh.

pid_file() { printf '%s/run/%s.pid' "$state" "$1"; }
log_file() { printf '%s/logs/%s.log' "$state" "$1"; }

pid_of() { sed -n 1p "$(pid_file "$1")"; }
signature_of() { sed -n 3p "$(pid_file "$1")"; }

# Prints when the process began, and nothing when it is gone (a zombie is gone).
born() {
  if [ -r /proc/self/stat ]; then
    sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | awk '$1 != "Z" { print $20 }'
  else
    ps -o lstart= -p "$1" || true
  fi
}

running() {
  [ -f "$(pid_file "$1")" ] || return 1
  local now
  now=$(born "$(pid_of "$1")")
  [ -n "$now" ] && [ "$now" = "$(sed -n 2p "$(pid_file "$1")")" ]
}

port_taken() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# A process that was just stopped may have threads left, which hold its port for a moment.
require_free_port() { # PORT VARIABLE
  local tries
  for ((tries = 0; tries < 20; tries++)); do
    port_taken "$1" || return 0
    sleep 0.1
  done
  fail "port $1 is taken by another process: stop that one, or set $2 to a free port"
}

# Runs a command as USER, by its own name when that is the present user.
as_user() { # USER COMMAND…
  local user=$1
  shift
  if [ "$user" = "$(id -un)" ]; then "$@"; else setpriv --reuid "$user" --regid "$user" --init-groups "$@"; fi
}

# Starts a command in a session of its own, so that closing the terminal or Ctrl-C leaves it alone.
start() { # NAME SIGNATURE USER COMMAND…
  local name=$1 signature=$2 user=$3 pid detach=nohup
  shift 3
  if [ "$user" != "$(id -un)" ]; then set -- setpriv --reuid "$user" --regid "$user" --init-groups "$@"; fi
  if command -v setsid >/dev/null; then detach=setsid; fi
  mkdir -p "$state/run" "$state/logs"
  (cd / && exec "$detach" "$@") </dev/null >>"$(log_file "$name")" 2>&1 9>&- &
  pid=$!
  printf '%s\n%s\n%s\n' "$pid" "$(born "$pid")" "$signature" >"$(pid_file "$name")"
}

# Waits until a command succeeds; shows the end of the log when the process dies or is too slow.
await() { # NAME SECONDS COMMAND…
  local name=$1 deadline=$((SECONDS + $2)) why="did not get ready within $2 s"
  shift 2
  until "$@" >/dev/null 2>&1; do
    if ! running "$name"; then
      why="stopped while starting"
    elif ((SECONDS < deadline)); then
      sleep 0.2
      continue
    fi
    printf '%s\n' "--- the end of $(log_file "$name")" >&2
    tail -n 20 "$(log_file "$name")" >&2
    stop "$name" TERM 10
    fail "$name $why"
  done
}

signal() { # NAME SIGNAL
  if running "$1"; then kill -s "$2" "$(pid_of "$1")" 2>/dev/null || true; fi
}

# Waits for a process that got its signal; kills it when SECONDS, the shell's clock, reaches the deadline.
await_end() { # NAME DEADLINE
  while running "$1" && ((SECONDS < $2)); do sleep 0.1; done
  if running "$1"; then
    printf '    %s did not stop in time: killing it\n' "$1"
    signal "$1" KILL
    while running "$1"; do sleep 0.1; done
  fi
  rm -f "$(pid_file "$1")"
}

stop() { # NAME SIGNAL SECONDS
  signal "$1" "$2"
  await_end "$1" $((SECONDS + $3))
}
