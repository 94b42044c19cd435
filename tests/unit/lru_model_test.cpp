// Random histories of a cache with times, weights and a bound of keys, with a clock that the test
// sets, against a model that does it all by hand.

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <list>
#include <optional>
#include <random>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include <lockmap/lockmap.hpp>

#include "fake_clock.hpp"
#include "maps.hpp"
#include "test_access.hpp"

namespace lockmap::test {
namespace {
namespace model {

using namespace std::chrono_literals;
using Time = FakeClock::Time;
using Span = std::chrono::nanoseconds;

struct Value {
  int id = 0;
  std::size_t weight = 0;
  bool operator==(const Value&) const = default;
};
using Cache = LruLockMap<int, Value>;
using Gone = std::tuple<int, int, bool>;  // key, id, expired

// Touches are noted with a 256th of the idle time to spare, less than the unit of all times: that
// puts the end of the idle time off to the next unit.
constexpr Span unit = 1000ns;

struct Rules {
  std::size_t max_size;
  std::size_t max_weight;
  Span to_live;
  Span to_idle;
};

class Model {
 public:
  explicit Model(const Rules& rules) : rules_(rules) {}

  struct Item {
    int key;
    Value value;
    std::size_t counted;
    Time deadline;
    Time touched;
    Time stored;
  };
  using Place = std::list<Item>::iterator;

  void expire() {
    for (Place item = items_.begin(); item != items_.end();) {
      const Place next = std::next(item);
      if (is_over(*item)) leave(item, true);
      item = next;
    }
  }
  std::optional<Place> find(int key) {
    const Place item = std::find_if(items_.begin(), items_.end(),
                                    [key](const Item& candidate) { return candidate.key == key; });
    return item == items_.end() ? std::nullopt : std::optional<Place>(item);
  }
  void touch(Place item) {
    items_.splice(items_.end(), items_, item);
    if (item->touched < FakeClock::now()) item->touched = FakeClock::now() + 1ns;
  }
  // A key that had no value, or another one, gets a value; its guard is still held.
  Place store(int key, const Value& value, std::optional<Span> own) {
    Place item;
    if (const auto found = find(key)) {
      item = *found;
    } else {
      item = items_.insert(items_.end(), Item{key, {}, 0, {}, {}, {}});
      ++insertions;
    }
    const Time now = FakeClock::now();
    const Span time = own.value_or(rules_.to_live == 0s ? Span::max() : rules_.to_live);
    *item = {key, value, item->counted, time == Span::max() ? Time::max() : now + time, now, now};
    return item;
  }
  // The guard of the key goes.
  void release(int key) {
    const auto found = find(key);
    if (found.has_value()) {
      const Place item = *found;
      const std::size_t weight = item->value.weight;
      item->counted = weight > rules_.max_weight ? 0 : weight;
      if (weight > rules_.max_weight || is_over(*item)) leave(item, is_over(*item));
    }
    shrink();
  }
  // Room for a key that is only locked.
  void make_room_for(int key) {
    while (items_.size() + (find(key).has_value() ? 0 : 1) > rules_.max_size) evict_oldest(key);
  }
  void remove(Place item) { items_.erase(item); }
  void shrink() {
    while (items_.size() > rules_.max_size || weight() > rules_.max_weight) evict_oldest(-1);
  }
  std::size_t weight() const {
    std::size_t sum = 0;
    for (const Item& item : items_) sum += item.counted;
    return sum;
  }

  Rules& rules() { return rules_; }
  std::list<Item>& items() { return items_; }

  std::vector<Gone> gone;
  std::uint64_t insertions = 0;

 private:
  bool is_over(const Item& item) const {
    const Time now = FakeClock::now();
    return item.deadline <= now || (rules_.to_idle != 0s && item.touched + rules_.to_idle <= now);
  }
  void leave(Place item, bool expired) {
    gone.emplace_back(item->key, item->value.id, expired);
    items_.erase(item);
  }
  void evict_oldest(int kept) {
    Place item = items_.begin();
    if (item != items_.end() && item->key == kept) ++item;
    if (item == items_.end()) throw std::logic_error("nothing to evict");
    leave(item, false);
  }

  Rules rules_;
  std::list<Item> items_;  // the least recently used first
};

class History {
 public:
  explicit History(unsigned seed)
      : random_(seed),
        rules_{1 + draw(8), 1 + draw(30), draw(3) == 0 ? Span(0) : draw_time(30),
               draw(2) == 0 ? Span(0) : unit + draw_time(20)},
        model_(rules_) {}

  void run(int steps) {
    for (int i = 0; i < steps; ++i) {
      FakeClock::advance(draw_time(4));
      model_.expire();
      const int key = static_cast<int>(draw(10));
      const std::size_t operation = draw(18);
      SCOPED_TRACE("step " + std::to_string(i) + ", key " + std::to_string(key) + ", operation " +
                   std::to_string(operation));
      step(key, operation);
      check();
    }
    cache_.purge_expired();
    model_.expire();
    std::sort(gone_.begin(), gone_.end());
    std::sort(model_.gone.begin(), model_.gone.end());
    EXPECT_EQ(gone_, model_.gone);
    EXPECT_EQ(cache_.size(), model_.items().size());
    EXPECT_EQ(cache_.stats().insertions, model_.insertions);
    EXPECT_EQ(cache_.stats().evictions + cache_.stats().expirations, gone_.size());
    detail::TestAccess::check_invariants(cache_);
  }

 private:
  std::size_t draw(std::size_t count) { return random_() % count; }
  Span draw_time(std::size_t count) { return unit * static_cast<Span::rep>(draw(count)); }
  Value value() { return {++ids_, draw(rules_.max_weight + 3)}; }

  void step(int key, std::size_t operation) {
    const auto found = model_.find(key);
    const std::optional<Value> old = found ? std::optional((*found)->value) : std::nullopt;
    switch (operation) {
      case 0:
      case 1: {
        const Value stored = value();
        EXPECT_EQ(cache_.insert(key, stored), old);
        put(key, stored, std::nullopt);
        break;
      }
      case 2: {
        const Value stored = value();
        const Span own = draw_time(10);
        EXPECT_EQ(cache_.insert(key, stored, expires_in(own)), old);
        put(key, stored, own);
        break;
      }
      case 3: {
        const Value stored = value();
        EXPECT_EQ(cache_.try_insert(key, stored), !old.has_value());
        if (found) {
          model_.touch(*found);
        } else {
          put(key, stored, std::nullopt);
        }
        break;
      }
      case 4:
        EXPECT_EQ(cache_.get(key), old);
        if (found) model_.touch(*found);
        break;
      case 5:
        EXPECT_EQ(cache_.peek(key), old);
        break;
      case 6:
        EXPECT_EQ(cache_.remove(key), old);
        if (found) model_.remove(*found);
        break;
      case 7:
        EXPECT_EQ(cache_.read(key, [](const Value& value) { return value; }), old);
        if (found) model_.touch(*found);
        break;
      case 8: {
        const Value made = value();
        EXPECT_EQ(cache_.get_or_insert_with(key, [&] { return made; }), old.value_or(made));
        if (found) {
          model_.touch(*found);
        } else {
          lock_and_put(key, made, std::nullopt);
        }
        break;
      }
      case 9: {
        const Value made = value();
        const Span own = draw_time(10);
        EXPECT_EQ(cache_.get_or_insert_with(key,
                                            [&] {
                                              return Expiring<Value>{made, own};
                                            }),
                  old.value_or(made));
        if (found) {
          model_.touch(*found);
        } else {
          lock_and_put(key, made, own);
        }
        break;
      }
      case 10: {
        auto entry = cache_.entry(key);
        EXPECT_EQ(entry.has_value(), old.has_value());
        if (entry.has_value()) {
          entry->weight = draw(rules_.max_weight + 3);
          (*found)->value.weight = entry->weight;
          model_.touch(*found);
        } else {
          model_.make_room_for(key);
        }
        FakeClock::advance(draw_time(3));
        entry.unlock();
        model_.expire();
        model_.release(key);
        break;
      }
      case 11: {
        auto entry = cache_.entry(key);
        if (found) {
          model_.touch(*found);
          const Span own = draw_time(20);
          entry.expire_in(own);
          (*found)->deadline = FakeClock::now() + own;
        } else {
          model_.make_room_for(key);
        }
        entry.unlock();
        model_.release(key);
        break;
      }
      case 12: {
        auto entry = cache_.entry(key);
        model_.make_room_for(key);
        const Value stored = value();
        EXPECT_EQ(entry.insert(stored), old);
        if (found) model_.touch(*found);
        model_.store(key, stored, std::nullopt);
        if (draw(2) == 0) {
          EXPECT_EQ(entry.remove(), stored);
          model_.remove(*model_.find(key));
        }
        entry.unlock();
        model_.release(key);
        break;
      }
      case 13: {
        const auto popped = cache_.pop_lru();
        EXPECT_EQ(popped.has_value(), !model_.items().empty());
        if (popped.has_value()) {
          EXPECT_EQ(popped->first, model_.items().front().key);
          EXPECT_EQ(popped->second, model_.items().front().value);
          model_.remove(model_.items().begin());
        }
        break;
      }
      case 14:
        if (draw(4) != 0) break;
        rules_.max_size = model_.rules().max_size = 1 + draw(8);
        cache_.set_max_size(rules_.max_size);
        model_.shrink();
        break;
      case 15:
        if (draw(4) != 0) break;
        rules_.max_weight = model_.rules().max_weight = 1 + draw(30);
        cache_.set_max_weight(rules_.max_weight);
        model_.shrink();
        break;
      case 16: {
        const Value made = value();
        const Span after = draw_time(10);
        const bool due = found && FakeClock::now() - (*found)->stored > after;
        EXPECT_EQ(cache_.get_or_refresh(key, after, [&] { return made; }),
                  due ? made : old.value_or(made));
        if (due) {
          put(key, made, std::nullopt);
        } else if (found) {
          model_.touch(*found);
        } else {
          lock_and_put(key, made, std::nullopt);
        }
        break;
      }
      case 17:
        if (draw(4) != 0) break;
        (void)cache_.purge_expired();
        EXPECT_EQ(cache_.size(), model_.items().size());
        break;
      default:
        FAIL();
    }
  }

  void put(int key, const Value& stored, std::optional<Span> own) {
    if (const auto found = model_.find(key)) model_.touch(*found);
    model_.store(key, stored, own);
    model_.release(key);
  }
  void lock_and_put(int key, const Value& made, std::optional<Span> own) {
    model_.make_room_for(key);
    put(key, made, own);
  }

  void check() {
    model_.expire();
    ASSERT_GE(cache_.size(), model_.items().size());
    ASSERT_LE(cache_.size(), rules_.max_size);
    ASSERT_LE(cache_.weight(), rules_.max_weight);
    for (const Model::Item& item : model_.items()) ASSERT_EQ(cache_.peek(item.key), item.value);
  }

  std::mt19937 random_;
  Rules rules_;
  Model model_;
  std::vector<Gone> gone_;
  int ids_ = 0;
  Cache cache_{{.max_size = rules_.max_size,
                .shard_count = 1,
                .max_weight = rules_.max_weight,
                .time_to_live = rules_.to_live,
                .time_to_idle = rules_.to_idle,
                .now = &FakeClock::now},
               {.on_evict =
                    [this](const int& key, const Value& value, EvictionCause cause) {
                      gone_.emplace_back(key, value.id, cause == EvictionCause::expired);
                    },
                .weigh = [](const int&, const Value& value) { return value.weight; }}};
};

TEST(LruModelTest, TheCacheDoesWhatTheModelDoes) {
  for (unsigned seed = 0; seed < 400 && !testing::Test::HasFailure(); ++seed) {
    SCOPED_TRACE(seed);
    History(seed).run(300);
  }
}

}  // namespace model
}  // namespace
}  // namespace lockmap::test
