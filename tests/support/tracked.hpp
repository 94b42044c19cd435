#pragma once

// Key and value types that count what happens to them, or can do little.

#include <atomic>
#include <compare>
#include <utility>

namespace lockmap::test {

// Counts its instances, copies and moves, over all threads. Call reset() at the start of a test.
class Tracked {
 public:
  explicit Tracked(int number) : number_(number) { ++alive_; }
  Tracked(const Tracked& other) : number_(other.number_) {
    ++alive_;
    ++copies_;
  }
  Tracked(Tracked&& other) noexcept : number_(std::exchange(other.number_, moved_from)) {
    ++alive_;
    ++moves_;
  }
  Tracked& operator=(const Tracked& other) {
    number_ = other.number_;
    ++copies_;
    return *this;
  }
  Tracked& operator=(Tracked&& other) noexcept {
    number_ = std::exchange(other.number_, moved_from);
    ++moves_;
    return *this;
  }
  ~Tracked() { --alive_; }

  int number() const { return number_; }

  static void reset() {
    alive_ = 0;
    copies_ = 0;
    moves_ = 0;
  }
  static int alive() { return alive_; }
  static int copies() { return copies_; }
  static int moves() { return moves_; }

  friend bool operator==(const Tracked& a, const Tracked& b) { return a.number_ == b.number_; }
  friend auto operator<=>(const Tracked& a, const Tracked& b) { return a.number_ <=> b.number_; }

  template <class H>
  friend H AbslHashValue(H state, const Tracked& tracked) {
    return H::combine(std::move(state), tracked.number_);
  }

 private:
  static constexpr int moved_from = -1;

  static inline std::atomic<int> alive_ = 0;
  static inline std::atomic<int> copies_ = 0;
  static inline std::atomic<int> moves_ = 0;

  int number_;
};

// Can be moved, compared and hashed, and nothing else: no copy, no default constructor.
class MoveOnly {
 public:
  explicit MoveOnly(int number) : number_(number) {}
  MoveOnly(const MoveOnly&) = delete;
  MoveOnly& operator=(const MoveOnly&) = delete;
  MoveOnly(MoveOnly&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
  MoveOnly& operator=(MoveOnly&& other) noexcept {
    number_ = std::exchange(other.number_, -1);
    return *this;
  }
  ~MoveOnly() = default;

  int number() const { return number_; }

  friend bool operator==(const MoveOnly& a, const MoveOnly& b) { return a.number_ == b.number_; }
  friend auto operator<=>(const MoveOnly& a, const MoveOnly& b) { return a.number_ <=> b.number_; }

  template <class H>
  friend H AbslHashValue(H state, const MoveOnly& key) {
    return H::combine(std::move(state), key.number_);
  }

 private:
  int number_;
};

}  // namespace lockmap::test
