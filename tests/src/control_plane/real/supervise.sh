#!/usr/bin/env bash
# Runs the programs of a control plane for as long as somebody holds the standard input of this script open. When nobody
# does any more, it ends them and removes their folder: a test that is killed cannot do that itself.
#
#     supervise.sh FOLDER      with commands on standard input, one a line: start NAME, stop NAME
#
# What runs is NAME.sh in the folder. Its output goes to NAME.log, its process group's id to NAME.pid, and the status
# that it ends with to NAME.ended.

# A process group for each program, so that nothing that it started outlives it.
set -m
cd "$1" || exit 1

start() {
  rm -f "$1.ended"
  {
    bash "$1.sh" </dev/null >>"$1.log" 2>&1 &
    printf '%s\n' "$!" >"$1.program"
    wait "$!"
    printf '%s\n' "$?" >"$1.ending"
    mv "$1.ending" "$1.ended"
  } &
  printf '%s\n' "$!" >"$1.pid"
}

# The program first: whoever waits for it knows when its port is free again. Then what it left.
stop() {
  kill -KILL "$(cat "$1.program")"
  wait "$(cat "$1.pid")"
  kill -KILL -- "-$(cat "$1.pid")"
}

while read -r verb name; do
  case $verb in
    start | stop) "$verb" "$name" ;;
  esac
done

for pid in *.pid; do
  [ -e "${pid%.pid}.ended" ] || stop "${pid%.pid}"
done
cd / && rm -rf "$1"
