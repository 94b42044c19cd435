#!/usr/bin/env bash
# Counts the instructions of lockmap's operations with callgrind, and how many of them are atomic
# read-modify-writes (on x86). They are the same in every run, on a busy machine too, so they tell
# what a time cannot.
#
#   bench/instructions.sh PROGRAM            prints them beside the committed figures, and fails if
#                                            an operation takes over 10% more, or one atomic more
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

# Where the program has atomic read-modify-writes: an exchange with memory is one without a prefix.
objdump -d --no-show-raw-insn "$program" |
  awk '/\tlock |\txchg .*\(/ { sub(":", "", $1); print "0x" $1 }' > "$scratch/atomics"

# The instructions of one run in all, and the atomic ones.
total() {
  valgrind --tool=callgrind --dump-instr=yes --compress-pos=no --compress-strings=no \
    --callgrind-out-file="$scratch/profile" "$program" "$1" "$2" > /dev/null 2>&1
  awk -v program="$(realpath "$program")" '
    NR == FNR { atomic[$1]; next }
    /^summary: / { instructions = $2 }
    /^ob=/ { ours = substr($0, 4) == program }
    # The next line has the cost of what was called.
    /^calls=/ { getline; next }
    ours && $1 in atomic { atomics += $3 }
    END { print instructions, atomics + 0 }' "$scratch/atomics" "$scratch/profile"
}

# Twice as many calls cost so much more: what comes before and after the calls cancels out.
calls=20000
compiler=$(strings -a "$program" | awk '
  /^GCC: / && name == "" { name = "GCC " int($NF) }
  /^clang version / { name = "clang " int($3) }
  /^Debian clang version / { name = "clang " int($4) }
  END { print name == "" ? "unknown" : name }')
echo "# $compiler" > "$scratch/counted"
for operation in $("$program" --list); do
  { total "$operation" $calls; total "$operation" $((2 * calls)); } |
    awk -v operation="$operation" -v calls=$calls '
      { instructions = $1 - instructions; atomics = $2 - atomics }
      END { printf "%s %.0f %.0f\n", operation, instructions / calls, atomics / calls }' \
      >> "$scratch/counted"
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
  NR == FNR { instructions[$1] = $2; atomics[$1] = $3; next }
  {
    worse = !($1 in atomics) || $2 > 1.1 * instructions[$1] || $3 > atomics[$1]
    failed += worse
    printf "%-18s %5d instructions (committed: %5d), %2d atomic (%2d)%s\n", $1, $2,
           instructions[$1], $3, atomics[$1], worse ? "  TOO MANY" : ""
  }
  END { exit failed != 0 }' "$figures" "$scratch/counted"
