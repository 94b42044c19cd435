#pragma once

// A thread that does random operations on a map and writes down what it did.

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <lockmap/lockmap.hpp>

#include "fake_clock.hpp"
#include "history.hpp"
#include "pauses.hpp"
#include "stress_support.hpp"

namespace lockmap::test {

// How a number is stored as a value.
template <class Value>
struct Numbered;

template <>
struct Numbered<std::uint64_t> {
  static std::uint64_t value(int number) { return static_cast<std::uint64_t>(number); }
  static int number(std::uint64_t value) { return static_cast<int>(value); }
};

// So long that it owns memory.
template <>
struct Numbered<std::string> {
  static std::string value(int number) {
    return "the value with the number " + std::to_string(number);
  }
  static int number(const std::string& value) {
    const std::size_t digits = value.find_last_of(' ') + 1;
    const int number = digits < value.size() ? std::atoi(value.c_str() + digits) : garbled;
    return value == Numbered::value(number) ? number : garbled;
  }
};

// The time by which calls and returns are ordered. An operation that returned before another was
// called happens before it.
class Clock {
 public:
  std::uint64_t now() { return time_.fetch_add(1) + 1; }

 private:
  alignas(128) std::atomic<std::uint64_t> time_ = 0;
};

template <class Map>
class Client {
 public:
  using Value = typename Map::mapped_type;
  using Guard = decltype(std::declval<Map&>().entry(0));
  using SharedGuard = decltype(std::declval<Map&>().shared_entry(0));

  Client(Map& map, Clock& clock, int keys, int thread, int threads, int seed)
      : map_(map),
        clock_(clock),
        keys_(keys),
        thread_(thread),
        threads_(threads),
        last_number_(thread),
        random_(seed) {}

  Random& random() { return random_; }
  Map& map() { return map_; }
  [[nodiscard]] int keys() const { return keys_; }

  // Of the latest operation.
  [[nodiscard]] int last_result() const { return log_.back().result; }

  std::vector<Operation> take_log() { return std::exchange(log_, {}); }

  // -- What a thread does in one history ---------------------------------------------------------

  // Any operation.
  void do_anything() {
    for (int steps = 2 + random_.below(3); steps > 0; --steps) {
      const int choice = random_.below(32);
      if (choice < 10) {
        do_guard();
      } else if (choice < 12) {
        do_batch();
      } else if (choice < 13) {
        do_walk();
      } else {
        do_one(random_key());
      }
    }
  }

  // Operations of one key, guards held over them among them.
  void do_singly() {
    for (int steps = 2 + random_.below(3); steps > 0; --steps) {
      if (random_.below(3) == 0) {
        do_guard();
      } else {
        do_one(random_key());
      }
    }
  }

  // Operations of one key, and batches as one operation of two.
  void do_pairs() {
    for (int steps = 3 + random_.below(3); steps > 0; --steps) {
      if (random_.below(2) == 0) {
        do_exchange();
      } else {
        do_one(random_key());
      }
    }
  }

  // Operations that hold no key in a cache whose values are copied in place. What `turn()` returns
  // lives as long as each of them.
  template <class F>
  void do_without_holding(const F& turn) {
    for (int steps = 3 + random_.below(4); steps > 0; --steps) {
      [[maybe_unused]] const auto mine = turn();
      do_without_holding(random_key());
    }
  }

  // Operations of a cache whose values expire, by a clock that ticks meanwhile, and many keys at a
  // time.
  void do_with_times() {
    for (int steps = 2 + random_.below(3); steps > 0; --steps) {
      switch (random_.below(8)) {
        case 0:
        case 1:
          tick();
          break;
        case 2:
        case 3:
          insert(random_key(), random_life());
          break;
        case 4:
          do_timed_guard(random_key());
          break;
        case 5:
          get_or_insert(random_key(), false, random_life());
          break;
        case 6:
          get_many();
          break;
        default:
          do_one(random_key());
          break;
      }
    }
  }

  // Many keys at a time, each of which is an operation of its own.
  void do_many() {
    for (int steps = 2 + random_.below(3); steps > 0; --steps) {
      switch (random_.below(5)) {
        case 0:
        case 1:
          insert_many();
          break;
        case 2:
        case 3:
          get_many();
          break;
        default:
          do_guard();
          break;
      }
    }
  }

  // Guards of a set, which have no value: in both modes, one in the other.
  void do_locks() {
    for (int steps = 1 + random_.below(3); steps > 0; --steps) do_lock();
  }

  // -- Operations of one key ---------------------------------------------------------------------

  void get(int key) {
    record({.name = "get", .step = Step::read, .key = key},
           [&](Operation& done) { done.result = number_of(map_.get(key)); });
  }
  void peek(int key) {
    record({.name = "peek", .step = Step::peek, .key = key},
           [&](Operation& done) { done.result = number_of(map_.peek(key)); });
  }
  // Looks twice: nothing changes while it looks.
  void read(int key) {
    record({.name = "read", .step = Step::read, .key = key}, [&](Operation& done) {
      const std::optional<int> number = map_.read(key, [](const Value& value) {
        const int first = Numbered<Value>::number(value);
        maybe_pause_long();
        return Numbered<Value>::number(value) == first ? first : garbled;
      });
      done.result = number.value_or(none);
    });
  }
  void contains(int key) {
    record({.name = "contains", .step = Step::has, .key = key},
           [&](Operation& done) { done.result = map_.contains(key) ? 1 : 0; });
  }
  void insert(int key) {
    record({.name = "insert", .step = Step::put, .key = key, .argument = new_number()},
           [&](Operation& done) {
             done.result = number_of(map_.insert(key, value_of(done.argument)));
           });
  }
  void insert(int key, int life) {
    record(
        {.name = "insert", .step = Step::put, .key = key, .argument = new_number(), .life = life},
        [&](Operation& done) {
          done.result =
              number_of(map_.insert(key, value_of(done.argument), expires_in(ticks(done.life))));
        });
  }
  void tick() {
    record({.name = "tick", .step = Step::tick},
           [&](Operation& /*done*/) { FakeClock::advance(ticks(1)); });
  }
  void try_insert(int key) {
    record(
        {.name = "try_insert", .step = Step::put_if_absent, .key = key, .argument = new_number()},
        [&](Operation& done) {
          done.result = map_.try_insert(key, value_of(done.argument)) ? 1 : 0;
        });
  }
  void remove(int key) {
    record({.name = "remove", .step = Step::take, .key = key},
           [&](Operation& done) { done.result = number_of(map_.remove(key)); });
  }
  void pop() {
    record({.name = "pop_lru", .step = Step::pop}, [&](Operation& done) {
      const auto popped = map_.pop_lru();
      if (!popped) return;
      done.key = popped->first;
      done.result = Numbered<Value>::number(popped->second);
    });
  }
  void get_or_insert(int key, bool fails) {
    get_or_insert(key, fails, 0, [](Value value) { return value; });
  }
  void get_or_insert(int key, bool fails, int life) {
    get_or_insert(key, fails, life, [&](Value value) {
      return Expiring<Value>{std::move(value), ticks(life)};
    });
  }
  template <class F>
  void get_or_insert(int key, bool fails, int life, const F& to_return) {
    record({.name = fails ? "get_or_insert_with, throwing" : "get_or_insert_with",
            .step = Step::get_or_put,
            .key = key,
            .argument = fails ? none : new_number(),
            .life = life},
           [&](Operation& done) {
             try {
               const Value value = map_.get_or_insert_with(key, [&] {
                 maybe_pause();
                 if (fails) throw MakerFailed();
                 return to_return(value_of(done.argument));
               });
               done.result = Numbered<Value>::number(value);
             } catch (const MakerFailed&) {
               done.result = none;
             }
           });
  }

  // -- Evictions ---------------------------------------------------------------------------------

  // For the listener of a cache: this thread's operation has evicted a value.
  static void note_eviction(int key, const Value& value) {
    if (current_ == nullptr) return;
    Operation eviction{.name = "(eviction)",
                       .step = Step::take,
                       .key = key,
                       .result = Numbered<Value>::number(value),
                       .thread = current_->thread_,
                       .called = current_->called_};
    eviction.returned = current_->clock_.now();
    current_->log_.push_back(eviction);
  }

  // Evictions of this thread, and its pauses, are this client's as long as this lives.
  class Turn {
   public:
    explicit Turn(Client& client, bool with_pauses = true) {
      current_ = &client;
      if (with_pauses) pauses = &client.random_;
    }
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;
    ~Turn() {
      current_ = nullptr;
      pauses = nullptr;
    }
  };

 private:
  struct MakerFailed : std::runtime_error {
    MakerFailed() : std::runtime_error("the maker failed") {}
  };

  int random_key() { return random_.below(keys_); }
  int new_number() { return last_number_ += threads_; }

  static Value value_of(int number) { return Numbered<Value>::value(number); }
  static int number_of(const std::optional<Value>& value) {
    return value ? Numbered<Value>::number(*value) : none;
  }

  // Does `f(operation)`, which fills in the result, and notes it.
  template <class F>
  void record(Operation operation, const F& f) {
    maybe_pause();
    operation.thread = thread_;
    called_ = operation.called = clock_.now();
    try {
      f(operation);
    } catch (const std::system_error& error) {
      if (error.code() != std::errc::resource_deadlock_would_occur) throw;
      // A thread that holds nothing cannot close a cycle.
      operation.step = held_ == 0 ? Step::impossible : Step::refused;
      operation.guard_after = operation.guard_before;
      operation.shares_after = operation.shares_before;
    }
    operation.returned = clock_.now();
    log_.push_back(operation);
  }

  // Notes one step for each of the keys, with the times of `operation`.
  template <class Keys>
  void note_each(Operation operation, const Keys& keys) {
    for (const int key : keys) {
      operation.key = key;
      log_.push_back(operation);
    }
  }

  void do_without_holding(int key) {
    switch (random_.below(9)) {
      case 0:
      case 1:
        get(key);
        break;
      case 2:
      case 3:
        insert(key);
        break;
      case 4:
        try_insert(key);
        break;
      case 5:
        remove(key);
        break;
      case 6:
        contains(key);
        break;
      case 7:
        pop();
        break;
      default:
        peek(key);
        break;
    }
  }

  void do_one(int key) {
    const int choice = random_.below(15);
    switch (choice) {
      case 0:
      case 1:
        get(key);
        break;
      case 2:
        contains(key);
        break;
      case 3:
      case 4:
        insert(key);
        break;
      case 5:
      case 6:
        try_insert(key);
        break;
      case 7:
      case 8:
      case 9:
        remove(key);
        break;
      case 10:
      case 11:
        get_or_insert(key, choice == 11);
        break;
      case 12:
      case 13:
        read(key);
        break;
      default:
        if constexpr (requires { map_.peek(key); }) {
          peek(key);
        } else {
          get(key);
        }
        break;
    }
  }

  // -- Guards ------------------------------------------------------------------------------------

  void do_guard() {
    if (random_.below(3) == 0) return do_shared_guard();
    const int key = random_key();
    const int guard = new_number();
    std::optional<Guard> entry;
    const auto acquire = [&](const char* name, const auto& f) {
      record({.name = name, .key = key, .guard_after = guard}, [&](Operation& done) {
        f();
        if (entry.has_value()) return;
        done.step = Step::refused;
        done.guard_after = 0;
      });
    };
    switch (random_.below(4)) {
      case 0:
        acquire("try_entry", [&] { move_to(entry, map_.try_entry(key)); });
        break;
      case 1: {
        const std::chrono::microseconds limit(random_.below(8) == 0 ? 0 : random_.below(200));
        acquire("try_entry_for", [&] { move_to(entry, map_.try_entry_for(key, limit)); });
        break;
      }
      default:
        acquire("entry", [&] { entry.emplace(map_.entry(key)); });
        break;
    }
    if (!entry.has_value()) return;
    ++held_;
    use_guard(*entry, key, guard);
    maybe_pause_long();
    if (random_.below(4) == 0) {
      std::optional<decltype(std::move(*entry).downgrade())> shared;
      record({.name = "downgrade", .key = key, .guard_before = guard, .shares_after = true},
             [&](Operation& /*done*/) { shared.emplace(std::move(*entry).downgrade()); });
      use_and_release(shared, key);
    } else {
      record({.name = "unlock", .key = key, .guard_before = guard},
             [&](Operation& /*done*/) { entry.reset(); });
    }
    --held_;
  }

  void do_shared_guard() {
    const int key = random_key();
    std::optional<SharedGuard> entry;
    const auto acquire = [&](const char* name, const auto& f) {
      record({.name = name, .key = key, .shares_after = true}, [&](Operation& done) {
        f();
        if (entry.has_value()) return;
        done.step = Step::not_shared;
        done.shares_after = false;
      });
    };
    switch (random_.below(5)) {
      case 0:
        acquire("try_shared_entry", [&] { move_to(entry, map_.try_shared_entry(key)); });
        break;
      case 1: {
        const std::chrono::microseconds limit(random_.below(200));
        acquire("try_shared_entry_for",
                [&] { move_to(entry, map_.try_shared_entry_for(key, limit)); });
        break;
      }
      case 2:
        record({.name = "find_shared_entry", .step = Step::has, .key = key}, [&](Operation& done) {
          move_to(entry, map_.find_shared_entry(key));
          done.result = entry.has_value() ? 1 : 0;
          done.shares_after = entry.has_value();
        });
        break;
      default:
        acquire("shared_entry", [&] { entry.emplace(map_.shared_entry(key)); });
        break;
    }
    if (!entry.has_value()) return;
    ++held_;
    use_and_release(entry, key);
    --held_;
  }

  // Of a shared guard, or of the exclusive one that it becomes.
  template <class Shared>
  void use_and_release(std::optional<Shared>& shared, int key) {
    use_shared_guard(*shared, key);
    maybe_pause_long();
    if (random_.below(3) == 0) {
      const int guard = new_number();
      decltype(std::move(*shared).try_upgrade()) entry;
      record({.name = "try_upgrade", .key = key, .guard_after = guard, .shares_before = true},
             [&](Operation& done) {
               move_to(entry, std::move(*shared).try_upgrade());
               if (entry.has_value()) return;
               done.step = Step::not_upgraded;
               done.guard_after = 0;
               done.shares_after = true;
             });
      if (entry.has_value()) {
        use_guard(*entry, key, guard);
        return record({.name = "unlock", .key = key, .guard_before = guard},
                      [&](Operation& /*done*/) { entry.reset(); });
      }
      use_shared_guard(*shared, key);
    }
    record({.name = "unlock", .key = key, .shares_before = true},
           [&](Operation& /*done*/) { shared.reset(); });
  }

  template <class Shared>
  void use_shared_guard(const Shared& shared, int key) {
    Operation operation{.key = key, .shares_before = true, .shares_after = true};
    for (int steps = random_.below(4); steps > 0; --steps) {
      switch (random_.below(4)) {
        case 0:
          operation.name = "has_value";
          operation.step = Step::has;
          record(operation, [&](Operation& done) { done.result = shared.has_value() ? 1 : 0; });
          break;
        case 1:
        case 2:
          operation.name = "value_or";
          operation.step = Step::read;
          record(operation, [&](Operation& done) {
            if (shared.has_value()) {
              done.result = Numbered<Value>::number(shared.value_or(value_of(garbled)));
            }
          });
          break;
        default:
          do_something_else();
          break;
      }
    }
  }

  template <class G>
  static void move_to(std::optional<G>& entry, std::optional<G> other) {
    if (other.has_value()) entry.emplace(*std::move(other));
  }

  template <class Entry>
  void use_guard(Entry& entry, int key, int guard) {
    const auto note = [&](const char* name, Step step, int argument, const auto& f) {
      record({.name = name,
              .step = step,
              .key = key,
              .guard_before = guard,
              .guard_after = guard,
              .argument = argument},
             f);
    };
    for (int steps = random_.below(4); steps > 0; --steps) {
      switch (random_.below(10)) {
        case 0:
          note("has_value", Step::has, none,
               [&](Operation& done) { done.result = entry.has_value() ? 1 : 0; });
          break;
        case 1:
          note("value", Step::read, none, [&](Operation& done) {
            done.result = entry.get() != nullptr ? Numbered<Value>::number(*entry.get()) : none;
          });
          break;
        case 2:
        case 3:
        case 4:
          note("Entry::insert", Step::put, new_number(), [&](Operation& done) {
            done.result = number_of(entry.insert(value_of(done.argument)));
          });
          break;
        case 5:
        case 6:
          note("Entry::remove", Step::take, none,
               [&](Operation& done) { done.result = number_of(entry.remove()); });
          break;
        case 7:
        case 8:
          note("or_insert", Step::get_or_put, new_number(), [&](Operation& done) {
            done.result = Numbered<Value>::number(entry.or_insert(value_of(done.argument)));
          });
          break;
        default:
          do_something_else();
          break;
      }
    }
  }

  // While a guard is held: with another key or, to be refused perhaps, the same.
  void do_something_else() {
    if (held_ < 2 && random_.below(3) == 0) {
      do_guard();
    } else {
      do_one(random_key());
    }
  }

  // -- Times -------------------------------------------------------------------------------------

  static std::chrono::nanoseconds ticks(int count) { return std::chrono::seconds(count); }
  int random_life() { return 1 + random_.below(3); }

  // An expired value is kept by who holds the key, and by nobody else.
  void do_timed_guard(int key) {
    const int guard = new_number();
    std::optional<Guard> entry;
    record({.name = "entry", .key = key, .guard_after = guard},
           [&](Operation& /*done*/) { entry.emplace(map_.entry(key)); });
    if (!entry.has_value()) return;
    const int life = random_life();
    ++held_;
    record({.name = "expire_in",
            .step = Step::live,
            .key = key,
            .guard_before = guard,
            .guard_after = guard,
            .life = life},
           [&](Operation& done) {
             done.result = entry->has_value() ? 1 : 0;
             if (entry->has_value()) entry->expire_in(ticks(life));
           });
    if (random_.below(2) == 0) tick();
    use_guard(*entry, key, guard);
    --held_;
    record({.name = "unlock", .key = key, .guard_before = guard},
           [&](Operation& /*done*/) { entry.reset(); });
  }

  // -- Many keys ---------------------------------------------------------------------------------

  // In any order, each once.
  std::vector<int> many_keys() {
    std::vector<int> keys;
    for (int key = 0; key < keys_; ++key) {
      if (random_.below(3) == 0) continue;
      keys.insert(random_.below(2) == 0 ? keys.begin() : keys.end(), key);
    }
    return keys;
  }

  // Does `f()`, and notes a step for each of the keys.
  template <class F>
  void record_many(Operation operation, const std::vector<int>& keys, const F& f) {
    operation.thread = thread_;
    called_ = operation.called = clock_.now();
    const std::vector<int> numbers = f();
    operation.returned = clock_.now();
    for (std::size_t i = 0; i < keys.size(); ++i) {
      operation.key = keys[i];
      (operation.step == Step::overwrite ? operation.argument : operation.result) = numbers[i];
      log_.push_back(operation);
    }
  }
  void get_many() {
    const std::vector<int> keys = many_keys();
    record_many({.name = "get_many", .step = Step::read}, keys, [&] {
      std::vector<int> numbers;
      for (const auto& value : map_.get_many(keys)) numbers.push_back(number_of(value));
      return numbers;
    });
  }
  void insert_many() {
    const std::vector<int> keys = many_keys();
    record_many({.name = "insert_many", .step = Step::overwrite}, keys, [&] {
      std::vector<int> numbers;
      std::vector<std::pair<int, Value>> pairs;
      for (const int key : keys) {
        numbers.push_back(new_number());
        pairs.emplace_back(key, value_of(numbers.back()));
      }
      map_.insert_many(pairs);
      return numbers;
    });
  }

  // -- Sets --------------------------------------------------------------------------------------

  void do_lock() {
    if (random_.below(3) == 0) return do_shared_lock();
    const int key = random_key();
    const int guard = new_number();
    std::optional<Guard> entry;
    record({.name = "lock", .key = key, .guard_after = guard}, [&](Operation& done) {
      if (random_.below(2) == 0) {
        entry.emplace(map_.entry(key));
      } else {
        move_to(entry, map_.try_entry(key));
      }
      if (entry.has_value()) return;
      done.step = Step::refused;
      done.guard_after = 0;
    });
    if (!entry.has_value()) return;
    hold_and_lock_another();
    record({.name = "unlock", .key = key, .guard_before = guard},
           [&](Operation& /*done*/) { entry.reset(); });
  }
  void do_shared_lock() {
    const int key = random_key();
    std::optional<SharedGuard> entry;
    record({.name = "lock_shared", .key = key, .shares_after = true}, [&](Operation& done) {
      if (random_.below(2) == 0) {
        entry.emplace(map_.shared_entry(key));
      } else {
        move_to(entry, map_.try_shared_entry(key));
      }
      if (entry.has_value()) return;
      done.step = Step::not_shared;
      done.shares_after = false;
    });
    if (!entry.has_value()) return;
    hold_and_lock_another();
    record({.name = "unlock", .key = key, .shares_before = true},
           [&](Operation& /*done*/) { entry.reset(); });
  }
  void hold_and_lock_another() {
    ++held_;
    maybe_pause_long();
    if (held_ < 3 && random_.below(2) == 0) do_lock();
    --held_;
  }

  // -- Batches -----------------------------------------------------------------------------------

  std::vector<int> some_keys() {
    std::vector<int> keys = {random_key()};
    const int other = random_key();
    if (other != keys[0]) keys.push_back(other);
    return keys;
  }

  void do_batch() {
    const std::vector<int> keys = some_keys();
    const bool tries = random_.below(2) == 0;
    std::optional<typename Map::Batch> batch;
    Operation operation{.name = tries ? "try_batch_lock" : "batch_lock", .thread = thread_};
    called_ = operation.called = clock_.now();
    try {
      if (tries) {
        auto locked = map_.try_batch_lock(keys);
        if (locked.has_value()) batch.emplace(*std::move(locked));
      } else {
        batch.emplace(map_.batch_lock(keys));
      }
    } catch (const std::system_error& error) {
      if (error.code() != std::errc::resource_deadlock_would_occur) throw;
    }
    operation.returned = clock_.now();
    if (!batch.has_value()) {
      operation.step = Step::may_hold;
      note_each(operation, keys);
      return;
    }
    const int guard = operation.guard_after = new_number();
    note_each(operation, keys);
    held_ += 2;  // no more guards inside
    for (const int key : keys) use_guard(batch->at(key), key, guard);
    maybe_pause_long();
    held_ -= 2;
    operation = {.name = "end of batch", .guard_before = guard, .thread = thread_};
    called_ = operation.called = clock_.now();
    batch.reset();
    operation.returned = clock_.now();
    note_each(operation, keys);
  }

  // A batch that swaps the values of two keys, as one operation.
  void do_exchange() {
    const int key = random_key();
    const int other = (key + 1 + random_.below(keys_ - 1)) % keys_;
    if (random_.below(3) == 0) return read_both(key, other);
    const bool tries = random_.below(3) == 0;
    const auto exchange = [&](Operation& done, auto& batch) {
      std::optional<Value> value = batch.at(key).remove();
      done.result = number_of(value);
      maybe_pause();
      value = batch.at(other).swap(std::move(value));
      done.other_result = number_of(value);
      maybe_pause_long();
      batch.at(key).swap(std::move(value));
    };
    record({.name = tries ? "try_batch_lock" : "batch_lock",
            .step = Step::exchange,
            .key = key,
            .other_key = other},
           [&](Operation& done) {
             if (!tries) {
               auto batch = map_.batch_lock({key, other});
               exchange(done, batch);
             } else if (auto batch = map_.try_batch_lock({key, other})) {
               exchange(done, *batch);
             } else {
               done.step = Step::refused;
             }
           });
  }

  // A shared batch that looks at two keys, as one operation.
  void read_both(int key, int other) {
    const bool tries = random_.below(3) == 0;
    const auto look = [&](Operation& done, const auto& batch) {
      const auto number_at = [&batch](int one) {
        const auto& entry = batch.at(one);
        return entry.has_value() ? Numbered<Value>::number(*entry) : none;
      };
      done.result = number_at(key);
      maybe_pause_long();
      done.other_result = number_at(other);
      if (number_at(key) != done.result) done.result = garbled;
    };
    record({.name = tries ? "try_shared_batch_lock" : "shared_batch_lock",
            .step = Step::read_both,
            .key = key,
            .other_key = other},
           [&](Operation& done) {
             if (!tries) {
               look(done, map_.shared_batch_lock({key, other}));
             } else if (auto batch = map_.try_shared_batch_lock({key, other})) {
               look(done, *batch);
             } else {
               done.step = Step::not_shared;
             }
           });
  }

  // -- The whole map -----------------------------------------------------------------------------

  // For a thread that holds nothing. To each key, a walk is an operation of its own: a visit, or a
  // moment at which there was no value.
  void do_walk() {
    std::vector<Operation> visits;
    std::vector<bool> visited(static_cast<std::size_t>(keys_), false);
    const auto visit = [&](int key, const Value& value, Step step) {
      visits.push_back({.step = step, .key = key, .result = Numbered<Value>::number(value)});
      visited.at(static_cast<std::size_t>(key)) = true;
      maybe_pause_long();
    };
    Operation walk{.step = Step::read, .thread = thread_};
    called_ = walk.called = clock_.now();
    switch (random_.below(3)) {
      case 0:
        walk.name = "for_each";
        map_.for_each([&](const int& key, const Value& value) { visit(key, value, Step::read); });
        break;
      case 1:
        walk.name = "retain";
        (void)map_.retain([&](const int& key, Value& value) {
          const bool keep = random_.below(2) == 0;
          visit(key, value, keep ? Step::read : Step::take);
          return keep;
        });
        break;
      default:
        walk.name = "clear";
        walk.step = Step::erase;
        map_.clear();
        break;
    }
    walk.returned = clock_.now();
    for (int key = 0; key < keys_; ++key) {
      walk.key = key;
      if (!visited[static_cast<std::size_t>(key)]) log_.push_back(walk);
      if (walk.step == Step::erase) {
        // It may meet a key again that goes and comes meanwhile.
        Operation again = walk;
        again.step = Step::may_erase;
        log_.insert(log_.end(), 3, again);
      }
      Operation hold = walk;
      hold.step = Step::may_hold;
      log_.push_back(hold);
    }
    for (const Operation& one : visits) {
      walk.key = one.key;
      walk.step = one.step;
      walk.result = one.result;
      log_.push_back(walk);
    }
  }

  static inline thread_local Client* current_ = nullptr;

  Map& map_;
  Clock& clock_;
  int keys_;
  int thread_;
  int threads_;
  int last_number_;
  int held_ = 0;
  std::uint64_t called_ = 0;  // when the operation that is under way was called
  Random random_;
  std::vector<Operation> log_;
};

}  // namespace lockmap::test
