#pragma once

// Faults on demand: the nth step of a kind throws. And types whose steps can.

#include <atomic>
#include <cstddef>
#include <functional>
#include <new>
#include <utility>

namespace lockmap::test {

// `heap` is operator new, in programs that replace it.
enum class Step { hash, equal, copy, move, construct, allocate, compare, callback, heap };

// Something that operator new may throw.
struct Injected : std::bad_alloc {
  const char* what() const noexcept override { return "injected fault"; }
};

enum class Repeat {
  once,   // the nth step throws, the others do not
  always  // so do all that follow it
};

// While one lives, the nth step of its kind on its thread throws Injected.
class FaultInjector {
 public:
  // `before` is called just before the first throw, with no step of its own throwing.
  FaultInjector(Step kind, int nth, Repeat repeat = Repeat::once,
                std::function<void()> before = nullptr)
      : before_(std::move(before)) {
    kind_ = kind;
    repeat_ = repeat;
    steps_left_ = nth;
    current_ = this;
  }
  FaultInjector(const FaultInjector&) = delete;
  FaultInjector& operator=(const FaultInjector&) = delete;
  ~FaultInjector() { steps_left_ = 0; }

  static void step(Step kind) {
    if (steps_left_ == 0 || kind != kind_) return;
    if (--steps_left_ != 0) return;
    if (const auto before = std::exchange(current_->before_, nullptr)) before();
    if (repeat_ == Repeat::always) steps_left_ = 1;
    throw Injected();
  }

 private:
  std::function<void()> before_;

  static inline thread_local Step kind_ = Step::hash;
  static inline thread_local Repeat repeat_ = Repeat::once;
  static inline thread_local int steps_left_ = 0;
  static inline thread_local FaultInjector* current_ = nullptr;
};

// How many objects of the types below live, over all threads.
class LiveObject {
 public:
  LiveObject() noexcept { ++count_; }
  LiveObject(const LiveObject& /*other*/) noexcept { ++count_; }
  LiveObject& operator=(const LiveObject&) = default;
  ~LiveObject() { --count_; }

  static int count() { return count_; }

 private:
  static inline std::atomic<int> count_ = 0;
};

inline constexpr int moved_from = -1;

// A key or value each of whose constructions, copies and moves is a step.
class Faulty {
 public:
  static constexpr const char* name = "Faulty";

  // Implicit, so that a number is a key of a map of Faulty. So are those below.
  Faulty(int number) : number_(number) { FaultInjector::step(Step::construct); }
  Faulty(const Faulty& other) : number_(other.number_) { FaultInjector::step(Step::copy); }
  Faulty(Faulty&& other) : number_(other.number_) {
    FaultInjector::step(Step::move);
    other.number_ = moved_from;
  }
  Faulty& operator=(const Faulty& other) {
    FaultInjector::step(Step::copy);
    number_ = other.number_;
    return *this;
  }
  Faulty& operator=(Faulty&& other) {
    FaultInjector::step(Step::move);
    number_ = std::exchange(other.number_, moved_from);
    return *this;
  }
  ~Faulty() = default;

  int number() const { return number_; }

 private:
  int number_;
  LiveObject live_;
};

// One that moves without a fault.
class SafelyMoved {
 public:
  static constexpr const char* name = "SafelyMoved";

  SafelyMoved(int number) : number_(number) { FaultInjector::step(Step::construct); }
  SafelyMoved(const SafelyMoved& other) : number_(other.number_) {
    FaultInjector::step(Step::copy);
  }
  SafelyMoved(SafelyMoved&& other) noexcept : number_(std::exchange(other.number_, moved_from)) {}
  SafelyMoved& operator=(const SafelyMoved&) = delete;
  ~SafelyMoved() = default;

  int number() const { return number_; }

 private:
  int number_;
  LiveObject live_;
};

// One that is copied where others are moved.
class CopyOnly {
 public:
  static constexpr const char* name = "CopyOnly";

  CopyOnly(int number) : number_(number) { FaultInjector::step(Step::construct); }
  CopyOnly(const CopyOnly& other) : number_(other.number_) { FaultInjector::step(Step::copy); }
  CopyOnly& operator=(const CopyOnly&) = delete;
  ~CopyOnly() = default;

  int number() const { return number_; }

 private:
  int number_;
  LiveObject live_;
};

// One that is copied in place, without a fault.
class Trivial {
 public:
  static constexpr const char* name = "Trivial";

  Trivial(int number) : number_(number) { FaultInjector::step(Step::construct); }

  int number() const { return number_; }

 private:
  int number_;
};

// Many keys have the same hash, so that they are compared.
template <class Key>
struct CollidingHash {
  std::size_t operator()(const Key& key) const {
    FaultInjector::step(Step::hash);
    return static_cast<std::size_t>(key.number()) % 8;
  }
};

template <class Key>
struct FaultyEqual {
  bool operator()(const Key& a, const Key& b) const {
    FaultInjector::step(Step::equal);
    return a.number() == b.number();
  }
};

template <class Key>
struct FaultyLess {
  bool operator()(const Key& a, const Key& b) const {
    FaultInjector::step(Step::compare);
    return a.number() < b.number();
  }
};

}  // namespace lockmap::test
