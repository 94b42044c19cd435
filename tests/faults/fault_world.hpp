#pragma once

// A map in one of several states, an operation on it that may meet a fault, and what must be true
// of the map afterwards.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <lockmap/lockmap.hpp>

#include "counting_allocator.hpp"
#include "maps.hpp"
#include "test_access.hpp"
#include "throw_on.hpp"

namespace lockmap::test {

// The map that a test begins with: the keys 0 to `keys` - 1, each with ten times itself, and the
// key that the operation is about. A bound of `keys` makes the next insertion evict.
struct Start {
  std::string name;
  int keys;
  int target;
  std::size_t bound = large_bound;  // of a cache
  bool has_listener = false;
  std::size_t shards = 1;
};

inline constexpr int new_number = 7;

// The value, afterwards, of the key that an operation is about.
enum class Leaves {
  old_value,    // what it had, or nothing
  new_value,    // new_number
  first_value,  // new_number if it had nothing, else what it had
  nothing
};

template <class World>
struct Operation {
  std::string name = {};
  std::function<void(World&)> run = {};
  Leaves on_success = Leaves::old_value;
  Leaves on_fault = Leaves::old_value;
  bool locks = true;      // holds a key without a value, which may evict another before the fault
  bool restores = false;  // so a second fault may lose the value
  bool waits = true;
};

template <class Family, class Key, class Value>
class World {
 public:
  static constexpr const char* family = Family::name;
  using KeyType = Key;
  using ValueType = Value;
  using Allocator = CountingAllocator<std::pair<const Key, Value>>;
  using Map = MapOf<Family, Key, Value, CollidingHash<Key>, FaultyEqual<Key>, Allocator>;
  using Contents = std::map<int, int>;

  World(const Start& start, AllocationCount& memory)
      : target(start.target), map(make(start, memory)) {
    for (int key = 0; key < start.keys; ++key) map.insert(key, Value(key * 10));
    // So that they do not allocate while faults are injected.
    evicted_.reserve(64);
    removed_.reserve(64);
    contents_ = snapshot();
    stats_ = stats();
  }
  World(const World&) = delete;
  World& operator=(const World&) = delete;
  ~World() = default;

  // -- For operations -----------------------------------------------------------------------------

  // From here to the end of the operation, the fault is to come.
  void arm() {
    if (arm_) arm_();
  }

  // The operation has taken a key other than its target out of the map.
  void note_removed(int key) { removed_.push_back(key); }
  // The value that it stores: once made, that stays in spite of a fault. Without a name for it, for
  // compilers do not agree on which named results are moved.
  Value make_stored() {
    stored_ = true;
    try {
      return Value(new_number);
    } catch (...) {
      stored_ = false;
      throw;
    }
  }

  // A returned copy of the value that the target had.
  void expect_old(const std::optional<Value>& value) const { expect_value(value, old_number()); }
  void expect_value(const std::optional<Value>& value, std::optional<int> number) const {
    EXPECT_EQ(value.has_value() ? std::optional<int>(value->number()) : std::nullopt, number);
  }
  std::optional<int> old_number() const { return number_in(contents_, target); }
  std::optional<int> first_number() const { return old_number().value_or(new_number); }

  const int target;
  Map map;

  // -- For the driver -----------------------------------------------------------------------------

  // Runs the operation; `arm` is called where a fault may begin. Returns whether it was met.
  bool run(const Operation<World>& operation, std::function<void()> arm) {
    arm_ = std::move(arm);
    try {
      operation.run(*this);
    } catch (const Injected&) {
      return true;
    }
    return false;
  }

  // The values that the target may have after a fault.
  std::set<std::optional<int>> allowed_after_fault(const Operation<World>& operation,
                                                   Repeat repeat) const {
    std::set<std::optional<int>> allowed = {stored_ ? first_number() : after(operation.on_fault)};
    if (operation.restores && repeat == Repeat::always) allowed.insert(std::nullopt);
    return allowed;
  }

  void expect_after_fault(const Operation<World>& operation, Repeat repeat) {
    expect_contents(allowed_after_fault(operation, repeat), operation.locks);
  }

  void expect_after_success(const Operation<World>& operation) {
    expect_contents({after(operation.on_success)}, true);
  }

 private:
  Map make(const Start& start, AllocationCount& memory) {
    if constexpr (is_lru<Map>) {
      typename Map::EvictionListener listener;
      if (start.has_listener) {
        listener = [this](const Key& key, Value& value) {
          evicted_.emplace_back(key.number(), value.number());
        };
      }
      has_listener_ = start.has_listener;
      return Map(LruOptions{.max_size = start.bound, .shard_count = start.shards},
                 std::move(listener), CollidingHash<Key>{}, FaultyEqual<Key>{}, Allocator(memory));
    } else {
      return Map(Options{.shard_count = start.shards}, CollidingHash<Key>{}, FaultyEqual<Key>{},
                 Allocator(memory));
    }
  }

  static std::optional<int> number_in(const Contents& contents, int key) {
    const auto found = contents.find(key);
    return found == contents.end() ? std::nullopt : std::optional<int>(found->second);
  }

  bool was_removed(int key) const {
    return std::find(removed_.begin(), removed_.end(), key) != removed_.end();
  }

  std::optional<int> after(Leaves leaves) const {
    switch (leaves) {
      case Leaves::new_value:
        return new_number;
      case Leaves::first_value:
        return first_number();
      case Leaves::nothing:
        return std::nullopt;
      case Leaves::old_value:
        break;
    }
    return old_number();
  }

  Contents snapshot() const {
    Contents contents;
    map.for_each([&](const Key& key, const Value& value) {
      EXPECT_TRUE(contents.insert({key.number(), value.number()}).second);
    });
    return contents;
  }

  LruStats stats() const {
    if constexpr (is_lru<Map>) {
      return map.stats();
    } else {
      return {};
    }
  }

  // The target has one of the allowed values, what was removed is gone, and everything else is as
  // it was, unless it was evicted. Nothing is locked or pinned or left behind.
  void expect_contents(const std::set<std::optional<int>>& allowed, bool may_evict) {
    const Contents now = snapshot();
    const std::optional<int> old = old_number();
    const std::optional<int> number = number_in(now, target);
    if (was_removed(target)) {
      EXPECT_EQ(number, std::nullopt);
    } else {
      EXPECT_TRUE(allowed.count(number) != 0) << "the key has " << number.value_or(-1);
    }

    Contents gone;
    for (const auto& [key, old_value] : contents_) {
      if (key == target) continue;
      const auto found = now.find(key);
      if (found == now.end()) {
        if (!was_removed(key)) gone.insert({key, old_value});
      } else {
        EXPECT_FALSE(was_removed(key)) << key;
        EXPECT_EQ(found->second, old_value) << key;
      }
    }
    for (const auto& [key, value] : now) {
      EXPECT_TRUE(key == target || contents_.count(key) != 0)
          << "where does " << key << " come from";
    }
    if (!may_evict) {
      EXPECT_EQ(gone, Contents{});
    }
    if constexpr (is_lru<Map>) {
      EXPECT_EQ(map.stats().evictions - stats_.evictions, gone.size());
      EXPECT_EQ(map.stats().insertions - stats_.insertions, !old && number ? 1U : 0U);
      if (has_listener_) {
        EXPECT_EQ(Contents(evicted_.begin(), evicted_.end()), gone);
        EXPECT_EQ(evicted_.size(), gone.size());
      }
      EXPECT_LE(map.size(), map.max_size());
    } else {
      EXPECT_EQ(gone, Contents{});
    }

    EXPECT_EQ(map.size(), now.size());
    expect_quiet(map);
    EXPECT_EQ(detail::TestAccess::held(), 0U);
    for (const auto& [key, value] : now) EXPECT_EQ(detail::TestAccess::waiters(map, key), 0U);
    EXPECT_EQ(detail::TestAccess::waiters(map, target), 0U);
    contents_ = now;
    stats_ = stats();
    evicted_.clear();
    removed_.clear();
    stored_ = false;
  }

  std::function<void()> arm_;
  Contents contents_;  // as of the last look
  LruStats stats_;
  bool has_listener_ = false;
  std::vector<std::pair<int, int>> evicted_;  // what the listener saw since
  std::vector<int> removed_;
  bool stored_ = false;
};

struct WorldNames {
  template <class World>
  static std::string GetName(int /*index*/) {
    return std::string(World::family) + "Of" + World::KeyType::name + "And" +
           World::ValueType::name;
  }
};

}  // namespace lockmap::test
