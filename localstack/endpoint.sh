# What `up` and `down` share; to be sourced.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
port=${LOCALSTACK_PORT:-4566}
url=http://127.0.0.1:$port
venv=$here/.venv
# One folder for each port, so that several endpoints can run side by side.
run=$here/.run/$port

# What a person has set for their own Python would change the one in the virtual environment, too.
unset PYTHONHOME PYTHONPATH
export PIP_USER=0

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }
fail() { say "$@"; exit 1; }

needs() { command -v "$1" >/dev/null || fail "$1 is missing; install it with: apt-get install --yes $2"; }

needs curl curl
# Without it `down` could not tell the emulator from another process, and would leave it.
needs ps procps
[[ $port =~ ^[1-9][0-9]{0,4}$ ]] && ((port <= 65535)) || fail "LOCALSTACK_PORT=$port is not a port"

# Docker's own word for "compose" differs between versions.
compose() {
  if docker compose version >/dev/null 2>&1; then
    LOCALSTACK_PORT=$port docker compose --file "$here/compose.yaml" "$@"
  else
    LOCALSTACK_PORT=$port docker-compose --file "$here/compose.yaml" "$@"
  fi
}

# Succeeds when an emulator answers at the endpoint.
answers() {
  local path
  for path in /moto-api/ /_localstack/health; do
    # Without the settings in anybody's home, and past any proxy: it is on this machine.
    curl --disable --noproxy '*' --silent --fail --max-time 2 --output /dev/null "$url$path" && return
  done
  return 1
}

# The emulator's process, if it is this folder's and alive; a process that has its number by accident is not.
running_pid() {
  local pid
  pid=$(cat "$run/pid" 2>/dev/null) || return 1
  [[ $(ps -o args= -p "$pid" 2>/dev/null) == *"$venv"*moto.server* ]] && echo "$pid"
}

# One `up` or `down` at a time, whatever the port: they share the virtual environment.
lock() {
  mkdir -p "$here/.run"
  exec 9>"$here/.run/lock"
  if command -v flock >/dev/null; then
    flock --wait 300 9 || fail "another run has held $here/.run/lock for 5 minutes"
  fi
}

unlock() { exec 9>&-; }
