#!/usr/bin/env bash
# word_count against coreutils, and its errors.
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/testing.sh"

# The words of each file, counted by coreutils: "count word", most frequent first. A word does not
# go on in the next file, so tr gets them one at a time.
reference() {
  local file
  for file in "$@"; do
    tr -cs 'A-Za-z' '\n' < "$file" | tr A-Z a-z
    echo
  done | sed '/^$/d' | sort | uniq -c | awk '{ print $1, $2 }' | sort -k1,1nr -k2,2
}

value() { sed -n "s/^$1: *//p" "$scratch/out"; }

# compare ARGUMENTS... -- FILES...: all counts, their order and the sums.
compare() {
  local options=()
  while [ "$1" != -- ]; do
    options+=("$1")
    shift
  done
  shift
  reference "$@" > "$scratch/expected"
  expect_exit 0 word_count "${options[@]}" --top 1000000 -- "$@"
  [ ! -s "$scratch/err" ] || fail "$*: something on stderr that is no terminal"
  awk '/^ *[0-9]/ { print $1, $2 }' "$scratch/out" > "$scratch/actual"
  cmp -s "$scratch/expected" "$scratch/actual" ||
    fail "${options[*]} $*: $(diff "$scratch/expected" "$scratch/actual" | cut -c 1-200 | head -5)"
  [ "$(value 'distinct words')" = "$(wc -l < "$scratch/expected")" ] || fail "$*: distinct words"
  [ "$(value 'total words')" = "$(awk '{ n += $1 } END { print n + 0 }' "$scratch/expected")" ] ||
    fail "$*: total words"
  value 'words per second' | grep -qx '[0-9]*' || fail "$*: words per second"
}

# Real text.
texts=()
for file in "$source"/README.md "$source"/LICENSE \
  /usr/share/common-licenses/{GPL-3,Apache-2.0,MPL-2.0}; do
  if [ -r "$file" ]; then texts+=("$file"); fi
done
[ ${#texts[@]} -gt 0 ] || texts=("$0")
compare -- "${texts[@]}"
for threads in 1 2 8; do compare --threads "$threads" -- "${texts[@]}"; done

# A file of many chunks, most of which end within a word.
for i in $(seq 50); do
  cat "${texts[@]}"
  echo "$i"
done > "$scratch/large"
compare --threads 4 -- "$scratch/large"
compare --threads=4 -- "$scratch/large" "$scratch/large"

# Awkward input.
cd "$scratch"
printf 'one two\none' > no_newline
printf 'one\r\ntwo\r\nOne\r\n' > crlf
printf 'caf\xc3\xa9 na\xc3\xafve \xff\xfe\x00nul\x00byte \xe2\x80\x9cquoted\xe2\x80\x9d' > bytes
printf 'don'\''t a-b a_b x1y 42 [@`{ AZaz' > signs
: > empty
printf ' \n.' > no_words
{
  head -c 1500000 /dev/zero | tr '\0' 'x' && echo ' short' &&
    head -c 700000 /dev/zero | tr '\0' 'Y'
} > long
for size in 262143 262144 262145; do # a word that ends just at, before and after the end of a chunk
  { head -c "$size" /dev/zero | tr '\0' 'z' && printf ' end'; } > "long_$size"
done
{ head -c 262140 /dev/zero | tr '\0' ' ' && printf 'across the end'; } > across
printf 'dash' > -dash
for file in no_newline crlf bytes signs empty no_words long long_* across -dash; do
  compare --threads 3 -- "$file"
done
compare -- no_newline crlf empty bytes no_newline long across

# A pipe is read once, from front to back.
expect_exit 0 word_count <(cat "$scratch/crlf")
[ "$(value 'total words')" = 3 ] || fail "a pipe: total words"

# --top, and the form of the output.
printf 'b a c b c c d' > top
expect_exit 0 word_count --top 3 top
top=$(printf '%12d  c\n%12d  b\n%12d  a\ndistinct words: ' 3 2 1)
[ "$(head -4 out | cut -c 1-16)" = "$top" ] ||
  fail "the top words: $(cat out)"
expect_exit 0 word_count --top 0 top
head -1 out | grep -q '^distinct words: *4$' || fail "--top 0 shows words"

# Errors.
expect_usage word_count threads top
expect_error "'missing': No such file" word_count missing
expect_error "'missing'" word_count top missing empty
mkdir directory
expect_error "'directory': Is a directory" word_count directory
expect_error "'directory'" word_count --threads 2 long directory
if [ "$(id -u)" -ne 0 ]; then
  touch secret
  chmod 000 secret
  expect_error "'secret': Permission denied" word_count secret
fi
for bad in 0 -1 +1 x 1x '' ' 1' 1.5 1025 99999999999999999999; do
  error="Illegal value '$bad' specified for flag 'threads'; not a whole number from 1 to 1024"
  expect_bad_flag "$error" word_count --threads "$bad" top
  expect_bad_flag "$error" word_count "--threads=$bad" top
done
expect_bad_flag "Illegal value 'ten' specified for flag 'top'; not a whole" word_count --top ten top
expect_bad_flag "Missing the value for the flag 'top'" word_count top --top
expect_bad_flag "Unknown command line flag 'bottom'" word_count --bottom 3 top
expect_bad_flag "Unknown command line flag 't'" word_count -t top
if [ -w /dev/full ]; then
  code=0
  "$binaries/word_count" top > /dev/full 2> err || code=$?
  [ "$code" -eq 1 ] || fail "output that cannot be written: exit code $code"
fi

echo "word_count agrees with coreutils"
