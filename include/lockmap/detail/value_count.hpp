// ValueCount: how many values a shard has.

#ifndef LOCKMAP_DETAIL_VALUE_COUNT_HPP
#define LOCKMAP_DETAIL_VALUE_COUNT_HPP

#include <atomic>
#include <cstdint>

namespace lockmap::detail {

// A count that changes under the shard mutex almost always, and now and then by a key's holder, who
// does not have it: two parts keep the usual case free of read-modify-writes. Each part is a number
// that says how often it changed (in its high half) and by how much in all (in its low half), so a
// reader that finds the one part unchanged around its look at the other has seen both at one
// moment: it never returns a count that was not true. 2^32 values are more than a shard can have.
class ValueCount {
 public:
  static constexpr std::uint64_t one_more = (std::uint64_t{1} << 32U) + 1;
  static constexpr std::uint64_t one_less = (std::uint64_t{1} << 32U) - 1;

  // The caller holds the shard mutex.
  void add_locked(std::uint64_t change) noexcept {
    locked_.store(locked_.load(std::memory_order_relaxed) + change, std::memory_order_release);
  }
  // Any thread.
  void add(std::uint64_t change) noexcept { shared_.fetch_add(change, std::memory_order_release); }

  // Both parts at one moment. Two snapshots are equal only if nothing changed in between.
  struct Snapshot {
    std::uint64_t locked;
    std::uint64_t shared;

    [[nodiscard]] std::uint32_t count() const noexcept {
      return static_cast<std::uint32_t>((locked + shared) & 0xffff'ffffU);
    }
    [[nodiscard]] bool operator==(const Snapshot&) const noexcept = default;
  };
  [[nodiscard]] Snapshot load() const noexcept {
    std::uint64_t shared = shared_.load(std::memory_order_acquire);
    for (;;) {
      const std::uint64_t locked = locked_.load(std::memory_order_acquire);
      const std::uint64_t again = shared_.load(std::memory_order_acquire);
      if (again == shared) return {locked, shared};
      shared = again;
    }
  }

 private:
  std::atomic<std::uint64_t> locked_{0};
  std::atomic<std::uint64_t> shared_{0};
};

}  // namespace lockmap::detail

#endif  // LOCKMAP_DETAIL_VALUE_COUNT_HPP
