// Ledger: when the values of a cache's shard were stored and expire, and what they weigh.

#ifndef LOCKMAP_DETAIL_LEDGER_HPP
#define LOCKMAP_DETAIL_LEDGER_HPP

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "lockmap/detail/config.hpp"
#include "lockmap/unlimited.hpp"

namespace lockmap::detail {

// A cache pays for times and weights only once it uses them: from then on each key gets a record,
// and those from before get theirs when they need one. A node refers to its record by an index (0:
// none), which costs it four bytes. A heap orders the keys by when they expire; for idle times that
// is a lower bound, which is put right when its turn comes, so a touch does not move anything.
//
// Everything needs an exclusive section unless it says `shared`: then any section will do.
//
// L1  There are at least as many places for records, and in the heap, as the slab has nodes: so
//     only `reserve` allocates.
// L2  A key whose record has a due time is in the heap, unless it is set aside.
// L3  The total is the sum of the weights of all records.
//
// `Links` is the base class of nodes that has the index, as `record`.
template <class Links, class Allocator>
class Ledger {
 public:
  using Time = std::chrono::steady_clock::time_point;
  using Duration = std::chrono::steady_clock::duration;
  static constexpr Time never = (Time::max)();
  static constexpr Time long_ago = (Time::min)();

  struct Record {
    Record() noexcept = default;
    Record(const Record& other) noexcept { *this = other; }
    Record& operator=(const Record& other) noexcept {
      if (this == &other) return *this;
      deadline = other.deadline;
      stored = other.stored;
      touched.store(other.touched.load(std::memory_order_relaxed), std::memory_order_relaxed);
      weight = other.weight;
      version = other.version;
      refresh = other.refresh;
      displaced = other.displaced;
      place = other.place;
      too_heavy = other.too_heavy;
      return *this;
    }
    ~Record() = default;

    Time deadline = never;                // by its time to live; `long_ago`: found expired
    Time stored = long_ago;               // when the value was
    std::atomic<Time> touched{long_ago};  // not before the last touch
    std::size_t weight = 0;               // as far as the total has it
    std::uint64_t version = 0;            // counts exclusive holds and stored values
    std::uint64_t refresh = 0;            // which refresh of the value is under way; 0: none
    Links* displaced = nullptr;           // nodes with values of this key that had expired
    std::uint32_t place = nowhere;        // in the heap; of a free record, the next one
    bool too_heavy = false;               // for the whole shard: not in the total
  };

  explicit Ledger(const Allocator& allocator) : records_(allocator), heap_(allocator) {}

  // Whether keys have records. Any thread.
  [[nodiscard]] bool is_kept() const noexcept { return kept_.load(std::memory_order_relaxed); }
  void keep() noexcept { kept_.store(true, std::memory_order_relaxed); }

  // Makes room for the records of so many nodes (L1). Throws what the allocator throws; then
  // nothing has changed.
  void reserve(std::size_t nodes) {
    records_.reserve(nodes + 1);
    heap_.reserve(nodes);
    if (records_.empty()) records_.emplace_back();  // index 0 means that there is none
  }

  // Gives back what more nodes than these needed. Throws as `reserve`.
  template <class Nodes>
  void shrink(std::size_t nodes, const Nodes& all) {
    if (records_.capacity() / 4 <= nodes) return;
    Ledger fresh(records_.get_allocator());
    fresh.reserve(nodes);
    for (Links* const links : all) {
      if (links->record == 0) continue;
      fresh.records_.push_back(records_[links->record]);
      links->record = static_cast<std::uint32_t>(fresh.records_.size() - 1);
    }
    fresh.heap_.assign(heap_.begin(), heap_.end());
    records_.swap(fresh.records_);
    heap_.swap(fresh.heap_);
    free_ = 0;
  }

  // Null if the key has none. Shared.
  [[nodiscard]] Record* find(const Links& links) noexcept {
    return links.record == 0 ? nullptr : &records_[links.record];
  }
  [[nodiscard]] const Record* find(const Links& links) const noexcept {
    return const_cast<Ledger*>(this)->find(links);
  }

  // The key's record, new if it has none. `created`: no value is older.
  [[nodiscard]] Record& of(Links& links, Time created) noexcept {
    if (links.record == 0) {
      if (free_ != 0) {
        links.record = std::exchange(free_, records_[free_].place);
        records_[links.record] = Record();
      } else {
        links.record = static_cast<std::uint32_t>(records_.size());
        records_.emplace_back();
      }
      records_[links.record].stored = created;
      records_[links.record].touched.store(created, std::memory_order_relaxed);
    }
    return records_[links.record];
  }

  // The key leaves the table.
  void close(Links& links) noexcept {
    if (links.record == 0) return;
    unschedule(links);
    set_weight(records_[links.record], 0);
    records_[links.record].place = std::exchange(free_, links.record);
    links.record = 0;
  }

  // The key's node moves.
  void relocate(Links& from, Links& to) noexcept {
    to.record = std::exchange(from.record, 0);
    Record* const record = find(to);
    if (record != nullptr && record->place != nowhere) heap_[record->place].links = &to;
  }

  // -- Times -------------------------------------------------------------------------------------

  // `idle`: how long a value lives without a touch; 0: for ever. Shared.
  [[nodiscard]] static Time due(const Record& record, Duration idle) noexcept {
    if (idle.count() == 0) return record.deadline;
    return (std::min)(record.deadline, after(record.touched.load(std::memory_order_relaxed), idle));
  }

  // `duration` from `time` on; never, if the clock cannot count so far.
  [[nodiscard]] static Time after(Time time, Duration duration) noexcept {
    return time > never - duration ? never : time + duration;
  }

  // Notes a touch, with so much to spare that few touches have to write. Shared.
  static void touch(Record& record, Time now, Duration idle) noexcept {
    if (record.touched.load(std::memory_order_relaxed) < now) {
      record.touched.store(after(now, idle / touches_per_idle_time), std::memory_order_relaxed);
    }
  }

  // Puts the key where its due time says.
  void schedule(Links& links, Duration idle) noexcept {
    Record& record = records_[links.record];
    const Time time = due(record, idle);
    if (time == never) {
      unschedule(links);
      return;
    }
    has_times_ = true;
    if (record.place == nowhere) {
      record.place = static_cast<std::uint32_t>(heap_.size());
      heap_.push_back({time, &links});
    }
    move(record.place, {time, &links});
  }

  void unschedule(const Links& links) noexcept {
    Record& record = records_[links.record];
    if (record.place == nowhere) return;
    const std::uint32_t place = std::exchange(record.place, nowhere);
    const Due last = heap_.back();
    heap_.pop_back();
    if (place != heap_.size()) move(place, last);
  }

  // Whether any key ever had a time: else none is looked at. Shared.
  [[nodiscard]] bool has_times() const noexcept { return has_times_; }
  [[nodiscard]] bool has_due() const noexcept { return !heap_.empty(); }

  // A key that has expired; null if there is none.
  [[nodiscard]] Links* first_expired(Time now, Duration idle) noexcept {
    while (!heap_.empty() && heap_.front().time <= now) {
      Links& links = *heap_.front().links;
      if (due(records_[links.record], idle) <= now) return &links;
      schedule(links, idle);  // touched meanwhile
    }
    return nullptr;
  }

  // -- Weights -----------------------------------------------------------------------------------

  // A weight of more than the bound is not part of the total: nothing makes way for it.
  void set_weight(Record& record, std::size_t weight) noexcept {
    record.too_heavy = weight > bound_;
    const std::size_t counted = record.too_heavy ? 0 : weight;
    total_.store(total() - record.weight + counted, std::memory_order_relaxed);
    record.weight = counted;
  }

  void set_bound(std::size_t bound) noexcept { bound_ = bound; }
  [[nodiscard]] bool is_over_bound() const noexcept { return total() > bound_; }

  // Any thread.
  [[nodiscard]] std::size_t total() const noexcept {
    return total_.load(std::memory_order_relaxed);
  }

  // -- Refreshes ---------------------------------------------------------------------------------

  // A number that no refresh in the shard has had.
  [[nodiscard]] std::uint64_t next_ticket() noexcept { return ++tickets_; }

 private:
  friend struct TestAccess;

  static constexpr std::uint32_t nowhere = 0xffff'ffffU;
  static constexpr Duration::rep touches_per_idle_time = 256;

  struct Due {
    Time time;
    Links* links;
  };
  template <class T>
  using Rebound = typename std::allocator_traits<Allocator>::template rebind_alloc<T>;

  void put(std::uint32_t place, const Due& due) noexcept {
    heap_[place] = due;
    records_[due.links->record].place = place;
  }

  // Puts an element where it belongs, from a place that is free.
  void move(std::uint32_t place, const Due& due) noexcept {
    while (place != 0) {
      const std::uint32_t parent = (place - 1) / 2;
      if (heap_[parent].time <= due.time) break;
      put(place, heap_[parent]);
      place = parent;
    }
    for (;;) {
      std::size_t child = 2 * std::size_t{place} + 1;
      if (child >= heap_.size()) break;
      if (child + 1 < heap_.size() && heap_[child + 1].time < heap_[child].time) ++child;
      if (heap_[child].time >= due.time) break;
      put(place, heap_[child]);
      place = static_cast<std::uint32_t>(child);
    }
    put(place, due);
  }

  std::vector<Record, Rebound<Record>> records_;
  std::vector<Due, Rebound<Due>> heap_;
  std::uint32_t free_ = 0;  // the first record that no key has; 0: none
  std::atomic<bool> kept_{false};
  bool has_times_ = false;
  std::size_t bound_ = unlimited;
  std::atomic<std::size_t> total_{0};
  std::uint64_t tickets_ = 0;
};

}  // namespace lockmap::detail

#endif  // LOCKMAP_DETAIL_LEDGER_HPP
