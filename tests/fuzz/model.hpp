#pragma once

// The reference: what both maps promise, for one thread, in containers too simple to be wrong. Keys
// are numbers here, and so are values. A map without a bound is a cache that never evicts.

#include <algorithm>
#include <cstddef>
#include <deque>
#include <list>
#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

#include <lockmap/lockmap.hpp>

#include "require.hpp"

namespace lockmap::fuzz {

enum class Use { quiet, touch, lookup };
using detail::Mode;

class Model {
 public:
  struct Setup {
    std::vector<std::size_t> shard_of;  // of each key
    std::size_t shard_count;
    std::size_t max_size;
    std::size_t max_evict;
    bool has_listener;
  };
  using KeyAndValue = std::pair<int, int>;

  explicit Model(Setup setup)
      : shard_of_(std::move(setup.shard_of)),
        shards_(setup.shard_count),
        max_evict_(setup.max_evict),
        has_listener_(setup.has_listener) {
    divide_bound(setup.max_size);
  }

  // -- What can be seen --------------------------------------------------------------------------

  [[nodiscard]] std::optional<int> value(int key) const {
    const auto slot = slots_.find(key);
    return slot == slots_.end() ? std::nullopt : slot->second.value;
  }
  [[nodiscard]] bool held(int key) const {
    const auto slot = slots_.find(key);
    return slot != slots_.end() && slot->second.held();
  }
  // How often it is held shared.
  [[nodiscard]] int sharers(int key) const {
    const auto slot = slots_.find(key);
    return slot != slots_.end() ? slot->second.sharers : 0;
  }
  // Whether what the thread holds itself keeps it from a hold of the mode.
  [[nodiscard]] bool denies(int key, Mode mode) const {
    const auto slot = slots_.find(key);
    return slot != slots_.end() && slot->second.denies(mode);
  }
  [[nodiscard]] bool denies_any(Mode mode) const {
    return std::any_of(slots_.begin(), slots_.end(),
                       [mode](auto& slot) { return slot.second.denies(mode); });
  }
  [[nodiscard]] std::size_t size() const {
    return static_cast<std::size_t>(std::count_if(
        slots_.begin(), slots_.end(), [](auto& slot) { return slot.second.value.has_value(); }));
  }
  // Locked keys without a value included.
  [[nodiscard]] std::size_t key_count() const { return slots_.size(); }
  [[nodiscard]] const LruStats& stats() const { return stats_; }
  [[nodiscard]] std::size_t max_size() const { return max_size_; }
  // Of a shard, the least recently used key first.
  // What was set aside first: it comes back at the old end.
  [[nodiscard]] std::list<int> order(std::size_t shard) const {
    std::list<int> all = shards_[shard].set_aside;
    all.insert(all.end(), shards_[shard].order.begin(), shards_[shard].order.end());
    return all;
  }
  // The calls that the listener has yet to get.
  [[nodiscard]] std::deque<KeyAndValue>& evicted() { return evicted_; }

  // Keys that got their value before `now()` and have it still were there all the while.
  [[nodiscard]] int now() const { return stored_; }
  [[nodiscard]] bool present_since(int key, int time) const {
    return value(key).has_value() && slots_.at(key).since <= time;
  }

  // -- One key -----------------------------------------------------------------------------------

  // Precondition: no hold of the key denies this one.
  void acquire(int key, Use use, Mode mode = Mode::exclusive) {
    const auto [place, made] = slots_.try_emplace(key);
    Slot& slot = place->second;
    std::list<int>& order = shard_of(key).order;
    require(!slot.denies(mode), "the reference locks a key twice");
    if (mode == Mode::exclusive) {
      slot.locked = true;
    } else {
      ++slot.sharers;
    }
    if (made) slot.place = order.insert(order.end(), key);
    if (use == Use::lookup) ++(slot.value.has_value() ? stats_.hits : stats_.misses);
    if (use != Use::quiet && slot.evicts_on_release) {
      // Back in the order, it may have to be set aside again, or another key in its place.
      slot.evicts_on_release = false;
      order.splice(order.end(), shard_of(key).set_aside, slot.place);
      shrink(shard_of(key), std::nullopt);
    } else if (use != Use::quiet) {
      order.splice(order.end(), order, slot.place);
    }
    if (made) shrink(shard_of(key), key);
  }

  // `keep`: the key was locked to store a value, which is not to be evicted at once.
  void release(int key, bool keep = false) {
    Slot& slot = slots_.at(key);
    if (slot.locked) {
      slot.locked = false;
    } else if (--slot.sharers != 0) {
      return;
    }
    const bool evicts = slot.evicts_on_release;
    if (!slot.value.has_value()) {
      erase(key);
    } else if (evicts) {
      slot.evicts_on_release = false;
      Shard& shard = shard_of(key);
      shard.order.splice(shard.order.begin(), shard.set_aside, slot.place);
    }
    if (evicts) shrink(shard_of(key), keep ? std::optional(key) : std::nullopt);
  }

  void downgrade(int key) {
    slots_.at(key).locked = false;
    slots_.at(key).sharers = 1;
  }
  void upgrade(int key) {
    slots_.at(key).sharers = 0;
    slots_.at(key).locked = true;
  }

  // The previous value. Precondition, as of `take`: the key is held.
  std::optional<int> store(int key, int value) {
    Slot& slot = slots_.at(key);
    if (!slot.value.has_value()) {
      ++stats_.insertions;
      slot.since = ++stored_;
    }
    return std::exchange(slot.value, value);
  }
  std::optional<int> take(int key) { return std::exchange(slots_.at(key).value, std::nullopt); }

  std::optional<int> lookup(int key) {
    if (!slots_.contains(key)) {
      ++stats_.misses;
      return std::nullopt;
    }
    acquire(key, Use::lookup, Mode::shared);
    release(key);
    return value(key);
  }
  std::optional<int> insert(int key, int value) {
    storing_ = true;
    acquire(key, Use::touch);
    storing_ = false;
    const std::optional<int> previous = store(key, value);
    release(key, true);
    return previous;
  }
  bool try_insert(int key, int value) {
    storing_ = true;
    acquire(key, Use::touch);
    storing_ = false;
    const bool stored = !this->value(key).has_value();
    if (stored) store(key, value);
    release(key, true);
    return stored;
  }
  std::optional<int> remove(int key) {
    if (!slots_.contains(key)) return std::nullopt;
    acquire(key, Use::quiet);
    const std::optional<int> previous = take(key);
    release(key);
    return previous;
  }

  // -- The whole ---------------------------------------------------------------------------------

  std::optional<KeyAndValue> pop() {
    const std::size_t start = next_to_pop_++;
    for (std::size_t i = 0; i < shards_.size(); ++i) {
      Shard& shard = shards_[(start + i) % shards_.size()];
      for (auto next = shard.order.begin(); next != shard.order.end();) {
        const int key = *next++;
        if (held(key)) {
          set_aside(shard, slots_.at(key));
          continue;
        }
        const KeyAndValue popped(key, value(key).value());
        erase(key);
        return popped;
      }
    }
    return std::nullopt;
  }

  void set_max_size(std::size_t max_size) {
    divide_bound(max_size);
    for (Shard& shard : shards_) shrink(shard, std::nullopt);
  }
  void set_max_evict(std::size_t max_evict) { max_evict_ = max_evict; }

 private:
  struct Slot {
    [[nodiscard]] bool held() const { return locked || sharers != 0; }
    [[nodiscard]] bool denies(Mode mode) const { return mode == Mode::exclusive ? held() : locked; }

    std::optional<int> value;
    int since = 0;
    bool locked = false;  // held exclusively
    int sharers = 0;
    bool evicts_on_release = false;  // eviction met it while it was held
    std::list<int>::iterator place;
  };
  struct Shard {
    std::list<int> order;      // the least recently used key first
    std::list<int> set_aside;  // met by eviction while held: the release puts them back
    std::size_t bound = 0;
  };

  Shard& shard_of(int key) { return shards_[shard_of_[static_cast<std::size_t>(key)]]; }

  void erase(int key) {
    const Slot& slot = slots_.at(key);
    Shard& shard = shard_of(key);
    (slot.evicts_on_release ? shard.set_aside : shard.order).erase(slot.place);
    slots_.erase(key);
  }

  void divide_bound(std::size_t max_size) {
    max_size_ = max_size;
    for (std::size_t i = 0; i < shards_.size(); ++i) {
      shards_[i].bound = max_size / shards_.size() + (i < max_size % shards_.size() ? 1 : 0);
    }
  }

  void shrink(Shard& shard, std::optional<int> keep) {
    const std::size_t size = shard.order.size() + shard.set_aside.size();
    std::size_t excess = size > shard.bound ? std::min(size - shard.bound, max_evict_) : 0;
    for (auto next = shard.order.begin(); excess != 0 && next != shard.order.end();) {
      const int key = *next++;
      Slot& slot = slots_.at(key);
      if (slot.held() && !(storing_ && key == keep)) {
        set_aside(shard, slot);
      } else if (key != keep) {
        if (has_listener_) evicted_.emplace_back(key, slot.value.value());
        erase(key);
        ++stats_.evictions;
        --excess;
      }
    }
  }

  static void set_aside(Shard& shard, Slot& slot) {
    slot.evicts_on_release = true;
    shard.set_aside.splice(shard.set_aside.end(), shard.order, slot.place);
  }

  std::vector<std::size_t> shard_of_;
  std::vector<Shard> shards_;
  std::unordered_map<int, Slot> slots_;
  std::size_t max_size_ = 0;
  std::size_t max_evict_;
  bool has_listener_;
  std::size_t next_to_pop_ = 0;
  int stored_ = 0;
  LruStats stats_;
  std::deque<KeyAndValue> evicted_;
  bool storing_ = false;  // by an operation that makes no guard
};

}  // namespace lockmap::fuzz
