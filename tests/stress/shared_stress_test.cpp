// Readers and writers of a few keys: a writer among readers that never leave a key free gets it,
// and so does a reader among writers; and sixty-four threads read, nest reads, write, upgrade and
// downgrade at random. Each of them notes by how much it has changed each key, so that the outcome
// is known exactly, and whoever reads checks that nobody writes meanwhile.

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <lockmap/lockmap.hpp>

#include "maps.hpp"
#include "sanitizers.hpp"
#include "stress_support.hpp"
#include "test_access.hpp"
#include "threads.hpp"

namespace lockmap::test {
namespace {

using detail::TestAccess;
using std::chrono::steady_clock;

constexpr std::chrono::seconds patience(sanitized ? 60 : 30);

// An amount that says so if it was torn.
template <std::size_t count>
class Cells {
 public:
  explicit Cells(std::int64_t amount) { cells_.fill(amount); }

  std::int64_t amount() const {
    for (const std::int64_t cell : cells_) EXPECT_EQ(cell, cells_.front());
    return cells_.front();
  }
  void add(std::int64_t more) {
    for (std::int64_t& cell : cells_) cell += more;
  }

 private:
  std::array<std::int64_t, count> cells_;
};

using SmallCells = Cells<4>;   // copied under the lock of a shard
using LargeCells = Cells<16>;  // copied under a hold of the key

// For a value that is held: nobody else changes it for a while.
template <class Value>
std::int64_t steady_amount(const Value& value) {
  const std::int64_t amount = value.amount();
  std::this_thread::yield();
  EXPECT_EQ(value.amount(), amount);
  return amount;
}

// -- A few among many ----------------------------------------------------------------------------

constexpr int hot = 1;

template <class Family>
class SharedFairnessStressTest : public testing::Test {
 protected:
  using TestedMap = MapOf<Family, int, LargeCells>;
  static constexpr int turns = scaled(100);

  void SetUp() override { map_.insert(hot, LargeCells(0)); }

  // Runs `one(turn)` so often on one thread, and `many()` on the others until it is through.
  template <class One, class Many>
  void run_beside(const One& one, const Many& many) {
    {
      Watchdog watchdog(stress_threads + 1, patience, [this] { return TestAccess::dump(map_); });
      run_together(stress_threads + 1, [&](int thread) {
        if (thread == 0) {
          for (int turn = 0; turn < turns; ++turn, watchdog.step(thread)) one(turn);
          over_ = true;
        }
        for (; !over_; watchdog.step(thread)) many();
        watchdog.finish(thread);
      });
    }
    expect_quiet(map_);
  }

  // Whether at least so many wait for the key.
  bool wanted_by(int threads) const {
    return TestAccess::waiters(map_, hot) >= static_cast<std::size_t>(threads);
  }

  TestedMap map_ = make_map<TestedMap>(1);
  std::atomic<bool> over_ = false;
};

// A reader stays until another one has come in, so the key is free only if none can.
LOCKMAP_TEST_BOTH(SharedFairnessStressTest, WriterGetsTheKeyAmongReaders) {
  std::atomic<int> staying = 0;
  this->run_beside(
      [&](int turn) {
        auto entry = this->map_.entry(hot);
        EXPECT_EQ(staying, 0);
        EXPECT_EQ(entry->amount(), turn);
        entry->add(1);
      },
      [&] {
        const auto entry = this->map_.shared_entry(hot);
        (void)entry->amount();
        ++staying;
        await(
            [&] {
              int all = staying;
              // All the other readers and the writer.
              const bool others_wait = this->over_ || this->wanted_by(stress_threads);
              return (all > 1 || others_wait) && staying.compare_exchange_strong(all, all - 1);
            },
            "another reader to come in, or a writer to keep them all out");
      });
  EXPECT_EQ(staying, 0);
  EXPECT_EQ(this->map_.get(hot)->amount(), TestFixture::turns);
}

// A writer stays until all the others want the key.
LOCKMAP_TEST_BOTH(SharedFairnessStressTest, ReaderGetsTheKeyAmongWriters) {
  std::atomic<std::int64_t> written = 0;
  this->run_beside(
      [&](int) {
        const bool found = this->map_.read(
            hot, [&](const LargeCells& value) { EXPECT_EQ(value.amount(), written); });
        EXPECT_TRUE(found);
      },
      [&] {
        auto entry = this->map_.entry(hot);
        entry->add(1);
        ++written;
        await([&] { return this->over_ || this->wanted_by(stress_threads - 1); },
              "the other writers to want the key");
      });
  EXPECT_EQ(this->map_.get(hot)->amount(), written);
}

// -- Everything at once --------------------------------------------------------------------------

template <class Family>
class SharedMixStressTest : public testing::Test {
 protected:
  static constexpr int threads = 64;
  static constexpr int keys = 4;

  // By how much a thread has changed each key.
  using Notes = std::array<std::int64_t, keys>;

  template <class Map>
  class Client {
   public:
    using Value = typename Map::mapped_type;

    Client(Map& map, int seed) : map_(map), random_(seed) {}

    // Some steps end as the last of a cycle: those that read in any order, and the batches that
    // wait for one that does.
    void step() {
      if (random_.below(4) == 0) TestAccess::let_read(map_);
      try {
        take_step(random_.below(keys));
      } catch (const std::system_error& error) {
        EXPECT_EQ(error.code(), std::errc::resource_deadlock_would_occur);
      }
      EXPECT_EQ(TestAccess::held(), 0U);
    }

    const Notes& notes() const { return notes_; }

   private:
    void take_step(int key) {
      switch (random_.below(16)) {
        case 0:
        case 1:
        case 2:
          (void)map_.read(key, &steady_amount<Value>);
          break;
        case 3:
          (void)amount_of(map_.get(key));
          (void)map_.contains(key);
          if constexpr (is_lru<Map>) (void)amount_of(map_.peek(key));
          break;
        case 4:
          if (const auto entry = map_.try_shared_entry(key)) (void)steady_amount_of(*entry);
          break;
        case 5:
          if (const auto entry =
                  map_.try_shared_entry_for(key, std::chrono::microseconds(random_.below(50)))) {
            (void)steady_amount_of(*entry);
          }
          break;
        case 6:
          read_again(key);
          break;
        case 7:
          read_two(key, (key + 1 + random_.below(keys - 1)) % keys);
          break;
        case 8:
          ask_too_much(key);
          break;
        case 9:
          read_in_any_order(key);
          break;
        case 10: {
          const Value value = map_.get_or_insert_with(key, [&] {
            note(key) += 1;
            return Value(1);
          });
          EXPECT_GT(value.amount(), 0);
          break;
        }
        case 11:
          note(key) -= amount_of(map_.remove(key));
          break;
        case 12: {
          const std::int64_t amount = 1 + random_.below(1000);
          note(key) += amount - amount_of(map_.insert(key, Value(amount)));
          break;
        }
        case 13: {
          auto entry = map_.entry(key);
          (void)change(entry);
          break;
        }
        case 14:
          downgrade(key);
          break;
        default:
          upgrade(key);
          break;
      }
    }

    std::int64_t& note(int key) { return notes_[static_cast<std::size_t>(key)]; }

    static std::int64_t amount_of(const std::optional<Value>& value) {
      return value ? value->amount() : 0;
    }
    static std::int64_t steady_amount_of(const typename Map::SharedEntry& entry) {
      return entry.has_value() ? steady_amount(*entry) : 0;
    }

    // Returns what the value is then.
    std::int64_t change(typename Map::Entry& entry) {
      if (random_.below(8) == 0) {
        note(entry.key()) -= amount_of(entry.remove());
        return 0;
      }
      const std::int64_t amount = 1 + random_.below(1000);
      Value& value = entry.or_insert(Value(0));
      value.add(amount);
      note(entry.key()) += amount;
      return value.amount();
    }

    // Whoever waits meanwhile.
    void read_again(int key) {
      const auto outer = map_.shared_entry(key);
      const std::int64_t amount = steady_amount_of(outer);
      EXPECT_EQ(amount_of(map_.get(key)), amount);
      EXPECT_EQ(map_.contains(key), outer.has_value());
      const bool found = map_.read(key, [&](const Value& value) {
        const auto inner = map_.try_shared_entry(key);
        ASSERT_TRUE(inner.has_value());
        EXPECT_EQ(inner->get(), outer.get());
        EXPECT_EQ(steady_amount(value), amount);
      });
      EXPECT_EQ(found, outer.has_value());
    }

    // In sorted order, so without deadlock.
    void read_two(int key, int other) {
      const auto check = [&](const typename Map::SharedBatch& batch) {
        const std::int64_t sum =
            steady_amount_of(batch.at(key)) + steady_amount_of(batch.at(other));
        EXPECT_EQ(amount_of(map_.get(key)) + amount_of(map_.get(other)), sum);
      };
      if (random_.below(2) == 0) {
        check(map_.shared_batch_lock({key, other}));
      } else if (const auto batch = map_.try_shared_batch_lock({key, other})) {
        check(*batch);
      }
    }

    // Exclusively for what it reads itself.
    void ask_too_much(int key) {
      const auto entry = map_.shared_entry(key);
      EXPECT_THROW((void)map_.entry(key), std::system_error);
      EXPECT_FALSE(map_.try_entry(key).has_value());
      (void)steady_amount_of(entry);
    }

    // Another key than the first, and all of them.
    void read_in_any_order(int key) {
      const int other = (key + 1 + random_.below(keys - 1)) % keys;
      if (random_.below(2) == 0) {
        auto written = map_.entry(key);
        (void)change(written);
        (void)map_.read(other, &steady_amount<Value>);
      } else {
        const auto entry = map_.shared_entry(key);
        (void)map_.read(other, &steady_amount<Value>);
        map_.for_each([](const int&, const Value& value) { EXPECT_GT(value.amount(), 0); });
        (void)steady_amount_of(entry);
      }
    }

    void downgrade(int key) {
      auto entry = map_.entry(key);
      const std::int64_t amount = change(entry);
      const auto shared = std::move(entry).downgrade();  // nobody comes in between
      EXPECT_EQ(steady_amount_of(shared), amount);
    }

    void upgrade(int key) {
      auto shared = map_.shared_entry(key);
      const std::int64_t amount = steady_amount_of(shared);
      if (auto entry = std::move(shared).try_upgrade()) {
        EXPECT_EQ(entry->has_value() ? (*entry)->amount() : 0, amount);
        (void)change(*entry);
      } else {
        EXPECT_EQ(steady_amount_of(shared), amount);
      }
    }

    Map& map_;
    Random random_;
    Notes notes_{};
  };

  template <class Value>
  static void expect_exact_sums() {
    using Map = MapOf<Family, int, Value>;
    auto map = make_map<Map>(2);
    std::vector<Notes> notes(threads);
    const auto end = steady_clock::now() + stress_seconds(2) / 4;
    {
      Watchdog watchdog(threads, patience, [&] { return TestAccess::dump(map); });
      run_together(threads, [&](int thread) {
        Client<Map> client(map, thread + 1);
        for (; steady_clock::now() < end; watchdog.step(thread)) client.step();
        watchdog.finish(thread);
        notes[static_cast<std::size_t>(thread)] = client.notes();
      });
    }
    EXPECT_EQ(TestAccess::blocked_owners(), 0U);
    std::size_t present = 0;
    for (int key = 0; key < keys; ++key) {
      std::int64_t expected = 0;
      for (const Notes& of_thread : notes) expected += of_thread[static_cast<std::size_t>(key)];
      const auto value = map.get(key);
      EXPECT_EQ(value ? value->amount() : 0, expected) << "key " << key;
      if (value) ++present;
    }
    EXPECT_EQ(map.size(), present);
    expect_quiet(map);
  }
};

LOCKMAP_TEST_BOTH(SharedMixStressTest, SmallValues) {
  TestFixture::template expect_exact_sums<SmallCells>();
}

LOCKMAP_TEST_BOTH(SharedMixStressTest, LargeValues) {
  TestFixture::template expect_exact_sums<LargeCells>();
}

}  // namespace
}  // namespace lockmap::test
