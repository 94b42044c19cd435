// A thin C++ face of hiredis: a client with a pool of connections, replies, and clear errors.
#pragma once

#include <hiredis/hiredis.h>

#include <cerrno>
#include <chrono>
#include <cstddef>
#include <initializer_list>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace example::redis {

struct Server {
  std::string host;
  int port;
  std::chrono::milliseconds timeout;  // for connecting, and for each command

  std::string name() const { return host + ":" + std::to_string(port); }
};

// what() is "host:port: command: what is wrong". The command had no effect, unless the error is a
// ConnectionLost.
struct Error : std::runtime_error {
  Error(const Server& server, const std::string& command, const std::string& problem)
      : Error(server.name() + ": " + command + ": " + problem) {}

 protected:
  explicit Error(const std::string& message) : std::runtime_error(message) {}
};

// The command was sent, at least in part, and no answer came: it may have been executed or not.
struct ConnectionLost : Error {
  using Error::Error;
};

class Reply {
 public:
  explicit Reply(redisReply* reply) : reply_(reply) {}

  explicit operator bool() const { return reply_ != nullptr; }
  bool is_error() const { return reply_->type == REDIS_REPLY_ERROR; }
  long long integer() const { return reply_->integer; }
  // Empty for "there is no such key".
  std::optional<std::string> text() const {
    if (reply_->type == REDIS_REPLY_NIL) return std::nullopt;
    return std::string(reply_->str, reply_->len);
  }

 private:
  struct Free {
    void operator()(redisReply* reply) const { freeReplyObject(reply); }
  };
  std::unique_ptr<redisReply, Free> reply_;
};

// A Lua script, which Redis runs without interruption.
struct Script {
  std::string_view name;  // for error messages
  std::string_view text;
};

// Any number of threads may use it: each command has a connection to itself, taken from those that
// are idle or made anew. One that failed is closed, so the next command connects again. The process
// must ignore SIGPIPE, which hiredis would cause by writing to a connection that the server closed.
class Client {
 public:
  explicit Client(Server server) : server_(std::move(server)) {}

  const Server& server() const { return server_; }

  // For commands of the form NAME KEY. Throws Error.
  Reply command(std::string_view name, std::string_view key) {
    return run({name, key}, std::string(name) + " " + std::string(key));
  }

  // Sends the text each time: a server that was restarted does not know it any more. Throws Error.
  Reply eval(const Script& script, std::initializer_list<std::string_view> keys,
             std::initializer_list<std::string_view> arguments) {
    const std::string key_count = std::to_string(keys.size());
    std::vector<std::string_view> words = {"EVAL", script.text, key_count};
    words.insert(words.end(), keys);
    words.insert(words.end(), arguments);
    return run(words, "EVAL " + std::string(script.name) + " " + std::string(*keys.begin()));
  }

 private:
  struct Free {
    void operator()(redisContext* context) const { redisFree(context); }
  };
  using Connection = std::unique_ptr<redisContext, Free>;

  // `shown` stands for the command in error messages.
  Reply run(const std::vector<std::string_view>& words, const std::string& shown) {
    std::vector<const char*> texts;
    std::vector<std::size_t> sizes;
    for (const std::string_view word : words) {
      texts.push_back(word.data());
      sizes.push_back(word.size());
    }

    Connection connection = take_idle();
    if (!connection) connection = connect(shown);
    Reply reply(static_cast<redisReply*>(redisCommandArgv(
        connection.get(), static_cast<int>(texts.size()), texts.data(), sizes.data())));
    if (!reply) {
      const std::string problem = describe(*connection, errno);
      close_idle();  // most likely they are as dead as this one
      throw ConnectionLost(server_, shown, problem);
    }
    give_back(std::move(connection));
    if (reply.is_error()) throw Error(server_, shown, reply.text().value());
    return reply;
  }

  Connection connect(const std::string& shown) const {
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(server_.timeout);
    const std::chrono::microseconds rest = server_.timeout - seconds;
    const timeval timeout{.tv_sec = seconds.count(), .tv_usec = rest.count()};
    Connection connection(redisConnectWithTimeout(server_.host.c_str(), server_.port, timeout));
    if (!connection) throw Error(server_, shown, "out of memory");
    if (connection->err == 0) redisSetTimeout(connection.get(), timeout);
    if (connection->err != 0) throw Error(server_, shown, connection->errstr);
    return connection;
  }

  std::string describe(const redisContext& context, int error_number) const {
    if (context.err == REDIS_ERR_IO && error_number == EAGAIN) {
      return "no answer within " + std::to_string(server_.timeout.count()) + " ms";
    }
    return context.errstr;
  }

  Connection take_idle() {
    const std::lock_guard lock(mutex_);
    if (idle_.empty()) return nullptr;
    Connection connection = std::move(idle_.back());
    idle_.pop_back();
    return connection;
  }

  void give_back(Connection connection) {
    const std::lock_guard lock(mutex_);
    idle_.push_back(std::move(connection));
  }

  void close_idle() {
    const std::lock_guard lock(mutex_);
    idle_.clear();
  }

  const Server server_;
  std::mutex mutex_;
  std::vector<Connection> idle_;
};

}  // namespace example::redis
