// State: everything that concerns the lock of one key, in 64 bits.
//
//   bit   0      has_value         as of the last release; while locked, the holder knows better
//   bit   1      locked            held exclusively
//   bit   2      has_waiters       somebody is queued for this key (I7)
//   bit   3      waking            a waiter that left the queue is on its way (I9)
//   bit   4      evict_on_release  the key is set aside: its last release puts it back (I10)
//   bits  5-28   pins              one for the exclusive hold, one for each owner that wants one
//   bits 29-63   owner, sharers    while locked the holder's OwnerId, else how many hold it shared:
//                                  the pins of those, since there may be more than threads
//
// A key with neither value nor pin is in no table (I4). What may change when, and in which memory
// order, is the lock protocol: see key_lock.hpp.

#ifndef LOCKMAP_DETAIL_STATE_WORD_HPP
#define LOCKMAP_DETAIL_STATE_WORD_HPP

#include <atomic>
#include <cstdint>

namespace lockmap::detail {

// Small enough to share a key's state word with its flags and its pins; never 0. No two owners have
// the same at a time (OwnerIds).
using OwnerId = std::uint64_t;

// Holds a key on nobody's behalf: a task without an Owner, or several of them.
inline constexpr OwnerId nobody = (OwnerId{1} << 35U) - 1;

// How a key is held: by one owner alone, or together with others that only read.
enum class Mode : std::uint8_t { exclusive, shared };

class State {
 public:
  static constexpr std::uint64_t has_value_bit = 1U << 0;
  static constexpr std::uint64_t locked_bit = 1U << 1;
  static constexpr std::uint64_t has_waiters_bit = 1U << 2;
  static constexpr std::uint64_t waking_bit = 1U << 3;
  static constexpr std::uint64_t evict_on_release_bit = 1U << 4;
  static constexpr std::uint64_t one_pin = 1U << 5;
  static constexpr unsigned owner_shift = 29;
  static constexpr std::uint64_t one_sharer = std::uint64_t{1} << owner_shift;

  constexpr State() noexcept = default;
  constexpr explicit State(std::uint64_t bits) noexcept : bits_(bits) {}

  [[nodiscard]] constexpr bool operator==(const State&) const noexcept = default;
  [[nodiscard]] constexpr std::uint64_t bits() const noexcept { return bits_; }
  [[nodiscard]] constexpr bool is_set(std::uint64_t flag) const noexcept {
    return (bits_ & flag) != 0;
  }
  [[nodiscard]] constexpr bool has_value() const noexcept { return is_set(has_value_bit); }
  [[nodiscard]] constexpr bool locked() const noexcept { return is_set(locked_bit); }
  [[nodiscard]] constexpr bool has_waiters() const noexcept { return is_set(has_waiters_bit); }
  [[nodiscard]] constexpr bool evict_on_release() const noexcept {
    return is_set(evict_on_release_bit);
  }
  [[nodiscard]] constexpr bool in_table() const noexcept { return has_value() || pinned(); }
  // An owner is no pin, but whoever has locked the key has one.
  [[nodiscard]] constexpr bool pinned() const noexcept { return bits_ >= one_pin; }
  [[nodiscard]] constexpr std::uint64_t pins() const noexcept {
    return (bits_ & pins_mask) / one_pin + sharers();
  }
  [[nodiscard]] constexpr OwnerId owner() const noexcept { return locked() ? field() : 0; }
  [[nodiscard]] constexpr std::uint64_t sharers() const noexcept { return locked() ? 0 : field(); }
  [[nodiscard]] constexpr bool locked_by(OwnerId owner) const noexcept {
    return locked() && field() == owner;
  }
  // Nobody holds the key, in whatever mode.
  [[nodiscard]] constexpr bool free() const noexcept { return !is_set(locked_bit | owner_mask); }
  // Nobody has the key but sharers, and nobody else has a pin.
  [[nodiscard]] constexpr bool at_most_shared() const noexcept {
    return (bits_ & ~(has_value_bit | owner_mask)) == 0;
  }
  // Whether the key may be locked at once.
  [[nodiscard]] constexpr bool allows(Mode mode) const noexcept {
    return mode == Mode::exclusive ? free() : !is_set(locked_bit | has_waiters_bit);
  }
  // Whether a key left in this state has a waiter that could go on and that nobody has woken.
  [[nodiscard]] constexpr bool wants_wake_up() const noexcept {
    return (bits_ & (has_waiters_bit | waking_bit | locked_bit | owner_mask)) == has_waiters_bit;
  }
  // Whether leaving a key in this state takes more than the change of its word.
  [[nodiscard]] constexpr bool wants_section() const noexcept {
    return bits_ != has_value_bit && (!pinned() || wants_wake_up());
  }

  // Held by one owner, while nobody else wants the key.
  [[nodiscard]] static constexpr State of_sole_holder(OwnerId owner, Mode mode,
                                                      bool has_value) noexcept {
    return State(has_value ? has_value_bit : 0).pin().lock(owner, mode);
  }
  // With one hold more, whose pin is counted already.
  [[nodiscard]] constexpr State lock(OwnerId owner, Mode mode) const noexcept {
    return mode == Mode::exclusive ? State(bits_ | locked_bit | (owner << owner_shift))
                                   : State(bits_ - one_pin + one_sharer);
  }
  // Without the exclusive hold and its pin.
  [[nodiscard]] constexpr State release(bool has_value) const noexcept {
    const std::uint64_t rest = (bits_ & ~(owner_mask | locked_bit | has_value_bit)) - one_pin;
    return State(has_value ? rest | has_value_bit : rest);
  }
  // Without one shared hold and its pin.
  [[nodiscard]] constexpr State release_shared() const noexcept {
    return State(bits_ - one_sharer);
  }
  // The exclusive hold made a shared one, and the reverse for a sole sharer.
  [[nodiscard]] constexpr State downgrade(bool has_value) const noexcept {
    return State(release(has_value).bits_ + one_sharer);
  }
  [[nodiscard]] constexpr State upgrade(OwnerId owner) const noexcept {
    return release_shared().pin().lock(owner, Mode::exclusive);
  }
  // Held exclusively by another owner.
  [[nodiscard]] constexpr State reassign(OwnerId owner) const noexcept {
    return State((bits_ & ~owner_mask) | (owner << owner_shift));
  }
  [[nodiscard]] constexpr State pin() const noexcept { return State(bits_ + one_pin); }
  [[nodiscard]] constexpr State unpin() const noexcept { return State(bits_ - one_pin); }
  [[nodiscard]] constexpr State set(std::uint64_t flag) const noexcept {
    return State(bits_ | flag);
  }
  [[nodiscard]] constexpr State clear(std::uint64_t flag) const noexcept {
    return State(bits_ & ~flag);
  }

 private:
  static constexpr std::uint64_t owner_mask = ~std::uint64_t{0} << owner_shift;
  static constexpr std::uint64_t pins_mask = ~owner_mask & ~(one_pin - 1);

  [[nodiscard]] constexpr std::uint64_t field() const noexcept { return bits_ >> owner_shift; }

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

  // On failure, `expected` is the state found instead.
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
    return State(word_.fetch_add(State::one_pin, order)).pin();
  }
  State add_sharer(std::memory_order order) noexcept {
    return State(word_.fetch_add(State::one_sharer, order) + State::one_sharer);
  }
  State drop_sharer(std::memory_order order) noexcept {
    return State(word_.fetch_sub(State::one_sharer, order)).release_shared();
  }
  State drop_pin(std::memory_order order) noexcept {
    return State(word_.fetch_sub(State::one_pin, order)).unpin();
  }
  State set(std::uint64_t flag, std::memory_order order) noexcept {
    return State(word_.fetch_or(flag, order)).set(flag);
  }
  State clear(std::uint64_t flag, std::memory_order order) noexcept {
    return State(word_.fetch_and(~flag, order)).clear(flag);
  }

 private:
  std::atomic<std::uint64_t> word_{0};
};

}  // namespace lockmap::detail

#endif  // LOCKMAP_DETAIL_STATE_WORD_HPP
