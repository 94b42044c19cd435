// Lookup by other types than the key: what is accepted, that no key is made for it, and that the
// user's hash runs once.

#include <gtest/gtest.h>

#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <functional>
#include <new>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "counting_functors.hpp"
#include "maps.hpp"
#include "sanitizers.hpp"
#include "threads.hpp"
#include "tracked.hpp"
#include "waiting.hpp"

namespace lockmap {
namespace {

// Every text in these tests has this length, for which std::string allocates one byte more, and
// nothing else allocates just as many. (Some round what they allocate up to a multiple of 16.)
constexpr std::size_t text_length = 1007;
thread_local std::size_t strings_made = 0;

void count_allocation(std::size_t size) {
  if (size == text_length + 1) ++strings_made;
}

}  // namespace
}  // namespace lockmap

#if LOCKMAP_TEST_SANITIZED

// Sanitizers find more in an operator new of their own, and say what it allocates. Declared here
// since not every compiler brings the header (sanitizer/allocator_interface.h).
extern "C" int __sanitizer_install_malloc_and_free_hooks(void (*malloc_hook)(const volatile void*,
                                                                             std::size_t),
                                                         void (*free_hook)(const volatile void*));

namespace lockmap {
namespace {

const int hooks_installed = __sanitizer_install_malloc_and_free_hooks(
    [](const volatile void*, std::size_t size) { count_allocation(size); },
    [](const volatile void*) {});

}  // namespace
}  // namespace lockmap

#else

void* operator new(std::size_t size) {
  lockmap::count_allocation(size);
  if (void* memory = std::malloc(size != 0 ? size : 1)) return memory;
  throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* memory) noexcept {
  std::free(memory);
}
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept {
  std::free(memory);
}

#endif

namespace lockmap {
namespace {

using test::hash_calls;
using test::make_map;
using test::MapOf;

std::string text(char first) {
  std::string result(text_length, '-');
  result.front() = first;
  return result;
}

// How many strings of the tests' length f makes.
template <class F>
std::size_t strings_made_by(F f) {
  const std::size_t before = strings_made;
  f();
  return strings_made - before;
}

template <class F>
std::size_t hash_calls_of(F f) {
  const std::size_t before = hash_calls;
  f();
  return hash_calls - before;
}

template <class Family>
class HeterogeneousLookupTest : public ::testing::Test {
 protected:
  using Map = MapOf<Family, std::string, int>;
  using CountedIntMap =
      MapOf<Family, int, int, test::CountingHash<std::hash<int>>, std::equal_to<int>>;
  using CountedStringMap =
      MapOf<Family, std::string, int, test::TransparentCountingHash<default_hash<std::string>>,
            test::TransparentCountingEqual<default_equal<std::string>>>;
};

LOCKMAP_TEST_BOTH(HeterogeneousLookupTest, StringsAreCounted) {
  EXPECT_EQ(strings_made_by([] { text('a'); }), 1u);
}

LOCKMAP_TEST_BOTH(HeterogeneousLookupTest, EveryKindOfStringFindsTheKey) {
  auto map = make_map<typename TestFixture::Map>();
  map.insert(std::string("key"), 1);
  const char* pointer = "key";
  char array[] = "key";
  EXPECT_EQ(map.get("key"), 1);
  EXPECT_EQ(map.get(pointer), 1);
  EXPECT_EQ(map.get(array), 1);
  EXPECT_EQ(map.get(std::string("key")), 1);
  EXPECT_EQ(map.get(std::string_view("key, and more").substr(0, 3)), 1);
  EXPECT_EQ(map.get("other"), std::nullopt);
  EXPECT_TRUE(map.contains("key"));
  EXPECT_TRUE(map.contains(std::string_view("key")));
  EXPECT_FALSE(map.contains(""));
  EXPECT_EQ(map.insert(std::string_view("key"), 2), 1);
  EXPECT_FALSE(map.try_insert("key", 3));
  EXPECT_EQ(map.insert(pointer, 4), 2);
  EXPECT_EQ(map.entry("key").value(), 4);
  EXPECT_EQ(map.try_entry(std::string_view("key"))->value(), 4);
  EXPECT_EQ(map.try_entry_for(pointer, std::chrono::hours(1))->value(), 4);
  EXPECT_EQ(map.get_or_insert_with(std::string_view("key"), [] { return 5; }), 4);
  EXPECT_EQ(map.remove("key"), 4);
  EXPECT_TRUE(map.empty());
  test::expect_quiet(map);
}

LOCKMAP_TEST_BOTH(HeterogeneousLookupTest, EmbeddedZerosCount) {
  auto map = make_map<typename TestFixture::Map>();
  using std::string_view_literals::operator""sv;
  map.insert("a\0b"sv, 1);
  EXPECT_EQ(map.get("a\0b"sv), 1);
  EXPECT_FALSE(map.contains("a"));
  EXPECT_FALSE(map.contains("a\0c"sv));
  EXPECT_EQ(map.entry("a\0b"sv).key().size(), 3u);
}

LOCKMAP_TEST_BOTH(HeterogeneousLookupTest, DefaultHashAndEqualityAgreeOnAllStrings) {
  const default_hash<std::string> hash;
  const default_equal<std::string> equal;
  const default_hash<std::string_view> view_hash;
  EXPECT_EQ(hash(std::string("key")), hash(std::string_view("key")));
  EXPECT_EQ(hash(std::string("key")), hash("key"));
  EXPECT_EQ(view_hash(std::string("key")), view_hash(std::string_view("key")));
  EXPECT_EQ(view_hash(std::string("key")), view_hash("key"));
  EXPECT_TRUE(equal(std::string("key"), "key"));
  EXPECT_TRUE(equal("key", std::string_view("key")));
  EXPECT_FALSE(equal(std::string("key"), std::string_view("kex")));
}

LOCKMAP_TEST_BOTH(HeterogeneousLookupTest, StringViewKeys) {
  const std::string storage = "one two";
  auto map = make_map<MapOf<TypeParam, std::string_view, int>>();
  map.insert(std::string_view(storage).substr(0, 3), 1);
  EXPECT_EQ(map.get("one"), 1);
  EXPECT_EQ(map.get(std::string("one")), 1);
  EXPECT_EQ(map.get(std::string_view("one")), 1);
  EXPECT_EQ(map.entry("one").key().data(), storage.data());
}

LOCKMAP_TEST_BOTH(HeterogeneousLookupTest, NoStringIsMadeForAKeyThatIsThere) {
  auto map = make_map<typename TestFixture::Map>();
  const std::string owner = text('a');
  const std::string_view view = owner;
  const char* pointer = owner.c_str();
  map.insert(owner, 1);
  const auto try_everything = [&](const auto& key) {
    EXPECT_EQ(strings_made_by([&] { EXPECT_EQ(map.get(key), 1); }), 0u);
    EXPECT_EQ(strings_made_by([&] { EXPECT_TRUE(map.contains(key)); }), 0u);
    EXPECT_EQ(strings_made_by([&] { EXPECT_EQ(map.insert(key, 1), 1); }), 0u);
    EXPECT_EQ(strings_made_by([&] { EXPECT_FALSE(map.try_insert(key, 2)); }), 0u);
    EXPECT_EQ(strings_made_by([&] { EXPECT_EQ(map.entry(key).value(), 1); }), 0u);
    EXPECT_EQ(strings_made_by([&] { EXPECT_TRUE(map.try_entry(key).has_value()); }), 0u);
    EXPECT_EQ(strings_made_by(
                  [&] { EXPECT_TRUE(map.try_entry_for(key, std::chrono::hours(1)).has_value()); }),
              0u);
    EXPECT_EQ(strings_made_by([&] {
                EXPECT_TRUE(map.try_entry_until(key, std::chrono::steady_clock::time_point::max()));
              }),
              0u);
    EXPECT_EQ(strings_made_by([&] { map.get_or_insert_with(key, [] { return 2; }); }), 0u);
    EXPECT_EQ(strings_made_by([&] { EXPECT_EQ(map.remove(key), 1); }), 0u);
    map.insert(owner, 1);
  };
  try_everything(view);
  try_everything(pointer);
  try_everything(owner);
}

LOCKMAP_TEST_BOTH(HeterogeneousLookupTest, NoStringIsMadeToFindOutThatAKeyIsAbsent) {
  auto map = make_map<typename TestFixture::Map>();
  const std::string owner = text('a');
  const std::string_view view = owner;
  const char* pointer = owner.c_str();
  const auto try_everything = [&](const auto& key) {
    EXPECT_EQ(strings_made_by([&] { EXPECT_EQ(map.get(key), std::nullopt); }), 0u);
    EXPECT_EQ(strings_made_by([&] { EXPECT_FALSE(map.contains(key)); }), 0u);
    EXPECT_EQ(strings_made_by([&] { EXPECT_EQ(map.remove(key), std::nullopt); }), 0u);
  };
  try_everything(view);
  try_everything(pointer);
  try_everything(owner);
}

LOCKMAP_TEST_BOTH(HeterogeneousLookupTest, OneStringIsMadeForAKeyThatIsStored) {
  auto map = make_map<typename TestFixture::Map>();
  std::vector<std::string> owners;
  for (char c = 'a'; c <= 'd'; ++c) owners.push_back(text(c));
  EXPECT_EQ(strings_made_by([&] { map.insert(std::string_view(owners[0]), 1); }), 1u);
  EXPECT_EQ(strings_made_by([&] { map.try_insert(owners[1].c_str(), 1); }), 1u);
  EXPECT_EQ(strings_made_by([&] { map.entry(std::string_view(owners[2])).insert(1); }), 1u);
  EXPECT_EQ(strings_made_by(
                [&] { map.get_or_insert_with(std::string_view(owners[3]), [] { return 1; }); }),
            1u);
  for (const auto& owner : owners) EXPECT_EQ(map.entry(owner).key(), owner);
  test::expect_quiet(map);
}

LOCKMAP_TEST_BOTH(HeterogeneousLookupTest, TemporaryStringIsStoredWithoutACopy) {
  auto map = make_map<typename TestFixture::Map>();
  std::string a = text('a');
  std::string b = text('b');
  std::string c = text('c');
  EXPECT_EQ(strings_made_by([&] {
              map.insert(std::move(a), 1);
              map.try_insert(std::move(b), 1);
              map.entry(std::move(c)).insert(1);
            }),
            0u);
  EXPECT_EQ(map.size(), 3u);
  EXPECT_TRUE(map.contains(text('a')));
}

LOCKMAP_TEST_BOTH(HeterogeneousLookupTest, BatchIsSearchedWithoutMakingStrings) {
  auto map = make_map<typename TestFixture::Map>();
  const std::string owner = text('a');
  const std::string other = text('b');
  auto batch = map.batch_lock(std::vector<std::string>{owner});
  EXPECT_EQ(strings_made_by([&] {
              EXPECT_FALSE(batch.at(std::string_view(owner)).has_value());
              EXPECT_NE(batch.find(owner.c_str()), nullptr);
              EXPECT_TRUE(batch.contains(std::string_view(owner)));
              EXPECT_FALSE(batch.contains(std::string_view(other)));
            }),
            0u);
}

LOCKMAP_TEST_BOTH(HeterogeneousLookupTest, WaitersMakeNoString) {
  auto map = make_map<typename TestFixture::Map>();
  const std::string owner = text('a');
  map.insert(owner, 1);
  const auto made = test::expect_waits(map, owner, [&] {
    return strings_made_by([&] {
      std::ignore = map.get(std::string_view(owner));
      map.insert(owner.c_str(), 2);
    });
  });
  EXPECT_EQ(made, 0u);
}

LOCKMAP_TEST_BOTH(HeterogeneousLookupTest, HashRunsOncePerOperation) {
  auto map = make_map<typename TestFixture::CountedIntMap>();
  // Once with the key absent, then once with it present.
  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(hash_calls_of([&] { std::ignore = map.get(1); }), 1u);
    EXPECT_EQ(hash_calls_of([&] { std::ignore = map.contains(1); }), 1u);
    EXPECT_EQ(hash_calls_of([&] { std::ignore = map.entry(1).has_value(); }), 1u);
    EXPECT_EQ(hash_calls_of([&] { std::ignore = map.try_entry(1).has_value(); }), 1u);
    EXPECT_EQ(hash_calls_of(
                  [&] { std::ignore = map.try_entry_for(1, std::chrono::hours(1)).has_value(); }),
              1u);
    EXPECT_EQ(hash_calls_of([&] {
                std::ignore = map.try_entry_until(1, std::chrono::steady_clock::now()).has_value();
              }),
              1u);
    EXPECT_EQ(hash_calls_of([&] { map.insert(1, 10); }), 1u);
    EXPECT_EQ(hash_calls_of([&] { map.remove(1); }), 1u);
    EXPECT_EQ(hash_calls_of([&] { map.remove(1); }), 1u);
    EXPECT_EQ(hash_calls_of([&] { map.try_insert(1, 10); }), 1u);
    EXPECT_EQ(hash_calls_of([&] { map.try_insert(1, 10); }), 1u);
    EXPECT_EQ(hash_calls_of([&] { map.get_or_insert_with(2, [] { return 1; }); }), 1u);
  }
}

LOCKMAP_TEST_BOTH(HeterogeneousLookupTest, HashDoesNotRunForWhatAGuardDoes) {
  auto map = make_map<typename TestFixture::CountedIntMap>();
  auto e = map.entry(1);
  EXPECT_EQ(hash_calls_of([&] {
              e.insert(1);
              e.remove();
              e.emplace(2);
              e.swap(std::nullopt);
              e.unlock();
            }),
            0u);
}

LOCKMAP_TEST_BOTH(HeterogeneousLookupTest, HashDoesNotRunWhenTheTableGrowsOrIsWalked) {
  auto map = make_map<typename TestFixture::CountedIntMap>(1);
  EXPECT_EQ(hash_calls_of([&] {
              for (int key = 0; key < 10'000; ++key) map.insert(key, key);
            }),
            10'000u);
  EXPECT_EQ(hash_calls_of([&] {
              map.for_each([](int, int) {});
              map.retain([](int key, int&) { return key % 2 == 0; });
              std::ignore = map.size();
              map.clear();
            }),
            0u);
}

LOCKMAP_TEST_BOTH(HeterogeneousLookupTest, HashRunsOncePerKeyOfABatch) {
  auto map = make_map<typename TestFixture::CountedIntMap>();
  map.insert(1, 1);
  const std::vector<int> keys = {5, 1, 3, 2};
  EXPECT_EQ(hash_calls_of([&] { EXPECT_EQ(map.batch_lock(keys).size(), 4u); }), 4u);
  EXPECT_EQ(hash_calls_of([&] { EXPECT_EQ(map.try_batch_lock(keys)->size(), 4u); }), 4u);
}

LOCKMAP_TEST_BOTH(HeterogeneousLookupTest, HashRunsOnceThoughTheOperationWaits) {
  auto map = make_map<typename TestFixture::CountedIntMap>();
  const auto calls =
      test::expect_waits(map, 1, [&] { return hash_calls_of([&] { map.insert(1, 1); }); });
  EXPECT_EQ(calls, 1u);
}

LOCKMAP_TEST_BOTH(HeterogeneousLookupTest, TransparentHashRunsOnceToo) {
  auto map = make_map<typename TestFixture::CountedStringMap>();
  EXPECT_EQ(hash_calls_of([&] { map.insert(std::string_view("key"), 1); }), 1u);
  EXPECT_EQ(hash_calls_of([&] { std::ignore = map.get("key"); }), 1u);
  EXPECT_EQ(hash_calls_of([&] { std::ignore = map.entry(std::string_view("absent")).has_value(); }),
            1u);
  EXPECT_EQ(hash_calls_of([&] { map.remove("key"); }), 1u);
}

// A key that is found by a part of it.
struct Person {
  int id;
  std::string name;

  Person(int number, std::string text_of_name) : id(number), name(std::move(text_of_name)) {}
  explicit Person(int number) : id(number), name("unnamed") {}
};

struct PersonHash {
  using is_transparent = void;
  std::size_t operator()(int id) const { return std::hash<int>{}(id); }
  std::size_t operator()(const Person& person) const { return (*this)(person.id); }
};

struct PersonEqual {
  using is_transparent = void;
  bool operator()(const Person& a, const Person& b) const { return a.id == b.id; }
  bool operator()(const Person& a, int b) const { return a.id == b; }
  bool operator()(int a, const Person& b) const { return a == b.id; }
};

LOCKMAP_TEST_BOTH(HeterogeneousLookupTest, UserDefinedTransparentHash) {
  auto map = make_map<MapOf<TypeParam, Person, std::string, PersonHash, PersonEqual>>();
  map.insert(Person(1, "Ada"), "first");
  EXPECT_EQ(map.get(1), "first");
  EXPECT_TRUE(map.contains(Person(1, "somebody else")));
  EXPECT_FALSE(map.contains(2));
  EXPECT_EQ(map.insert(1, "second"), "first");
  EXPECT_EQ(map.entry(1).key().name, "Ada");
  map.entry(2).insert("made from a number");
  EXPECT_EQ(map.entry(2).key().name, "unnamed");
  EXPECT_EQ(map.remove(1), "second");
  EXPECT_EQ(map.remove(2), "made from a number");
  test::expect_quiet(map);
}

// A type that lookups take, but no key can be made from.
struct NameOnly {
  std::string_view name;
};

struct NameHash {
  using is_transparent = void;
  std::size_t operator()(NameOnly key) const { return std::hash<std::string_view>{}(key.name); }
  std::size_t operator()(const std::string& key) const {
    return std::hash<std::string_view>{}(key);
  }
};

struct NameEqual {
  using is_transparent = void;
  bool operator()(const std::string& a, const std::string& b) const { return a == b; }
  bool operator()(const std::string& a, NameOnly b) const { return a == b.name; }
  bool operator()(NameOnly a, const std::string& b) const { return a.name == b; }
};

LOCKMAP_TEST_BOTH(HeterogeneousLookupTest, LookupTypeNeedNotMakeKeys) {
  auto map = make_map<MapOf<TypeParam, std::string, int, NameHash, NameEqual>>();
  map.insert(std::string("key"), 1);
  EXPECT_EQ(map.get(NameOnly{"key"}), 1);
  EXPECT_TRUE(map.contains(NameOnly{"key"}));
  EXPECT_FALSE(map.contains(NameOnly{"other"}));
  EXPECT_EQ(map.remove(NameOnly{"key"}), 1);
  EXPECT_TRUE(map.empty());
}

// A key that numbers turn into, which counts how often they do.
class Converted {
 public:
  Converted(int number) : number_(number) { ++conversions; }

  int number() const { return number_; }
  friend bool operator==(const Converted&, const Converted&) = default;

  static inline int conversions = 0;

 private:
  int number_;
};

struct ConvertedHash {
  std::size_t operator()(const Converted& key) const { return std::hash<int>{}(key.number()); }
};

template <class F>
int conversions_of(F f) {
  const int before = Converted::conversions;
  f();
  return Converted::conversions - before;
}

template <class Map>
void expect_one_conversion_per_operation() {
  auto map = make_map<Map>();
  EXPECT_EQ(conversions_of([&] { map.insert(1, 10); }), 1);
  EXPECT_EQ(conversions_of([&] { map.insert(1, 11); }), 1);
  EXPECT_EQ(conversions_of([&] { EXPECT_EQ(map.get(1), 11); }), 1);
  EXPECT_EQ(conversions_of([&] { EXPECT_EQ(map.get(2), std::nullopt); }), 1);
  EXPECT_EQ(conversions_of([&] { EXPECT_TRUE(map.contains(1)); }), 1);
  EXPECT_EQ(conversions_of([&] { map.try_insert(2, 20); }), 1);
  EXPECT_EQ(conversions_of([&] { std::ignore = map.entry(1).has_value(); }), 1);
  EXPECT_EQ(conversions_of([&] { std::ignore = map.entry(3).has_value(); }), 1);
  EXPECT_EQ(conversions_of([&] { std::ignore = map.try_entry(1).has_value(); }), 1);
  EXPECT_EQ(conversions_of([&] { map.get_or_insert_with(4, [] { return 40; }); }), 1);
  EXPECT_EQ(conversions_of([&] { EXPECT_EQ(map.remove(1), 11); }), 1);
  EXPECT_EQ(conversions_of([&] {
              for (int key = 100; key < 200; ++key) map.insert(key, key);
            }),
            100);
  test::expect_quiet(map);
}

LOCKMAP_TEST_BOTH(HeterogeneousLookupTest, OtherTypesAreConvertedOnceIfTheHashIsNotTransparent) {
  expect_one_conversion_per_operation<MapOf<TypeParam, Converted, int, ConvertedHash>>();
}

struct TransparentConvertedHash : ConvertedHash {
  using is_transparent = void;
};

// Both have to be transparent.
LOCKMAP_TEST_BOTH(HeterogeneousLookupTest, OtherTypesAreConvertedOnceIfOnlyTheHashIsTransparent) {
  expect_one_conversion_per_operation<
      MapOf<TypeParam, Converted, int, TransparentConvertedHash, std::equal_to<Converted>>>();
}

LOCKMAP_TEST_BOTH(HeterogeneousLookupTest, NumbersOfOtherTypesAreConverted) {
  auto map = make_map<MapOf<TypeParam, long, int>>();
  map.insert(1, 10);
  EXPECT_EQ(map.get(1L), 10);
  EXPECT_EQ(map.get(short{1}), 10);
  EXPECT_EQ(map.get('\1'), 10);
  EXPECT_EQ(map.size(), 1u);
}

}  // namespace
}  // namespace lockmap
