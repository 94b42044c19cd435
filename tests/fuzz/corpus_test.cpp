// Replays what the fuzzer has found worth keeping, with any compiler and without libFuzzer.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

#include "body.hpp"
#include "splitmix64.hpp"

namespace lockmap::fuzz {
namespace {

std::vector<std::filesystem::path> corpus() {
  const std::filesystem::directory_iterator files(LOCKMAP_FUZZ_CORPUS);
  std::vector<std::filesystem::path> sorted(begin(files), end(files));
  std::sort(sorted.begin(), sorted.end());
  return sorted;
}

std::vector<std::uint8_t> contents(const std::filesystem::path& file) {
  std::ifstream stream(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

TEST(FuzzCorpusTest, EmptyInput) {
  EXPECT_NO_THROW(run({}));
}

TEST(FuzzCorpusTest, EveryFile) {
  ASSERT_FALSE(corpus().empty());
  for (const auto& file : corpus()) {
    try {
      run(contents(file));
    } catch (const std::exception& error) {
      ADD_FAILURE() << file << ": " << error.what();
    }
  }
}

// Of the sessions that keep times and weights, or lock names without values: more of them than the
// corpus has.
TEST(FuzzCorpusTest, RandomInputs) {
  constexpr int least_with_rules = 192;
  for (std::uint64_t seed = 1; seed <= 400; ++seed) {
    support::SplitMix64 random{support::SplitMix64{seed}()};
    std::vector<std::uint8_t> input(100 + random() % 400);
    for (std::uint8_t& byte : input) byte = static_cast<std::uint8_t>(random());
    input[0] = static_cast<std::uint8_t>(least_with_rules + random() % (256 - least_with_rules));
    try {
      run(input);
    } catch (const std::exception& error) {
      ADD_FAILURE() << "seed " << seed << ": " << error.what();
    }
  }
}

}  // namespace
}  // namespace lockmap::fuzz
