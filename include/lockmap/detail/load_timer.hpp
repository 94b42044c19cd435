// LoadTimer: counts a call of a maker, and how long it takes.

#ifndef LOCKMAP_DETAIL_LOAD_TIMER_HPP
#define LOCKMAP_DETAIL_LOAD_TIMER_HPP

#include <chrono>

namespace lockmap::detail {

// Lives as long as the call. It has failed unless it is said to have succeeded.
template <class Shard>
class LoadTimer {
 public:
  explicit LoadTimer(Shard& shard) noexcept : shard_(shard) {
    if constexpr (counts) start_ = shard_.policy().rules().time();
  }
  LoadTimer(const LoadTimer&) = delete;
  LoadTimer& operator=(const LoadTimer&) = delete;
  ~LoadTimer() {
    if constexpr (counts) {
      shard_.policy().on_load(succeeded_, shard_.policy().rules().time() - start_);
    }
  }
  void succeed() noexcept { succeeded_ = true; }

 private:
  static constexpr bool counts = Shard::policy_type::enabled;

  Shard& shard_;
  std::chrono::steady_clock::time_point start_{};
  bool succeeded_ = false;
};

}  // namespace lockmap::detail

#endif  // LOCKMAP_DETAIL_LOAD_TIMER_HPP
