// Owner: whoever holds keys.

#ifndef LOCKMAP_DETAIL_OWNER_HPP
#define LOCKMAP_DETAIL_OWNER_HPP

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <new>

#include "lockmap/detail/config.hpp"
#include "lockmap/detail/deferred_hold.hpp"
#include "lockmap/detail/state_word.hpp"

namespace lockmap::detail {

// The keys that an owner holds shared, by their words, each as often as it is held: a word says how
// many hold it, and not who. Without memory for more than a few, some are left out: then waits
// through them are missed by the search for deadlocks, and nothing else.
class SharedHolds {
 public:
  LOCKMAP_ALWAYS_INLINE void add(const StateWord& word) noexcept {
    if (size_ == capacity() && !grow()) [[unlikely]] {
      return;
    }
    words()[size_++] = &word;
  }

  // The last one first: holds are mostly nested.
  void remove(const StateWord& word) noexcept {
    for (std::size_t i = size_; i-- != 0;) {
      if (words()[i] != &word) continue;
      words()[i] = words()[--size_];
      break;
    }
    if (size_ == 0 && more_ != nullptr) [[unlikely]] {
      give_back();
    }
  }

  [[nodiscard]] bool contains(const StateWord& word) const noexcept {
    const StateWord* const* const all = more_ != nullptr ? more_ : few_.data();
    return std::find(all, all + size_, &word) != all + size_;
  }

 private:
  [[nodiscard]] const StateWord** words() noexcept {
    return more_ != nullptr ? more_ : few_.data();
  }
  [[nodiscard]] std::size_t capacity() const noexcept {
    return more_ != nullptr ? capacity_ : few_.size();
  }

  LOCKMAP_NOINLINE bool grow() noexcept {
    auto* const words = new (std::nothrow) const StateWord*[2 * size_];
    if (words == nullptr) return false;
    std::copy_n(this->words(), size_, words);
    delete[] more_;
    more_ = words;
    capacity_ = 2 * size_;
    return true;
  }

  LOCKMAP_NOINLINE void give_back() noexcept {
    delete[] more_;
    more_ = nullptr;
  }

  std::size_t size_ = 0;
  std::array<const StateWord*, 6> few_{};
  // Owned; no destructor, since a thread's record has none: it is null while nothing is held.
  const StateWord** more_ = nullptr;
  std::size_t capacity_ = 0;
};

// Each thread is an owner. Only the owner's own thread touches it; while it blocks, the wait-for
// graph looks at what it holds. Another kind of owner: task_owner.hpp.
struct alignas(16) Owner {  // a Hold keeps four bits in its address
  OwnerId id = 0;           // 0: not enrolled yet
  // Keys it holds: only an owner that holds one can be part of a deadlock (I8).
  std::size_t held = 0;
  SharedHolds shared{};
  const DeferredHolds* deferred = nullptr;  // those that are not in `shared`, once it reads
  // Until those under shard mutexes have paid for a process barrier (section.hpp).
  std::uint32_t holds_to_barrier = 1;

  [[nodiscard]] bool shares(const StateWord& word) const noexcept {
    return shared.contains(word) || (deferred != nullptr && deferred->contains(word));
  }
};

}  // namespace lockmap::detail

#endif  // LOCKMAP_DETAIL_OWNER_HPP
