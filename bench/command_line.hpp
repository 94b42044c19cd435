// The command line of a contest.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/strings/str_split.h"
#include "contest.hpp"
#include "program.hpp"

ABSL_FLAG(std::optional<bench::RoundsFlag>, rounds, std::nullopt,
          "rounds in which every implementation gets one slice; by default 40, or 2 if --quick");
ABSL_FLAG(std::optional<bench::MillisecondsFlag>, slice_ms, std::nullopt,
          "length of a slice; a quarter of it comes before, as a warm-up; by default 20, or 2 if "
          "--quick");
ABSL_FLAG(std::optional<bench::ThreadCountsFlag>, threads, std::nullopt,
          "numbers of threads, as 1,2,4; by default those that each workload asks for");
ABSL_FLAG(std::string, filter, "",
          "only workloads whose name contains this, or one of several parts with | between them");

namespace bench {

// Those of the command line.
inline Settings take_settings() {
  Settings settings;
  if (is_quick()) {
    settings.rounds = 2;
    settings.timing.slice = std::chrono::milliseconds(2);
    settings.sizes = {
        .keys = 8 * 1024, .large = 64 * 1024, .popular = 64 * 1024, .bulk = 64 * 1024};
  }
  if (const auto rounds = absl::GetFlag(FLAGS_rounds)) settings.rounds = rounds->value;
  if (const auto slice = absl::GetFlag(FLAGS_slice_ms)) settings.timing.slice = duration(*slice);
  settings.filter = absl::StrSplit(absl::GetFlag(FLAGS_filter), '|');
  if (const auto threads = absl::GetFlag(FLAGS_threads)) settings.threads = threads->values;
  return settings;
}

}  // namespace bench
