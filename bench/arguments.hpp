// The command line of the benchmark programs that have one of their own.
#pragma once

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace bench {

struct UsageError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// Options are taken one by one; what nobody took is an error in the end.
class Arguments {
 public:
  Arguments(int argc, const char* const* argv) : left_(argv + (argc > 0 ? 1 : 0), argv + argc) {}

  // Takes `--name`.
  bool flag(std::string_view name) {
    for (std::size_t i = 0; i < left_.size(); ++i) {
      if (left_[i] != name) continue;
      take(i, 1);
      return true;
    }
    return false;
  }

  // Takes `--name value` or `--name=value`; empty if it is not there.
  std::optional<std::string> text(std::string_view name) {
    for (std::size_t i = 0; i < left_.size(); ++i) {
      const std::string_view argument = left_[i];
      if (!argument.starts_with(name)) continue;
      if (argument.size() == name.size()) {
        if (i + 1 == left_.size()) throw UsageError("no value for " + std::string(name));
        std::string value(left_[i + 1]);
        take(i, 2);
        return value;
      }
      if (argument[name.size()] == '=') {
        std::string value(argument.substr(name.size() + 1));
        take(i, 1);
        return value;
      }
    }
    return std::nullopt;
  }

  // Takes a positive number of at most `max`.
  std::optional<double> number(std::string_view name, double max) {
    const std::optional<std::string> value = text(name);
    if (!value.has_value()) return std::nullopt;
    return positive(name, *value, max);
  }
  std::optional<unsigned> count(std::string_view name, unsigned max) {
    const std::optional<std::string> value = text(name);
    if (!value.has_value()) return std::nullopt;
    return whole(name, *value, max);
  }

  // Takes positive numbers separated by commas.
  std::optional<std::vector<unsigned>> counts(std::string_view name, unsigned max) {
    const std::optional<std::string> value = text(name);
    if (!value.has_value()) return std::nullopt;
    std::vector<unsigned> numbers;
    for (std::size_t begin = 0; begin <= value->size();) {
      const std::size_t end = std::min(value->find(',', begin), value->size());
      numbers.push_back(whole(name, value->substr(begin, end - begin), max));
      begin = end + 1;
    }
    return numbers;
  }

  // Throws if an argument is left that nobody took.
  void finish() const {
    if (!left_.empty()) throw UsageError("unknown argument '" + std::string(left_.front()) + "'");
  }

 private:
  void take(std::size_t index, std::size_t count) {
    const auto begin = left_.begin() + static_cast<std::ptrdiff_t>(index);
    left_.erase(begin, begin + static_cast<std::ptrdiff_t>(count));
  }

  template <class Number>
  static Number parse(std::string_view name, const std::string& value, Number max) {
    Number number{};
    const char* const end = value.data() + value.size();
    const auto [rest, error] = std::from_chars(value.data(), end, number);
    if (error != std::errc() || rest != end || !(number > 0) || number > max) {
      throw UsageError("bad value '" + value + "' for " + std::string(name));
    }
    return number;
  }
  static double positive(std::string_view name, const std::string& value, double max) {
    return parse<double>(name, value, max);
  }
  static unsigned whole(std::string_view name, const std::string& value, unsigned max) {
    return parse<unsigned>(name, value, max);
  }

  std::vector<std::string_view> left_;
};

// Runs `body(arguments)` as a program that takes `usage` for an answer to --help.
template <class Body>
int run_program(int argc, const char* const* argv, const char* usage, Body body) {
  try {
    Arguments arguments(argc, argv);
    if (arguments.flag("--help")) {
      std::fputs(usage, stdout);
      return 0;
    }
    return body(arguments);
  } catch (const UsageError& error) {
    std::fprintf(stderr, "%s (--help tells the options)\n", error.what());
    return 2;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}

}  // namespace bench
