// Random histories of a cache with times, weights and a bound of keys, with a clock that the test
// sets, against the reference of the fuzzer. Nobody holds a key over several operations, so here
// the reference knows which value goes also where times run out.

#include <gtest/gtest.h>

#include <chrono>
#include <cstddef>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include <lockmap/lockmap.hpp>

#include "fake_clock.hpp"
#include "fuzz/model.hpp"
#include "test_access.hpp"

namespace lockmap::test {
namespace {
namespace model {

using fuzz::Model;
using fuzz::Use;
using Cache = LruLockMap<int, int>;
using Span = Model::Span;

constexpr int keys = 10;
// Of all times: more than what a cache has to spare when it notes a touch.
constexpr Span unit{1000};

std::size_t weight_of(int value) {
  return static_cast<std::size_t>(value * 7 % 33);
}

class History {
 public:
  explicit History(unsigned seed)
      : random_(seed),
        setup_{.shard_of = std::vector<std::size_t>(keys, 0),
               .shard_count = 1,
               .max_size = 1 + draw(8),
               .keeps_ledger = true,
               .weight_of = &weight_of,
               .max_weight = 1 + draw(30),
               .to_live = draw(3) == 0 ? Span(0) : draw_time(30),
               .to_idle = draw(2) == 0 ? Span(0) : unit + draw_time(20)} {}

  void run(int steps) {
    for (int i = 0; i < steps; ++i) {
      model_.advance(draw_time(4));
      const int key = static_cast<int>(draw(keys));
      const std::size_t operation = draw(18);
      SCOPED_TRACE("step " + std::to_string(i) + ", key " + std::to_string(key) + ", operation " +
                   std::to_string(operation));
      step(key, operation);
      check();
    }
    cache_.purge_expired();
    EXPECT_TRUE(model_.pending().empty());
    EXPECT_EQ(cache_.size(), model_.size());
    EXPECT_EQ(cache_.weight(), model_.weight());
    EXPECT_EQ(cache_.stats().insertions, model_.stats().insertions);
    EXPECT_EQ(cache_.stats().evictions, model_.stats().evictions);
    EXPECT_EQ(cache_.stats().expirations, model_.stats().expirations);
    detail::TestAccess::check_invariants(cache_);
  }

 private:
  std::size_t draw(std::size_t count) { return random_() % count; }
  Span draw_time(std::size_t count) { return unit * static_cast<Span::rep>(draw(count)); }

  // The reference goes first: the listener asks it.
  void step(int key, std::size_t operation) {
    const int number = ++numbers_;
    switch (operation) {
      case 0:
      case 1: {
        const auto old = model_.insert(key, number);
        EXPECT_EQ(cache_.insert(key, number), old);
        break;
      }
      case 2: {
        const Span own = draw_time(10);
        const auto old = model_.insert(key, number, own);
        EXPECT_EQ(cache_.insert(key, number, expires_in(own)), old);
        break;
      }
      case 3: {
        const bool stored = model_.try_insert(key, number);
        EXPECT_EQ(cache_.try_insert(key, number), stored);
        break;
      }
      case 4: {
        const auto found = model_.lookup(key);
        EXPECT_EQ(cache_.get(key), found);
        break;
      }
      case 5:
        EXPECT_EQ(cache_.peek(key), model_.value(key));
        break;
      case 6: {
        const auto removed = model_.remove(key);
        EXPECT_EQ(cache_.remove(key), removed);
        break;
      }
      case 7: {
        const auto found = model_.lookup(key);
        EXPECT_EQ(cache_.read(key, [](int value) { return value; }), found);
        break;
      }
      case 8: {
        const int found = load(key, number, std::nullopt);
        EXPECT_EQ(cache_.get_or_insert_with(key, [&] { return number; }), found);
        break;
      }
      case 9: {
        const Span own = draw_time(10);
        const int found = load(key, number, own);
        const auto make = [&] { return Expiring<int>{number, own}; };
        EXPECT_EQ(cache_.get_or_insert_with(key, make), found);
        break;
      }
      case 10: {
        const bool has_value = model_.acquire(key, Use::touch);
        auto entry = cache_.entry(key);
        EXPECT_EQ(entry.has_value(), has_value);
        if (has_value) {
          *entry = number;
          model_.change(key, number);
        }
        model_.advance(draw_time(3));
        model_.release(key);
        entry.unlock();
        break;
      }
      case 11: {
        const bool has_value = model_.acquire(key, Use::touch);
        auto entry = cache_.entry(key);
        if (has_value) {
          const Span own = draw_time(20);
          model_.expire_in(key, own);
          entry.expire_in(own);
        }
        model_.release(key);
        entry.unlock();
        break;
      }
      case 12: {
        model_.acquire(key, Use::touch);
        auto entry = cache_.entry(key);
        EXPECT_EQ(entry.insert(number), model_.store(key, number));
        if (draw(2) == 0) {
          EXPECT_EQ(entry.remove(), model_.take(key));
        }
        model_.release(key);
        entry.unlock();
        break;
      }
      case 13: {
        const auto popped = model_.pop();
        EXPECT_EQ(cache_.pop_lru(), popped);
        break;
      }
      case 14: {
        const std::size_t max_size = 1 + draw(8);
        if (draw(4) != 0) break;
        model_.set_max_size(max_size);
        cache_.set_max_size(max_size);
        break;
      }
      case 15: {
        const std::size_t max_weight = 1 + draw(30);
        if (draw(4) != 0) break;
        model_.set_max_weight(max_weight);
        cache_.set_max_weight(max_weight);
        break;
      }
      case 16: {
        const Span after = draw_time(10);
        int found = number;
        if (model_.value(key).has_value() && model_.wants_refresh(key, after)) {
          model_.lookup(key);
          const Model::Refresh refresh = model_.begin_refresh(key);
          model_.store_refreshed(refresh, number, std::nullopt);
          model_.end_refresh(refresh);
        } else {
          found = load(key, number, std::nullopt);
        }
        EXPECT_EQ(cache_.get_or_refresh(key, after, [&] { return number; }), found);
        break;
      }
      case 17:
        if (draw(4) != 0) break;
        (void)cache_.purge_expired();
        EXPECT_EQ(cache_.size(), model_.size());
        break;
      default:
        FAIL();
    }
  }

  // The value that is there, or else the new one.
  int load(int key, int number, std::optional<Span> own) {
    if (const auto found = model_.value(key)) {
      model_.lookup(key);
      return *found;
    }
    model_.acquire(key, Use::lookup);
    model_.store(key, number, own);
    model_.release(key, true);
    return number;
  }

  void check() {
    ASSERT_TRUE(model_.evicted().empty());
    ASSERT_GE(cache_.size(), model_.size());
    ASSERT_LE(cache_.size(), model_.max_size());
    ASSERT_GE(cache_.weight(), model_.weight());
    ASSERT_LE(cache_.weight(), model_.max_weight());
    for (int key = 0; key < keys; ++key) {
      if (model_.value(key).has_value()) {
        ASSERT_EQ(cache_.peek(key), model_.value(key));
      }
    }
  }

  void on_evicted(int key, int value, EvictionCause cause) {
    if (cause == EvictionCause::expired) {
      EXPECT_TRUE(model_.on_expired(key, value)) << "key " << key << " value " << value;
    } else {
      EXPECT_TRUE(model_.on_evicted(key, value, false)) << "key " << key << " value " << value;
    }
  }

  std::mt19937 random_;
  Model::Setup setup_;
  Model model_{setup_};
  int numbers_ = 0;
  Cache cache_{{.max_size = setup_.max_size,
                .shard_count = 1,
                .max_weight = setup_.max_weight,
                .time_to_live = setup_.to_live,
                .time_to_idle = setup_.to_idle,
                .now = &FakeClock::now},
               {.on_evict = [this](const int& key, const int& value,
                                   EvictionCause cause) { on_evicted(key, value, cause); },
                .weigh = [](const int& /*key*/, const int& value) { return weight_of(value); }}};
};

TEST(LruModelTest, TheCacheDoesWhatTheReferenceDoes) {
  for (unsigned seed = 0; seed < 400 && !testing::Test::HasFailure(); ++seed) {
    SCOPED_TRACE(seed);
    History(seed).run(300);
  }
}

}  // namespace model
}  // namespace
}  // namespace lockmap::test
