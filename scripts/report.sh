# shellcheck shell=bash
# What a person sees in the terminal: one line as a step begins, one with its duration when it took a while.

step() {
  step_began=$SECONDS
  printf '==> %s\n' "$*"
}

finished() {
  printf '    %s (%d s)\n' "$*" $((SECONDS - step_began))
}

fail() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}
