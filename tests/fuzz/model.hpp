#pragma once

// The reference: what both maps promise, for one thread, in containers too simple to be wrong. Keys
// are numbers here, and so are values. A map without a bound is a cache that never evicts.
//
// A value whose time is over is gone for the reference at once, unless somebody holds its key; when
// the cache lets go of it is the cache's business, so it is `pending` until the cache says so.

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <deque>
#include <list>
#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

#include <lockmap/lockmap.hpp>

#include "fake_clock.hpp"
#include "require.hpp"

namespace lockmap::fuzz {

enum class Use { quiet, touch, lookup };
using detail::Mode;

class Model {
 public:
  using Time = test::FakeClock::Time;
  using Span = std::chrono::nanoseconds;

  struct Setup {
    std::vector<std::size_t> shard_of;  // of each key
    std::size_t shard_count;
    std::size_t max_size;
    std::size_t max_evict = unlimited;
    bool has_listener = true;
    // The rest is for caches that keep times and weights.
    bool keeps_ledger = false;
    std::size_t (*weight_of)(int value) = nullptr;
    std::size_t max_weight = unlimited;
    Span to_live{0};  // 0: for ever
    Span to_idle{0};
    bool is_told = false;  // which values go because of a bound: the reference does not know
  };
  using KeyAndValue = std::pair<int, int>;

  explicit Model(Setup setup) : setup_(std::move(setup)), shards_(setup_.shard_count) {
    set_bounds(setup_.max_size, setup_.max_weight);
  }

  // -- What can be seen --------------------------------------------------------------------------

  // For who comes now; but who holds the key exclusively keeps what is there.
  [[nodiscard]] std::optional<int> value(int key) const {
    const auto slot = slots_.find(key);
    return slot == slots_.end() || is_absent(slot->second) ? std::nullopt : slot->second.value;
  }
  // For who held the key already when its value's time came.
  [[nodiscard]] std::optional<int> kept_value(int key) const {
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
  // When the value's time is over; of an idle time, the part that is certain.
  [[nodiscard]] Time due(int key) const { return due(slots_.at(key)); }
  // Whether it was stored longer ago, and nobody refreshes it.
  [[nodiscard]] bool wants_refresh(int key, Span after) const {
    const Slot& slot = slots_.at(key);
    return slot.refresh == 0 && test::FakeClock::now() - slot.stored > after;
  }
  [[nodiscard]] std::size_t size() const {
    return static_cast<std::size_t>(std::count_if(
        slots_.begin(), slots_.end(), [](auto& slot) { return slot.second.value.has_value(); }));
  }
  [[nodiscard]] std::size_t weight() const {
    std::size_t sum = 0;
    for (const auto& [key, slot] : slots_) sum += slot.weight;
    return sum;
  }
  [[nodiscard]] std::size_t max_weight() const { return setup_.max_weight; }
  // Locked keys without a value included.
  [[nodiscard]] std::size_t key_count() const { return slots_.size(); }
  [[nodiscard]] const LruStats& stats() const { return stats_; }
  [[nodiscard]] std::size_t max_size() const { return setup_.max_size; }
  // Of a shard, the least recently used key first.
  // The key that was set aside first: it comes back at the old end.
  [[nodiscard]] std::list<int> order(std::size_t shard) const {
    std::list<int> all = shards_[shard].set_aside;
    all.insert(all.end(), shards_[shard].order.begin(), shards_[shard].order.end());
    return all;
  }
  // Whether held keys keep a shard over its bound.
  [[nodiscard]] bool is_crowded() const {
    return std::any_of(shards_.begin(), shards_.end(),
                       [this](const Shard& shard) { return is_over(shard); });
  }
  // Whether every bound is kept, as far as nobody holds a key.
  [[nodiscard]] bool is_within_bounds() const {
    return std::all_of(shards_.begin(), shards_.end(), [this](const Shard& shard) {
      return !is_over(shard) || std::any_of(slots_.begin(), slots_.end(), [&](const auto& slot) {
        return slot.second.held() && &shard_of(slot.first) == &shard;
      });
    });
  }

  // -- What the listener hears -------------------------------------------------------------------

  // Capacity is the cause of those that it is to hear of by now, in this order.
  [[nodiscard]] std::deque<KeyAndValue>& evicted() { return evicted_; }
  // Values whose time is over, which it may hear of at any time.
  struct Pending {
    int key;
    int value;
    std::size_t weight;
  };
  [[nodiscard]] std::vector<Pending>& pending() { return pending_; }
  [[nodiscard]] std::size_t pending_weight() const {
    std::size_t sum = 0;
    for (const Pending& one : pending_) sum += one.weight;
    return sum;
  }

  // An operation is over.
  void finish() {
    if (!setup_.is_told) return;
    for (Shard& shard : shards_) shard.was_over = is_over(shard, pending_weight());
  }

  // The cache says so; false if that cannot be. `may_be_held`: an operation that holds several keys
  // may have met this one before it held it.
  [[nodiscard]] bool on_expired(int key, int value) {
    const auto one = std::find_if(pending_.begin(), pending_.end(), [&](const Pending& pending) {
      return pending.key == key && pending.value == value;
    });
    if (one == pending_.end()) return false;
    pending_.erase(one);
    return true;
  }
  [[nodiscard]] bool on_evicted(int key, int value, bool may_be_held) {
    if (!setup_.is_told) {
      if (evicted_.empty() || evicted_.front() != KeyAndValue(key, value)) return false;
      evicted_.pop_front();
      return true;
    }
    const auto known = std::find(evicted_.begin(), evicted_.end(), KeyAndValue(key, value));
    if (known != evicted_.end()) {
      evicted_.erase(known);
      return true;
    }
    const auto slot = slots_.find(key);
    if (slot == slots_.end() || slot->second.value != value) return false;
    // An expired value weighs until it is removed.
    if (!shard_of(key).was_over && !is_over(shard_of(key), pending_weight())) return false;
    ++stats_.evictions;
    if (!slot->second.held()) {
      erase(key);
      return true;
    }
    take(key);
    return may_be_held;
  }

  // Keys that got their value before `now()` and have it still were there all the while.
  [[nodiscard]] int now() const { return stored_; }
  [[nodiscard]] bool present_since(int key, int time) const {
    return value(key).has_value() && slots_.at(key).since <= time;
  }

  // -- Time --------------------------------------------------------------------------------------

  void advance(Span time) {
    test::FakeClock::advance(time);
    std::vector<int> over;
    for (const auto& [key, slot] : slots_) {
      if (!slot.held() && is_over_time(slot)) over.push_back(key);
    }
    for (const int key : over) expire(key);
  }

  // -- One key -----------------------------------------------------------------------------------

  // Returns whether the key has a value. Precondition: no hold of the key denies this one.
  bool acquire(int key, Use use, Mode mode = Mode::exclusive) {
    const auto [place, made] = slots_.try_emplace(key);
    Slot& slot = place->second;
    Shard& shard = shard_of(key);
    std::list<int>& order = shard.order;
    require(!slot.denies(mode), "the reference locks a key twice");
    const bool hit = !is_absent(slot);
    if (mode == Mode::exclusive) {
      slot.locked = true;
      ++slot.version;
    } else {
      ++slot.sharers;
    }
    if (made) slot.place = order.insert(order.end(), key);
    if (use == Use::lookup) ++(hit ? stats_.hits : stats_.misses);
    if (use != Use::quiet && hit && slot.touched < test::FakeClock::now()) {
      slot.touched = test::FakeClock::now() + touch_delay;
    }
    if (use != Use::quiet && slot.evicts_on_release) {
      // A value that is too heavy is to go in any case.
      if (slot.too_heavy) return hit;
      // Back in the order, it may have to be set aside again, or another key in its place.
      slot.evicts_on_release = false;
      order.splice(order.end(), shard.set_aside, slot.place);
      shrink(shard, std::nullopt);
    } else if (use != Use::quiet) {
      order.splice(order.end(), order, slot.place);
    }
    if (made && !(storing_ && setup_.keeps_ledger)) shrink(shard, key);
    return hit;
  }

  // `keep`: the key was locked to store a value, which is not to be evicted at once.
  void release(int key, bool keep = false) {
    Slot& slot = slots_.at(key);
    const bool weighs = setup_.keeps_ledger && slot.locked && slot.value.has_value();
    if (slot.locked) {
      if (weighs) weigh(key, slot);
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
    settle(key);
    if (evicts || weighs) shrink(shard_of(key), keep ? std::optional(key) : std::nullopt);
  }

  void downgrade(int key) {
    Slot& slot = slots_.at(key);
    slot.locked = false;
    slot.sharers = 1;
    if (!setup_.keeps_ledger) return;
    if (slot.value.has_value()) weigh(key, slot);
    if (slot.too_heavy) set_aside(shard_of(key), slot);
    shrink(shard_of(key), std::nullopt);
  }
  // `had_value`: for the shared hold, the key has one.
  void upgrade(int key, bool had_value) {
    Slot& slot = slots_.at(key);
    slot.sharers = 0;
    slot.locked = true;
    ++slot.version;
    if (!had_value && slot.value.has_value()) {
      note_expired(key, slot);
      take(key);
    }
  }

  // The previous value. Precondition, as of `take`: the key is held.
  std::optional<int> store(int key, int value, std::optional<Span> own = std::nullopt) {
    Slot& slot = slots_.at(key);
    if (!slot.value.has_value()) {
      ++stats_.insertions;
      slot.since = ++stored_;
    }
    ++slot.version;
    const std::optional<int> previous = std::exchange(slot.value, value);
    slot.touched = slot.stored = test::FakeClock::now();
    slot.deadline = after(own.value_or(setup_.to_live == Span(0) ? Span::max() : setup_.to_live));
    if (setup_.keeps_ledger) weigh(key, slot);
    return previous;
  }
  // The holder changes the value in place: it is weighed by the release.
  void change(int key, int value) { slots_.at(key).value = value; }
  std::optional<int> take(int key) {
    Slot& slot = slots_.at(key);
    slot.weight = 0;
    slot.too_heavy = false;
    return std::exchange(slot.value, std::nullopt);
  }
  void expire_in(int key, Span time) { slots_.at(key).deadline = after(time); }

  std::optional<int> lookup(int key) {
    if (!slots_.contains(key)) {
      ++stats_.misses;
      return std::nullopt;
    }
    const bool hit = acquire(key, Use::lookup, Mode::shared);
    const std::optional<int> found = hit ? slots_.at(key).value : std::nullopt;
    release(key);
    return found;
  }
  std::optional<int> insert(int key, int value, std::optional<Span> own = std::nullopt) {
    acquire_to_store(key);
    const std::optional<int> previous = store(key, value, own);
    release(key, true);
    return previous;
  }
  bool try_insert(int key, int value, std::optional<Span> own = std::nullopt) {
    acquire_to_store(key);
    const bool stored = !this->value(key).has_value();
    if (stored) store(key, value, own);
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

  // A maker was called.
  void count_load(bool succeeded) { ++(succeeded ? stats_.loads : stats_.load_failures); }

  // -- Refreshes ---------------------------------------------------------------------------------

  struct Refresh {
    int key;
    int ticket;
    int version;
  };
  [[nodiscard]] Refresh begin_refresh(int key) {
    Slot& slot = slots_.at(key);
    slot.refresh = ++tickets_;
    return {key, slot.refresh, slot.version};
  }
  // Stores the new value, unless the key was stored, removed or held exclusively meanwhile, or the
  // thread itself holds it.
  void store_refreshed(const Refresh& refresh, int number, std::optional<Span> own) {
    const auto slot = slots_.find(refresh.key);
    if (slot == slots_.end() || slot->second.held() || slot->second.refresh != refresh.ticket ||
        slot->second.version != refresh.version) {
      return;
    }
    acquire(refresh.key, Use::quiet);
    store(refresh.key, number, own);
    release(refresh.key);
  }
  void end_refresh(const Refresh& refresh) {
    const auto slot = slots_.find(refresh.key);
    if (slot != slots_.end() && slot->second.refresh == refresh.ticket) slot->second.refresh = 0;
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
        const KeyAndValue popped(key, slots_.at(key).value.value());
        erase(key);
        return popped;
      }
    }
    return std::nullopt;
  }

  // The cache says what it has popped; false if that cannot be.
  [[nodiscard]] bool on_popped(const KeyAndValue& popped) {
    const auto slot = slots_.find(popped.first);
    if (slot == slots_.end() || slot->second.held() || slot->second.value != popped.second) {
      return false;
    }
    erase(popped.first);
    return true;
  }
  // Whether there is anything to pop.
  [[nodiscard]] bool all_held() const {
    return std::all_of(slots_.begin(), slots_.end(), [](auto& slot) { return slot.second.held(); });
  }

  void set_max_size(std::size_t max_size) { set_bounds_and_shrink(max_size, setup_.max_weight); }
  void set_max_weight(std::size_t max_weight) {
    set_bounds_and_shrink(setup_.max_size, max_weight);
  }
  void set_max_evict(std::size_t max_evict) { setup_.max_evict = max_evict; }

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
    Time deadline = Time::max();
    Time touched{};
    Time stored{};
    std::size_t weight = 0;
    bool too_heavy = false;
    int version = 0;  // counts exclusive holds and stored values
    int refresh = 0;  // the ticket of the one that is under way; 0: none
  };
  struct Shard {
    std::list<int> order;      // the least recently used key first
    std::list<int> set_aside;  // met by eviction while held: the release puts them back
    std::size_t bound = 0;
    std::size_t weight_bound = 0;
    bool was_over = false;  // when the operation that is under way began, or since
  };

  // The cache notes a touch with some time to spare, less than the unit of all spans.
  static constexpr Span touch_delay{1};

  Shard& shard_of(int key) { return shards_[setup_.shard_of[static_cast<std::size_t>(key)]]; }
  [[nodiscard]] const Shard& shard_of(int key) const {
    return shards_[setup_.shard_of[static_cast<std::size_t>(key)]];
  }

  [[nodiscard]] static Time after(Span time) {
    const Time now = test::FakeClock::now();
    return time > Time::max() - now ? Time::max() : now + time;
  }
  [[nodiscard]] Time due(const Slot& slot) const {
    if (setup_.to_idle == Span(0)) return slot.deadline;
    return std::min(slot.deadline, slot.touched + setup_.to_idle);
  }
  [[nodiscard]] bool is_over_time(const Slot& slot) const {
    return slot.value.has_value() && due(slot) <= test::FakeClock::now();
  }
  [[nodiscard]] bool is_absent(const Slot& slot) const {
    return !slot.value.has_value() || (!slot.locked && is_over_time(slot));
  }
  void note_expired(int key, const Slot& slot) {
    pending_.push_back({key, slot.value.value(), slot.weight});
    ++stats_.expirations;
  }
  void expire(int key) {
    note_expired(key, slots_.at(key));
    erase(key);
  }

  void weigh(int key, Slot& slot) {
    const std::size_t weight = setup_.weight_of == nullptr ? 0 : setup_.weight_of(*slot.value);
    slot.too_heavy = weight > shard_of(key).weight_bound;
    slot.weight = slot.too_heavy ? 0 : weight;
  }
  // A key that was released: its value may have to go in any case.
  void settle(int key) {
    const auto slot = slots_.find(key);
    if (slot == slots_.end()) return;
    if (is_over_time(slot->second)) {
      expire(key);
    } else if (slot->second.too_heavy) {
      evict(key);
    }
  }
  void evict(int key) {
    if (setup_.has_listener) evicted_.emplace_back(key, slots_.at(key).value.value());
    erase(key);
    ++stats_.evictions;
  }

  void acquire_to_store(int key) {
    storing_ = true;
    acquire(key, Use::touch);
    storing_ = false;
  }

  void erase(int key) {
    const Slot& slot = slots_.at(key);
    Shard& shard = shard_of(key);
    (slot.evicts_on_release ? shard.set_aside : shard.order).erase(slot.place);
    slots_.erase(key);
  }

  void set_bounds(std::size_t max_size, std::size_t max_weight) {
    setup_.max_size = max_size;
    setup_.max_weight = max_weight;
    const auto part = [this](std::size_t bound, std::size_t i) {
      return bound / shards_.size() + (i < bound % shards_.size() ? 1 : 0);
    };
    for (std::size_t i = 0; i < shards_.size(); ++i) {
      shards_[i].bound = part(max_size, i);
      shards_[i].weight_bound = part(max_weight, i);
    }
  }
  void set_bounds_and_shrink(std::size_t max_size, std::size_t max_weight) {
    set_bounds(max_size, max_weight);
    for (Shard& shard : shards_) shrink(shard, std::nullopt);
  }

  [[nodiscard]] bool is_over(const Shard& shard, std::size_t more_weight = 0) const {
    if (shard.order.size() + shard.set_aside.size() > shard.bound) return true;
    std::size_t weight = more_weight;
    for (const auto* keys : {&shard.order, &shard.set_aside}) {
      for (const int key : *keys) weight += slots_.at(key).weight;
    }
    return weight > shard.weight_bound;
  }

  void shrink(Shard& shard, std::optional<int> keep) {
    if (setup_.is_told) {
      shard.was_over = shard.was_over || is_over(shard, pending_weight());
      return;
    }
    std::size_t most = setup_.max_evict;
    for (auto next = shard.order.begin();
         most != 0 && is_over(shard) && next != shard.order.end();) {
      const int key = *next++;
      Slot& slot = slots_.at(key);
      if (slot.held() && !(storing_ && key == keep)) {
        set_aside(shard, slot);
      } else if (key != keep) {
        evict(key);
        --most;
      }
    }
  }

  static void set_aside(Shard& shard, Slot& slot) {
    std::list<int>& from = slot.evicts_on_release ? shard.set_aside : shard.order;
    slot.evicts_on_release = true;
    shard.set_aside.splice(shard.set_aside.end(), from, slot.place);
  }

  Setup setup_;
  std::vector<Shard> shards_;
  std::unordered_map<int, Slot> slots_;
  std::size_t next_to_pop_ = 0;
  int stored_ = 0;
  int tickets_ = 0;
  LruStats stats_;
  std::deque<KeyAndValue> evicted_;
  std::vector<Pending> pending_;
  bool storing_ = false;  // by an operation that makes no guard
};

}  // namespace lockmap::fuzz
