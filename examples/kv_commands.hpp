// The commands of kv_server, over a cache of strings.
#pragma once

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <limits>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <lockmap/lockmap.hpp>

#include "resp.hpp"

namespace example {

// Any number of threads may execute commands at once. Each command is atomic, those of several keys
// too, but for FLUSHALL and DBSIZE, which go through the keys.
//
// Commands take keys with the blocking calls. On an executor's thread that is right because a
// command holds keys only while it runs: none is held across a co_await, so whoever is waited for
// runs on another thread and is about to release. A command that had to suspend while it holds a
// key would take it by `async_entry`, and so would then every other command that wants such keys.
class Commands {
 public:
  // A shard does not keep a value that is heavier than its part of the bound, so `largest` decides
  // how many shards there may be.
  Commands(std::size_t max_bytes, std::size_t largest)
      : values_({.shard_count = std::clamp<std::size_t>(max_bytes / 2 / largest, 1, most_shards),
                 .max_weight = max_bytes},
                {.on_evict = {}, .weigh = bytes}) {}

  // Whether the client may go on.
  enum class Next { read, close };

  // Executes a request of one argument or more, and appends its reply.
  Next execute(resp::Arguments request, std::string& out) {
    const std::size_t start = out.size();
    try {
      resp::Replies replies(out);
      const Command* const command = find(request.front());
      if (command == nullptr) {
        replies.error("ERR unknown command '" + std::string(request.front().substr(0, 128)) + "'");
      } else if (request.size() < command->least || request.size() > command->most) {
        wrong_number(command->name, replies);
      } else {
        (this->*command->run)(request, replies);
        if (command->name == "QUIT") return Next::close;
      }
    } catch (const std::bad_alloc&) {
      out.resize(start);
      resp::Replies(out).error("OOM out of memory");
    } catch (const std::exception& error) {
      out.resize(start);
      resp::Replies(out).error("ERR " + std::string(error.what()));
    }
    return Next::read;
  }

 private:
  using Arguments = resp::Arguments;
  using Replies = resp::Replies;
  using Values = lockmap::LruLockMap<std::string, std::string>;
  using Milliseconds = std::chrono::milliseconds;

  struct Command {
    std::string_view name;
    std::size_t least;  // arguments, with the name
    std::size_t most;
    void (Commands::*run)(Arguments, Replies&);
  };

  // About what a key takes besides its text and its value's.
  static constexpr std::size_t bytes_per_key = 128;

  static constexpr std::size_t most_shards = 64;

  static std::size_t bytes(const std::string& key, const std::string& value) {
    return key.size() + value.size() + bytes_per_key;
  }

  // -- Texts --------------------------------------------------------------------------------------

  static constexpr char upper(char letter) {
    return letter >= 'a' && letter <= 'z' ? static_cast<char>(letter - 'a' + 'A') : letter;
  }

  // A word of up to 8 letters as one number, whatever their case; 0 for anything else.
  static constexpr std::uint64_t packed(std::string_view word) {
    std::uint64_t number = 0;
    if (word.size() > sizeof number) return 0;
    for (const char letter : word) {
      if (letter == '\0') return 0;
      number = number << 8U | static_cast<unsigned char>(upper(letter));
    }
    return number;
  }

  static bool is(std::string_view argument, std::string_view word) {
    return packed(argument) == packed(word);
  }

  static const Command* find(std::string_view name);

  static void wrong_number(std::string_view name, Replies& replies) {
    std::string shown;
    for (const char letter : name) shown += static_cast<char>(letter - 'A' + 'a');
    replies.error("ERR wrong number of arguments for '" + shown + "' command");
  }
  static void syntax_error(Replies& replies) { replies.error("ERR syntax error"); }
  static void not_an_integer(Replies& replies) {
    replies.error("ERR value is not an integer or out of range");
  }

  // -- Of the connection and the server -----------------------------------------------------------

  void ping(Arguments request, Replies& replies) {
    if (request.size() == 1) {
      replies.simple("PONG");
    } else {
      replies.bulk(request[1]);
    }
  }
  void echo(Arguments request, Replies& replies) { replies.bulk(request[1]); }
  void quit(Arguments /*request*/, Replies& replies) { replies.ok(); }

  // redis-cli asks what commands there are, to give hints; it goes on without.
  void command(Arguments request, Replies& replies) {
    if (request.size() > 1 && is(request[1], "COUNT")) {
      replies.integer(commands().size());
    } else {
      replies.array(0);
    }
  }

  // redis-benchmark asks for `save` and `appendonly`.
  void config(Arguments request, Replies& replies) {
    if (!is(request[1], "GET")) return replies.error("ERR only CONFIG GET is supported");
    const std::array<std::pair<std::string_view, std::string>, 3> settings{{
        {"save", ""},
        {"appendonly", "no"},
        {"maxmemory", std::to_string(values_.max_weight())},
    }};
    const auto same_letter = [](char one, char other) { return upper(one) == upper(other); };
    const auto is_wanted = [&](const auto& setting) {
      const std::string_view name = setting.first;
      return std::any_of(request.begin() + 2, request.end(), [&](std::string_view wanted) {
        return std::equal(name.begin(), name.end(), wanted.begin(), wanted.end(), same_letter);
      });
    };
    const auto count = std::count_if(settings.begin(), settings.end(), is_wanted);
    replies.array(2 * static_cast<std::size_t>(count));
    for (const auto& setting : settings) {
      if (!is_wanted(setting)) continue;
      replies.bulk(setting.first);
      replies.bulk(setting.second);
    }
  }

  // Clients introduce themselves.
  void client(Arguments request, Replies& replies) {
    if (is(request[1], "SETNAME") || is(request[1], "SETINFO")) return replies.ok();
    if (is(request[1], "GETNAME")) return replies.null();
    replies.error("ERR only CLIENT SETNAME, SETINFO and GETNAME are supported");
  }

  // -- Of one key ---------------------------------------------------------------------------------

  void get(Arguments request, Replies& replies) {
    if (!values_.read(request[1], [&](const std::string& value) { replies.bulk(value); })) {
      replies.null();
    }
  }

  void set(Arguments request, Replies& replies) {
    if (request.size() == 3) {
      values_.insert(request[1], std::string(request[2]));
      return replies.ok();
    }
    std::optional<lockmap::ExpiresIn> expires;
    bool if_absent = false;
    bool if_present = false;
    for (std::size_t i = 3; i < request.size(); ++i) {
      const bool in_seconds = is(request[i], "EX");
      if (is(request[i], "NX")) {
        if_absent = true;
      } else if (is(request[i], "XX")) {
        if_present = true;
      } else if ((in_seconds || is(request[i], "PX")) && i + 1 < request.size() &&
                 !expires.has_value()) {
        const auto time = parse_time("set", request[++i], in_seconds, replies);
        if (!time.has_value()) return;
        if (time->count() <= 0) return invalid_time("set", replies);
        expires = lockmap::ExpiresIn(*time);
      } else {
        return syntax_error(replies);
      }
    }
    if (if_absent && if_present) return syntax_error(replies);
    auto entry = values_.entry(request[1]);
    if (entry.has_value() ? if_absent : if_present) return replies.null();
    entry.insert(std::string(request[2]));
    if (expires.has_value()) entry.expire_in(*expires);
    replies.ok();
  }

  void setnx(Arguments request, Replies& replies) {
    replies.boolean(values_.try_insert(request[1], std::string(request[2])));
  }

  void incr(Arguments request, Replies& replies) { add(request[1], 1, replies); }
  void decr(Arguments request, Replies& replies) { add(request[1], -1, replies); }
  void incrby(Arguments request, Replies& replies) {
    const auto number = resp::parse_integer(request[2]);
    if (!number.has_value()) return not_an_integer(replies);
    add(request[1], *number, replies);
  }

  // Changes the value in place, so that its time goes on.
  void add(std::string_view key, std::int64_t summand, Replies& replies) {
    auto entry = values_.entry(key);
    std::int64_t sum = 0;
    if (const std::string* const value = entry.get()) {
      const auto number = resp::parse_integer(*value);
      if (!number.has_value()) return not_an_integer(replies);
      sum = *number;
    }
    using Range = std::numeric_limits<std::int64_t>;
    if (summand > 0 ? sum > Range::max() - summand : sum < Range::min() - summand) {
      return replies.error("ERR increment or decrement would overflow");
    }
    sum += summand;
    char text[Range::digits10 + 2];
    const char* const end = std::to_chars(text, text + sizeof text, sum).ptr;
    entry.or_insert({}).assign(text, static_cast<std::size_t>(end - text));
    replies.integer(sum);
  }

  void expire(Arguments request, Replies& replies) { expire("expire", request, true, replies); }
  void pexpire(Arguments request, Replies& replies) { expire("pexpire", request, false, replies); }

  void expire(const char* command, Arguments request, bool in_seconds, Replies& replies) {
    const auto time = parse_time(command, request[2], in_seconds, replies);
    if (!time.has_value()) return;
    auto entry = values_.find_entry(request[1]);
    if (entry.has_value()) entry->expire_in(*time);
    replies.boolean(entry.has_value());
  }

  void ttl(Arguments request, Replies& replies) {
    const std::int64_t time = time_left(request[1]);
    replies.integer(time < 0 ? time : time / 1000 + (time % 1000 >= 500 ? 1 : 0));
  }
  void pttl(Arguments request, Replies& replies) { replies.integer(time_left(request[1])); }

  // In milliseconds; or what Redis says: -1 for ever, -2 no value.
  std::int64_t time_left(std::string_view key) {
    const auto entry = values_.find_entry(key);
    if (!entry.has_value()) return -2;
    const auto end = entry->expires_at();
    if (!end.has_value()) return -1;
    const auto left = *end - std::chrono::steady_clock::now();
    return std::max<std::int64_t>(std::chrono::ceil<Milliseconds>(left).count(), 0);
  }

  // If there is none, the reply says so.
  static std::optional<Milliseconds> parse_time(const char* command, std::string_view text,
                                                bool in_seconds, Replies& replies) {
    const auto number = resp::parse_integer(text);
    if (!number.has_value()) {
      not_an_integer(replies);
      return std::nullopt;
    }
    constexpr std::int64_t most = std::numeric_limits<std::int64_t>::max() / 1000;
    if (in_seconds && (*number > most || *number < -most)) {
      invalid_time(command, replies);
      return std::nullopt;
    }
    return Milliseconds(in_seconds ? *number * 1000 : *number);
  }
  static void invalid_time(const char* command, Replies& replies) {
    replies.error("ERR invalid expire time in '" + std::string(command) + "' command");
  }

  // -- Of several keys ----------------------------------------------------------------------------

  void del(Arguments request, Replies& replies) {
    if (request.size() == 2) return replies.boolean(values_.remove(request[1]).has_value());
    std::size_t removed = 0;
    for (auto& entry : values_.batch_lock(request.subspan(1))) {
      if (entry.remove().has_value()) ++removed;
    }
    replies.integer(removed);
  }

  // Counts a key as often as it is named.
  void exists(Arguments request, Replies& replies) {
    const Arguments keys = request.subspan(1);
    const auto batch = values_.shared_batch_lock(keys);
    replies.integer(static_cast<std::int64_t>(
        std::count_if(keys.begin(), keys.end(),
                      [&](std::string_view key) { return batch.at(key).has_value(); })));
  }

  void mget(Arguments request, Replies& replies) {
    const Arguments keys = request.subspan(1);
    const auto batch = values_.shared_batch_lock(keys);
    replies.array(keys.size());
    for (const std::string_view key : keys) {
      if (const std::string* const value = batch.at(key).get()) {
        replies.bulk(*value);
      } else {
        replies.null();
      }
    }
  }

  // If memory runs out within, some values are new.
  void mset(Arguments request, Replies& replies) {
    if (request.size() % 2 == 0) return wrong_number("MSET", replies);
    std::vector<std::string_view> keys;
    keys.reserve(request.size() / 2);
    for (std::size_t i = 1; i < request.size(); i += 2) keys.push_back(request[i]);
    auto batch = values_.batch_lock(keys);
    for (std::size_t i = 1; i < request.size(); i += 2) {
      batch.at(request[i]).insert(std::string(request[i + 1]));
    }
    replies.ok();
  }

  // -- Of all keys --------------------------------------------------------------------------------

  void dbsize(Arguments /*request*/, Replies& replies) { replies.integer(values_.size()); }

  void flushall(Arguments request, Replies& replies) {
    if (request.size() == 2 && !is(request[1], "SYNC") && !is(request[1], "ASYNC")) {
      return syntax_error(replies);
    }
    values_.clear();
    replies.ok();
  }

  static constexpr std::size_t command_count = 23;
  static const std::array<Command, command_count>& commands();

  Values values_;
};

inline auto Commands::commands() -> const std::array<Command, command_count>& {
  constexpr std::size_t any = std::numeric_limits<std::size_t>::max();
  static constexpr std::array<Command, command_count> table{{
      {"GET", 2, 2, &Commands::get},           {"SET", 3, any, &Commands::set},
      {"INCR", 2, 2, &Commands::incr},         {"MGET", 2, any, &Commands::mget},
      {"MSET", 3, any, &Commands::mset},       {"DEL", 2, any, &Commands::del},
      {"EXISTS", 2, any, &Commands::exists},   {"SETNX", 3, 3, &Commands::setnx},
      {"INCRBY", 3, 3, &Commands::incrby},     {"DECR", 2, 2, &Commands::decr},
      {"EXPIRE", 3, 3, &Commands::expire},     {"PEXPIRE", 3, 3, &Commands::pexpire},
      {"TTL", 2, 2, &Commands::ttl},           {"PTTL", 2, 2, &Commands::pttl},
      {"PING", 1, 2, &Commands::ping},         {"ECHO", 2, 2, &Commands::echo},
      {"DBSIZE", 1, 1, &Commands::dbsize},     {"FLUSHALL", 1, 2, &Commands::flushall},
      {"COMMAND", 1, any, &Commands::command}, {"CONFIG", 3, any, &Commands::config},
      {"CLIENT", 2, any, &Commands::client},   {"QUIT", 1, any, &Commands::quit},
      {"FLUSHDB", 1, 2, &Commands::flushall},
  }};
  return table;
}

inline const Commands::Command* Commands::find(std::string_view name) {
  static const auto names = [] {
    std::array<std::uint64_t, command_count> words{};
    std::transform(commands().begin(), commands().end(), words.begin(),
                   [](const Command& command) { return packed(command.name); });
    return words;
  }();
  const auto found = std::find(names.begin(), names.end(), packed(name));
  if (found == names.end()) return nullptr;
  return &commands()[static_cast<std::size_t>(found - names.begin())];
}

}  // namespace example
