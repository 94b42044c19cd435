#!/usr/bin/env bash
# Tests the tests: puts one bug at a time into the headers, and expects the tests to fail.
#
#   tests/mutations/run.sh            all the bugs of this folder
#   tests/mutations/run.sh NAME...    these (without .patch)
#
# A patch says what the bug is, which test sources should find it, and how else to compile them.
# Prints `killed` or `survived` for each, and fails if one survived, or if tests fail without a bug.
# Needs g++ (or what CXX says), pkg-config, Abseil and GoogleTest. JOBS are run at a time.
set -euo pipefail
cd "$(dirname "$0")/../.."
root=$PWD
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
modules="absl_flat_hash_set absl_hash absl_inlined_vector absl_strings gtest_main"
# shellcheck disable=SC2046 # these are words
printf '%s\n' $(pkg-config --libs $modules) > "$scratch/libraries"

field() { sed -n "s/^$1: //p" "$2"; }

# Compiles test sources against headers and runs them. 0: they pass; 1: they fail; 2: not compiled.
try() {
  local work=$1 headers=$2 flags=$3 source
  local sources=()
  shift 3
  for source in "$@"; do sources+=("$root/tests/$source"); done
  # shellcheck disable=SC2086 # flags are words
  "${CXX:-g++}" -std=c++20 -O0 -D_GLIBCXX_ASSERTIONS $flags -I"$headers" -I"$root/tests" \
    -I"$root/tests/support" \
    -DLOCKMAP_FUZZ_CORPUS="\"$root/tests/fuzz/corpus\"" "${sources[@]}" \
    -o "$work/tests" "@$scratch/libraries" -pthread > "$work/compiler" 2>&1 || return 2
  # Whatever hangs has found the bug as well.
  # The outer redirection is for what the shell says of a test that crashed.
  { (cd "$work" && timeout -k 5 150 ./tests --gtest_brief=1 --gtest_fail_fast > output 2>&1); } \
    2> /dev/null || return 1
}

# One line about one patch.
mutate() {
  local name=$1 patch=$root/tests/mutations/$1.patch work=$scratch/$1 result=0
  mkdir -p "$work"
  cp -r "$root/include" "$work/include"
  if ! patch -d "$work" -p1 --fuzz=0 -s < "$patch" > "$work/patch" 2>&1; then
    echo "does not apply  $name"
    return
  fi
  # shellcheck disable=SC2046 # these are words
  try "$work" "$work/include" "$(field Flags "$patch")" $(field Tests "$patch") || result=$?
  case $result in
    0) echo "survived        $name: $(head -n 1 "$patch")" ;;
    1) echo "killed          $name" ;;
    *) echo "not compiled    $name: $(grep -m 1 error "$work/compiler")" ;;
  esac
  rm -rf "$work"
}

# One line if tests fail without a bug.
check() {
  local flags=${1%%:*} tests=${1#*:} work=$scratch/intact-$2
  mkdir -p "$work"
  # shellcheck disable=SC2086 # tests are words
  if ! try "$work" "$root/include" "$flags" $tests; then
    echo "fail without a bug: $tests"
    tail -n 20 "$work/output" "$work/compiler"
  fi
  rm -rf "$work"
}

export root scratch
export -f field try mutate check

names=("$@")
if [ $# -eq 0 ]; then
  for patch in tests/mutations/*.patch; do names+=("$(basename "$patch" .patch)"); done
fi
jobs=${JOBS:-$(nproc)}

for name in "${names[@]}"; do
  patch=tests/mutations/$name.patch
  echo "$(field Flags "$patch"):$(field Tests "$patch")"
done | sort -u | awk '{ printf "%s%c%d%c", $0, 0, NR, 0 }' |
  xargs -0 -n 2 -P "$jobs" bash -c 'check "$@"' check | tee "$scratch/intact"
printf '%s\n' "${names[@]}" | xargs -n 1 -P "$jobs" bash -c 'mutate "$1"' mutate |
  tee "$scratch/results"

killed=$(grep -c '^killed' "$scratch/results" || true)
echo "$killed of ${#names[@]} killed"
[ ! -s "$scratch/intact" ] && [ "$killed" -eq "${#names[@]}" ]
