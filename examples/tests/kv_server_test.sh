#!/usr/bin/env bash
# kv_server as its clients see it: redis-cli, redis-benchmark, and one that sends what they would
# not. At the end of each server, the replies that it says it has written are those that came.
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/testing.sh"
cd "$scratch"
server=
port=

redis() { timeout 20 redis-cli -h 127.0.0.1 -p "$port" "$@"; }

# start_server ARGUMENTS...: at a port that is free.
start_server() {
  "$binaries/kv_server" --port 0 "$@" > server.out 2> server.err &
  server=$!
  until_true grep -qsx 'listening: 127\.0\.0\.1:[0-9]*' server.out
  port=$(sed -n 's/^listening: .*://p' server.out)
}

# end_server: that of a server that got its signal. Leaves in $replies how many there were.
end_server() {
  local code=0
  wait "$server" || code=$?
  [ "$code" -eq 0 ] || fail "kv_server: exit code $code: $(cat server.err)"
  [ ! -s server.err ] || fail "kv_server: $(cat server.err)"
  replies=$(sed -n 's/^replies: //p' server.out)
}

stop_server() { # SIGNAL
  kill -s "$1" "$server"
  end_server
}

expect() { # WHAT ACTUAL EXPECTED
  [ "$2" = "$3" ] || fail "$1: '$2', not '$3'"
}

# answer REPLY COMMAND...: what redis-cli shows.
answer() {
  expect "${*:2}" "$(redis "${@:2}" 2>&1)" "$1"
}

# A client that sends bytes as they are given.
cat > raw.py <<'END'
import socket, struct, sys, threading

port = int(sys.argv[1])

def connect():
    return socket.create_connection(("127.0.0.1", port), timeout=60)

def rest(client):  # all until the server closes
    parts = []
    while part := client.recv(1 << 16):
        parts.append(part)
    return b"".join(parts)

def talk(*pieces):  # the last piece is followed by the end of what this side sends
    with connect() as client:
        for piece in pieces:
            client.sendall(piece)
        client.shutdown(socket.SHUT_WR)
        return rest(client)

def request(*arguments):
    parts = [argument if isinstance(argument, bytes) else str(argument).encode()
             for argument in arguments]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part)
                                              for part in parts)

def check(what, actual, expected):
    if actual != expected:
        sys.exit(f"{what}: {actual[:300]!r}, not {expected[:300]!r}")
END
raw() { # NAME ARGUMENTS...: runs a program that goes on from there
  cat raw.py - > "$1.py"
  timeout 300 python3 "$1.py" "$port" "${@:2}" || fail "$1"
}

# Errors of the command line.
expect_usage kv_server bind port threads max_bytes max_bulk max_request max_line max_arguments
expect_bad_flag "Illegal value '65536' specified for flag 'port'; not a whole number from 0 to" \
  kv_server --port 65536
expect_error "--bind: 'nowhere' is not an address" kv_server --port 0 --bind nowhere
expect_error "unexpected 'file'" kv_server --port 0 file

start_server --threads 2
expect_exit 1 kv_server --port "$port"
grep -qx "kv_server: cannot listen at 127.0.0.1:$port: Address already in use" err ||
  fail "a port in use: $(cat err)"

# Commands, one at a time.
integer_error='ERR value is not an integer or out of range'
arguments_error() { echo "ERR wrong number of arguments for '$1' command"; }
answer PONG ping
answer hello ping hello
answer hello echo hello
answer '' get a
answer OK set a 1
answer 1 get a
answer OK SeT a 2
answer 2 get a
answer 3 incr a
answer 13 incrby a 10
answer 12 decr a
answer 1 incr new
answer -1 incrby newer -1
answer 0 setnx a x
answer 1 setnx b x
answer '' set a y nx
answer OK set c y NX
answer '' set d y xx
answer OK set c z XX
answer z get c
answer 2 exists a a nothing
answer 2 del a a b nothing
answer 1 del c
answer 0 del c
answer OK mset a 1 b 2 a 3
answer $'3\n2\n\n3' mget a b nothing a
answer 4 dbsize
answer OK flushall
answer 0 dbsize
answer OK set number 9223372036854775807
answer 'ERR increment or decrement would overflow' incr number
answer 9223372036854775807 get number
answer 'ERR increment or decrement would overflow' incrby number 1
answer "$integer_error" incrby number 9223372036854775808
answer "$integer_error" incrby number 1x
for bad in x '' ' 1' 01 +1 -0 1.0; do
  redis set word "$bad" > /dev/null
  answer "$integer_error" incr word
  answer "$bad" get word
done
answer "$(arguments_error get)" get
answer "$(arguments_error get)" GET a b
answer "$(arguments_error set)" set a
answer "$(arguments_error mset)" mset a 1 b
answer 'ERR syntax error' set a 1 nx xx
answer 'ERR syntax error' set a 1 ex
answer 'ERR syntax error' set a 1 ex 1 px 1
answer 'ERR syntax error' set a 1 for ever
answer "ERR unknown command 'nothing'" nothing
answer "ERR unknown command 'much too long'" 'much too long'
answer save config get save
answer $'appendonly\nno' CONFIG GET AppendOnly
answer '' config get nothing
answer 'ERR only CONFIG GET is supported' config set save x
answer OK client setname me
answer '' command docs
answer OK quit

# Times.
between() { # LEAST MOST COMMAND...
  local time
  time=$(redis "${@:3}")
  if [ "$time" -lt "$1" ] || [ "$time" -gt "$2" ]; then fail "${*:3}: $time"; fi
}
is_gone() { [ "$(redis get "$1")" = '' ]; }
redis flushall > /dev/null
answer -2 ttl t
answer 0 expire t 10
redis set t 1 > /dev/null
answer -1 ttl t
answer -1 pttl t
answer 1 expire t 100
between 80 100 ttl t
between 80000 100000 pttl t
answer 2 incr t # its time goes on
between 80 100 ttl t
answer OK set t 1 # this one has none
answer -1 ttl t
answer OK set t 1 ex 1000
between 980 1000 ttl t
answer OK set t 1 px 1000000
between 980 1000 ttl t
answer 1 pexpire t 100000
between 80 100 ttl t
answer OK set t 1 px 20
until_true is_gone t
answer -2 ttl t
answer 0 exists t
answer 1 setnx t 1
answer 1 pexpire t 20
until_true is_gone t
answer 1 incr t
answer 1 expire t -1
answer '' get t
redis set t 1 > /dev/null
answer "ERR invalid expire time in 'set' command" set t 2 ex 0
answer "ERR invalid expire time in 'set' command" set t 2 px -1
answer "ERR invalid expire time in 'expire' command" expire t 9223372036854775807
answer "$integer_error" set t 2 ex soon
answer "$integer_error" pexpire t soon
answer 1 get t

# What only a client of one's own can send.
raw bytes << 'END'
# Values of any bytes, and keys that differ in a byte that a text could not have.
everything = bytes(range(256)) * 40
check("binary", talk(request("SET", b"\r\n\0", everything), request("GET", b"\r\n\0"),
                     request("GET", b"\r\n")),
      b"+OK\r\n$%d\r\n%s\r\n$-1\r\n" % (len(everything), everything))
check("a command with a byte 0", talk(request(b"\0GET", "a")),
      b"-ERR unknown command '\0GET'\r\n")
check("an error is one line", talk(request("a\r\n+OK")), b"-ERR unknown command 'a  +OK'\r\n")
check("no bytes", talk(request("SET", "", ""), request("GET", "")), b"+OK\r\n$0\r\n\r\n")

# Lines of words.
check("inline", talk(b"PING\r\nSET  inline\t7 \nGET inline\r\n\r\n   \r\nINCR inline\r\n"),
      b"+PONG\r\n+OK\r\n$1\r\n7\r\n:8\r\n")

# Pipelines: in order, all answered, also where a request arrives in pieces, and where the side that
# sends is closed before anything is read.
many = 20000
check("a pipeline", talk(request("DEL", "p"), request("INCR", "p") * many),
      b":0\r\n" + b"".join(b":%d\r\n" % i for i in range(1, many + 1)))
piecemeal = request("SET", "piece", "1") + b"GET piece\r\n" + request("GET", "piece")
with connect() as client:
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for i in range(len(piecemeal)):
        client.sendall(piecemeal[i:i + 1])
    client.shutdown(socket.SHUT_WR)
    check("byte by byte", rest(client), b"+OK\r\n$1\r\n1\r\n$1\r\n1\r\n")
big = b"x" * (8 << 20)
check("a big value", talk(request("SET", "big", big), request("GET", "big") * 4),
      b"+OK\r\n" + b"$%d\r\n%s\r\n" % (len(big), big) * 4)
check("QUIT ends it", talk(request("QUIT"), request("INCR", "p")), b"+OK\r\n")
check("what was behind it was not executed", talk(request("GET", "p")), b"$5\r\n20000\r\n")

# Requests that end too early: what was whole is answered, the rest has no effect.
whole = request("SET", "cut", "value")
for size in range(len(whole)):
    check("cut", talk(request("PING"), whole[:size]), b"+PONG\r\n")
check("cut", talk(request("GET", "cut")), b"$-1\r\n")

# What is no request: an error, and the end; what came first is answered.
for wrong, why in [(b"*1\r\n+PING\r\n", b"expected '$', got '+'"),
                   (b"*1\r\n\0", b"expected '$', got byte 0"),
                   (b"*x\r\n", b"invalid multibulk length"),
                   (b"*\r\n", b"invalid multibulk length"),
                   (b"*99999999999999999999\r\n", b"invalid multibulk length"),
                   (b"*1048577\r\n", b"invalid multibulk length"),
                   (b"*1\r\n$x\r\n", b"invalid bulk length"),
                   (b"*1\r\n$-1\r\n", b"invalid bulk length"),
                   (b"*1\r\n$16777217\r\n", b"invalid bulk length"),
                   (b"*1\r\n$4\r\nPING__", b"a bulk string without its end"),
                   (b"*1" * 40000, b"too big mbulk count string"),
                   (b"*1\r\n$" + b"0" * 70000, b"too big bulk count string"),
                   (b"a" * 70000, b"too big inline request")]:
    check("malformed", talk(request("PING"), wrong, b"PING\r\n" * 1000),
          b"+PONG\r\n-ERR Protocol error: " + why + b"\r\n")
check("no arguments", talk(b"*0\r\n*-1\r\nPING\r\n"), b"+PONG\r\n")

# A client that goes away without reading, and one that resets the connection.
for _ in range(20):
    with connect() as client:
        client.sendall(request("GET", "big") * 4)
    with connect() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.sendall(request("GET", "big") * 4)
check("afterwards", talk(b"PING\r\n"), b"+PONG\r\n")
END

# Many clients at once.
redis flushall > /dev/null
redis-benchmark -h 127.0.0.1 -p "$port" -c 50 -n 20000 -q -t ping,set,get,incr,mset > log 2>&1 ||
  fail "redis-benchmark: $(cat log)"
if grep -i 'error\|warning' log; then fail "redis-benchmark"; fi
answer 20000 get counter:__rand_int__
for depth in 1 16; do
  redis del counter > /dev/null
  redis-benchmark -h 127.0.0.1 -p "$port" -c 50 -n 50000 -P $depth -q incr counter > log 2>&1
  answer 50000 get counter
done
raw atomic << 'END'
# MSET sets all of its keys at once for everybody who looks at all of them, in any order.
keys = [f"m{i}" for i in range(20)]
rounds = 1500
def write(name):
    with connect() as client:
        order = keys if name % 2 else keys[::-1]
        for i in range(rounds):
            pairs = [part for key in order for part in (key, f"{name}.{i}")]
            client.sendall(request("MSET", *pairs))
            check("MSET", client.recv(100), b"+OK\r\n")
seen = set()
failures = []
def read(name):
    with connect() as client:
        file = client.makefile("rb")
        order = keys[::-1] if name % 2 else keys
        for _ in range(rounds):
            client.sendall(request("MGET", *order))
            file.readline()
            values = set()
            for _ in keys:
                size = int(file.readline()[1:])
                values.add(file.read(size + 2) if size >= 0 else None)
            if len(values) != 1:
                failures.append(values)
            seen.update(values)
threads = [threading.Thread(target=work, args=(i,)) for i in range(3) for work in (write, read)]
for thread in threads: thread.start()
for thread in threads: thread.join()
if failures: sys.exit(f"a mix: {failures[0]}")
if len(seen) < 10: sys.exit(f"nothing was seen to change: {seen}")
END
stop_server INT

# The limits, and a bound that makes the least recently used go.
start_server --threads 2 --max_bulk 100 --max_request 1000 --max_line 80 --max_arguments 20 \
  --max_bytes 1000000
raw limits << 'END'
error = b"-ERR Protocol error: "
check("a bulk", talk(request("SET", "a", "x" * 100), request("SET", "a", "x" * 101)),
      b"+OK\r\n" + error + b"invalid bulk length\r\n")
check("arguments", talk(request("DEL", *range(19)), request("DEL", *range(20))),
      b":0\r\n" + error + b"invalid multibulk length\r\n")
check("a request", talk(request("ECHO", 1), request("DEL", *["y" * 90] * 9),
                        request("DEL", *["y" * 90] * 11)),
      b"$1\r\n1\r\n:0\r\n" + error + b"too big request\r\n")
check("a line", talk(b"ECHO " + b"x" * 73 + b"\r\n", b"ECHO " + b"x" * 75 + b"\r\n"),
      b"$73\r\n" + b"x" * 73 + b"\r\n" + error + b"too big inline request\r\n")
check("words", talk(b"DEL" + b" a" * 20 + b"\r\n"), error + b"too many arguments\r\n")
count = 20000
talk(b"".join(request("SET", i, "z" * 100) for i in range(count)))
left = int(talk(request("DBSIZE"))[1:-2])
if not 1000 <= left <= 5000: sys.exit(f"of {count} keys, {left} are left")
check("the newest", talk(request("GET", count - 1)), b"$100\r\n" + b"z" * 100 + b"\r\n")
check("the oldest", talk(request("GET", 0)), b"$-1\r\n")
END
stop_server TERM

# The end while clients send, wait and do not read: each gets whole replies to a beginning of what
# it has sent, and all that were counted.
for threads in 1 2; do
  start_server --threads $threads
  raw end "$server" << 'END' > end.out
import os, signal
clients = 8
replies = [0] * clients
ready = threading.Barrier(clients + 1)
def send(client):
    data = request("INCR", "n") * 1000
    try:
        while True: client.sendall(data)
    except OSError:
        pass
def receive(index):
    with connect() as client:
        client.sendall(request("PING"))
        check("PING", client.recv(7), b"+PONG\r\n")
        if index % 4 != 0:  # else it waits for nothing
            threading.Thread(target=send, args=(client,), daemon=True).start()
        ready.wait()
        data = rest(client)
    if data and not data.endswith(b"\r\n"): os._exit(1)
    numbers = [int(line[1:]) for line in data.split(b"\r\n")[:-1]]
    if numbers != sorted(set(numbers)): os._exit(2)
    replies[index] = 1 + len(numbers)
threads = [threading.Thread(target=receive, args=(i,)) for i in range(clients)]
for thread in threads: thread.start()
ready.wait()
while int(talk(request("GET", "n")).split(b"\r\n")[1]) < 20000: replies.append(1)
replies.append(1)
os.kill(int(sys.argv[2]), signal.SIGTERM)
for thread in threads: thread.join()
print(sum(replies))
END
  end_server
  expect "replies, with $threads threads" "$(cat end.out)" "$replies"
done

echo "kv_server serves its clients ($replies replies at its end)"
