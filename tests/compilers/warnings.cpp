// A user's file that calls everything. With many warnings on, none is about lockmap.
#include <chrono>
#include <cstdint>
#include <functional>
#include <lockmap/lockmap.hpp>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace {

template <class Map, class Q, class Value>
void use(Map& map, const Q& key, const Value& value) {
  using Key = typename Map::key_type;
  using Clock = std::chrono::steady_clock;
  const std::vector<Q> keys{key, key};
  map.insert(key, value);
  map.try_insert(key, value);
  map.get_or_insert_with(key, [&value] { return value; });
  if (map.get(key).has_value() && map.contains(key)) map.remove(key);
  if (auto entry = map.entry(key); !entry.has_value()) {
    entry.insert(value);
    entry.emplace(value);
    entry.swap(std::nullopt);
    entry.or_insert(value);
    entry.or_insert_with([&value] { return value; });
    if (entry.value_or(value) == *entry && entry.get() != nullptr) entry.remove();
  }
  if (auto entry = map.try_entry(key)) entry->unlock();
  if (auto entry = map.try_entry_for(key, std::chrono::milliseconds(1))) entry->unlock();
  if (auto entry = map.try_entry_until(key, Clock::now())) entry->unlock();
  {
    auto batch = map.batch_lock(keys);
    if (batch.contains(key) && batch.find(key) != nullptr) batch.at(key).remove();
    for (auto& entry : batch) entry.unlock();
  }
  if (auto batch = map.try_batch_lock(keys, std::less<Key>())) batch->begin()->unlock();
  std::size_t size = map.size() + map.shard_count();
  map.for_each([&size](const Key&, const auto&) { --size; });
  map.retain([](const Key&, const auto&) { return true; });
  if (!map.empty()) map.clear();
}

template <class Cache, class Q>
void use_cache(Cache& cache, const Q& key) {
  if (cache.peek(key).has_value()) cache.pop_lru();
  cache.set_max_size(cache.max_size() + cache.stats().hits);
  cache.set_max_evict(1);
}

struct NarrowHash {
  int operator()(std::int16_t key) const { return key; }
};

}  // namespace

int main() {
  lockmap::LockMap<std::string, int> texts;
  use(texts, std::string("text"), 1);
  use(texts, std::string_view("text"), 1);
  lockmap::LockMap<std::u16string, std::string> wide_texts;
  use(wide_texts, std::u16string_view(u"text"), std::string("value"));
  lockmap::LockMap<std::int64_t, std::string, std::hash<std::int64_t>> numbers;
  use(numbers, 1, std::string("value"));
  use(numbers, 1U, std::string("value"));
  lockmap::LockMap<std::int16_t, char, NarrowHash> small_numbers;
  use(small_numbers, std::int16_t{1}, 'v');
  lockmap::LruLockMap<std::string, std::string> cache(lockmap::LruOptions{.max_size = 100},
                                                      [](const std::string&, std::string&) {});
  use(cache, std::string_view("text"), std::string("value"));
  use_cache(cache, "text");
  lockmap::LruLockMap<double, std::shared_ptr<int>> pointers(100);
  use(pointers, 1.0F, std::make_shared<int>(1));
  use_cache(pointers, 1.0);
}
