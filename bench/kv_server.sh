#!/usr/bin/env bash
# The throughput of the example kv_server beside that of redis-server, on this machine, by
# redis-benchmark with 50 clients.
#
#   bench/kv_server.sh KV_SERVER [ROUNDS [REQUESTS]]
#
# KV_SERVER is the program in a build without assertions. Both servers are there all the time, and
# take turns: each round measures every combination of them next to each other. Prints the medians
# over the rounds (5), in requests per second, and of the ratio of the time that redis-server takes
# to that of kv_server within a round: above 1, kv_server is faster. REQUESTS (100000) are those of
# one measurement without pipelining; there are 5 times as many with it.
set -euo pipefail
if [ $# -lt 1 ] || [ $# -gt 3 ] || [ ! -x "$1" ]; then
  sed -n '2,/^[^#]/{s/^# \{0,1\}//p}' "$0" >&2
  exit 2
fi
program=$(realpath "$1")
rounds=${2:-5}
requests=${3:-100000}
scratch=$(mktemp -d)
servers=()

cleanup() {
  local server
  for server in "${servers[@]}"; do kill "$server" 2> /dev/null || true; done
  wait
  rm -rf "$scratch"
}
trap cleanup EXIT
cd "$scratch"

# until_true COMMAND...: polls, for about 10 s.
until_true() {
  local attempt
  for ((attempt = 0; attempt < 200; ++attempt)); do
    if "$@"; then return; fi
    sleep 0.05
  done
  echo "not reached: $*" >&2
  exit 1
}

declare -A ports
for threads in 1 2; do
  "$program" --port 0 --threads $threads > "kv$threads" &
  servers+=($!)
  until_true grep -qs '^listening: ' "kv$threads"
  ports[kv$threads]=$(sed -n 's/^listening: .*://p' "kv$threads")
done
ports[redis]=$((20000 + RANDOM % 12000)) # below those that the system gives to clients
redis-server --bind 127.0.0.1 --port "${ports[redis]}" --dir "$scratch" --save '' \
  --appendonly no > log &
servers+=($!)
# A server of somebody else may have got the port first; then ours ends.
is_up() {
  [[ $(redis-cli -p "${ports[redis]}" info server 2> /dev/null) == \
    *process_id:"${servers[2]}"[!0-9]* ]]
}
until_true is_up

# measure SERVER COMMAND DEPTH: requests per second. Random keys of 10000, values of 16 bytes.
measure() {
  local count=$requests
  if [ "$3" -gt 1 ]; then count=$((5 * requests)); fi
  redis-benchmark -h 127.0.0.1 -p "${ports[$1]}" -c 50 -n $count -P "$3" -r 10000 -d 16 -t "$2" \
    --csv 2> /dev/null | awk -F '"' 'END { print $4 }'
}

for ((round = 0; round < rounds; ++round)); do
  for depth in 1 16; do
    for command in set get incr; do
      for server in redis kv1 kv2; do
        echo "$round $depth $command $server $(measure $server $command $depth)"
      done
    done
  done
done > measured

# The rates of a round are next to each other, so what else the machine did cancels out.
awk '
  function median(list,    values, count, i, j, value) {
    count = split(list, values, " ")
    for (i = 2; i <= count; ++i) {
      value = values[i] + 0
      for (j = i - 1; j > 0 && values[j] + 0 > value; --j) values[j + 1] = values[j]
      values[j + 1] = value
    }
    return count % 2 ? values[(count + 1) / 2] : (values[count / 2] + values[count / 2 + 1]) / 2
  }
  {
    place = $2 " " $3
    if ($4 == "redis") {
      redis = $5
      if (!(place in seen)) places[++count] = place
      seen[place]
    } else {
      ratios[place, $4] = ratios[place, $4] " " $5 / redis
    }
    all[place, $4] = all[place, $4] " " $5
  }
  END {
    printf "%-10s %-5s %12s %20s %20s\n", "pipelined", "", "redis-server", "kv_server, 1 thread",
           "2 threads"
    for (i = 1; i <= count; ++i) {
      place = places[i]
      split(place, part, " ")
      printf "%-10s %-5s %12.0f", part[1], toupper(part[2]), median(all[place, "redis"])
      for (threads = 1; threads <= 2; ++threads) {
        server = "kv" threads
        printf " %12.0f (x%.2f)", median(all[place, server]), median(ratios[place, server])
      }
      print ""
    }
    print "(x: time of redis-server / that of kv_server, above 1 is good)"
  }' measured
