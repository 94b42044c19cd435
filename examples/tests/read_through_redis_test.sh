#!/usr/bin/env bash
# read_through_redis against a real server: two processes that add to the same counters, a lock that
# is lost while it is held, a server that is killed and restarted, and one that does not answer.
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/testing.sh"
cd "$scratch"
server=
port=

redis() { timeout 10 redis-cli -h 127.0.0.1 -p "$port" "$@" 2> /dev/null; }
runs() { kill -0 "$server" 2> /dev/null; }
# A server of somebody else may have got the port first; then ours ends.
is_up() {
  [ "$(redis ping)" = PONG ] && [[ $(redis info server) == *process_id:"$server"[!0-9]* ]]
}
is_up_or_ended() { is_up || ! runs; }

# start_server ARGUMENTS...: on $port; says whether it could get it.
start_server() {
  redis-server --bind 127.0.0.1 --port "$port" --dir "$scratch" --save '' "$@" >> log 2>&1 &
  server=$!
  until_true is_up_or_ended
  runs
}

start_server_anywhere() {
  local attempt
  for ((attempt = 0; attempt < 20; ++attempt)); do
    port=$((20000 + RANDOM % 12000)) # below those that the system gives to clients
    if start_server "$@"; then return; fi
  done
  fail "no port for a server: $(tail -n 5 log)"
}

stop_server() { # SIGNAL
  kill -s "$1" "$server"
  wait "$server" 2> /dev/null || true
  ! runs || fail "the server is still there"
}

# start NAME ARGUMENTS...: an example process in the background, with generous limits. Leaves its
# number in $process, its output in NAME.out and NAME.err.
start() {
  local name=$1
  shift
  "$binaries/read_through_redis" --port "$port" --process_name "$name" --timeout_ms 10000 \
    --wait_ms 20000 --lock_ms 20000 "$@" > "$name.out" 2> "$name.err" <&0 &
  process=$!
}

finish() { # PROCESS NAME
  wait "$1" || fail "$2: exit code $?: $(head -c 1000 "$2.err")"
}

run() { # NAME ARGUMENTS...
  start "$@" < /dev/null
  finish "$process" "$1"
}

value() { sed -n "s/^$1: *//p" "$2.out"; }

# total NAME...: what the server's counters got from processes.
total() {
  local counters
  mapfile -t counters < <(redis keys 'counter:*')
  [ ${#counters[@]} -gt 0 ] || counters=(none)
  redis mget "${counters[@]}" |
    awk -v names=" $* " '{ for (i = 1; i < NF; i += 2) if (index(names, " " $i " ")) n += $(i + 1) }
      END { print n + 0 }'
}

expect() { # WHAT ACTUAL EXPECTED
  [ "$2" = "$3" ] || fail "$1: '$2', not '$3'"
}

# Errors of the command line.
expect_usage read_through_redis host port timeout_ms process_name threads keys operations seconds \
  ttl_ms lock_ms wait_ms hold
for bad in 0 x 65536; do
  expect_bad_flag "Illegal value '$bad' specified for flag 'port'; not a whole number from 1 to" \
    read_through_redis --port "$bad"
done
expect_error "--process_name: 'a b' is not one word" read_through_redis --port 1 \
  --process_name 'a b'
expect_error "unexpected 'file'" read_through_redis --port 1 file
expect_bad_flag "Unknown command line flag 'prot'" read_through_redis --prot 1

start_server_anywhere --appendonly no

# One load for each key and process, however many threads read; one more at the end is the check.
redis config resetstat > /dev/null
for name in cold1 cold2; do
  run $name --threads 8 --keys 5 --operations 0 --ttl_ms 1000000
  expect "loads of $name" "$(value loads $name)/$(value reloads $name)" 5/0
done
expect "GETs at the server" \
  "$(redis info commandstats | sed -n 's/^cmdstat_get:calls=\([0-9]*\),.*/\1/p')" 20

# No addition is lost between two processes.
start one --operations 300 --ttl_ms 1
one=$process
start two --operations 300 --ttl_ms 1
finish "$one" one
finish "$process" two
for name in one two; do
  expect "$name: acknowledged, unknown, failed" \
    "$(value acknowledged $name) $(value unknown $name) $(value failed $name)" "1200 0 0"
  [ ! -s $name.err ] || fail "$name: errors: $(cat $name.err)"
done
[ $(($(value reloads one) + $(value reloads two))) -gt 0 ] || fail "no value expired"
expect "the total" "$(total one two)" 2400
expect "locks that are left" "$(redis keys 'lock:*')" ""
expect "locks that were taken" \
  "$(redis mget fence:counter:{0..4} | awk '{ n += $1 } END { print n }')" 2400

# hold NAME ARGUMENTS...: starts a process that holds the lock of counter 9, until it is let go.
declare -A holders gates
hold() {
  local gate
  mkfifo "$1.gate"
  exec {gate}<> "$1.gate"
  start "$@" --hold 9 --ttl_ms 1000000 < "$1.gate"
  holders[$1]=$process
  gates[$1]=$gate
  until_true grep -qsx 'holding: lock:counter:9' "$1.out"
}
let_go() { # NAME: leaves its exit code in $code
  echo >&"${gates[$1]}"
  code=0
  wait "${holders[$1]}" || code=$?
}
expect_stale() {
  expect "$1: exit code" "$code" 1
  grep -q "^read_through_redis: 127.0.0.1:$port: lock:counter:9: it expired and was taken again" \
    "$1.err" || fail "$1: $(cat "$1.err")"
}

# A holder whose lock is lost, as if it had expired, and taken by another process: its write is
# refused, and what it had cached is forgotten.
run before --hold 9
hold slow
redis del lock:counter:9 > /dev/null
run quick --hold 9
let_go slow
expect_stale slow
expect "the value" "$(redis get counter:9)" "before 1 quick 1"
expect "what slow reads" "$(value 'failed, value' slow)" "before 1 quick 1"

# The same while the other one has not written yet: what it has read must not change, and its lock
# is not released by the first.
hold first
redis del lock:counter:9 > /dev/null
hold second
lock=$(redis get lock:counter:9)
[[ $lock == second-* ]] || fail "the lock is held by '$lock'"
let_go first
expect_stale first
expect "the lock" "$(redis get lock:counter:9)" "$lock"
expect "the value" "$(redis get counter:9)" "before 1 quick 1"
let_go second
expect "second: exit code" "$code" 0
expect "the value" "$(redis get counter:9)" "before 1 quick 1 second 1"
expect "the lock" "$(redis exists lock:counter:9)" 0

# A lock that is not free in time: nothing is written.
redis set lock:counter:9 somebody > /dev/null
expect_exit 1 read_through_redis --port "$port" --hold 9 --wait_ms 50
grep -q ": 127.0.0.1:$port: lock:counter:9: not free within 50 ms" err || fail "a lock: $(cat err)"
expect "the lock" "$(redis get lock:counter:9)" somebody

# A server that stops before a write: its outcome is in doubt, and here it is made in the end.
redis del lock:counter:9 > /dev/null
hold doubtful --timeout_ms 500
kill -STOP "$server"
let_go doubtful
kill -CONT "$server"
expect "doubtful: exit code" "$code" 1
expect "doubtful" "$(value failed doubtful)" "127.0.0.1:$port: EVAL write counter:9: no answer \
within 500 ms; it may have been written or not"
is_written() { [ "$(redis get counter:9)" = "before 1 doubtful 1 quick 1 second 1" ]; }
until_true is_written

# A server that does not answer at all.
kill -STOP "$server"
expect_exit 1 read_through_redis --port "$port" --timeout_ms 50
kill -CONT "$server"
grep -q "^read_through_redis: 127.0.0.1:$port: GET counter:.: no answer within 50 ms$" err ||
  fail "no answer: $(cat err)"

# A key that is not a text.
redis del counter:0 > /dev/null
redis rpush counter:0 x > /dev/null
expect_exit 1 read_through_redis --port "$port"
grep -q ": 127.0.0.1:$port: GET counter:0: WRONGTYPE" err || fail "a wrong type: $(cat err)"

# A server that is killed and restarted, twice, while two processes work: no acknowledged addition
# is lost, and none is there that was neither acknowledged nor in doubt.
has_added() { [ "$(total "$1")" -ge "$2" ]; }
both_get_on() {
  local name goal
  for name in one two; do
    goal=$(($(total $name) + 20))
    until_true has_added $name "$goal"
  done
}
stop_server TERM
durable=(--appendonly yes --appendfsync always)
start_server_anywhere "${durable[@]}"
endless=(--operations 1000000000 --seconds 600 --lock_ms 500 --ttl_ms 1000000)
start one "${endless[@]}"
one=$process
start two "${endless[@]}"
two=$process
both_get_on
stop_server KILL
expect_exit 1 read_through_redis --port "$port"
grep -q "^read_through_redis: 127.0.0.1:$port: GET counter:.: Connection refused$" err ||
  fail "no server: $(cat err)"
until_true start_server "${durable[@]}"
both_get_on
stop_server TERM
until_true start_server "${durable[@]}"
both_get_on
kill -s TERM "$one" "$two"
finish "$one" one
finish "$two" two
acknowledged=0
doubtful=0
for name in one two; do
  [ "$(value failed $name)" -gt 0 ] || fail "$name did not notice the restarts"
  grep -q "^$name: 127.0.0.1:$port: .*: \(Connection refused\|Server closed the connection\)" \
    $name.err || fail "$name: $(cat $name.err)"
  acknowledged=$((acknowledged + $(value acknowledged $name)))
  doubtful=$((doubtful + $(value unknown $name)))
done
sum=$(total one two)
if [ "$sum" -lt "$acknowledged" ] || [ "$sum" -gt $((acknowledged + doubtful)) ]; then
  fail "the total is $sum, with $acknowledged acknowledged and $doubtful in doubt"
fi

stop_server TERM
expect "processes that are left" "$(jobs -pr)" ""
echo "read_through_redis loses nothing ($acknowledged additions, $doubtful in doubt)"
