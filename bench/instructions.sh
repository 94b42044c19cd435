#!/usr/bin/env bash
# Counts the instructions of lockmap's operations with callgrind. They are the same in every run, on
# a busy machine too, so they tell what a time cannot.
#
#   bench/instructions.sh PROGRAM            prints them beside the committed figures, and fails if
#                                            an operation takes over 10% more
#   bench/instructions.sh --update PROGRAM   makes them the committed figures
#
# PROGRAM is `instructions` in a build with the preset `bench`. The figures, instructions.txt, are
# those of the compiler that they name; with another one there is nothing to compare with.
set -euo pipefail
figures="$(dirname "$0")/instructions.txt"
update=false
if [ "${1:-}" = --update ]; then
  update=true
  shift
fi
if [ $# -ne 1 ] || [ ! -x "$1" ]; then
  sed -n '2,/^[^#]/{s/^# \{0,1\}//p}' "$0" >&2
  exit 2
fi
program=$1
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# The instructions of one run in all.
total() {
  valgrind --tool=callgrind --callgrind-out-file=/dev/null "$program" "$1" "$2" 2>&1 |
    sed -n 's/^==[0-9]*== Collected : \([0-9]*\)$/\1/p'
}

# Twice as many calls cost so much more: what comes before and after the calls cancels out.
calls=20000
compiler=$(strings -a "$program" | grep -m 1 '^GCC: \|^clang version' || echo unknown)
echo "# $compiler" > "$scratch/counted"
for operation in $("$program" --list); do
  once=$(total "$operation" $calls)
  twice=$(total "$operation" $((2 * calls)))
  echo "$operation $(((twice - once + calls / 2) / calls))" >> "$scratch/counted"
done

if $update; then
  cp "$scratch/counted" "$figures"
  cat "$figures"
  exit
fi
if [ "$(head -n 1 "$figures")" != "# $compiler" ]; then
  cat "$scratch/counted"
  echo "not compared: the figures are of another compiler, $(head -n 1 "$figures")"
  exit
fi
awk '
  /^#/ { next }
  NR == FNR { committed[$1] = $2; next }
  { worse = !($1 in committed) || $2 > 1.1 * committed[$1]
    failed += worse
    printf "%-20s %5d instructions, committed %5d%s\n", $1, $2, committed[$1], worse ? "  TOO MANY" : "" }
  END { exit failed != 0 }' "$figures" "$scratch/counted"
