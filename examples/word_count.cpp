// Counts the words of text files with many threads over one shared LockMap.
//
// The threads take chunks of the files in turn and count every word straight in the map: nothing is
// counted locally and merged later. The guard of a word's entry makes "look up, add one" a single
// step, and threads wait for each other only when they are at the same word at the same moment.
// Words are looked up as std::string_view; a std::string is made only when a word is new.
#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <iomanip>
#include <iostream>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <lockmap/lockmap.hpp>

#include "absl/flags/flag.h"
#include "flags.hpp"
#include "program.hpp"
#include "progress.hpp"
#include "support.hpp"

using Threads = support::Whole<1, 1024>;
using Count = support::Whole<0, 1'000'000'000>;
ABSL_FLAG(Threads, threads, Threads{std::max(1U, std::thread::hardware_concurrency())},
          "threads that count");
ABSL_FLAG(Count, top, Count{10}, "how many of the most frequent words to show");

namespace {

constexpr const char* usage =
    "Counts words, that is runs of the letters A-Z, upper and lower case being the same.\n"
    "\n"
    "Usage: word_count [options] FILE...";

using WordCounts = lockmap::LockMap<std::string, std::uint64_t>;

constexpr bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

constexpr char to_lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
}

// Hands out the files in chunks that end where a word ends, so that one large file keeps all the
// threads busy. Works for anything that can be read from front to back, pipes too.
class ChunkReader {
 public:
  explicit ChunkReader(const std::vector<std::string>& files)
      : files_(files), progress_("counting words", size_to_show(files)) {}

  // Replaces `chunk` by the next one; false if there are no more.
  bool next(std::string& chunk) {
    const std::lock_guard lock(mutex_);
    chunk.swap(cut_word_);
    cut_word_.clear();
    while (file_ || open_next_file()) {
      const std::size_t old_size = chunk.size();
      chunk.resize(old_size + chunk_size);
      const std::size_t count = std::fread(chunk.data() + old_size, 1, chunk_size, file_.get());
      if (std::ferror(file_.get())) throw example::cannot_read(files_[next_file_ - 1], errno);
      chunk.resize(old_size + count);
      bytes_read_ += count;
      progress_.update(bytes_read_);
      if (count < chunk_size) {  // the end of the file ends its last word
        file_.reset();
        if (!chunk.empty()) return true;
        continue;
      }
      // The chunk may end within a word, which then belongs to the next chunk. If the word is
      // longer than what was just read, the chunk grows.
      const auto fresh = chunk.rend() - static_cast<std::ptrdiff_t>(old_size);
      const auto boundary = std::find_if_not(chunk.rbegin(), fresh, is_letter);
      if (boundary != fresh) {
        cut_word_.assign(boundary.base(), chunk.end());
        chunk.erase(boundary.base(), chunk.end());
        return true;
      }
    }
    progress_.clear();
    return false;
  }

 private:
  static constexpr std::size_t chunk_size = std::size_t{256} << 10;
  static constexpr std::uintmax_t size_worth_progress = std::uintmax_t{64} << 20;

  struct CloseFile {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };

  static std::uintmax_t size_to_show(const std::vector<std::string>& files) {
    std::uintmax_t total = 0;
    for (const auto& file : files) {
      std::error_code error;
      const auto size = std::filesystem::file_size(file, error);
      if (!error) total += size;
    }
    return total > size_worth_progress ? total : 0;
  }

  bool open_next_file() {
    if (next_file_ == files_.size()) return false;
    const std::string& path = files_[next_file_++];
    file_.reset(std::fopen(path.c_str(), "rb"));
    if (!file_) throw example::cannot_read(path, errno);
    return true;
  }

  const std::vector<std::string>& files_;
  std::mutex mutex_;
  std::size_t next_file_ = 0;
  std::unique_ptr<std::FILE, CloseFile> file_;
  std::string cut_word_;
  std::uint64_t bytes_read_ = 0;
  example::Progress progress_;
};

// Counts the words of `text` (turned to lower case in place) and says how many there were.
std::uint64_t count_words(std::string& text, WordCounts& counts) {
  std::transform(text.begin(), text.end(), text.begin(), to_lower);
  std::uint64_t words = 0;
  auto begin = std::find_if(text.begin(), text.end(), is_letter);
  while (begin != text.end()) {
    const auto end = std::find_if_not(begin, text.end(), is_letter);
    auto entry = counts.entry(std::string_view(begin, end));
    ++entry.or_insert(0);
    ++words;
    begin = std::find_if(end, text.end(), is_letter);
  }
  return words;
}

void print_top(const WordCounts& counts, std::size_t top) {
  std::vector<std::pair<std::uint64_t, std::string>> words;
  counts.for_each(
      [&](const std::string& word, std::uint64_t count) { words.emplace_back(count, word); });
  const auto shown = words.begin() + static_cast<std::ptrdiff_t>(std::min(top, words.size()));
  std::partial_sort(words.begin(), shown, words.end(), [](const auto& a, const auto& b) {
    return a.first != b.first ? a.first > b.first : a.second < b.second;
  });
  for (auto word = words.begin(); word != shown; ++word) {
    std::cout << std::setw(12) << word->first << "  " << word->second << '\n';
  }
}

void count_files(const std::vector<std::string>& files) {
  const auto threads = static_cast<unsigned>(absl::GetFlag(FLAGS_threads).value);

  WordCounts counts;
  ChunkReader reader(files);
  std::atomic<std::uint64_t> words_seen = 0;
  const auto start = std::chrono::steady_clock::now();
  example::run_threads(threads, [&](unsigned) {
    std::string chunk;
    while (reader.next(chunk)) words_seen += count_words(chunk, counts);
  });
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;

  std::uint64_t total = 0;
  counts.for_each([&](const std::string&, std::uint64_t count) { total += count; });
  example::check(total == words_seen, "every word seen is counted once");

  print_top(counts, absl::GetFlag(FLAGS_top).value);
  std::cout << "distinct words:   " << counts.size() << '\n'
            << "total words:      " << total << '\n'
            << "words per second: " << std::fixed << std::setprecision(0)
            << static_cast<double>(total) / seconds.count() << '\n';
}

}  // namespace

int main(int argc, char** argv) {
  return example::run_program("word_count", [&] {
    const std::vector<std::string> files = support::parse_command_line(argc, argv, usage);
    if (files.empty()) return example::show_usage(usage);
    count_files(files);
    return 0;
  });
}
