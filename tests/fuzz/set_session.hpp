#pragma once

// One input's run of a LockSet: as a map whose keys never have a value.

#include <cstddef>
#include <optional>

#include <lockmap/lockmap.hpp>

#include "lock_set_as_map.hpp"
#include "session.hpp"

namespace lockmap::fuzz {

template <class Types_>
class SetSession : public AnySession<Types_> {
  using Base = AnySession<Types_>;

 public:
  using typename Base::Hash;
  using typename Base::Key;
  using typename Base::Types;
  using Map = test::LockSetAsMap<Key, Hash>;
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
