#!/usr/bin/env bash
# Checks a model exhaustively with spin: check.sh MODEL.pml [MODE]
#
# A MODE is a macro that the model knows. With one that begins with BUG_ the model has a bug, and
# the check passes if spin finds it in the way that the head of the model says.
set -euo pipefail

model=$(realpath "$1")
mode=${2:-}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd "$scratch"

fail() {
  cat output
  for trail in ./*.trail; do
    if [ -f "$trail" ]; then spin -k "$trail" -p -g "${define[@]}" "$model" | tail -n 300; fi
  done
  echo "FAILED: $(basename "$model") $mode: $*"
  exit 1
} >&2

define=()
expected=
if [ -n "$mode" ]; then
  define=("-D$mode")
  expected=$(sed -nE "s/^ \* +$mode +(assertion: .*|end state|cycle)\$/\1/p" "$model")
fi
case $mode in
  BUG_*) [ -n "$expected" ] || { echo "$model does not know $mode" >&2; exit 1; } ;;
  *) grep -qw -- "$mode" "$model" || { echo "$model does not know $mode" >&2; exit 1; } ;;
esac

# Errors of another kind than the expected one are passed over: they may come first.
compile=(-w -DMEMLIM=1000)
if [ -z "$expected" ]; then
  compile+=(-O1)
  run=(-w23 -m4000000)
else
  run=(-w20 -m200000)
fi
case $mode:$expected in
  LIVE:* | *:cycle)
    compile+=(-DNFAIR=4)
    run+=(-a -f)
    ;;
  *) compile+=(-DSAFETY) ;;
esac
case $expected in
  assertion:*) run+=(-E) ;;
  'end state') run+=(-A) ;;
esac

spin -a "${define[@]}" "$model" > output
cc "${compile[@]}" -o pan pan.c
./pan "${run[@]}" > output 2>&1 || true

if [ -z "$expected" ]; then
  grep -q 'errors: 0$' output || fail "there is an error"
  if grep -Eq 'Search not completed|max search depth too small|out of memory' output; then
    fail "the search is not complete"
  fi
  if [ "$mode" != LIVE ] &&
    sed -n '/^unreached in proctype/,/^\t(/p' output | grep -q ', state '; then
    fail "there are statements that no run reaches"
  fi
else
  case $expected in
    assertion:*) found="assertion violated \(?${expected#assertion: }\)?( |\$)" ;;
    'end state') found='invalid end state' ;;
    cycle) found='acceptance cycle' ;;
  esac
  grep -Eq "^pan:1: $found" output || fail "not found: $expected"
fi
grep -E '^pan:1:| states, stored|, errors: |total actual memory|elapsed time' output
