# shellcheck shell=bash disable=SC2034
# Where things are and which ports they use. Sourced by every script; a variable of the environment wins over the default.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
state=$root/.metachat
services_env=$state/services.env
cache=${METACHAT_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/metachat}
pg_port=${PG_PORT:-5442}
redis_port=${REDIS_PORT:-6390}
api_port=${API_PORT:-8080}
worker_port=${WORKER_PORT:-9101}

case $(uname -s) in
  Darwin) library=libonnxruntime.dylib ;;
  *) library=libonnxruntime.so ;;
esac

export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$cache/target}
# Which build 'make up' and 'make load' run: debug, or release, whose first build takes long.
profile=${PROFILE:-debug}
bin_dir=$CARGO_TARGET_DIR/$profile
model_dir=$cache/model/all-MiniLM-L6-v2-int8
ort_dylib=$cache/onnxruntime/$library

# rustup puts cargo where a shell that was open before does not look.
PATH=$PATH:${CARGO_HOME:-$HOME/.cargo}/bin
