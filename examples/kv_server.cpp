// A server that redis-cli, redis-benchmark and other clients of Redis can talk to: a part of its
// commands on strings, over a cache with a bound in bytes, on threads that share the keys.
//
// A coroutine serves each connection, on the thread that got it: it reads what there is, executes
// all whole requests of that, writes all their replies at once, and reads again. Each thread has an
// io_context of its own, so that nothing but the cache is shared; a key's lock keeps commands of
// different connections apart.
//
// SIGTERM and SIGINT end it: no further connection is accepted, the requests that have arrived are
// executed, their replies are written, and the program says how many there were.
#include <algorithm>
#include <asio.hpp>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <exception>
#include <iostream>
#include <memory>
#include <numeric>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <unordered_set>
#include <utility>
#include <vector>

#include "absl/flags/flag.h"
#include "flags.hpp"
#include "kv_commands.hpp"
#include "program.hpp"
#include "resp.hpp"
#include "support.hpp"

using Port = std::optional<support::Whole<0, 65535>>;
using Threads = support::Whole<1, 1024>;
using Bytes = support::Whole<1, std::uint64_t{1} << 50U>;
using RequestBytes = support::Whole<64, std::uint64_t{1} << 30U>;
using Count = support::Whole<1, 1'000'000'000>;

ABSL_FLAG(std::string, bind, "127.0.0.1",
          "the address to listen at; anybody there may do anything");
ABSL_FLAG(Port, port, std::nullopt, "the port; 0: one that is free, which is printed");
ABSL_FLAG(Threads, threads, Threads{1}, "threads that serve");
ABSL_FLAG(Bytes, max_bytes, Bytes{std::uint64_t{256} << 20U},
          "bound of the keys and values; what was not used for longest goes");
ABSL_FLAG(RequestBytes, max_bulk, RequestBytes{example::resp::Limits().bulk},
          "longest key or value that a request may have");
ABSL_FLAG(RequestBytes, max_request, RequestBytes{example::resp::Limits().request},
          "longest request");
ABSL_FLAG(RequestBytes, max_line, RequestBytes{example::resp::Limits().line},
          "longest request that is a line of words");
ABSL_FLAG(Count, max_arguments, Count{example::resp::Limits().arguments},
          "most arguments that a request may have");

namespace {

using asio::ip::tcp;
using example::Commands;
using example::resp::Limits;
using example::resp::Parser;
using example::resp::ProtocolError;
using example::resp::Replies;

constexpr const char* usage =
    "Serves strings to clients of Redis. Ends at SIGTERM and SIGINT.\n"
    "\n"
    "Usage: kv_server --port N [options]";

// The bytes that have arrived and are not yet used up.
class Input {
 public:
  std::string_view text() const { return {bytes_.get() + begin_, end_ - begin_}; }

  // Room for more, behind the text, which may move.
  asio::mutable_buffer room() {
    if (begin_ == end_) {
      begin_ = end_ = 0;
      if (capacity_ > usual) reset(usual);
    }
    if (capacity_ - end_ < least && begin_ > 0) {
      std::memmove(bytes_.get(), bytes_.get() + begin_, end_ - begin_);
      end_ -= std::exchange(begin_, 0);
    }
    if (capacity_ - end_ < least) reset(2 * capacity_);
    return {bytes_.get() + end_, capacity_ - end_};
  }
  void add(std::size_t size) { end_ += size; }
  void use_up(std::size_t size) { begin_ += size; }
  void clear() { begin_ = end_; }

 private:
  static constexpr std::size_t usual = std::size_t{16} * 1024;
  static constexpr std::size_t least = usual / 4;

  void reset(std::size_t capacity) {
    std::unique_ptr<char[]> bytes(new char[capacity]);  // not initialised
    if (end_ > 0) std::memcpy(bytes.get(), bytes_.get(), end_);
    bytes_ = std::move(bytes);
    capacity_ = capacity;
  }

  std::size_t capacity_ = usual;
  std::unique_ptr<char[]> bytes_{new char[usual]};
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
};

// The connections of one thread, which is the only one to use it, but for `serve` and `stop`.
class Worker {
 public:
  Worker(Commands& commands, const Limits& limits) : commands_(commands), limits_(limits) {}

  // Until stop() was called and all connections are closed.
  void run() { context_.run(); }

  asio::io_context& context() { return context_; }

  // Takes over the socket of a connection.
  void serve(const tcp& protocol, int socket) {
    asio::post(context_, [this, protocol, socket] {
      const auto connection = std::make_shared<Connection>(context_, protocol, socket, limits_);
      connections_.insert(connection);
      asio::co_spawn(context_, serve(connection), [this, connection](std::exception_ptr failure) {
        connections_.erase(connection);
        end_grace_if_done();
        // Memory is short: the connection is lost, and nothing else.
        if (failure) std::cerr << "kv_server: a connection failed\n";
      });
    });
  }

  // Connections end as soon as what has arrived is answered. Those whose clients do not read are
  // cut off after a while.
  void stop() {
    asio::post(context_, [this] {
      is_stopping_ = true;
      work_.reset();
      for (const auto& connection : connections_) {
        if (connection->is_reading) connection->socket.cancel();
      }
      grace_.expires_after(grace);
      grace_.async_wait([this](std::error_code error) {
        if (!error) context_.stop();
      });
      end_grace_if_done();
    });
  }

  // Written so far.
  std::uint64_t replies() const { return replies_; }

 private:
  static constexpr std::size_t most_output = std::size_t{1} << 20U;  // before it is written
  static constexpr std::chrono::seconds grace{5};

  struct Connection {
    Connection(asio::io_context& context, const tcp& protocol, int native, const Limits& limits)
        : socket(context, protocol, native), timer(context), parser(limits) {
      socket.non_blocking(true);
      socket.set_option(tcp::no_delay(true));
    }

    tcp::socket socket;
    asio::steady_timer timer;
    Parser parser;
    Input input;
    std::string output;
    std::uint64_t replies = 0;  // in the output
    bool is_reading = false;    // waits for requests
  };

  // A connection goes on with this when its replies are written.
  enum class Next { read, execute, close };

  asio::awaitable<void> serve(std::shared_ptr<Connection> shared) {
    Connection& connection = *shared;
    std::error_code error;
    auto token = asio::redirect_error(asio::use_awaitable, error);
    for (Next next = Next::read; next != Next::close;) {
      const bool is_last = is_stopping_;
      if (is_last) {
        read_arrived(connection);
      } else {
        connection.is_reading = true;
        const std::size_t size =
            co_await connection.socket.async_read_some(connection.input.room(), token);
        connection.is_reading = false;
        if (error && is_stopping_) continue;
        if (error) co_return;  // also at the end of what the client sends: all is answered
        connection.input.add(size);
      }
      do {
        next = execute(connection);
        const std::string& output = connection.output;
        // Mostly there is room for all of it, and no need to suspend.
        std::size_t written = connection.socket.write_some(asio::buffer(output), error);
        if (written < output.size() && (!error || error == asio::error::would_block)) {
          const auto rest = asio::buffer(output) + written;
          co_await asio::async_write(connection.socket, rest, token);
        }
        if (error) co_return;
        replies_ += std::exchange(connection.replies, 0);
        connection.output.clear();
        if (connection.output.capacity() > most_output) connection.output.shrink_to_fit();
      } while (next == Next::execute);
      if (is_last) next = Next::close;
    }
    // To close while there is something that nobody has read would reset the connection, and the
    // client could lose replies that are under way to it.
    connection.socket.shutdown(tcp::socket::shutdown_send, error);
    connection.timer.expires_after(grace);
    connection.timer.async_wait([weak = std::weak_ptr(shared)](std::error_code cancelled) {
      const auto late = weak.lock();
      if (!cancelled && late) late->socket.cancel();
    });
    do {
      connection.input.clear();
      co_await connection.socket.async_read_some(connection.input.room(), token);
    } while (!error);
  }

  // Executes the whole requests of the input, unless their replies become too many.
  Next execute(Connection& connection) {
    try {
      while (const std::size_t size = connection.parser.parse(connection.input.text())) {
        const auto request = connection.parser.arguments();
        if (!request.empty()) {
          const auto next = commands_.execute(request, connection.output);
          ++connection.replies;
          if (next == Commands::Next::close) return Next::close;
        }
        connection.input.use_up(size);
        if (connection.output.size() >= most_output) return Next::execute;
      }
      return Next::read;
    } catch (const ProtocolError& error) {
      Replies(connection.output).error("ERR " + std::string(error.what()));
      ++connection.replies;
      return Next::close;
    }
  }

  // All that is there now, and not what a client may go on to send.
  static void read_arrived(Connection& connection) {
    std::error_code error;
    for (std::size_t left = connection.socket.available(error); left > 0 && !error;) {
      const std::size_t size = connection.socket.read_some(connection.input.room(), error);
      connection.input.add(size);
      left -= std::min(left, size);
    }
  }

  void end_grace_if_done() {
    if (is_stopping_ && connections_.empty()) grace_.cancel();
  }

  Commands& commands_;
  const Limits limits_;
  // One thread runs it, so sockets need no locks.
  asio::io_context context_{ASIO_CONCURRENCY_HINT_UNSAFE_IO};
  asio::executor_work_guard<asio::io_context::executor_type> work_{context_.get_executor()};
  asio::steady_timer grace_{context_};
  std::unordered_set<std::shared_ptr<Connection>> connections_;
  bool is_stopping_ = false;
  std::uint64_t replies_ = 0;
};

class Server {
 public:
  Server(const tcp::endpoint& endpoint, std::size_t threads, std::size_t max_bytes,
         const Limits& limits)
      : commands_(max_bytes, limits.bulk), workers_(make_workers(threads, limits)) {
    listen(endpoint);
  }

  tcp::endpoint endpoint() const { return acceptor_.local_endpoint(); }

  // Until a signal. Returns how many replies were written.
  std::uint64_t run() {
    signals_.async_wait([this](std::error_code /*error*/, int /*signal*/) {
      acceptor_.close();
      pause_.cancel();
      for (const auto& worker : workers_) worker->stop();
    });
    asio::co_spawn(first().context(), accept(), asio::detached);
    example::run_threads(static_cast<unsigned>(workers_.size()),
                         [this](unsigned index) { workers_[index]->run(); });
    return std::accumulate(
        workers_.begin(), workers_.end(), std::uint64_t{0},
        [](std::uint64_t sum, const auto& worker) { return sum + worker->replies(); });
  }

 private:
  std::vector<std::unique_ptr<Worker>> make_workers(std::size_t threads, const Limits& limits) {
    std::vector<std::unique_ptr<Worker>> workers;
    for (std::size_t i = 0; i < threads; ++i) {
      workers.push_back(std::make_unique<Worker>(commands_, limits));
    }
    return workers;
  }

  Worker& first() { return *workers_.front(); }

  void listen(const tcp::endpoint& endpoint) {
    try {
      acceptor_.open(endpoint.protocol());
      acceptor_.set_option(tcp::acceptor::reuse_address(true));
      acceptor_.bind(endpoint);
      acceptor_.listen();
    } catch (const std::system_error& error) {
      std::ostringstream message;
      message << "cannot listen at " << endpoint << ": " << error.code().message();
      throw std::runtime_error(message.str());
    }
  }

  // Gives connections to the workers in turn.
  asio::awaitable<void> accept() {
    std::error_code error;
    auto token = asio::redirect_error(asio::use_awaitable, error);
    for (std::size_t turn = 0; acceptor_.is_open();) {
      tcp::socket socket = co_await acceptor_.async_accept(token);
      if (!error) {
        const tcp protocol = acceptor_.local_endpoint().protocol();
        workers_[turn++ % workers_.size()]->serve(protocol, socket.release());
      } else if (acceptor_.is_open()) {  // there are too many already
        pause_.expires_after(std::chrono::milliseconds(100));
        co_await pause_.async_wait(token);
      }
    }
  }

  Commands commands_;
  std::vector<std::unique_ptr<Worker>> workers_;
  tcp::acceptor acceptor_{first().context()};
  asio::signal_set signals_{first().context(), SIGINT, SIGTERM};
  asio::steady_timer pause_{first().context()};
};

tcp::endpoint endpoint(std::uint64_t port) {
  std::error_code error;
  const std::string text = absl::GetFlag(FLAGS_bind);
  const auto address = asio::ip::make_address(text, error);
  if (error) throw example::InputError("--bind: '" + text + "' is not an address");
  return {address, static_cast<std::uint16_t>(port)};
}

int serve(std::uint64_t port) {
  Server server(endpoint(port), absl::GetFlag(FLAGS_threads).value,
                absl::GetFlag(FLAGS_max_bytes).value,
                {.line = absl::GetFlag(FLAGS_max_line).value,
                 .arguments = absl::GetFlag(FLAGS_max_arguments).value,
                 .bulk = absl::GetFlag(FLAGS_max_bulk).value,
                 .request = absl::GetFlag(FLAGS_max_request).value});
  std::cout << "listening: " << server.endpoint() << std::endl;
  std::cout << "replies: " << server.run() << std::endl;
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  return example::run_program("kv_server", [&] {
    const std::vector<std::string> rest = support::parse_command_line(argc, argv, usage);
    if (!rest.empty()) throw example::InputError("unexpected '" + rest.front() + "'");
    const auto port = absl::GetFlag(FLAGS_port);
    if (!port.has_value()) return example::show_usage(usage);
    return serve(port->value);
  });
}
