// RESP2, the protocol of Redis, as a server sees it: requests that arrive in pieces, and replies.
#pragma once

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace example::resp {

// Of one request. Nothing is allocated for what a client only announces.
struct Limits {
  std::size_t line = std::size_t{64} * 1024;         // an inline request, or a line with a number
  std::size_t arguments = std::size_t{1024} * 1024;  // with the command
  std::size_t bulk = std::size_t{16} * 1024 * 1024;  // one argument
  std::size_t request = std::size_t{64} * 1024 * 1024;  // all of it
};

// The client does not speak the protocol, so nothing that follows can be understood.
struct ProtocolError : std::runtime_error {
  explicit ProtocolError(const std::string& what) : std::runtime_error("Protocol error: " + what) {}
};

using Arguments = std::span<const std::string_view>;

// An integer as Redis writes it: without blanks, a plus sign or leading zeros.
inline std::optional<std::int64_t> parse_integer(std::string_view text) {
  std::int64_t number = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, number);
  if (error != std::errc() || rest != end) return std::nullopt;
  const std::size_t first = number < 0 || text.front() == '-' ? 1 : 0;
  if (text[first] == '0' && text.size() > 1) return std::nullopt;
  return number;
}

// Finds requests. What is known of one that has arrived in part is kept, so that each byte is
// looked at once, however small the pieces are.
class Parser {
 public:
  explicit Parser(const Limits& limits) : limits_(limits) {}

  // The size of the request at the front of `input`, whose arguments() are then there; 0 if it is
  // not whole, and then the next call must be given the same again with more behind it. Throws
  // ProtocolError.
  std::size_t parse(std::string_view input) {
    if (cursor_ == 0 && !begin(input)) return 0;
    while (missing_ > 0) {
      if (!parse_bulk(input)) return 0;
    }
    arguments_.clear();
    for (const Place& place : places_) {
      arguments_.push_back(input.substr(place.offset, place.size));
    }
    const std::size_t size = cursor_;
    cursor_ = 0;
    places_.clear();
    return size;
  }

  // Of the last whole request, as parts of the input; none for an empty line.
  Arguments arguments() const { return arguments_; }

 private:
  struct Place {
    std::size_t offset;
    std::size_t size;
  };

  // The first line: either of an array, or all of an inline request.
  bool begin(std::string_view input) {
    if (input.empty()) return false;
    const bool is_array = input.front() == '*';
    const auto line =
        next_line(input, is_array ? "too big mbulk count string" : "too big inline request");
    if (!line.has_value()) return false;
    if (!is_array) {
      split(*line);
      return true;
    }
    const auto count = parse_integer(line->substr(1));
    if (!count.has_value() || *count > static_cast<std::int64_t>(limits_.arguments)) {
      throw ProtocolError("invalid multibulk length");
    }
    missing_ = *count > 0 ? static_cast<std::size_t>(*count) : 0;
    return true;
  }

  bool parse_bulk(std::string_view input) {
    if (!bulk_.has_value()) {
      if (cursor_ == input.size()) return false;
      if (input[cursor_] != '$') {
        throw ProtocolError("expected '$', got " + shown(input[cursor_]));
      }
      const auto line = next_line(input, "too big bulk count string");
      if (!line.has_value()) return false;
      const auto size = parse_integer(line->substr(1));
      if (!size.has_value() || *size < 0 || *size > static_cast<std::int64_t>(limits_.bulk)) {
        throw ProtocolError("invalid bulk length");
      }
      bulk_ = static_cast<std::size_t>(*size);
      if (cursor_ + *bulk_ + 2 > limits_.request) throw ProtocolError("too big request");
    }
    if (input.size() < cursor_ + *bulk_ + 2) return false;
    if (input[cursor_ + *bulk_] != '\r' || input[cursor_ + *bulk_ + 1] != '\n') {
      throw ProtocolError("a bulk string without its end");
    }
    places_.push_back({cursor_, *bulk_});
    cursor_ += *bulk_ + 2;
    bulk_.reset();
    --missing_;
    return true;
  }

  // The line at the cursor, which goes behind it; empty if its end is not there yet. Lines that
  // people type may end without '\r'.
  std::optional<std::string_view> next_line(std::string_view input, const char* too_long) {
    const std::string_view rest = input.substr(cursor_, limits_.line);
    const std::size_t end = rest.find('\n');
    if (end == std::string_view::npos) {
      if (rest.size() == limits_.line) throw ProtocolError(too_long);
      return std::nullopt;
    }
    cursor_ += end + 1;
    return rest.substr(0, end > 0 && rest[end - 1] == '\r' ? end - 1 : end);
  }

  // An inline request: words and blanks, without quotes.
  void split(std::string_view line) {
    constexpr const char* blanks = " \t";
    for (std::size_t start = line.find_first_not_of(blanks); start != std::string_view::npos;) {
      const std::size_t end = std::min(line.find_first_of(blanks, start), line.size());
      places_.push_back({start, end - start});
      start = line.find_first_not_of(blanks, end);
    }
    if (places_.size() > limits_.arguments) throw ProtocolError("too many arguments");
  }

  static std::string shown(char byte) {
    if (byte >= ' ' && byte <= '~') return {'\'', byte, '\''};
    return "byte " + std::to_string(static_cast<unsigned char>(byte));
  }

  const Limits limits_;
  std::size_t cursor_ = 0;           // what is in front of it is understood; 0: no line is
  std::size_t missing_ = 0;          // arguments behind it
  std::optional<std::size_t> bulk_;  // the size of the next one, once it is known
  std::vector<Place> places_;        // of the arguments in front of it
  std::vector<std::string_view> arguments_;
};

// Appends replies to a text.
class Replies {
 public:
  explicit Replies(std::string& text) : text_(text) {}

  void simple(std::string_view message) { line('+', message); }
  void ok() { text_ += "+OK\r\n"; }
  void null() { text_ += "$-1\r\n"; }

  // A message may quote what a client sent: it must stay one line, and not too long.
  void error(std::string_view message) {
    constexpr std::size_t longest = 256;
    const std::size_t start = text_.size();
    line('-', message.substr(0, longest));
    for (std::size_t i = start; i + 2 < text_.size(); ++i) {
      if (text_[i] == '\r' || text_[i] == '\n') text_[i] = ' ';
    }
  }

  void integer(std::int64_t number) { number_line(':', number); }
  void integer(std::size_t number) { integer(static_cast<std::int64_t>(number)); }
  void boolean(bool value) { text_ += value ? ":1\r\n" : ":0\r\n"; }
  void array(std::size_t size) { number_line('*', static_cast<std::int64_t>(size)); }

  void bulk(std::string_view value) {
    number_line('$', static_cast<std::int64_t>(value.size()));
    text_ += value;
    text_ += "\r\n";
  }

 private:
  void line(char type, std::string_view message) {
    text_ += type;
    text_ += message;
    text_ += "\r\n";
  }

  void number_line(char type, std::int64_t number) {
    char line[std::numeric_limits<std::int64_t>::digits10 + 5];
    line[0] = type;
    char* const end = std::to_chars(line + 1, line + sizeof line - 2, number).ptr;
    end[0] = '\r';
    end[1] = '\n';
    text_.append(line, end + 2);
  }

  std::string& text_;
};

}  // namespace example::resp
