// The frame of the benchmark programs that take a command line of their own. Every program is one
// source file, so a header may define flags.
#pragma once

#include <chrono>
#include <cstdio>
#include <exception>
#include <stdexcept>
#include <string>
#include <vector>

#include "absl/flags/flag.h"
#include "flags.hpp"
#include "team.hpp"

ABSL_FLAG(bool, quick, false, "a short trial, whose figures mean nothing");
ABSL_FLAG(std::string, benchmark_min_time, "",
          "stands for --quick: all the benchmark programs can be tried with the command line that "
          "Google Benchmark has for short trials");

namespace bench {

struct UsageError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// Types of flags.
using RoundsFlag = support::Whole<1, 1'000'000>;
using MillisecondsFlag = support::Positive<60'000>;
using ThreadCountsFlag = support::Wholes<1, 1024>;

inline Clock::duration duration(const MillisecondsFlag& flag) {
  return std::chrono::duration_cast<Clock::duration>(
      std::chrono::duration<double, std::milli>(flag.value));
}

inline bool is_quick() {
  return absl::GetFlag(FLAGS_quick) || !absl::GetFlag(FLAGS_benchmark_min_time).empty();
}

// Runs `body()` as a program that has flags and no other arguments.
template <class Body>
int run_program(int argc, char** argv, const char* usage, const Body& body) {
  try {
    const std::vector<std::string> rest = support::parse_command_line(argc, argv, usage);
    if (!rest.empty()) throw UsageError("unknown argument '" + rest.front() + "'");
    return body();
  } catch (const UsageError& error) {
    std::fprintf(stderr, "%s (--help lists the options)\n", error.what());
    return 2;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}

}  // namespace bench
