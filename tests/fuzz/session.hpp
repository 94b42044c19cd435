#pragma once

// One input's run: a map, the reference, and the guards that are held from operation to operation.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <optional>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

#include <lockmap/lockmap.hpp>

#include "bytes.hpp"
#include "model.hpp"
#include "require.hpp"
#include "test_access.hpp"
#include "types.hpp"

namespace lockmap::fuzz {

// The times and weights that a cache is told about.
struct Rules {
  using Span = Model::Span;

  // Of all times: more than what a cache has to spare when it notes a touch.
  static constexpr Span unit{1000};
  static std::size_t weight_of(int value) { return static_cast<std::size_t>(value * 7 % 12); }

  Rules() = default;
  explicit Rules(Bytes& bytes) {
    const int choice = bytes.below(8);
    has_weights = choice % 2 == 1;
    has_times = choice / 2 % 2 == 1;
    is_relaxed = choice / 4 == 1;
    is_late = choice == 0;
    if (has_weights) max_weight = 5 + static_cast<std::size_t>(bytes.below(60));
    if (has_times) {
      to_live = unit * (bytes.one_in(2) ? bytes.below(20) : 0);
      to_idle = unit * (bytes.one_in(2) ? bytes.below(20) : 0);
    }
  }

  [[nodiscard]] bool keeps_ledger() const {
    return has_weights || has_times || is_relaxed || is_late;
  }
  // Which value goes because of a bound depends on when expired ones go, or on who reads.
  [[nodiscard]] bool is_told() const { return has_times || is_relaxed || is_late; }
  [[nodiscard]] bool has_fake_clock() const { return keeps_ledger() && !is_late; }

  bool has_weights = false;
  bool has_times = false;
  bool is_relaxed = false;
  bool is_late = false;  // there are no times until a value has one of its own, by the real clock
  std::size_t max_weight = unlimited;
  Span to_live{0};
  Span to_idle{0};
};

// The common part of the sessions of maps and of sets.
template <class Types_>
class AnySession {
 public:
  using Types = Types_;
  using Key = typename Types::Key;
  using Hash = typename Types::Hash;

  // A shared hold `sees` the key's value if its time was not over when the hold began.
  template <class E>
  struct Guard {
    int key;
    E entry;
    bool sees = true;
  };
  struct Held {
    int key;
    bool sees;
  };
  // `keys` is what each entry holds; nothing once it was moved from or unlocked.
  template <class B>
  struct HeldBatch {
    std::vector<std::optional<Held>> keys;
    B batch;
  };
  template <class E, class B>
  struct Holds {
    std::vector<Guard<E>> guards;
    std::vector<HeldBatch<B>> batches;
  };

  explicit AnySession(Bytes& input) : bytes(input), key_count_(8 << bytes.below(4)) {}
  AnySession(const AnySession&) = delete;
  AnySession& operator=(const AnySession&) = delete;
  ~AnySession() = default;

  [[nodiscard]] int key_count() const { return key_count_; }
  int pick_key() { return bytes.below(key_count_); }
  template <class Container>
  std::size_t pick_index(const Container& container) {
    return static_cast<std::size_t>(bytes.below(static_cast<int>(container.size())));
  }
  [[nodiscard]] static std::uint64_t hash_of(int key) {
    const detail::KeyTraits<Key, Hash, default_equal<Key>> keys{};
    const Key as_key = Types::key(key);
    return keys.hash_of(as_key);
  }

  template <class F>
  static void require_deadlock(F f) {
    try {
      static_cast<void>(f());
    } catch (const std::system_error& error) {
      require(error.code() == std::errc::resource_deadlock_would_occur, "another error");
      return;
    }
    fail("no error where the calling thread holds the key");
  }

  Bytes& bytes;

 protected:
  [[nodiscard]] std::vector<std::size_t> shards_of_keys(std::size_t shard_count) const {
    std::vector<std::size_t> shards;
    for (int key = 0; key < key_count_; ++key) {
      shards.push_back(detail::shard_index(hash_of(key), shard_count));
    }
    return shards;
  }

 private:
  int key_count_;
};

template <class Types_, bool lru_>
class Session : public AnySession<Types_> {
  using Base = AnySession<Types_>;

 public:
  using typename Base::Hash;
  using typename Base::Key;
  using typename Base::Types;
  using Value = typename Types::Value;
  template <class E, class B>
  using Holds = typename Base::template Holds<E, B>;
  using Base::bytes;
  using Base::key_count;
  using Base::pick_index;
  using Map = std::conditional_t<lru_, LruLockMap<Key, Value, Hash, default_equal<Key>>,
                                 LockMap<Key, Value, Hash, default_equal<Key>>>;
  using Entry = typename Map::Entry;
  using SharedEntry = typename Map::SharedEntry;
  static constexpr bool lru = lru_;

  struct EntryRef {
    int key;
    Entry* entry;
  };
  Session(Bytes& input, const Rules& rules)
      : Base(input),
        rules_(rules),
        has_listener_(lru && (bytes.below(2) == 1 || rules_.is_told())),
        max_evict_is_set_(lru && bytes.one_in(4) && !rules_.is_told()),
        shards_and_end_(bytes.below(8)),
        map(make_map(bytes.below(16))),
        model(model_setup()) {}
  // -- Choices -----------------------------------------------------------------------------------

  // Or else the map dies with the values that it has.
  [[nodiscard]] bool drains() const { return lru && shards_and_end_ < 4; }
  [[nodiscard]] const Rules& rules() const { return rules_; }
  // How long a value is to live: for ever, where nothing else depends on times; by the real clock,
  // an hour, which is as good as that, or not at all.
  Rules::Span pick_span() {
    const int choice = bytes.below(16);
    if (choice == 15 || !rules_.is_told()) return Rules::Span::max();
    return rules_.is_late && choice != 0 ? std::chrono::hours(1) : Rules::unit * choice;
  }
  // Every value that is stored is another one.
  int next_number() { return ++last_number_; }
  [[nodiscard]] int last_number() const { return last_number_; }
  static Value make_value(int number) { return static_cast<Value>(number); }

  std::optional<EntryRef> pick_entry() {
    std::vector<EntryRef> all;
    for (auto& guard : holds.guards) all.push_back({guard.key, &guard.entry});
    for (auto& held : holds.batches) {
      for (std::size_t i = 0; i < held.keys.size(); ++i) {
        if (held.keys[i].has_value()) all.push_back({held.keys[i]->key, &held.batch[i]});
      }
    }
    if (all.empty()) return std::nullopt;
    return all[pick_index(all)];
  }
  // For callbacks, which may use other keys: perhaps a few operations. The listener hears of what
  // they evict when the outermost operation has released its key.
  void nested() {
    if (rules_.is_told() || depth_ == 2 || !bytes.one_in(2)) return;
    ++depth_;
    (*nested_operation)(*this);
    --depth_;
  }
  // Runs an operation during which the listener may use the map: one that is over, for the
  // reference, before the listener is called.
  void with_nested_listener(auto operation) {
    // Where moves may throw, an insertion holds its key until after the listener's calls.
    listener_nests_ = std::is_nothrow_move_constructible_v<Value>;
    operation();
    listener_nests_ = false;
  }
  // Runs an operation that holds several keys one after the other: the cache may evict one of them
  // before its turn comes, when the reference has it held already.
  void with_several_keys(auto operation) {
    holds_several_ = true;
    operation();
    holds_several_ = false;
  }

  // -- Comparisons -------------------------------------------------------------------------------

  static void require_same(const std::optional<Value>& found, const std::optional<int>& expected) {
    require(found.has_value() == expected.has_value(), "a value is there, or not, unexpectedly");
    require(!found.has_value() || number_of(*found) == *expected, "another value than expected");
  }

  // Of either kind.
  template <class E>
  static void require_entry(int key, E& entry, const std::optional<int>& expected) {
    const E& constant = entry;
    require(Types::number_of_key(constant.key()) == key, "an entry of another key");
    require(constant.has_value() == expected.has_value(), "an entry's has_value()");
    require((entry.get() != nullptr) == expected.has_value(), "an entry's get()");
    require(constant.get() == entry.get(), "an entry's get() const");
    require(number_of(constant.value_or(make_value(-2))) == expected.value_or(-2),
            "an entry's value_or()");
    if (expected.has_value()) {
      require(number_of(*constant) == *expected, "an entry's value");
      require(&entry.value() == entry.get() && &constant.value() == entry.get() &&
                  &*entry == entry.get() && entry.operator->() == entry.get() &&
                  constant.operator->() == entry.get(),
              "an entry's ways to its value");
    } else {
      require_no_value(entry);
      require_no_value(constant);
    }
  }

  std::optional<Value> quiet_get(int key) const {
    if constexpr (lru) {
      return map.peek(Types::lookup(key));
    } else {
      return map.get(Types::lookup(key));
    }
  }

  // After every operation.
  void compare_counts() {
    const auto is_near = [](std::uint64_t count, std::uint64_t least, std::uint64_t more) {
      return least <= count && count <= least + more;
    };
    const std::size_t pending = model.pending().size();
    require(is_near(map.size(), model.size(), pending), "size()");
    require(map.empty() == (map.size() == 0), "empty()");
    require(depth_ != 0 || model.evicted().empty(), "an eviction that the listener did not see");
    if (depth_ == 0) model.finish();
    if constexpr (lru) {
      const LruStats stats = map.stats();
      const LruStats& expected = model.stats();
      require(stats.hits == expected.hits, "stats().hits");
      require(stats.misses == expected.misses, "stats().misses");
      require(stats.insertions == expected.insertions, "stats().insertions");
      require(stats.evictions == expected.evictions, "stats().evictions");
      require(is_near(expected.expirations, stats.expirations, pending), "stats().expirations");
      require(stats.loads == expected.loads, "stats().loads");
      require(stats.load_failures == expected.load_failures, "stats().load_failures");
      require(is_near(map.weight(), model.weight(), model.pending_weight()), "weight()");
      require(map.max_size() == model.max_size(), "max_size()");
      require(map.max_weight() == model.max_weight(), "max_weight()");
      require(max_evict_is_set_ || model.is_within_bounds(), "over a bound, and no key is held");
      const bool is_held = model.denies_any(Mode::exclusive);
      require(max_evict_is_set_ || is_held || map.size() <= map.max_size(),
              "over the bound, and no key is held");
      require(max_evict_is_set_ || is_held || map.weight() <= map.max_weight(),
              "over the bound of weights, and no key is held");
    }
  }

  void compare_all() {
    compare_counts();
    if (rules_.is_told()) purge();
    for (int key = 0; key < key_count(); ++key) {
      if (!model.denies(key, Mode::shared)) require_same(quiet_get(key), model.value(key));
    }
    const auto require_guards = [this](auto& guards) {
      for (auto& [key, entry, sees] : guards) require_entry(key, entry, seen_value(key, sees));
    };
    require_guards(holds.guards);
    require_guards(shared_holds.guards);
    require(detail::TestAccess::node_count(map) == model.key_count(), "keys without use");
    if constexpr (lru) {
      if (!rules_.is_told()) compare_order();
    }
    detail::TestAccess::check_invariants(map);
  }

  // Of the holder of a key.
  [[nodiscard]] std::optional<int> seen_value(int key, bool sees) const {
    return sees ? model.kept_value(key) : std::nullopt;
  }

  // An expired value goes, unless somebody holds its key.
  void purge() {
    if constexpr (lru) {
      const std::size_t before = map.size();
      require(map.purge_expired() == before - map.size(), "purge_expired()");
      for (const Model::Pending& one : model.pending()) {
        require(model.held(one.key), "what has expired is still there");
      }
    }
  }

  template <Mode mode>
  auto& holds_of() {
    if constexpr (mode == Mode::exclusive) {
      return holds;
    } else {
      return shared_holds;
    }
  }

  void max_evict_was_set() { max_evict_is_set_ = true; }

 private:
  void compare_order() const {
    std::vector<std::list<int>> order(map.shard_count());
    detail::TestAccess::visit_order(map, [&order](std::size_t shard, const Key& key) {
      order[shard].push_back(Types::number_of_key(key));
    });
    for (std::size_t i = 0; i < order.size(); ++i) {
      require(order[i] == model.order(i), "another order");
    }
  }

  template <class E>
  static void require_no_value(E& entry) {
    try {
      static_cast<void>(entry.value());
    } catch (const std::bad_optional_access&) {
      return;
    }
    fail("value() where there is none");
  }

  Map make_map(int more) {
    const std::size_t shard_count = static_cast<std::size_t>(shards_and_end_ % 4) + 1;
    const std::size_t capacity = more % 2 == 0 ? 0 : 32;
    if constexpr (lru) {
      LruOptions options{.max_size = static_cast<std::size_t>(more) + 1,
                         .initial_capacity = capacity,
                         .shard_count = shard_count,
                         .max_evict = max_evict_is_set_ ? 1 : unlimited,
                         .max_weight = rules_.max_weight,
                         .time_to_live = rules_.to_live,
                         .time_to_idle = rules_.to_idle,
                         .recency = rules_.is_relaxed ? Recency::relaxed : Recency::exact,
                         .now = rules_.has_fake_clock() ? &test::FakeClock::now : nullptr};
      typename Map::Hooks hooks;
      if (has_listener_) {
        hooks.on_evict = [this](const Key& key, Value& value, EvictionCause cause) {
          on_evicted(key, value, cause);
        };
      }
      if (rules_.has_weights) {
        hooks.weigh = [](const Key& /*key*/, Value& value) {
          return Rules::weight_of(number_of(value));
        };
      }
      return Map(options, std::move(hooks));
    } else {
      return Map(Options{.initial_capacity = capacity, .shard_count = shard_count});
    }
  }

  Model::Setup model_setup() {
    Model::Setup setup{.shard_of = this->shards_of_keys(map.shard_count()),
                       .shard_count = map.shard_count(),
                       .max_size = unlimited - 1,
                       .max_evict = max_evict_is_set_ ? 1 : unlimited,
                       .has_listener = has_listener_,
                       .keeps_ledger = rules_.keeps_ledger(),
                       .weight_of = rules_.has_weights ? &Rules::weight_of : nullptr,
                       .max_weight = rules_.max_weight,
                       .to_live = rules_.to_live,
                       .to_idle = rules_.to_idle,
                       .is_told = rules_.is_told()};
    if constexpr (lru) setup.max_size = map.max_size();
    return setup;
  }

  void on_evicted(const Key& key, Value& value, EvictionCause cause) {
    const int number = Types::number_of_key(key);
    if (cause == EvictionCause::expired) {
      require(model.on_expired(number, number_of(value)), "what expires is another value");
    } else {
      require(model.on_evicted(number, number_of(value), holds_several_),
              "what is evicted is another value");
    }
    if (listener_nests_) nested();
  }

 public:
  // Refreshes that wait for an executor to run them.
  struct Posted {
    Model::Refresh refresh;
    std::function<void()> run;
  };

 private:
  Rules rules_;
  bool has_listener_;
  bool max_evict_is_set_;
  int shards_and_end_;
  bool listener_nests_ = false;
  bool holds_several_ = false;
  int depth_ = 0;
  int last_number_ = 0;

 public:
  Map map;
  Model model;
  // They die before the map.
  Holds<Entry, typename Map::Batch> holds;
  Holds<SharedEntry, typename Map::SharedBatch> shared_holds;
  std::vector<Posted> posted;
  void (*nested_operation)(Session&) = nullptr;
};

}  // namespace lockmap::fuzz
