#pragma once

// Faults on demand: the nth step of a kind throws.

#include <cstddef>
#include <exception>
#include <utility>

namespace lockmap::test {

enum class Step { hash, equal, copy, move, construct, allocate, compare, callback };

struct Injected : std::exception {
  const char* what() const noexcept override { return "injected fault"; }
};

// While one lives, the nth step of its kind on its thread throws Injected; the others do not.
class FaultInjector {
 public:
  FaultInjector(Step kind, int nth) {
    kind_ = kind;
    steps_left_ = nth;
  }
  FaultInjector(const FaultInjector&) = delete;
  FaultInjector& operator=(const FaultInjector&) = delete;
  ~FaultInjector() { steps_left_ = 0; }

  static void step(Step kind) {
    if (steps_left_ == 0 || kind != kind_) return;
    if (--steps_left_ == 0) throw Injected();
  }

 private:
  static inline thread_local Step kind_ = Step::hash;
  static inline thread_local int steps_left_ = 0;
};

// A key or value each of whose constructions, copies and moves is a step.
class Faulty {
 public:
  // Implicit, so that a number is a key of a map of Faulty.
  Faulty(int number) : number_(number) { FaultInjector::step(Step::construct); }
  Faulty(const Faulty& other) : number_(other.number_) { FaultInjector::step(Step::copy); }
  Faulty(Faulty&& other) : number_(other.number_) { FaultInjector::step(Step::move); }
  Faulty& operator=(const Faulty& other) {
    FaultInjector::step(Step::copy);
    number_ = other.number_;
    return *this;
  }
  Faulty& operator=(Faulty&& other) {
    FaultInjector::step(Step::move);
    number_ = other.number_;
    return *this;
  }
  ~Faulty() = default;

  int number() const { return number_; }

 private:
  int number_;
};

struct FaultyHash {
  std::size_t operator()(const Faulty& key) const {
    FaultInjector::step(Step::hash);
    return static_cast<std::size_t>(key.number());
  }
};

struct FaultyEqual {
  bool operator()(const Faulty& a, const Faulty& b) const {
    FaultInjector::step(Step::equal);
    return a.number() == b.number();
  }
};

struct FaultyLess {
  bool operator()(const Faulty& a, const Faulty& b) const {
    FaultInjector::step(Step::compare);
    return a.number() < b.number();
  }
};

}  // namespace lockmap::test
