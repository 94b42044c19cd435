// Eviction policies: a map's order of use, its bound and its counts, for one shard.

#ifndef LOCKMAP_DETAIL_EVICTION_POLICY_HPP
#define LOCKMAP_DETAIL_EVICTION_POLICY_HPP

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>

#include "lockmap/detail/cache_rules.hpp"
#include "lockmap/detail/config.hpp"
#include "lockmap/detail/intrusive_list.hpp"
#include "lockmap/detail/ledger.hpp"
#include "lockmap/expiry.hpp"
#include "lockmap/options.hpp"
#include "lockmap/unlimited.hpp"

namespace lockmap::detail {

// How an operation touches the key that it acquires.
enum class Touch {
  quiet,   // leaves the order alone
  use,     // makes the key the most recently used
  lookup,  // the same, and counts as a hit or a miss
};

// Why a node leaves the table.
enum class Removal {
  removed,  // by the user, or it has no value
  evicted,  // because of a bound
  expired,  // its time was over
};

// LockMap's policy: no bound and no order, at no cost.
template <class Key, class Value, class Allocator>
class NoEviction {
 public:
  static constexpr bool enabled = false;
  struct Links {};

  explicit NoEviction(const Allocator& /*allocator*/) noexcept {}

  // Whether an operation that touches a key so needs more than a shared section.
  [[nodiscard]] static constexpr bool changes_on(Touch /*touch*/) noexcept { return false; }
  [[nodiscard]] static constexpr bool keeps_ledger() noexcept { return false; }

  template <class Node>
  [[nodiscard]] static constexpr bool is_expired(const Node& /*node*/) noexcept {
    return false;
  }
  template <class Node>
  void on_insert(Node& /*node*/) noexcept {}
  template <class Node>
  void on_unlink(Node& /*node*/, Removal /*cause*/) noexcept {}
  template <class Node>
  void on_relocate(const Node& /*from*/, Node& /*to*/) noexcept {}
  template <class Node>
  void on_touch(Node& /*node*/, Touch /*touch*/, bool /*hit*/, std::size_t /*size*/) noexcept {}
  void on_miss(Touch /*touch*/) noexcept {}
  void on_store_locked() noexcept {}
  void on_store() noexcept {}
};

// A policy's part of each node of a cache.
struct LruLinks : ListLinks {
  // Twice the number of the key's last place in the order, and 1 if it was touched since.
  std::atomic<std::uint32_t> stamp{0};
  std::uint32_t record = 0;  // in the ledger
};

// LruLockMap's policy: a list from the least to the most recently used key. Keys that eviction has
// met while they were pinned are set aside, so that it never meets them twice; their release puts
// them back at the old end (I10). Everything needs an exclusive section unless it says `shared`
// (then any section will do) or says otherwise.
//
// RELAXED ORDER
//
// Moving a key within the order takes an exclusive section, which would make readers write what all
// of them use. So each place at the young end gets the next number, and a key whose number differs
// from the newest by less than a quarter of the keys is among the newest quarter: it may stay where
// it is. An older key is moved if it is touched in an exclusive section. In a shared one it is
// marked, which writes its node once; before anything is evicted, eviction moves the marked keys
// that it meets to the young end. (A number comes again after 2^31 moves: a key that was not moved
// for so long may stay in its place.)
template <class Key, class Value, class Allocator>
class LruEviction {
 public:
  static constexpr bool enabled = true;
  using Links = LruLinks;
  using Listener = EvictionListener<Key, Value>;
  using Rules = CacheRules<Key, Value>;
  using Ledger = detail::Ledger<Links, Allocator>;
  using Record = typename Ledger::Record;
  using Time = typename Ledger::Time;

  explicit LruEviction(const Allocator& allocator) : ledger_(allocator) {}

  // Once, before the map is used. They must outlive the shard.
  void set_rules(Rules& rules) noexcept { rules_ = &rules; }
  // Any thread.
  [[nodiscard]] Rules& rules() const noexcept { return *rules_; }
  // Null if there is none. Any thread.
  [[nodiscard]] const Listener* listener() const noexcept {
    return rules_->on_evict ? &rules_->on_evict : nullptr;
  }

  // -- The order ---------------------------------------------------------------------------------

  // Any thread.
  [[nodiscard]] bool changes_on(Touch touch) const noexcept {
    return touch != Touch::quiet && !rules_->relaxed;
  }

  void on_insert(Links& node) noexcept {
    order_.push_back(node);
    number(node);
    if (keeps_ledger()) (void)record(node);
  }
  void on_unlink(Links& node, Removal cause) noexcept {
    node.unlink();
    ledger_.close(node);
    if (cause == Removal::evicted) count(evictions_);
    if (cause == Removal::expired) count(expirations_);
  }
  void on_relocate(Links& from, Links& to) noexcept {
    to.replace(from);
    to.stamp.store(from.stamp.load(std::memory_order_relaxed), std::memory_order_relaxed);
    ledger_.relocate(from, to);
  }
  // One of `size` keys.
  void on_touch(Links& node, Touch touch, bool hit, std::size_t size) noexcept {
    if (touch == Touch::quiet) return;
    if (!rules_->relaxed || wants_mark(node.stamp.load(std::memory_order_relaxed), size)) {
      promote(node);
    }
    if (touch == Touch::lookup) count(hit ? hits_ : misses_);
    if (hit && ledger_.has_times()) touch_record(node);
  }
  // Makes it the most recently used key, wherever it is.
  void promote(Links& node) noexcept {
    if (order_.is_back(node)) return;
    node.unlink();
    order_.push_back(node);
    number(node);
  }
  // A touch of a key that is set aside, and stays so.
  void on_touch_set_aside(Links& node, Touch touch, bool hit) noexcept {
    if (touch == Touch::lookup) count(hit ? hits_ : misses_);
    if (!record(node).too_heavy) mark_touched(node);
    if (hit) touch_record(node);
  }
  // A key that is set aside is to come back as the youngest.
  void mark_touched(Links& node) noexcept {
    node.stamp.store(node.stamp.load(std::memory_order_relaxed) | touched_bit,
                     std::memory_order_relaxed);
  }
  // For a lookup that found no node to touch.
  void on_miss(Touch touch) noexcept {
    if (touch == Touch::lookup) count(misses_);
  }

  // A touch of one of `size` keys, whose value has not expired. Shared; `slot`: the number of the
  // calling thread's.
  void on_touch_shared(Links& node, Touch touch, std::size_t size, std::size_t slot) noexcept {
    if (touch == Touch::quiet) return;
    const std::uint32_t stamp = node.stamp.load(std::memory_order_relaxed);
    if (wants_mark(stamp, size)) [[unlikely]] {
      node.stamp.store(stamp | touched_bit, std::memory_order_relaxed);
    }
    if (touch == Touch::lookup) rules_->lookups.add(slot, true);
    if (ledger_.has_times()) touch_record(node);
  }
  void on_miss_shared(Touch touch, std::size_t slot) noexcept {
    if (touch == Touch::lookup) rules_->lookups.add(slot, false);
  }

  void set_aside(Links& node) noexcept {
    node.unlink();
    set_aside_.push_back(node);
    if (node.record != 0) ledger_.unschedule(node);
  }
  void put_back(Links& node) noexcept {
    node.unlink();
    order_.push_front(node);
    (void)promote_marked(node);
    reschedule(node);
  }
  // A key is no longer set aside (L2).
  void reschedule(Links& node) noexcept {
    if (node.record != 0) ledger_.schedule(node, rules_->time_to_idle);
  }

  // From the least recently used key that is not set aside towards newer ones; null at the end.
  template <class Node>
  [[nodiscard]] Node* oldest() const noexcept {
    return order_.template front<Node>();
  }
  template <class Node>
  [[nodiscard]] Node* newer(const Node& node) const noexcept {
    return order_.template after<Node>(node);
  }
  // Moves a key that was marked to where a touch belongs; false if it was not.
  [[nodiscard]] bool promote_marked(Links& node) noexcept {
    if ((node.stamp.load(std::memory_order_relaxed) & touched_bit) == 0) return false;
    promote(node);
    number(node);  // also where it is the youngest already
    return true;
  }

  // -- The bounds --------------------------------------------------------------------------------

  [[nodiscard]] bool is_over(std::size_t size) const noexcept {
    return size > bound_ || ledger_.is_over_bound();
  }
  // Whether eviction has anything to do in a shard of so many keys.
  [[nodiscard]] bool wants_eviction(std::size_t size) const noexcept {
    return is_over(size) || ledger_.has_due();
  }
  void set_bound(std::size_t bound) noexcept { bound_ = bound; }
  void set_weight_bound(std::size_t bound) noexcept { ledger_.set_bound(bound); }
  void set_max_evict(std::size_t max_evict) noexcept { max_evict_ = max_evict; }
  [[nodiscard]] std::size_t max_evict() const noexcept { return max_evict_; }
  // Any thread.
  [[nodiscard]] std::size_t weight() const noexcept { return ledger_.total(); }
  [[nodiscard]] bool weighs() const noexcept { return rules_->weigh != nullptr; }

  // -- The ledger --------------------------------------------------------------------------------

  // Any thread.
  [[nodiscard]] bool keeps_ledger() const noexcept { return ledger_.is_kept(); }
  [[nodiscard]] Ledger& ledger() noexcept { return ledger_; }
  [[nodiscard]] Record& record(Links& node) noexcept { return ledger_.of(node, rules_->created); }

  // Whether the key's value is absent for who comes now. Shared.
  [[nodiscard]] LOCKMAP_ALWAYS_INLINE bool is_expired(const Links& node) const noexcept {
    return ledger_.has_times() && is_past_due(node);
  }
  [[nodiscard]] LOCKMAP_NOINLINE bool is_past_due(const Links& node) const noexcept {
    const Record* const record = ledger_.find(node);
    if (record == nullptr) return false;
    const Time due = Ledger::due(*record, rules_->time_to_idle);
    return due != Ledger::never && (due == Ledger::long_ago || due <= rules_->time());
  }
  // From now on it is absent, even if the clock goes back.
  void mark_expired(Links& node) noexcept {
    record(node).deadline = Ledger::long_ago;
    reschedule(node);
  }
  [[nodiscard]] Links* first_expired() noexcept {
    return ledger_.has_due() ? ledger_.first_expired(rules_->time(), rules_->time_to_idle)
                             : nullptr;
  }

  // A value was stored.
  void on_store(Links& node, const std::optional<ExpiresIn>& expires) noexcept {
    Record& mine = record(node);
    const Time now = rules_->time();
    mine.stored = now;
    mine.touched.store(now, std::memory_order_relaxed);
    ++mine.version;
    const bool for_ever = !expires.has_value() && rules_->time_to_live.count() == 0;
    set_deadline(node, mine, now,
                 for_ever ? (std::chrono::nanoseconds::max)()
                          : expires.value_or(ExpiresIn(rules_->time_to_live)).time());
  }
  // The value's time begins anew.
  void expire_in(Links& node, ExpiresIn expires) noexcept {
    set_deadline(node, record(node), rules_->time(), expires.time());
  }
  // When it is over; empty: never. Shared.
  [[nodiscard]] std::optional<Time> expires_at(const Links& node) const noexcept {
    const Record* const record = ledger_.find(node);
    const Time due = record == nullptr ? Ledger::never : Ledger::due(*record, rules_->time_to_idle);
    return due == Ledger::never ? std::nullopt : std::optional<Time>(due);
  }
  // Whether the value was stored longer ago than `after` and nobody refreshes it. Shared.
  [[nodiscard]] bool wants_refresh(const Links& node,
                                   std::chrono::nanoseconds after) const noexcept {
    const Record* const record = ledger_.find(node);
    if (record != nullptr && record->refresh != 0) return false;
    const Time stored = record == nullptr ? rules_->created : record->stored;
    return Ledger::after(stored, after) < rules_->time();
  }
  // An owner has got the key to itself.
  void on_exclusive_hold(Links& node) noexcept { ++record(node).version; }
  // A holder has left the key without a value.
  void on_value_removed(Links& node) noexcept {
    Record& mine = record(node);
    mine.deadline = Ledger::never;
    mine.touched.store(Ledger::never, std::memory_order_relaxed);
    ledger_.set_weight(mine, 0);
    ledger_.unschedule(node);
  }

  // -- Counts ------------------------------------------------------------------------------------

  // A value was stored under a key that had none: under the shard mutex, ...
  void on_store_locked() noexcept { count(insertions_locked_); }
  // ... or by the key's holder, without it.
  void on_store() noexcept { insertions_.fetch_add(1, std::memory_order_relaxed); }
  // A value has expired, and its node stays.
  void on_displaced() noexcept { count(expirations_); }
  // A maker was called. Any thread.
  void on_load(bool succeeded, std::chrono::nanoseconds time) noexcept {
    (succeeded ? loads_ : load_failures_).fetch_add(1, std::memory_order_relaxed);
    load_time_.fetch_add(time.count(), std::memory_order_relaxed);
  }

  // Adds this shard's to the sum. Any thread.
  void add_to(LruStats& stats) const noexcept {
    stats.hits += read(hits_);
    stats.misses += read(misses_);
    stats.insertions += read(insertions_locked_) + read(insertions_);
    stats.evictions += read(evictions_);
    stats.expirations += read(expirations_);
    stats.loads += read(loads_);
    stats.load_failures += read(load_failures_);
    stats.load_time += std::chrono::nanoseconds(load_time_.load(std::memory_order_relaxed));
  }

 private:
  friend struct TestAccess;

  static constexpr std::uint32_t touched_bit = 1;
  static constexpr std::uint32_t one_number = 2;

  void number(Links& node) noexcept {
    newest_ += one_number;
    node.stamp.store(newest_, std::memory_order_relaxed);
  }
  // Whether a touch is to reorder a key: it is not among the newest size / 4, and has no mark yet.
  // In one condition, which is mostly false: whether a key is young is hard to predict.
  [[nodiscard]] bool wants_mark(std::uint32_t stamp, std::size_t size) const noexcept {
    const std::uint64_t age = (newest_ - (stamp & ~touched_bit)) / one_number;
    const std::uint64_t all_unless_marked = std::uint64_t{stamp & touched_bit} - touched_bit;
    return ((4 * age + 3) & all_unless_marked) >= size;
  }

  LOCKMAP_NOINLINE void touch_record(const Links& node) noexcept {
    if (rules_->time_to_idle.count() == 0) return;
    if (Record* const mine = ledger_.find(node)) {
      Ledger::touch(*mine, rules_->time(), rules_->time_to_idle);
    }
  }
  void set_deadline(Links& node, Record& mine, Time now, std::chrono::nanoseconds time) noexcept {
    mine.deadline =
        time == (std::chrono::nanoseconds::max)() ? Ledger::never : Ledger::after(now, time);
    reschedule(node);
  }

  // Written under the shard mutex only, so no read-modify-write; atomic for `stats`, which reads
  // without it.
  LOCKMAP_ALWAYS_INLINE static void count(std::atomic<std::uint64_t>& counter) noexcept {
    counter.store(read(counter) + 1, std::memory_order_relaxed);
  }
  [[nodiscard]] static std::uint64_t read(const std::atomic<std::uint64_t>& counter) noexcept {
    return counter.load(std::memory_order_relaxed);
  }

  IntrusiveList order_;
  IntrusiveList set_aside_;
  std::uint32_t newest_ = 0;  // the last number, as in a stamp
  std::size_t bound_ = unlimited;
  std::size_t max_evict_ = unlimited;
  Rules* rules_ = nullptr;
  Ledger ledger_;
  std::atomic<std::uint64_t> hits_{0};
  std::atomic<std::uint64_t> misses_{0};
  std::atomic<std::uint64_t> evictions_{0};
  std::atomic<std::uint64_t> expirations_{0};
  std::atomic<std::uint64_t> insertions_locked_{0};
  std::atomic<std::uint64_t> insertions_{0};
  std::atomic<std::uint64_t> loads_{0};
  std::atomic<std::uint64_t> load_failures_{0};
  std::atomic<std::int64_t> load_time_{0};
};

}  // namespace lockmap::detail

#endif  // LOCKMAP_DETAIL_EVICTION_POLICY_HPP
