// Keys and values that take an allocator get the map's: nothing comes from the default resource.

#include <gtest/gtest.h>

#include <cstddef>
#include <memory>
#include <memory_resource>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "maps.hpp"

namespace lockmap {
namespace {

using test::make_map;
using test::MapOf;

class CountingResource : public std::pmr::memory_resource {
 public:
  std::size_t bytes() const { return bytes_; }

 private:
  void* do_allocate(std::size_t bytes, std::size_t alignment) override {
    void* const memory = std::pmr::new_delete_resource()->allocate(bytes, alignment);
    bytes_ += bytes;
    return memory;
  }
  void do_deallocate(void* memory, std::size_t bytes, std::size_t alignment) override {
    bytes_ -= bytes;
    std::pmr::new_delete_resource()->deallocate(memory, bytes, alignment);
  }
  bool do_is_equal(const std::pmr::memory_resource& other) const noexcept override {
    return this == &other;
  }

  std::size_t bytes_ = 0;
};

// A key that takes an allocator and is looked up by no other type: literals are converted to it.
class Name {
 public:
  using allocator_type = std::pmr::polymorphic_allocator<char>;

  Name(const char* text, const allocator_type& allocator = {}) : text_(text, allocator) {}
  Name(const Name& other, const allocator_type& allocator = {}) : text_(other.text_, allocator) {}
  Name(Name&& other) noexcept = default;
  Name(Name&& other, const allocator_type& allocator) : text_(std::move(other.text_), allocator) {}
  Name& operator=(const Name&) = default;
  Name& operator=(Name&&) = default;
  ~Name() = default;

  const std::pmr::string& text() const { return text_; }
  allocator_type get_allocator() const { return text_.get_allocator(); }

  friend bool operator==(const Name& a, const Name& b) { return a.text_ == b.text_; }
  friend bool operator<(const Name& a, const Name& b) { return a.text_ < b.text_; }

 private:
  std::pmr::string text_;
};
struct NameHash {
  std::size_t operator()(const Name& name) const {
    return std::hash<std::string_view>{}(name.text());
  }
};
struct NameEqual {
  bool operator()(const Name& a, const Name& b) const { return a == b; }
};
struct NameLess {
  bool operator()(const Name& a, const Name& b) const { return a < b; }
};

// Too long for a string to hold them without an allocation.
constexpr const char* key_text = "a key that does not fit into a small string";
constexpr const char* other_text = "another key that does not fit into a small string";
constexpr const char* value_text = "a value that does not fit into a small string";

template <class Family>
class PmrTest : public ::testing::Test {
 protected:
  template <class Key, class Value, class Hash = default_hash<Key>,
            class KeyEqual = default_equal<Key>>
  using Map = MapOf<Family, Key, Value, Hash, KeyEqual,
                    std::pmr::polymorphic_allocator<std::pair<const Key, Value>>>;
  using StringMap = Map<std::pmr::string, std::pmr::string>;
  using NameMap = Map<Name, std::pmr::vector<std::pmr::string>, NameHash, NameEqual>;

  PmrTest() { std::pmr::set_default_resource(std::pmr::null_memory_resource()); }
  ~PmrTest() override {
    std::pmr::set_default_resource(nullptr);
    EXPECT_EQ(resource_.bytes(), 0U);
    EXPECT_EQ(others_.bytes(), 0U);
  }

  template <class TestedMap>
  TestedMap make() {
    return make_map<TestedMap>(test::default_test_shards, typename TestedMap::hasher{},
                               typename TestedMap::key_equal{},
                               typename TestedMap::allocator_type(&resource_));
  }

  std::pmr::string text(const char* characters) { return {characters, &others_}; }

  template <class T>
  bool is_ours(const T& object) {
    return object.get_allocator().resource() == &resource_;
  }

  CountingResource resource_;  // the map's
  CountingResource others_;    // the caller's
};

LOCKMAP_TEST_BOTH(PmrTest, TheDefaultResourceFails) {
  EXPECT_THROW(std::pmr::string(100, 'x'), std::bad_alloc);
}

LOCKMAP_TEST_BOTH(PmrTest, Insertions) {
  auto map = this->template make<typename TestFixture::StringMap>();
  map.insert(key_text, this->text(value_text));
  map.insert(this->text(key_text), this->text(value_text));
  map.try_insert(std::string_view(other_text), this->text(value_text));
  int visited = 0;
  map.for_each([&](const std::pmr::string& key, const std::pmr::string& value) {
    ++visited;
    EXPECT_TRUE(this->is_ours(key));
    EXPECT_TRUE(this->is_ours(value));
    EXPECT_EQ(value, value_text);
  });
  EXPECT_EQ(visited, 2);
  EXPECT_EQ(map.remove(key_text), value_text);
  EXPECT_EQ(map.insert(other_text, this->text("short")), value_text);
}

LOCKMAP_TEST_BOTH(PmrTest, Entries) {
  auto map = this->template make<typename TestFixture::StringMap>();
  auto entry = map.entry(key_text);
  EXPECT_TRUE(this->is_ours(entry.key()));
  EXPECT_TRUE(this->is_ours(entry.emplace(value_text)));
  EXPECT_TRUE(this->is_ours(entry.emplace(100U, 'x')));
  EXPECT_EQ(entry.insert(this->text(value_text))->size(), 100U);
  EXPECT_TRUE(this->is_ours(*entry));
  EXPECT_EQ(entry.swap(this->text(key_text)), value_text);
  EXPECT_TRUE(this->is_ours(*entry));
  EXPECT_EQ(entry.remove(), key_text);
  EXPECT_TRUE(this->is_ours(entry.or_insert(this->text(value_text))));
  entry.remove();
  EXPECT_TRUE(this->is_ours(entry.or_insert_with([this] { return this->text(value_text); })));
  EXPECT_EQ(*entry, value_text);
}

LOCKMAP_TEST_BOTH(PmrTest, TemporaryKeys) {
  auto map = this->template make<typename TestFixture::NameMap>();
  map.entry(key_text).emplace(3U, this->text(value_text));
  EXPECT_TRUE(map.contains(key_text));
  EXPECT_FALSE(map.contains(other_text));
  {
    auto entry = map.entry(key_text);
    EXPECT_TRUE(this->is_ours(entry.key()));
    EXPECT_TRUE(this->is_ours(entry.value()));
    EXPECT_TRUE(this->is_ours(entry->front()));
  }
  EXPECT_TRUE(map.try_entry(key_text).has_value());
  EXPECT_EQ(map.remove(key_text)->size(), 3U);
  EXPECT_TRUE(map.empty());
}

LOCKMAP_TEST_BOTH(PmrTest, Batches) {
  auto strings = this->template make<typename TestFixture::StringMap>();
  {
    auto batch = strings.batch_lock(std::vector<std::string_view>{key_text, other_text, key_text});
    ASSERT_EQ(batch.size(), 2U);
    for (auto& entry : batch) {
      EXPECT_TRUE(this->is_ours(entry.key()));
      EXPECT_TRUE(this->is_ours(entry.emplace(value_text)));
    }
    EXPECT_NE(batch.find(std::string_view(key_text)), nullptr);
    EXPECT_TRUE(batch.contains(other_text));
  }
  EXPECT_TRUE(strings.try_batch_lock(std::vector<const char*>{key_text}).has_value());
  auto names = this->template make<typename TestFixture::NameMap>();
  const std::vector<const char*> texts{key_text, other_text, key_text};
  const auto batch = names.batch_lock(texts, NameLess{});
  ASSERT_EQ(batch.size(), 2U);
  EXPECT_TRUE(this->is_ours(batch[0].key()));
  EXPECT_TRUE(batch.contains(key_text));
  EXPECT_FALSE(batch.contains("a key that is not in the batch, and not small"));
}

LOCKMAP_TEST_BOTH(PmrTest, ManyKeysInAList) {
  auto strings = this->template make<typename TestFixture::StringMap>();
  EXPECT_EQ(strings.batch_lock({key_text, other_text}).size(), 2U);
}

LOCKMAP_TEST_BOTH(PmrTest, PairsAreConstructedPiecewise) {
  using Pair = std::pair<std::pmr::string, int>;
  auto map = this->template make<typename TestFixture::template Map<int, Pair>>();
  auto entry = map.entry(1);
  EXPECT_TRUE(this->is_ours(entry.emplace(value_text, 1).first));
}

LOCKMAP_TEST_BOTH(PmrTest, PopLru) {
  if constexpr (test::is_lru<typename TestFixture::StringMap>) {
    auto cache = this->template make<typename TestFixture::StringMap>();
    cache.insert(key_text, this->text(value_text));
    const auto popped = cache.pop_lru();
    EXPECT_EQ(popped->first, key_text);
    EXPECT_EQ(popped->second, value_text);
  }
}

}  // namespace
}  // namespace lockmap
