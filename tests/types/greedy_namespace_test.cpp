// A user's namespace that is full of functions with our names: the library calls none of them.

#include <gtest/gtest.h>

#include <chrono>
#include <compare>
#include <cstddef>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include <lockmap/lockmap.hpp>

namespace game {

std::set<std::string> calls;

// Swallows every call with arguments of this namespace that finds its function by them.
#define GAME_SWALLOWS(name)      \
  template <class... Arguments>  \
  void name(Arguments&&...) {    \
    ::game::calls.insert(#name); \
  }                              \
  static_assert(true)

GAME_SWALLOWS(acquire);
GAME_SWALLOWS(addressof);
GAME_SWALLOWS(all_of);
GAME_SWALLOWS(any_of);
GAME_SWALLOWS(apply);
GAME_SWALLOWS(as_const);
GAME_SWALLOWS(assert_unused);
GAME_SWALLOWS(bit_cast);
GAME_SWALLOWS(ceil);
GAME_SWALLOWS(clamp);
GAME_SWALLOWS(construct);
GAME_SWALLOWS(construct_at);
GAME_SWALLOWS(copy);
GAME_SWALLOWS(count);
GAME_SWALLOWS(cpu_pause);
GAME_SWALLOWS(describe);
GAME_SWALLOWS(destroy);
GAME_SWALLOWS(destroy_at);
GAME_SWALLOWS(destroy_n);
GAME_SWALLOWS(detach);
GAME_SWALLOWS(exchange);
GAME_SWALLOWS(find);
GAME_SWALLOWS(find_if);
GAME_SWALLOWS(for_each);
GAME_SWALLOWS(forward);
GAME_SWALLOWS(hand_over);
GAME_SWALLOWS(hash_of);
GAME_SWALLOWS(hashed);
GAME_SWALLOWS(invoke);
GAME_SWALLOWS(launder);
GAME_SWALLOWS(link);
GAME_SWALLOWS(lock);
GAME_SWALLOWS(lower_bound);
GAME_SWALLOWS(make_obj_using_allocator);
GAME_SWALLOWS(max);
GAME_SWALLOWS(min);
GAME_SWALLOWS(mix);
GAME_SWALLOWS(move);
GAME_SWALLOWS(next);
GAME_SWALLOWS(notify_all);
GAME_SWALLOWS(notify_one);
GAME_SWALLOWS(poison);
GAME_SWALLOWS(prefetch);
GAME_SWALLOWS(prefetch_for_reading);
GAME_SWALLOWS(prefetch_for_writing);
GAME_SWALLOWS(prev);
GAME_SWALLOWS(promote);
GAME_SWALLOWS(reclaim);
GAME_SWALLOWS(release);
GAME_SWALLOWS(shard_index);
GAME_SWALLOWS(shard_of);
GAME_SWALLOWS(sort);
GAME_SWALLOWS(stable_sort);
GAME_SWALLOWS(to_address);
GAME_SWALLOWS(to_size);
GAME_SWALLOWS(to_string);
GAME_SWALLOWS(touch);
GAME_SWALLOWS(try_lock);
GAME_SWALLOWS(unique);
GAME_SWALLOWS(unlink);
GAME_SWALLOWS(unlock);
GAME_SWALLOWS(unpoison);
GAME_SWALLOWS(wait);
GAME_SWALLOWS(wake);

struct Monster {
  int number = 0;
  friend bool operator==(const Monster&, const Monster&) = default;
  friend auto operator<=>(const Monster&, const Monster&) = default;
};

// As a game would really have it, and a better match than any of our own templates.
void poison(Monster* /*monster*/, std::size_t /*strength*/) {
  calls.insert("poison(Monster*, std::size_t)");
}
void unpoison(Monster* /*monster*/, std::size_t /*strength*/) {
  calls.insert("unpoison(Monster*, std::size_t)");
}
void prefetch_for_writing(const void* /*address*/) {
  calls.insert("prefetch_for_writing(const void*)");
}

struct Hash {
  std::size_t operator()(const Monster& monster) const { return std::hash<int>{}(monster.number); }
};
struct Equal {
  bool operator()(const Monster& a, const Monster& b) const { return a.number == b.number; }
};
template <class T>
struct Allocator {
  using value_type = T;

  Allocator() = default;
  template <class U>
  Allocator(const Allocator<U>&) {}
  T* allocate(std::size_t n) { return std::allocator<T>().allocate(n); }
  void deallocate(T* memory, std::size_t n) { std::allocator<T>().deallocate(memory, n); }
  friend bool operator==(const Allocator&, const Allocator&) { return true; }
};

struct Make {
  Monster operator()() const { return Monster{1}; }
};
struct Visit {
  void operator()(const Monster&, const Monster&) const {}
};
struct Keep {
  bool operator()(const Monster&, const Monster& value) const { return value.number % 2 == 0; }
};
struct Less {
  bool operator()(const Monster& a, const Monster& b) const { return a.number < b.number; }
};

using Map =
    lockmap::LockMap<Monster, Monster, Hash, Equal, Allocator<std::pair<const Monster, Monster>>>;
using Cache = lockmap::LruLockMap<Monster, Monster, Hash, Equal,
                                  Allocator<std::pair<const Monster, Monster>>>;

template <class TestedMap>
void use(TestedMap& map) {
  for (int i = 0; i < 100; ++i) map.insert(Monster{i}, Monster{i});
  map.try_insert(Monster{1}, Monster{2});
  std::ignore = map.get(Monster{1});
  std::ignore = map.contains(Monster{1});
  map.get_or_insert_with(Monster{200}, Make{});
  {
    auto entry = map.entry(Monster{2});
    entry.emplace(Monster{3});
    entry.insert(Monster{4});
    entry.swap(Monster{5});
    std::ignore = entry.value_or(Monster{6});
    entry.remove();
    entry.or_insert(Monster{7});
    entry.or_insert_with(Make{});
  }
  std::ignore = map.try_entry(Monster{3}).has_value();
  std::ignore = map.try_entry_for(Monster{4}, std::chrono::hours(1)).has_value();
  {
    const std::vector<Monster> keys{Monster{9}, Monster{8}, Monster{9}};
    auto batch = map.batch_lock(keys);
    std::ignore = batch.find(Monster{8});
    std::ignore = batch.at(Monster{9}).has_value();
    std::ignore = batch.contains(Monster{10});
    batch = map.batch_lock(std::vector<Monster>{Monster{10}}, Less{});
    std::ignore = map.try_batch_lock(keys).has_value();
  }
  map.for_each(Visit{});
  map.retain(Keep{});
  map.remove(Monster{4});
  map.clear();
}

}  // namespace game

namespace lockmap {
namespace {

TEST(GreedyNamespaceTest, LockMap) {
  game::calls.clear();
  {
    game::Map map;
    game::use(map);
    map.insert(game::Monster{1}, game::Monster{1});
  }
  EXPECT_EQ(game::calls, std::set<std::string>{});
}

TEST(GreedyNamespaceTest, LruLockMap) {
  game::calls.clear();
  {
    game::Cache cache(50);
    game::use(cache);
    cache.insert(game::Monster{1}, game::Monster{1});
    cache.insert(game::Monster{2}, game::Monster{2});
    std::ignore = cache.peek(game::Monster{1});
    std::ignore = cache.pop_lru();
    cache.set_max_size(cache.shard_count());
  }
  EXPECT_EQ(game::calls, std::set<std::string>{});
}

// The functions are there to be found.
TEST(GreedyNamespaceTest, AnUnqualifiedCallIsNoticed) {
  game::calls.clear();
  game::Monster monster;
  poison(&monster, sizeof(monster));
  describe(monster);
  EXPECT_EQ(game::calls, (std::set<std::string>{"describe", "poison(Monster*, std::size_t)"}));
}

}  // namespace
}  // namespace lockmap
