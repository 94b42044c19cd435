# shellcheck shell=bash
# What the example tests share. To be sourced by a test that got the directory of the binaries and
# the source root as its arguments. Leaves $binaries, $source and $scratch (removed at the end).
set -euo pipefail
export LC_ALL=C # bytes are letters or not, and sorting is by bytes

if [ $# -ne 2 ]; then
  echo "usage: $0 DIRECTORY_OF_BINARIES SOURCE_ROOT" >&2
  exit 2
fi
binaries=$(cd "$1" && pwd)
# shellcheck disable=SC2034 # for the tests
source=$(cd "$2" && pwd)
scratch=$(mktemp -d)

# With the programs that are still running in the background.
cleanup() {
  local child
  for child in $(jobs -p); do kill -KILL "$child" 2> /dev/null || true; done
  wait 2> /dev/null
  rm -rf "$scratch"
}
trap cleanup EXIT

fail() {
  echo "FAILED: $*" >&2
  exit 1
}

# until_true COMMAND...: polls, for at most 20 s and some.
until_true() {
  local attempt
  for ((attempt = 0; attempt < 400; ++attempt)); do
    if "$@"; then return; fi
    sleep 0.05
  done
  fail "not reached: $*: $(tail -n 5 log ./*.out ./*.err 2> /dev/null)"
}

# expect_exit CODE PROGRAM ARGUMENTS...: runs a program and leaves $scratch/out and $scratch/err.
expect_exit() {
  local expected=$1 program=$2 code=0
  shift 2
  "$binaries/$program" "$@" > "$scratch/out" 2> "$scratch/err" < /dev/null || code=$?
  [ "$code" -eq "$expected" ] ||
    fail "$program $*: exit code $code, not $expected: $(head -c 1000 "$scratch/err")"
}

# expect_error TEXT PROGRAM ARGUMENTS...: bad input gives exit code 2, nothing on stdout and one
# line on stderr that contains TEXT.
expect_error() {
  local text=$1
  shift
  expect_exit 2 "$@"
  [ ! -s "$scratch/out" ] || fail "$*: an error, but output too"
  [ "$(wc -l < "$scratch/err")" -eq 1 ] || fail "$*: not one line: $(cat "$scratch/err")"
  grep -qF -e "$text" "$scratch/err" || fail "$*: no '$text' in: $(cat "$scratch/err")"
}

# expect_bad_flag TEXT PROGRAM ARGUMENTS...: the flags library ends the program, with nothing on
# stdout and an error on stderr that contains TEXT.
expect_bad_flag() {
  local text=$1
  shift
  expect_exit 1 "$@"
  [ ! -s "$scratch/out" ] || fail "$*: an error, but output too"
  grep '^ERROR: ' "$scratch/err" | grep -qF -e "$text" ||
    fail "$*: no '$text' in: $(cat "$scratch/err")"
}

# expect_usage PROGRAM FLAG...: how the programs explain themselves. The exit code after --help is
# that of the flags library.
expect_usage() {
  local flag
  expect_exit 1 "$1" --help
  grep -q "^Usage: $1 " "$scratch/out" || fail "$1 --help: no usage on stdout"
  for flag in "${@:2}"; do
    grep -q "^ *--$flag ([^)]" "$scratch/out" || fail "$1 --help: no --$flag"
  done
  [ ! -s "$scratch/err" ] || fail "$1 --help: something on stderr"
  expect_exit 2 "$1"
  grep -q "^Usage: $1 " "$scratch/err" || fail "$1 without arguments: no usage on stderr"
  [ ! -s "$scratch/out" ] || fail "$1 without arguments: something on stdout"
}
