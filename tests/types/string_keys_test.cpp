// Strings of every character type: looked up by view, literal, pointer and string without a key
// being made.

#include <gtest/gtest.h>

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "maps.hpp"

namespace lockmap {
namespace {

using test::make_map;
using test::MapOf;

thread_local std::size_t allocations = 0;

// Of the keys alone, so that its count is the number of keys that were made.
template <class T>
struct KeyAllocator {
  using value_type = T;

  KeyAllocator() = default;
  template <class U>
  KeyAllocator(const KeyAllocator<U>&) {}

  T* allocate(std::size_t n) {
    ++allocations;
    return std::allocator<T>().allocate(n);
  }
  void deallocate(T* memory, std::size_t n) noexcept { std::allocator<T>().deallocate(memory, n); }

  friend bool operator==(KeyAllocator, KeyAllocator) { return true; }
};

template <class F>
std::size_t allocations_of(F f) {
  const std::size_t before = allocations;
  f();
  return allocations - before;
}

template <class Family, class Char>
struct Param {
  using MapFamily = Family;
  using Character = Char;
};

using Params =
    ::testing::Types<Param<test::LockMaps, char>, Param<test::LockMaps, wchar_t>,
                     Param<test::LockMaps, char8_t>, Param<test::LockMaps, char16_t>,
                     Param<test::LockMaps, char32_t>, Param<test::LruLockMaps, char>,
                     Param<test::LruLockMaps, wchar_t>, Param<test::LruLockMaps, char8_t>,
                     Param<test::LruLockMaps, char16_t>, Param<test::LruLockMaps, char32_t>>;

template <class P>
class StringKeysTest : public ::testing::Test {
 protected:
  using Char = typename P::Character;
  using View = std::basic_string_view<Char>;
  using String = std::basic_string<Char>;
  using Key = std::basic_string<Char, std::char_traits<Char>, KeyAllocator<Char>>;
  using Map = MapOf<typename P::MapFamily, Key, int>;
  using ViewMap = MapOf<typename P::MapFamily, View, int>;

  // Too long for a string to hold it without an allocation.
  static constexpr Char literal[] = {'a', ' ', 't', 'e', 'x', 't', ' ', 't', 'h', 'a', 't',
                                     ' ', 'f', 'i', 't', 's', ' ', 'n', 'o', ' ', 's', 'm',
                                     'a', 'l', 'l', ' ', 's', 't', 'r', 'i', 'n', 'g', '\0'};
  static constexpr View view = literal;
};
TYPED_TEST_SUITE(StringKeysTest, Params);

TYPED_TEST(StringKeysTest, KeysAreCounted) {
  EXPECT_EQ(allocations_of([] { const typename TestFixture::Key key(TestFixture::view); }), 1U);
}

TYPED_TEST(StringKeysTest, EqualTextsHashAlikeWhateverTheirType) {
  using TestedKey = typename TestFixture::Key;
  using Text = typename TestFixture::String;
  using TextView = typename TestFixture::View;
  const default_hash<TestedKey> hash;
  const default_equal<TestedKey> equal;
  const TestedKey key(TestFixture::view);
  EXPECT_EQ(hash(key), hash(TestFixture::view));
  EXPECT_EQ(hash(key), hash(TestFixture::literal));
  EXPECT_EQ(hash(key), hash(Text(TestFixture::view)));
  EXPECT_EQ(hash(key), hash(TestFixture::view.data()));
  EXPECT_TRUE(equal(key, TestFixture::literal));
  EXPECT_TRUE(equal(Text(TestFixture::view), key));
  EXPECT_FALSE(equal(key, TestFixture::view.substr(1)));
  static_assert(std::is_same_v<default_hash<TestedKey>, default_hash<Text>>);
  static_assert(std::is_same_v<default_hash<TestedKey>, default_hash<TextView>>);
  static_assert(std::is_same_v<default_equal<TestedKey>, default_equal<TextView>>);
}

TYPED_TEST(StringKeysTest, EveryCodeUnitCounts) {
  using Unit = typename TestFixture::Char;
  using Text = typename TestFixture::String;
  const default_hash<Text> hash;
  const Text text(TestFixture::view);
  for (std::size_t i = 0; i < text.size(); ++i) {
    Text other = text;
    other[i] = static_cast<Unit>(other[i] + 1);
    EXPECT_NE(hash(other), hash(text)) << i;
    if constexpr (sizeof(Unit) > 1) {
      other = text;
      other[i] = static_cast<Unit>(other[i] + 0x100);
      EXPECT_NE(hash(other), hash(text)) << i;
    }
  }
}

TYPED_TEST(StringKeysTest, NoKeyIsMadeForOneThatIsThere) {
  auto map = make_map<typename TestFixture::Map>();
  map.insert(TestFixture::view, 1);
  const auto look_up = [&map](const auto& key) {
    EXPECT_EQ(map.get(key), 1);
    EXPECT_TRUE(map.contains(key));
    EXPECT_EQ(map.insert(key, 1), 1);
    EXPECT_FALSE(map.try_insert(key, 2));
    EXPECT_EQ(map.entry(key).value(), 1);
    EXPECT_TRUE(map.try_entry(key).has_value());
    EXPECT_EQ(map.get_or_insert_with(key, [] { return 2; }), 1);
  };
  const typename TestFixture::String string(TestFixture::view);
  EXPECT_EQ(allocations_of([&] {
              look_up(TestFixture::view);
              look_up(TestFixture::literal);
              look_up(TestFixture::view.data());
              look_up(string);
              EXPECT_EQ(map.remove(TestFixture::view), 1);
            }),
            0U);
  EXPECT_TRUE(map.empty());
  test::expect_quiet(map);
}

TYPED_TEST(StringKeysTest, NoKeyIsMadeToFindOutThatOneIsAbsent) {
  auto map = make_map<typename TestFixture::Map>();
  map.insert(TestFixture::view.substr(1), 1);
  EXPECT_EQ(allocations_of([&map] {
              EXPECT_EQ(map.get(TestFixture::view), std::nullopt);
              EXPECT_FALSE(map.contains(TestFixture::literal));
              EXPECT_EQ(map.remove(TestFixture::view.data()), std::nullopt);
            }),
            0U);
}

TYPED_TEST(StringKeysTest, OneKeyIsMadeForOneThatIsStored) {
  auto map = make_map<typename TestFixture::Map>();
  EXPECT_EQ(allocations_of([&map] { map.insert(TestFixture::literal, 1); }), 1U);
  EXPECT_EQ(map.entry(TestFixture::view).key(), TestFixture::literal);
}

TYPED_TEST(StringKeysTest, BatchesAreSearchedByView) {
  auto map = make_map<typename TestFixture::Map>();
  const std::vector<typename TestFixture::View> keys{TestFixture::view,
                                                     TestFixture::view.substr(1)};
  const auto batch = map.batch_lock(keys);
  EXPECT_EQ(batch.size(), 2U);
  EXPECT_EQ(allocations_of([&batch] {
              EXPECT_NE(batch.find(TestFixture::literal), nullptr);
              EXPECT_TRUE(batch.contains(TestFixture::view.data()));
              EXPECT_FALSE(batch.contains(TestFixture::view.substr(2)));
              EXPECT_EQ(batch.at(TestFixture::view).key(), TestFixture::view);
            }),
            0U);
}

TYPED_TEST(StringKeysTest, ViewsAsKeys) {
  auto map = make_map<typename TestFixture::ViewMap>();
  map.insert(TestFixture::view, 1);
  EXPECT_EQ(map.get(typename TestFixture::String(TestFixture::view)), 1);
  EXPECT_EQ(map.get(TestFixture::literal), 1);
  EXPECT_EQ(map.get(TestFixture::view.substr(1)), std::nullopt);
}

TYPED_TEST(StringKeysTest, EmbeddedZerosCount) {
  using TextView = typename TestFixture::View;
  auto map = make_map<typename TestFixture::Map>();
  const typename TestFixture::Char text[] = {'a', '\0', 'b'};
  map.insert(TextView(text, 3), 1);
  EXPECT_EQ(map.get(TextView(text, 3)), 1);
  EXPECT_FALSE(map.contains(TextView(text, 2)));
  EXPECT_FALSE(map.contains(TextView(text, 1)));
}

}  // namespace
}  // namespace lockmap
