// How the programs of this project take their command line, with Abseil's flags library: types of
// flags whose bad values it reports, and the parsing itself. Abseil ends the program, with a
// message and exit code 1, if the command line is wrong, and with 1 after --help too.
#pragma once

#include <charconv>
#include <cstdint>
#include <string>
#include <system_error>
#include <vector>

#include "absl/flags/parse.h"
#include "absl/flags/usage.h"
#include "absl/flags/usage_config.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"

namespace support {

// A number that fills all of `text`, without blanks or a plus sign, or false. `Text` is any string:
// absl::string_view may be std::string_view, or a type that does not convert to it.
template <class Text, class Number>
bool parse_number(const Text& text, Number& number) {
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, number);
  return error == std::errc() && rest == end;
}

// -- Types of flags ------------------------------------------------------------------------------

// A whole number from min to max.
template <std::uint64_t min, std::uint64_t max>
struct Whole {
  std::uint64_t value = min;

  friend bool AbslParseFlag(absl::string_view text, Whole* flag, std::string* error) {
    if (parse_number(text, flag->value) && flag->value >= min && flag->value <= max) return true;
    *error = absl::StrCat("not a whole number from ", min, " to ", max);
    return false;
  }
  friend std::string AbslUnparseFlag(const Whole& flag) { return std::to_string(flag.value); }
};

// Whole numbers from min to max, one or more, with commas between them.
template <std::uint64_t min, std::uint64_t max>
struct Wholes {
  std::vector<std::uint64_t> values;

  friend bool AbslParseFlag(absl::string_view text, Wholes* flag, std::string* error) {
    flag->values.clear();
    for (const absl::string_view part : absl::StrSplit(text, ',')) {
      Whole<min, max> number;
      if (!AbslParseFlag(part, &number, error)) {
        *error = absl::StrCat("'", part, "' is ", *error);
        return false;
      }
      flag->values.push_back(number.value);
    }
    return true;
  }
  friend std::string AbslUnparseFlag(const Wholes& flag) { return absl::StrJoin(flag.values, ","); }
};

// A number above 0, up to max.
template <std::uint64_t max>
struct Positive {
  double value = 1;

  friend bool AbslParseFlag(absl::string_view text, Positive* flag, std::string* error) {
    if (parse_number(text, flag->value) && flag->value > 0 && flag->value <= max) return true;
    *error = absl::StrCat("not a number above 0 and up to ", max);
    return false;
  }
  friend std::string AbslUnparseFlag(const Positive& flag) { return absl::StrCat(flag.value); }
};

// -- Parsing -------------------------------------------------------------------------------------

// Sets the flags, and returns the arguments that are none. `usage` comes before the list of the
// flags in what --help shows.
inline std::vector<std::string> parse_command_line(int argc, char** argv, const char* usage) {
  absl::SetProgramUsageMessage(usage);
  const auto of_abseil = [](absl::string_view file) {
    return file.find("absl/") != absl::string_view::npos;
  };
  absl::FlagsUsageConfig config;
  // All flags but those of the library itself, whichever file of ours defines them.
  config.contains_help_flags = [of_abseil](absl::string_view file) { return !of_abseil(file); };
  config.normalize_filename = [of_abseil](absl::string_view file) {
    return std::string(of_abseil(file) ? file : file.substr(file.find_last_of('/') + 1));
  };
  absl::SetFlagsUsageConfig(config);
  const std::vector<char*> rest = absl::ParseCommandLine(argc, argv);
  return {rest.begin() + 1, rest.end()};
}

}  // namespace support
