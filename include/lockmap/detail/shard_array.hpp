// ShardArray: a map's shards.

#ifndef LOCKMAP_DETAIL_SHARD_ARRAY_HPP
#define LOCKMAP_DETAIL_SHARD_ARRAY_HPP

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <span>
#include <stdexcept>
#include <thread>

#include "lockmap/detail/describe.hpp"
#include "lockmap/detail/hashed_key.hpp"

namespace lockmap::detail {

[[nodiscard]] inline std::size_t processor_count() {
  static const unsigned processors = std::thread::hardware_concurrency();  // takes microseconds
  return processors;
}

// So many shards that two threads seldom meet in one, and no fewer where there are few processors:
// an empty shard costs less than a wait.
[[nodiscard]] inline std::size_t default_shard_count() {
  return std::clamp<std::size_t>(std::bit_ceil(processor_count() * 16), 64, 1024);
}

// A fixed number of shards. They come from std::allocator, which aligns them as they want; nodes
// and tables come from the user's.
template <class Shard>
class ShardArray {
 public:
  template <class... Args>
  explicit ShardArray(std::size_t count, Args&... args) : capacity_(checked(count)) {
    shards_ = std::allocator<Shard>().allocate(capacity_);
    try {
      for (; size_ < capacity_; ++size_) std::construct_at(shards_ + size_, args...);
    } catch (...) {
      release();
      throw;
    }
  }
  ShardArray(const ShardArray&) = delete;
  ShardArray& operator=(const ShardArray&) = delete;
  ~ShardArray() { release(); }

  [[nodiscard]] std::span<Shard> all() const noexcept { return {shards_, size_}; }

  // The shard of a hash.
  [[nodiscard]] Shard& of(std::uint64_t hash) const noexcept {
    return shards_[shard_index(hash, size_)];
  }

 private:
  static std::size_t checked(std::size_t count) {
    constexpr std::size_t most =
        static_cast<std::size_t>((std::numeric_limits<std::ptrdiff_t>::max)()) / sizeof(Shard);
    if (count > max_shards || count > most) {
      throw std::length_error("lockmap: shard_count is too large: " + detail::describe(count));
    }
    return count;
  }

  void release() noexcept {
    std::destroy_n(shards_, size_);
    std::allocator<Shard>().deallocate(shards_, capacity_);
  }

  std::size_t capacity_;
  std::size_t size_ = 0;
  Shard* shards_ = nullptr;
};

}  // namespace lockmap::detail

#endif  // LOCKMAP_DETAIL_SHARD_ARRAY_HPP
