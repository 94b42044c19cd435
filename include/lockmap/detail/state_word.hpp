// State: everything that concerns the lock of one key, in 64 bits.
//
//   bit   0      has_value         as of the last release; while locked, the holder knows better
//   bit   1      locked            somebody owns the value
//   bit   2      has_waiters       somebody is in the shard's wait list for this key (I7)
//   bit   3      waking            one that was taken out of it is on its way (I9)
//   bit   4      evict_on_release  the shard is over its bound because this key was pinned (I10)
//   bits  5-23   pins              one for the holder, one for each thread that wants to be it
//   bits 24-63   owner             the holder's ThreadId; free for other use while not locked
//
// A word of 0 is a node that is in no table (I4: in a table, a key without a value has a pin).
// What may change when, and in which memory order, is the lock protocol: see shard.hpp.

#ifndef LOCKMAP_DETAIL_STATE_WORD_HPP
#define LOCKMAP_DETAIL_STATE_WORD_HPP

#include <atomic>
#include <cstdint>

#include "lockmap/detail/this_thread.hpp"

namespace lockmap::detail {

class State {
 public:
  static constexpr std::uint64_t has_value_bit = 1U << 0;
  static constexpr std::uint64_t locked_bit = 1U << 1;
  static constexpr std::uint64_t has_waiters_bit = 1U << 2;
  static constexpr std::uint64_t waking_bit = 1U << 3;
  static constexpr std::uint64_t evict_on_release_bit = 1U << 4;
  static constexpr std::uint64_t one_pin = 1U << 5;
  static constexpr unsigned owner_shift = 24;

  constexpr State() noexcept = default;
  constexpr explicit State(std::uint64_t bits) noexcept : bits_(bits) {}

  [[nodiscard]] constexpr std::uint64_t bits() const noexcept { return bits_; }
  [[nodiscard]] constexpr bool in_table() const noexcept { return bits_ != 0; }
  [[nodiscard]] constexpr bool has_value() const noexcept { return (bits_ & has_value_bit) != 0; }
  [[nodiscard]] constexpr bool locked() const noexcept { return (bits_ & locked_bit) != 0; }
  [[nodiscard]] constexpr bool has_waiters() const noexcept {
    return (bits_ & has_waiters_bit) != 0;
  }
  // Whether a release has to wake somebody.
  [[nodiscard]] constexpr bool wants_wake_up() const noexcept {
    return (bits_ & (has_waiters_bit | waking_bit)) == has_waiters_bit;
  }
  [[nodiscard]] constexpr bool evict_on_release() const noexcept {
    return (bits_ & evict_on_release_bit) != 0;
  }
  [[nodiscard]] constexpr std::uint64_t pins() const noexcept {
    return (bits_ & pins_mask) / one_pin;
  }
  [[nodiscard]] constexpr ThreadId owner() const noexcept { return bits_ >> owner_shift; }
  [[nodiscard]] constexpr bool locked_by(ThreadId thread) const noexcept {
    return locked() && owner() == thread;
  }

  // Locked by `thread`, while nobody else wants the key.
  [[nodiscard]] static constexpr State of_sole_holder(ThreadId thread, bool has_value) noexcept {
    return State((thread << owner_shift) | one_pin | locked_bit | (has_value ? has_value_bit : 0));
  }
  // Locked by `thread`, whose pin is counted already.
  [[nodiscard]] constexpr State lock(ThreadId thread) const noexcept {
    return State((bits_ & ~owner_mask) | locked_bit | (thread << owner_shift));
  }
  // As the holder leaves it: without the lock, the owner and the holder's pin.
  [[nodiscard]] constexpr State release(bool has_value) const noexcept {
    const std::uint64_t rest = (bits_ & ~(owner_mask | locked_bit | has_value_bit)) - one_pin;
    return State(has_value ? rest | has_value_bit : rest);
  }
  [[nodiscard]] constexpr State pin() const noexcept { return State(bits_ + one_pin); }
  [[nodiscard]] constexpr State set(std::uint64_t flag) const noexcept {
    return State(bits_ | flag);
  }
  [[nodiscard]] constexpr State clear(std::uint64_t flag) const noexcept {
    return State(bits_ & ~flag);
  }

 private:
  static constexpr std::uint64_t owner_mask = ~std::uint64_t{0} << owner_shift;
  static constexpr std::uint64_t pins_mask = ~owner_mask & ~(one_pin - 1);

  std::uint64_t bits_ = 0;
};

// The atomic home of a State.
class StateWord {
 public:
  StateWord() noexcept = default;

  [[nodiscard]] State load(std::memory_order order) const noexcept {
    return State(word_.load(order));
  }
  void store(State state, std::memory_order order) noexcept { word_.store(state.bits(), order); }

  // On failure, `expected` is what was found instead.
  [[nodiscard]] bool compare_exchange(State& expected, State desired,
                                      std::memory_order success) noexcept {
    std::uint64_t bits = expected.bits();
    const bool done =
        word_.compare_exchange_weak(bits, desired.bits(), success, std::memory_order_relaxed);
    expected = State(bits);
    return done;
  }

  // Each returns the state after the change.
  State add_pin(std::memory_order order) noexcept {
    return State(word_.fetch_add(State::one_pin, order) + State::one_pin);
  }
  State drop_pin(std::memory_order order) noexcept {
    return State(word_.fetch_sub(State::one_pin, order) - State::one_pin);
  }
  State set(std::uint64_t flag, std::memory_order order) noexcept {
    return State(word_.fetch_or(flag, order) | flag);
  }
  State clear(std::uint64_t flag, std::memory_order order) noexcept {
    return State(word_.fetch_and(~flag, order) & ~flag);
  }

 private:
  std::atomic<std::uint64_t> word_{0};
};

}  // namespace lockmap::detail

#endif  // LOCKMAP_DETAIL_STATE_WORD_HPP
