#pragma once

// Maps that break a promise each, to see that the tests of the others would notice. None of them
// has a data race: what is wrong is only the order in which things seem to happen.

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <utility>
#include <vector>

#include <lockmap/lockmap.hpp>

#include "fake_clock.hpp"
#include "history.hpp"
#include "lock_set_as_map.hpp"
#include "pauses.hpp"

namespace lockmap::test {

using NumberMap = LockMap<int, std::uint64_t, PausingHash>;
using NumberCache = LruLockMap<int, std::uint64_t, PausingHash>;

// A number for each key, which anybody may read at any time; 0 is none.
class Board {
 public:
  void show(int key, std::optional<std::uint64_t> number) { at(key).store(number.value_or(0)); }
  [[nodiscard]] std::optional<std::uint64_t> look(int key) const {
    const std::uint64_t number = cells_.at(static_cast<std::size_t>(key)).load();
    return number != 0 ? std::optional(number) : std::nullopt;
  }

 private:
  std::atomic<std::uint64_t>& at(int key) { return cells_.at(static_cast<std::size_t>(key)); }

  std::array<std::atomic<std::uint64_t>, max_keys> cells_{};
};

// Every change is shown on a board at once, while a guard still holds the key. If `get` is `dirty`
// it does not wait for the key's lock but looks at the board; if not, nothing is wrong.
template <bool dirty>
class BoardMap : public NumberMap {
 public:
  class Guard : public NumberMap::Entry {
   public:
    Guard(NumberMap::Entry entry, Board& board)
        : NumberMap::Entry(std::move(entry)), board_(&board) {}

    std::optional<std::uint64_t> insert(std::uint64_t value) {
      return shown(NumberMap::Entry::insert(value));
    }
    std::optional<std::uint64_t> remove() { return shown(NumberMap::Entry::remove()); }
    std::uint64_t or_insert(std::uint64_t value) {
      NumberMap::Entry::or_insert(value);
      return *shown(value_now());
    }

   private:
    std::optional<std::uint64_t> value_now() const {
      return has_value() ? std::optional(**this) : std::nullopt;
    }
    std::optional<std::uint64_t> shown(std::optional<std::uint64_t> result) {
      board_->show(key(), value_now());
      return result;
    }

    Board* board_;
  };

  using NumberMap::NumberMap;

  std::optional<std::uint64_t> get(int key) const {
    return dirty ? board_.look(key) : NumberMap::get(key);
  }
  Guard entry(int key) { return {NumberMap::entry(key), board_}; }
  std::optional<Guard> try_entry(int key) { return guard(NumberMap::try_entry(key)); }
  template <class Limit>
  std::optional<Guard> try_entry_for(int key, Limit limit) {
    return guard(NumberMap::try_entry_for(key, limit));
  }
  std::optional<std::uint64_t> insert(int key, std::uint64_t value) {
    return entry(key).insert(value);
  }
  bool try_insert(int key, std::uint64_t value) {
    Guard guard = entry(key);
    if (guard.has_value()) return false;
    guard.insert(value);
    return true;
  }
  std::optional<std::uint64_t> remove(int key) { return entry(key).remove(); }
  template <class F>
  std::uint64_t get_or_insert_with(int key, const F& make) {
    Guard guard = entry(key);
    return guard.or_insert(guard.has_value() ? 0 : make());
  }

 private:
  std::optional<Guard> guard(std::optional<NumberMap::Entry> entry) {
    if (!entry) return std::nullopt;
    return Guard(*std::move(entry), board_);
  }

  Board board_;
};

// `insert` is a look and, later, a store.
class LostUpdates : public NumberMap {
 public:
  using NumberMap::NumberMap;

  std::optional<std::uint64_t> insert(int key, std::uint64_t value) {
    const std::optional<std::uint64_t> previous = get(key);
    maybe_pause();
    NumberMap::insert(key, value);
    return previous;
  }
};

// `try_insert` is one, too: two of them may find the key absent.
class HastyInserts : public NumberMap {
 public:
  using NumberMap::NumberMap;

  bool try_insert(int key, std::uint64_t value) {
    if (contains(key)) return false;
    maybe_pause();
    NumberMap::insert(key, value);
    return true;
  }
};

// `remove` is one, too: two of them may get the value.
class DoubleRemoves : public NumberMap {
 public:
  using NumberMap::NumberMap;

  std::optional<std::uint64_t> remove(int key) {
    const std::optional<std::uint64_t> previous = get(key);
    maybe_pause();
    NumberMap::remove(key);
    return previous;
  }
};

// `try_entry` is empty now and then, though nobody holds the key.
class Refusals : public NumberMap {
 public:
  using NumberMap::NumberMap;

  std::optional<Entry> try_entry(int key) {
    if (calls_.fetch_add(1) % 8 == 0) return std::nullopt;
    return NumberMap::try_entry(key);
  }

 private:
  std::atomic<int> calls_ = 0;
};

// A shared guard keeps no writer out: it looks anew each time.
class LooseSharing : public NumberMap {
 public:
  class SharedEntry {
   public:
    SharedEntry(LooseSharing& map, int key) : map_(&map), key_(key) {}

    bool has_value() const { return map_->contains(key_); }
    std::uint64_t value_or(std::uint64_t number) const { return map_->get(key_).value_or(number); }
    std::optional<Entry> try_upgrade() && { return map_->try_entry(key_); }

   private:
    LooseSharing* map_;
    int key_;
  };

  using NumberMap::NumberMap;

  SharedEntry shared_entry(int key) { return {*this, key}; }
  std::optional<SharedEntry> try_shared_entry(int key) { return shared_entry(key); }
  template <class Limit>
  std::optional<SharedEntry> try_shared_entry_for(int key, Limit /*limit*/) {
    return shared_entry(key);
  }
  std::optional<SharedEntry> find_shared_entry(int key) {
    return contains(key) ? std::optional(shared_entry(key)) : std::nullopt;
  }
};

// A batch holds nothing.
class LooseBatches : public NumberMap {
 public:
  struct Guard {
    std::optional<std::uint64_t> remove() const { return map->remove(key); }
    std::optional<std::uint64_t> swap(std::optional<std::uint64_t> value) const {
      return value ? map->insert(key, *value) : remove();
    }

    NumberMap* map;
    int key;
  };
  struct Batch {
    Guard at(int key) const { return {map, key}; }

    NumberMap* map;
  };

  using NumberMap::NumberMap;

  Batch batch_lock(std::initializer_list<int> /*keys*/) { return {this}; }
  std::optional<Batch> try_batch_lock(std::initializer_list<int> /*keys*/) { return Batch{this}; }
};

// `get` finds values that were evicted before, where there is none now.
class Resurrections : public NumberCache {
 public:
  explicit Resurrections(LruOptions options)
      : NumberCache(options,
                    [this](const int& key, std::uint64_t& number) { evicted_.show(key, number); }) {
  }

  std::optional<std::uint64_t> get(int key) const {
    const std::optional<std::uint64_t> value = NumberCache::get(key);
    return value ? value : evicted_.look(key);
  }

 private:
  Board evicted_;
};

// `get` does not make the key the most recently used one.
class WrongOrder : public NumberCache {
 public:
  using NumberCache::NumberCache;

  std::optional<std::uint64_t> get(int key) const { return peek(key); }
};

// Its clock goes on with every other tick only, so values live too long.
class SlowClock : public NumberCache {
 public:
  explicit SlowClock(LruOptions options) : NumberCache(with_slow_clock(options)) {}

 private:
  static FakeClock::Time now() {
    constexpr std::chrono::seconds two_ticks(2);
    const auto time = FakeClock::now().time_since_epoch();
    return FakeClock::Time(time - time % two_ticks);
  }
  static LruOptions with_slow_clock(LruOptions options) {
    options.now = &now;
    return options;
  }
};

// A touch gives an expired value new life: `get` looks at what there was.
class RevivingGet : public NumberCache {
 public:
  explicit RevivingGet(LruOptions options)
      : NumberCache(options, [this](const int& key, std::uint64_t& number, EvictionCause cause) {
          if (cause == EvictionCause::expired) expired_.show(key, number);
        }) {}

  std::optional<std::uint64_t> get(int key) const {
    const std::optional<std::uint64_t> value = NumberCache::get(key);
    return value ? value : expired_.look(key);
  }

 private:
  Board expired_;
};

// `insert_many` leaves out the keys that are held.
class HastyMany : public NumberMap {
 public:
  using NumberMap::NumberMap;

  std::size_t insert_many(const std::vector<std::pair<int, std::uint64_t>>& pairs) {
    std::size_t added = 0;
    for (const auto& [key, value] : pairs) {
      std::optional<Entry> entry = try_entry(key);
      if (entry.has_value() && !entry->insert(value).has_value()) ++added;
    }
    return added;
  }
};

// `get_many` finds what the last one found.
class StaleMany : public NumberMap {
 public:
  using NumberMap::NumberMap;

  std::vector<std::optional<std::uint64_t>> get_many(const std::vector<int>& keys) {
    std::vector<std::optional<std::uint64_t>> found;
    for (const int key : keys) {
      found.push_back(last_.look(key));
      last_.show(key, get(key));
    }
    return found;
  }

 private:
  Board last_;
};

// Now and then, a key has a second lock.
class SecondLocks : public LockSetAsMap<int, PausingHash> {
  using Base = LockSetAsMap<int, PausingHash>;

 public:
  using Base::Base;

  Entry entry(int key) { return Base::entry(calls_.fetch_add(1) % 8 == 0 ? key + max_keys : key); }

 private:
  std::atomic<int> calls_ = 0;
};

}  // namespace lockmap::test
