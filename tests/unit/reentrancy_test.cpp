// User code that uses the map it is called from: copy constructors, destructors, hashes and
// callbacks. All maps have one shard, so that every key is in the one whose mutex would be in the
// way.

#include <gtest/gtest.h>

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "maps.hpp"
#include "threads.hpp"

namespace lockmap {
namespace {

using test::make_map;
using test::MapOf;

// Values call the hook of their thread when they are copied or destroyed, but not while it runs.
struct Hook {
  static inline thread_local std::function<void()> on_copy;
  static inline thread_local std::function<void()> on_destroy;
  static inline thread_local int calls = 0;
  static inline thread_local bool running = false;

  static void run(const std::function<void()>& hook) {
    if (!hook || running) return;
    running = true;
    ++calls;
    hook();
    running = false;
  }

  static void reset() {
    on_copy = nullptr;
    on_destroy = nullptr;
    calls = 0;
  }
};

class Hooked {
 public:
  explicit Hooked(int number) : number_(number) {}
  Hooked(const Hooked& other) : number_(other.number_) { Hook::run(Hook::on_copy); }
  Hooked(Hooked&& other) noexcept : number_(other.number_) {}
  Hooked& operator=(const Hooked& other) {
    number_ = other.number_;
    Hook::run(Hook::on_copy);
    return *this;
  }
  Hooked& operator=(Hooked&& other) noexcept {
    number_ = other.number_;
    return *this;
  }
  // Of values that were moved from, too: their destructor is the user's as well.
  ~Hooked() { Hook::run(Hook::on_destroy); }

  int number() const { return number_; }

 private:
  int number_;
};

constexpr int present_keys = 20;
constexpr int spare_key = 1000;  // used by hooks and callbacks only

template <class Family>
class ReentrancyTest : public ::testing::Test {
 protected:
  using Map = MapOf<Family, int, Hooked>;
  using IntMap = MapOf<Family, int, int>;

  ReentrancyTest() {
    Hook::reset();
    for (int key = 0; key < present_keys; ++key) map_.insert(key, Hooked(key));
  }
  // Hooks must not run in the destructor of a map that they use.
  ~ReentrancyTest() override { Hook::reset(); }

  // Everything that can be done with a key that nobody else uses.
  void use_map() {
    map_.insert(spare_key, Hooked(1));
    EXPECT_EQ(map_.get(spare_key)->number(), 1);
    EXPECT_TRUE(map_.contains(spare_key));
    EXPECT_FALSE(map_.try_insert(spare_key, Hooked(2)));
    map_.entry(spare_key).insert(Hooked(3));
    EXPECT_TRUE(map_.try_entry(spare_key).has_value());
    EXPECT_EQ(map_.batch_lock({spare_key, spare_key + 1}).size(), 2u);
    EXPECT_GE(map_.size(), 1u);
    EXPECT_EQ(map_.remove(spare_key)->number(), 3);
  }

  // Enough new keys to grow the table, and away with them.
  void grow_map() {
    for (int key = spare_key; key < spare_key + 500; ++key) map_.insert(key, Hooked(key));
    for (int key = spare_key; key < spare_key + 500; ++key) map_.remove(key);
  }

  // The calls to the hook while f runs.
  template <class F>
  static int calls_in(F f) {
    const int before = Hook::calls;
    f();
    return Hook::calls - before;
  }

  Map map_ = make_map<Map>(1);
};

LOCKMAP_TEST_BOTH(ReentrancyTest, CopyConstructorInGet) {
  Hook::on_copy = [&] {
    this->use_map();
    this->grow_map();
  };
  EXPECT_EQ(this->calls_in([&] { EXPECT_EQ(this->map_.get(3)->number(), 3); }), 1);
  EXPECT_EQ(this->map_.size(), static_cast<std::size_t>(present_keys));
  test::expect_quiet(this->map_);
}

LOCKMAP_TEST_BOTH(ReentrancyTest, CopyConstructorInGetOrInsertWith) {
  Hook::on_copy = [&] {
    this->use_map();
    this->grow_map();
  };
  EXPECT_EQ(this->calls_in([&] {
    EXPECT_EQ(this->map_.get_or_insert_with(3, [] { return Hooked(0); }).number(), 3);
  }),
            1);
  EXPECT_EQ(this->calls_in([&] {
    EXPECT_EQ(this->map_.get_or_insert_with(99, [] { return Hooked(9); }).number(), 9);
  }),
            1);
  test::expect_quiet(this->map_);
}

// The key is held while its value is copied, and is the only one that is.
LOCKMAP_TEST_BOTH(ReentrancyTest, CopyConstructorHoldsItsKeyOnly) {
  Hook::on_copy = [&] {
    test::in_another_thread([&] {
      EXPECT_FALSE(test::is_free(this->map_, 3));
      for (int key : {0, 1, 2, 4, spare_key}) EXPECT_TRUE(test::is_free(this->map_, key));
    });
  };
  EXPECT_EQ(this->calls_in([&] { std::ignore = this->map_.get(3); }), 1);
}

LOCKMAP_TEST_BOTH(ReentrancyTest, DestructorOfAReplacedValue) {
  Hook::on_destroy = [&] { this->use_map(); };
  EXPECT_GE(this->calls_in([&] { this->map_.insert(3, Hooked(30)); }), 1);
  EXPECT_GE(this->calls_in([&] { this->map_.entry(4).insert(Hooked(40)); }), 1);
  EXPECT_GE(this->calls_in([&] { this->map_.entry(5).emplace(50); }), 1);
  EXPECT_GE(this->calls_in([&] { this->map_.entry(6).swap(Hooked(60)); }), 1);
  EXPECT_EQ(this->map_.get(3)->number(), 30);
  EXPECT_EQ(this->map_.get(5)->number(), 50);
  test::expect_quiet(this->map_);
}

LOCKMAP_TEST_BOTH(ReentrancyTest, DestructorOfAnArgumentNotStored) {
  Hook::on_destroy = [&] { this->use_map(); };
  EXPECT_GE(this->calls_in([&] { EXPECT_FALSE(this->map_.try_insert(3, Hooked(30))); }), 1);
  EXPECT_GE(this->calls_in([&] { EXPECT_TRUE(this->map_.try_insert(99, Hooked(90))); }), 1);
  EXPECT_GE(this->calls_in([&] { this->map_.entry(4).or_insert(Hooked(40)); }), 1);
  EXPECT_EQ(this->map_.get(3)->number(), 3);
  test::expect_quiet(this->map_);
}

LOCKMAP_TEST_BOTH(ReentrancyTest, DestructorOfARemovedValue) {
  Hook::on_destroy = [&] {
    this->use_map();
    this->grow_map();
  };
  EXPECT_GE(this->calls_in([&] { EXPECT_EQ(this->map_.remove(3)->number(), 3); }), 1);
  EXPECT_GE(this->calls_in([&] { EXPECT_EQ(this->map_.entry(4).remove()->number(), 4); }), 1);
  EXPECT_EQ(this->map_.size(), static_cast<std::size_t>(present_keys) - 2);
  test::expect_quiet(this->map_);
}

LOCKMAP_TEST_BOTH(ReentrancyTest, DestructorOfValuesNotRetained) {
  Hook::on_destroy = [&] {
    this->use_map();
    this->grow_map();
  };
  std::size_t removed = 0;
  EXPECT_GE(this->calls_in([&] {
    removed = this->map_.retain([](int key, Hooked&) { return key % 2 == 0; });
  }),
            present_keys / 2);
  EXPECT_GE(removed, std::size_t{present_keys} / 2);
  EXPECT_EQ(this->map_.size(), std::size_t{present_keys} / 2);
  test::expect_quiet(this->map_);
}

LOCKMAP_TEST_BOTH(ReentrancyTest, DestructorOfValuesCleared) {
  Hook::on_destroy = [&] { this->use_map(); };
  EXPECT_GE(this->calls_in([&] { this->map_.clear(); }), present_keys);
  EXPECT_TRUE(this->map_.empty());
  test::expect_quiet(this->map_);
}

LOCKMAP_TEST_BOTH(ReentrancyTest, DestructorOfValuesOfADyingMapUsesAnotherMap) {
  using TestedMap = typename TestFixture::Map;
  {
    std::optional<TestedMap> dying;
    if constexpr (test::is_lru<TestedMap>) {
      dying.emplace(LruOptions{.max_size = test::large_bound, .shard_count = 1});
    } else {
      dying.emplace(Options{.shard_count = 1});
    }
    for (int key = 0; key < present_keys; ++key) dying->insert(key, Hooked(key));
    Hook::on_destroy = [&] { this->use_map(); };
    EXPECT_GE(this->calls_in([&] { dying.reset(); }), present_keys);
    Hook::reset();
  }
  EXPECT_EQ(this->map_.size(), static_cast<std::size_t>(present_keys));
  test::expect_quiet(this->map_);
}

LOCKMAP_TEST_BOTH(ReentrancyTest, DestructorOfKeys) {
  struct HashHooked {
    std::size_t operator()(const Hooked& key) const {
      return static_cast<std::size_t>(key.number());
    }
  };
  struct EqualHooked {
    bool operator()(const Hooked& a, const Hooked& b) const { return a.number() == b.number(); }
  };
  auto map = make_map<MapOf<TypeParam, Hooked, int, HashHooked, EqualHooked>>(1);
  for (int key = 0; key < present_keys; ++key) map.insert(Hooked(key), key);
  const Hooked spare(spare_key);
  Hook::on_destroy = [&] {
    EXPECT_FALSE(map.contains(spare));
    EXPECT_GE(map.size(), 0u);
  };
  EXPECT_GE(this->calls_in([&] { map.remove(Hooked(1)); }), 1);
  EXPECT_GE(this->calls_in([&] { std::ignore = map.entry(Hooked(500)).has_value(); }), 1);
  EXPECT_GE(this->calls_in([&] { map.retain([](const Hooked&, int&) { return false; }); }), 1);
  map.insert(Hooked(1), 1);
  EXPECT_GE(this->calls_in([&] { map.clear(); }), 1);
  Hook::reset();
  test::expect_quiet(map);
}

LOCKMAP_TEST_BOTH(ReentrancyTest, CallbackOfForEach) {
  int visited = 0;
  this->map_.for_each([&](int key, const Hooked& value) {
    if (key >= spare_key) return;  // one that this callback inserted
    ++visited;
    EXPECT_EQ(value.number(), key);
    this->use_map();
    this->grow_map();
    const int other = (key + 1) % present_keys;
    EXPECT_EQ(this->map_.get(other)->number(), other);
    this->map_.insert(other, Hooked(other));
  });
  EXPECT_EQ(visited, present_keys);
  test::expect_quiet(this->map_);
}

LOCKMAP_TEST_BOTH(ReentrancyTest, CallbackOfRetain) {
  int visited = 0;
  this->map_.retain([&](int key, Hooked& value) {
    if (key >= spare_key) return true;
    ++visited;
    EXPECT_EQ(value.number(), key);
    this->use_map();
    this->grow_map();
    return key % 2 == 0;
  });
  EXPECT_EQ(visited, present_keys);
  EXPECT_EQ(this->map_.size(), std::size_t{present_keys} / 2);
  test::expect_quiet(this->map_);
}

LOCKMAP_TEST_BOTH(ReentrancyTest, FunctionOfGetOrInsertWith) {
  const int made = this->map_
                       .get_or_insert_with(99,
                                           [&] {
                                             this->use_map();
                                             this->grow_map();
                                             return Hooked(this->map_.get(3)->number() + 1);
                                           })
                       .number();
  EXPECT_EQ(made, 4);
  EXPECT_EQ(this->map_.size(), std::size_t{present_keys} + 1);
  test::expect_quiet(this->map_);
}

LOCKMAP_TEST_BOTH(ReentrancyTest, FunctionOfOrInsertWith) {
  {
    auto e = this->map_.entry(99);
    e.or_insert_with([&] {
      this->use_map();
      this->grow_map();
      return Hooked(9);
    });
    EXPECT_EQ(e->number(), 9);
  }
  EXPECT_EQ(this->map_.get(99)->number(), 9);
  test::expect_quiet(this->map_);
}

LOCKMAP_TEST_BOTH(ReentrancyTest, CallbacksInCallbacks) {
  auto map = make_map<typename TestFixture::IntMap>(1);
  // Each value is made from the one of the key before.
  const std::function<int(int)> make = [&](int key) {
    if (key == 0) return 1;
    return map.get_or_insert_with(key, [&] { return make(key - 1) + 1; });
  };
  EXPECT_EQ(make(50), 51);
  EXPECT_EQ(map.size(), 50u);
  test::expect_quiet(map);
}

// A hash that looks into the map whose operation calls it.
template <class Map>
struct NosyHash {
  Map** map = nullptr;
  int* calls = nullptr;
  bool* running = nullptr;

  std::size_t operator()(int key) const {
    if (map != nullptr && *map != nullptr && !*running) {
      *running = true;
      ++*calls;
      std::ignore = (*map)->size();
      (*map)->insert(spare_key, 1);
      (*map)->remove(spare_key);
      *running = false;
    }
    return static_cast<std::size_t>(key);
  }
};

template <class Family>
struct NosyMaps {
  struct Hash;
  using Map = MapOf<Family, int, int, Hash>;
  struct Hash : NosyHash<Map> {};
};

LOCKMAP_TEST_BOTH(ReentrancyTest, HashRunsOutsideEveryLock) {
  using TestedMap = typename NosyMaps<TypeParam>::Map;
  TestedMap* self = nullptr;
  int calls = 0;
  bool running = false;
  typename NosyMaps<TypeParam>::Hash hash;
  hash.map = &self;
  hash.calls = &calls;
  hash.running = &running;
  auto map = make_map<TestedMap>(1, hash);
  map.insert(1, 10);
  self = &map;
  EXPECT_EQ(map.get(1), 10);
  EXPECT_TRUE(map.contains(1));
  map.insert(1, 11);
  map.insert(2, 20);
  map.try_insert(3, 30);
  map.entry(4).insert(40);
  EXPECT_TRUE(map.try_entry(4).has_value());
  EXPECT_EQ(map.batch_lock({1, 2}).size(), 2u);
  EXPECT_EQ(map.get_or_insert_with(5, [] { return 50; }), 50);
  EXPECT_EQ(map.remove(1), 11);
  EXPECT_EQ(calls, 11);
  self = nullptr;
  EXPECT_EQ(map.size(), 4u);
  test::expect_quiet(map);
}

}  // namespace
}  // namespace lockmap
