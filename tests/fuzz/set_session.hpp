#pragma once

// One input's run of a LockSet: as a map whose keys never have a value.

#include <cstddef>
#include <functional>
#include <utility>

#include <lockmap/lockmap.hpp>

#include "session.hpp"

namespace lockmap::fuzz {

// A set, with the names that a map has for the same.
template <class Key, class Hash>
class SetAsMap : public LockSet<Key, Hash> {
  using Base = LockSet<Key, Hash>;

 public:
  using Entry = typename Base::Guard;
  using SharedEntry = typename Base::SharedGuard;
  using typename Base::Batch;

  using Base::Base;

  template <class Q>
  Entry entry(const Q& key) {
    return Base::lock(key);
  }
  template <class Q>
  SharedEntry shared_entry(const Q& key) {
    return Base::lock_shared(key);
  }
  template <class Q, class... Limit>
  std::optional<Entry> try_entry(const Q& key, const Limit&... limit) {
    return Base::try_lock(key, limit...);
  }
  template <class Q, class Limit>
  std::optional<Entry> try_entry_for(const Q& key, const Limit& limit) {
    return Base::try_lock_for(key, limit);
  }
  template <class Q, class Time>
  std::optional<Entry> try_entry_until(const Q& key, const Time& time) {
    return Base::try_lock_until(key, time);
  }
  template <class Q, class... Limit>
  std::optional<SharedEntry> try_shared_entry(const Q& key, const Limit&... limit) {
    return Base::try_lock_shared(key, limit...);
  }
  template <class Q, class Limit>
  std::optional<SharedEntry> try_shared_entry_for(const Q& key, const Limit& limit) {
    return Base::try_lock_shared_for(key, limit);
  }
  template <class Q, class Time>
  std::optional<SharedEntry> try_shared_entry_until(const Q& key, const Time& time) {
    return Base::try_lock_shared_until(key, time);
  }
  template <class Range, class Less>
  Batch batch_lock(Range&& keys, Less less) {
    return Base::lock_all(std::forward<Range>(keys), less);
  }
  template <class Less>
  Batch batch_lock(std::initializer_list<Key> keys, Less less) {
    return Base::lock_all(keys, less);
  }
  template <class Range, class Less>
  std::optional<Batch> try_batch_lock(Range&& keys, Less less) {
    return Base::try_lock_all(std::forward<Range>(keys), less);
  }
  template <class Less>
  std::optional<Batch> try_batch_lock(std::initializer_list<Key> keys, Less less) {
    return Base::try_lock_all(keys, less);
  }
};

template <class Types_>
class SetSession : public AnySession<Types_> {
  using Base = AnySession<Types_>;

 public:
  using typename Base::Hash;
  using typename Base::Key;
  using typename Base::Types;
  using Map = SetAsMap<Key, Hash>;
  using Base::bytes;
  using Base::key_count;

  explicit SetSession(Bytes& input)
      : Base(input),
        map(Options{.shard_count = static_cast<std::size_t>(bytes.below(4)) + 1}),
        model({.shard_of = this->shards_of_keys(map.shard_count()),
               .shard_count = map.shard_count(),
               .max_size = unlimited - 1}) {}

  // A set calls nobody, and no key of it goes for another.
  static void with_nested_listener(auto operation) { operation(); }
  static void with_several_keys(auto operation) { operation(); }

  [[nodiscard]] static std::optional<int> seen_value(int /*key*/, bool /*sees*/) { return {}; }
  template <class E>
  static void require_entry(int key, const E& entry, const std::optional<int>& /*no_value*/) {
    require(Types::number_of_key(entry.key()) == key, "a guard of another key");
  }

  template <Mode mode>
  auto& holds_of() {
    if constexpr (mode == Mode::exclusive) {
      return holds;
    } else {
      return shared_holds;
    }
  }

  // After every operation.
  void compare_counts() { require(map.locked_count() == model.key_count(), "locked_count()"); }

  void compare_all() {
    compare_counts();
    const auto require_guards = [](auto& guards) {
      for (auto& [key, entry, sees] : guards) require_entry(key, entry, std::nullopt);
    };
    require_guards(holds.guards);
    require_guards(shared_holds.guards);
    const LockSet<Key, Hash>& set = map;
    require(detail::TestAccess::node_count(set) == model.key_count(), "keys without use");
    detail::TestAccess::check_invariants(set);
  }

  Map map;
  Model model;
  // They die before the set. Sets have no shared batches: there is never one.
  typename Base::template Holds<typename Map::Entry, typename Map::Batch> holds;
  typename Base::template Holds<typename Map::SharedEntry, typename Map::Batch> shared_holds;
};

}  // namespace lockmap::fuzz
