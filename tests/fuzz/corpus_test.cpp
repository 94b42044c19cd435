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

}  // namespace
}  // namespace lockmap::fuzz
