// Eight threads insert, remove, look up and lock at random. Each thread notes by how much it has
// changed each key, so that the outcome is known exactly: a key's value is the sum of what the
// threads noted for it.

#include <gtest/gtest.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include <lockmap/lockmap.hpp>

#include "maps.hpp"
#include "stress_support.hpp"
#include "test_access.hpp"
#include "threads.hpp"

namespace lockmap::test {
namespace {

// An amount that says so if it was torn. Small and trivially copyable.
class SmallTally {
 public:
  explicit SmallTally(std::int64_t amount) : amount_(amount), check_(~amount) {}

  std::int64_t amount() const {
    EXPECT_EQ(check_, ~amount_);
    return amount_;
  }
  void add(std::int64_t more) {
    amount_ += more;
    check_ = ~amount_;
  }

 private:
  std::int64_t amount_;
  std::int64_t check_;
};

// The same, too large to be copied under the lock of a shard, and owning memory.
class LargeTally {
 public:
  explicit LargeTally(std::int64_t amount) : cells_(10, amount) {}

  std::int64_t amount() const {
    // Empty in a value that was moved from.
    for (const std::int64_t cell : cells_) EXPECT_EQ(cell, cells_.front());
    return cells_.at(0);
  }
  void add(std::int64_t more) {
    for (std::int64_t& cell : cells_) cell += more;
  }

 private:
  std::vector<std::int64_t> cells_;
};

template <class FamilyAndTally>
class MapStressTest : public testing::Test {
 public:
  using Family = std::tuple_element_t<0, FamilyAndTally>;
  using Tally = std::tuple_element_t<1, FamilyAndTally>;
  using TestedMap = MapOf<Family, int, Tally>;

 protected:
  // The threads' changes, by thread and key.
  using Notes = std::vector<std::int64_t>;

  // A batch takes two keys, a guard one; `keys` is at least 2.
  static void work(TestedMap& map, Notes& notes, Random& random, int keys, int steps) {
    const auto note = [&](int key) -> std::int64_t& {
      return notes[static_cast<std::size_t>(key)];
    };
    const auto amount_of = [](const std::optional<Tally>& tally) {
      return tally ? tally->amount() : 0;
    };
    for (int step = 0; step < steps; ++step) {
      const int key = random.below(keys);
      const std::int64_t amount = 1 + random.below(1000);
      switch (random.below(16)) {
        case 0:
        case 1:
          note(key) += amount - amount_of(map.insert(key, Tally(amount)));
          break;
        case 2:
          if (map.try_insert(key, Tally(amount))) note(key) += amount;
          break;
        case 3:
        case 4:
          note(key) -= amount_of(map.remove(key));
          break;
        case 5:
        case 6:
          EXPECT_GE(amount_of(map.get(key)), 0);
          break;
        case 7:
          (void)map.contains(key);
          break;
        case 8: {
          bool loaded = false;
          const Tally tally = map.get_or_insert_with(key, [&] {
            loaded = true;
            return Tally(amount);
          });
          EXPECT_GT(tally.amount(), 0);
          if (loaded) note(key) += amount;
          break;
        }
        case 9:
          if (auto entry = map.try_entry(key)) note(key) -= amount_of(entry->remove());
          break;
        case 10: {
          const auto limit = std::chrono::microseconds(random.below(50));
          if (auto entry = map.try_entry_for(key, limit)) {
            note(key) += amount - amount_of(entry->insert(Tally(amount)));
          }
          break;
        }
        case 11: {
          // Moves the value of one key to another.
          const int other = (key + 1 + random.below(keys - 1)) % keys;
          auto batch = map.batch_lock({key, other});
          const std::int64_t moved = amount_of(batch.at(key).remove());
          note(key) -= moved;
          if (moved > 0) {
            note(other) += moved - amount_of(batch.at(other).swap(Tally(moved)));
          }
          break;
        }
        case 12:
        case 13: {
          auto entry = map.entry(key);
          if (entry.has_value()) {
            entry->add(amount);
          } else {
            entry.emplace(amount);
          }
          note(key) += amount;
          break;
        }
        case 14: {
          auto entry = map.entry(key);
          note(key) -= amount_of(entry.swap(std::nullopt));
          break;
        }
        default: {
          auto entry = map.entry(key);
          entry.or_insert(Tally(0)).add(amount);
          note(key) += amount;
          break;
        }
      }
      // Now and then the whole map, which must not disturb anybody's sums.
      if (step % 4096 == 4095) {
        map.for_each([](const int&, const Tally& tally) { EXPECT_GT(tally.amount(), 0); });
        (void)map.retain([&](const int& visited, Tally& tally) {
          if (tally.amount() % 3 != 0) return true;
          note(visited) -= tally.amount();
          return false;
        });
      }
    }
  }

  static void expect_exact_sums(std::size_t shards, int keys, int steps) {
    auto map = make_map<TestedMap>(shards);
    std::vector<Notes> notes(stress_threads, Notes(static_cast<std::size_t>(keys), 0));
    run_together(stress_threads, [&](int thread) {
      Random random(thread + 1);
      work(map, notes[static_cast<std::size_t>(thread)], random, keys, steps);
    });
    std::size_t present = 0;
    for (int key = 0; key < keys; ++key) {
      std::int64_t expected = 0;
      for (const Notes& of_thread : notes) expected += of_thread[static_cast<std::size_t>(key)];
      const auto tally = map.get(key);
      EXPECT_EQ(tally ? tally->amount() : 0, expected) << "key " << key;
      if (tally) ++present;
    }
    EXPECT_EQ(map.size(), present);
    expect_quiet(map);
  }
};

struct FamilyAndTallyNames {
  template <class FamilyAndTally>
  static std::string GetName(int /*index*/) {
    using Tally = std::tuple_element_t<1, FamilyAndTally>;
    return std::string(std::tuple_element_t<0, FamilyAndTally>::name) +
           (std::is_same_v<Tally, SmallTally> ? "OfSmall" : "OfLarge");
  }
};

using FamiliesAndTallies =
    testing::Types<std::pair<LockMaps, SmallTally>, std::pair<LockMaps, LargeTally>,
                   std::pair<LruLockMaps, SmallTally>, std::pair<LruLockMaps, LargeTally>>;
TYPED_TEST_SUITE(MapStressTest, FamiliesAndTallies, FamilyAndTallyNames);

TYPED_TEST(MapStressTest, EightKeysInOneShard) {
  this->expect_exact_sums(1, 8, scaled(40'000));
}

TYPED_TEST(MapStressTest, EightKeys) {
  this->expect_exact_sums(4, 8, scaled(40'000));
}

TYPED_TEST(MapStressTest, ManyKeys) {
  this->expect_exact_sums(16, 64 * 1024, scaled(100'000));
}

// Every thread locks every key; what the guards protect are plain numbers outside the map.
TYPED_TEST(MapStressTest, GuardsExclude) {
  using Map = typename TestFixture::TestedMap;
  constexpr int keys = 4;
  constexpr int turns = scaled(20'000);
  auto map = make_map<Map>();
  std::vector<std::int64_t> counts(keys, 0);
  run_together(stress_threads, [&](int thread) {
    Random random(thread + 1);
    for (int turn = 0; turn < turns; ++turn) {
      const int key = (turn + thread) % keys;
      auto entry = map.entry(key);
      ++counts[static_cast<std::size_t>(key)];
      // Some leave a value behind, some take it away, so that both kinds of release are mixed.
      if (random.below(4) == 0) {
        entry.insert(typename TestFixture::Tally(1));
      } else if (random.below(4) == 0) {
        entry.remove();
      }
    }
  });
  for (const std::int64_t count : counts) EXPECT_EQ(count, stress_threads * turns / keys);
  expect_quiet(map);
}

}  // namespace
}  // namespace lockmap::test
