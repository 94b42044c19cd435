// Options and errors of the example programs that take a command line.
#pragma once

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <exception>
#include <initializer_list>
#include <iostream>
#include <map>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace example {

// Input that the program cannot use; what() is the line to show to the user.
struct InputError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// "cannot read 'path': why", for the error number that a C function left behind.
inline InputError cannot_read(const std::string& path, int error_number) {
  return InputError("cannot read '" + path +
                    "': " + std::error_code(error_number, std::generic_category()).message());
}

// A whole number in [min, max] that fills all of `text`, or false.
inline bool parse_number(std::string_view text, std::uint64_t min, std::uint64_t max,
                         std::uint64_t& number) {
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, number);
  return error == std::errc() && rest == end && number >= min && number <= max;
}

// Splits a command line in `--option value` (or `--option=value`) and files. `--` ends the options.
class CommandLine {
 public:
  CommandLine(int argc, char** argv, std::initializer_list<std::string_view> options) {
    const std::vector<std::string_view> arguments(argv + 1, argv + std::max(argc, 1));
    for (auto argument = arguments.begin(); argument != arguments.end(); ++argument) {
      if (*argument == "--") {
        files_.insert(files_.end(), argument + 1, arguments.end());
        return;
      }
      if (*argument == "--help") {
        help_ = true;
        continue;
      }
      if (argument->size() < 2 || argument->front() != '-') {
        files_.emplace_back(*argument);
        continue;
      }
      const auto equals = argument->find('=');
      const std::string name(argument->substr(0, equals));
      if (std::find(options.begin(), options.end(), name) == options.end()) {
        throw InputError("unknown option '" + name + "' (--help lists them)");
      }
      if (equals != std::string_view::npos) {
        values_[name] = argument->substr(equals + 1);
      } else if (++argument != arguments.end()) {
        values_[name] = *argument;
      } else {
        throw InputError(name + " needs a value");
      }
    }
  }

  bool help() const { return help_; }
  const std::vector<std::string>& files() const { return files_; }

  std::string text(const std::string& option, std::string fallback) const {
    const auto found = values_.find(option);
    return found == values_.end() ? std::move(fallback) : found->second;
  }

  std::uint64_t number(const std::string& option, std::uint64_t fallback, std::uint64_t min,
                       std::uint64_t max) const {
    return to_number(option, text(option, std::to_string(fallback)), min, max);
  }

  // A list such as 1000,2000.
  std::vector<std::uint64_t> numbers(const std::string& option, const std::string& fallback,
                                     std::uint64_t min, std::uint64_t max) const {
    std::vector<std::uint64_t> result;
    const std::string list = text(option, fallback);
    for (std::size_t begin = 0; begin <= list.size();) {
      const std::size_t end = std::min(list.find(',', begin), list.size());
      result.push_back(to_number(option, list.substr(begin, end - begin), min, max));
      begin = end + 1;
    }
    return result;
  }

 private:
  static std::uint64_t to_number(const std::string& option, const std::string& text,
                                 std::uint64_t min, std::uint64_t max) {
    std::uint64_t number = 0;
    if (!parse_number(text, min, max, number)) {
      throw InputError(option + ": '" + text + "' is not a whole number from " +
                       std::to_string(min) + " to " + std::to_string(max));
    }
    return number;
  }

  bool help_ = false;
  std::vector<std::string> files_;
  std::map<std::string, std::string> values_;
};

// The body of a main(): shows errors as "program: what is wrong". Exit code 2 says that the input
// or the command line was wrong, 1 that the program failed.
template <class Run>
int run_program(std::string_view program, const Run& run) {
  try {
    const int exit_code = run();
    if (!std::cout.flush()) throw std::runtime_error("cannot write the output");
    return exit_code;
  } catch (const InputError& error) {
    std::cerr << program << ": " << error.what() << '\n';
    return 2;
  } catch (const std::exception& error) {
    std::cerr << program << ": " << error.what() << '\n';
    return 1;
  }
}

}  // namespace example
