#!/usr/bin/env bash
# cache_replay against traces whose hits are known, a naive LRU and the figures of the ARC paper.
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/testing.sh"
small=$(cd "$(dirname "$0")" && pwd)/small.lis
cd "$scratch"

# An exact LRU: `naive_lru SIZE < keys` prints the hits. Every request is noted with its time; the
# least recently used key is the one whose last note is the oldest.
naive_lru() {
  awk -v size="$1" '
    {
      note[++now] = $0
      if ($0 in last) {
        ++hits
      } else if (++count > size) {
        while (last[note[++oldest]] != oldest) {}
        delete last[note[oldest]]
        --count
      }
      last[$0] = now
    }
    END { print hits + 0 }'
}

rows() { sed 1d out; } # the table without its header
hits() { rows | awk '{ print $4 }' | xargs; }

# expect_hits "HITS..." ARGUMENTS...: one number for each line of the table.
expect_hits() {
  local expected=$1
  shift
  expect_exit 0 cache_replay "$@"
  [ ! -s err ] || fail "$*: something on stderr that is no terminal"
  [ "$(hits)" = "$expected" ] || fail "$*: hits $(hits), not $expected"
}

# Worked out by hand. The requests are 1 2 3 2 1 2 4 1 2 3. A cache of 2 hits the second and third
# request for 2; one of 3 hits all after the first 3 but the first 4 and the last 3; one of 4 all
# that are not the first for their block.
expect_hits "0 2 5 6" --size 1,2,3,4 --shards 1 "$small"
[ "$(rows | awk 'NR <= 2 { print $1, $2, $3, $5 }' | xargs)" = "1 1 10 0.00% 2 1 10 20.00%" ] ||
  fail "the table: $(cat out)"
head -1 out | grep -q '^ *size *shards *requests *hits *hit rate *requests/s$' || fail "the header"

# The same as keys, with other line ends and without the last one; other ways to name the format.
printf '1\r\n2\r\n3\r\n2\r\n1\r\n2\r\n4\r\n1\r\n2\r\n3' > keys
expect_hits "0 2 5 6" --size=1,2,3,4 --shards=1 keys
cp "$small" blocks
expect_hits "2" --format lis --size 2 --shards 1 blocks
printf 'one\ntwo\none\n' > names.lis
expect_hits "1" --format keys names.lis
printf '  7\t2 0   0 \n7 1 0 1\r\n' > blanks.lis
expect_hits "1" blanks.lis
cp "$small" -- -dash.lis
expect_hits "5" --size 3 --shards 1 -- -dash.lis

# Every size is possible, and no cache has more shards than places.
expect_hits "6 6" --size 4,18446744073709551615 --shards 1 "$small"
expect_exit 0 cache_replay --size 1,2,3 --shards 0,1,2,7 --threads 3 "$small"
rows | awk '$2 < 1 || $2 > $1 || $3 != 10 { exit 1 }' || fail "shards: $(cat out)"
[ "$(rows | wc -l)" -eq 12 ] || fail "one line for each size and shard count"

# Bounded by weight, the hits are the same; so they are whatever reorders, if that is everything.
expect_hits "0 2 5 6" --size 1,2,3,4 --shards 1 --weight 7 "$small"
expect_hits "0 2 5 6" --size 1,2,3,4 --shards 1 --recency exact "$small"
expect_bad_flag "Illegal value 'lru' specified for flag 'recency'" \
  cache_replay --recency lru "$small"

# Zipf(0.99), as `zipf_keys KEYS REQUESTS`: the k-th key is k^-0.99 times as frequent as the first.
# The numbers of this generator are exact in doubles, so they are the same in every awk.
zipf_keys() {
  awk -v keys="$1" -v requests="$2" '
    BEGIN {
      for (k = 1; k <= keys; ++k) sum[k] = sum[k - 1] + k ^ -0.99
      for (random = 7; requests > 0; --requests) {
        random = random * 16807 % 2147483647
        sought = random / 2147483647 * sum[keys]
        low = 1
        high = keys
        while (low < high) {
          middle = int((low + high) / 2)
          if (sum[middle] < sought) low = middle + 1
          else high = middle
        }
        print low
      }
    }'
}
zipf_keys 30000 200000 > zipf
awk '{ print $1, 1, 0, NR - 1 }' zipf > zipf.lis
sizes=(1 10 100 1000 5000 30000)
expected=$(for size in "${sizes[@]}"; do naive_lru "$size" < zipf; done | xargs)
list=$(IFS=,; echo "${sizes[*]}")
# Against the naive LRU.
expect_hits "$expected" --size "$list" --shards 1 zipf
expect_hits "$expected" --size "$list" --shards 1 zipf.lis
expect_hits "$expected" --size "$list" --shards 1 --weight 3 zipf.lis
# Threads change the order a little, so the hits, but neither the number of requests nor, where all
# keys have room, the misses: one for each key.
expect_exit 0 cache_replay --size 1000,30000 --shards 1,0 --threads 4 zipf
rows | awk '$3 != 200000 { exit 1 }' || fail "requests of 4 threads: $(cat out)"
distinct=$(sort -u zipf | wc -l)
[ "$(hits | cut -d ' ' -f 3)" -eq $((200000 - distinct)) ] || fail "hits of 4 threads: $(cat out)"
# The default shard count with relaxed recency stays within 0.3 percentage points of exact LRU.
expect_exit 0 cache_replay --size 1000,2000,5000,10000,20000 --shards 1,0 zipf.lis
rows | awk '
  NR % 2 == 1 { exact = $4; next }
  {
    difference = (exact - $4) * 100 / $3
    if ($2 == 1 || difference > 0.3 || difference < -0.3) exit 1
  }' || fail "the default shard count costs too many hits of Zipf(0.99): $(cat out)"

if command -v zstd > /dev/null; then
  zstd -q zipf.lis -o "it's \$HOME.lis.zst"
  expect_hits "$(echo "$expected" | cut -d ' ' -f 4)" --shards 1 "it's \$HOME.lis.zst"
  printf 'no zstd' > broken.lis.zst
  expect_exit 2 cache_replay broken.lis.zst
  grep -q "'broken.lis.zst': zstd failed" err || fail "a broken .zst: $(cat err)"
  head -c 1000 "it's \$HOME.lis.zst" > cut.zst
  expect_exit 2 cache_replay cut.zst
  grep -q "'cut.zst': zstd failed" err || fail "a truncated .zst: $(cat err)"
fi
code=0
touch empty.zst
PATH=/nowhere "$binaries/cache_replay" empty.zst > out 2> err || code=$?
[ "$code" -eq 2 ] || fail "no zstd: exit code $code"
grep -q "'empty.zst': the program zstd is not installed" err || fail "no zstd: $(cat err)"

# Errors.
expect_usage cache_replay format recency shards size threads weight
expect_error "'missing.lis': No such file" cache_replay missing.lis
expect_error "'missing.lis.zst': No such file" cache_replay missing.lis.zst
mkdir directory
expect_error "'directory': Is a directory" cache_replay directory
: > empty.lis
expect_error "empty.lis: no requests" cache_replay empty.lis
expect_error "one trace" cache_replay keys keys
expect_bad_flag "Illegal value 'arc' specified for flag 'format'; neither lis nor keys" \
  cache_replay --format arc keys
expect_bad_flag "Missing the value for the flag 'size'" cache_replay keys --size
expect_bad_flag "Unknown command line flag 'sizes'" cache_replay --sizes 1 keys
for bad in 0 -1 x '' 10,,20 '10,' ,10 1k 18446744073709551616; do
  expect_bad_flag "Illegal value '$bad' specified for flag 'size'; '" \
    cache_replay --size "$bad" keys
done
expect_bad_flag "flag 'size'; '1k' is not a whole number" cache_replay --size 10,1k keys
expect_bad_flag "flag 'shards'; '-1' is not a whole number" cache_replay --shards 1,-1 keys
expect_bad_flag "flag 'threads'; not a whole number" cache_replay --threads 0 keys

malformed() { # LINE TEXT-OF-ERROR
  printf '1 1 0 0\n%s\n1 1 0 2\n' "$1" > malformed.lis
  expect_error "malformed.lis:2: $2" cache_replay malformed.lis
}
malformed '' '4 numbers expected'
malformed '1 1 0' '4 numbers expected'
malformed '1 1 0 1 1' '4 numbers expected'
malformed 'x 1 0 1' "'x' is not a whole number"
malformed '1 1.5 0 1' "'1.5' is not a whole number"
malformed '-1 1 0 1' "'-1' is not a whole number"
malformed '18446744073709551616 1 0 1' "'18446744073709551616' is not a whole number"
malformed '1 0 0 1' 'impossible number of blocks'
malformed '1 1000001 0 1' 'impossible number of blocks'
malformed '18446744073709551615 2 0 1' 'impossible number of blocks'
printf 'a\n\nb\n' > gap
expect_error 'gap:2: a key expected' cache_replay gap

# The OLTP trace of the ARC paper, which is not part of this repository.
oltp=${LOCKMAP_TRACE_DIR:-$source/../shared/data}/OLTP.lis.zst
if [ -r "$oltp" ] && command -v zstd > /dev/null; then
  paper=(300122 388235 490443 554906 590851)
  expect_hits "${paper[*]}" --size 1000,2000,5000,10000,15000 --shards 1 "$oltp"
  rows | awk '$3 != 914145 { exit 1 }' || fail "requests of the OLTP trace: $(cat out)"
  # The default shard count stays close: in percentage points, 0.5 at 1000 and 0.3 from 5000 up.
  expect_exit 0 cache_replay --size 1000,5000,10000,15000 "$oltp"
  cat out
  rows | awk -v paper="${paper[0]} ${paper[*]:2}" '
    BEGIN { split(paper, exact, " ") }
    {
      difference = (exact[NR] - $4) * 100 / 914145
      if (difference < 0) difference = -difference
      if (difference > ($1 < 5000 ? 0.5 : 0.3)) exit 1
    }' || fail "the default shard count costs too many hits"
  p3=${oltp%OLTP.lis.zst}P3.lis.zst
  expect_hits "51596 139485 2547620" --size 4096,32768,262144 --shards 1 "$p3"
  rows | awk '$3 != 3912296 { exit 1 }' || fail "requests of the P3 trace: $(cat out)"
else
  echo "no OLTP trace ($oltp) or no zstd: the figures of the ARC paper are not checked"
fi

echo "cache_replay agrees with LRU"
