// A value that an entry gives a reference to is locked only as long as the entry lives.
#include <lockmap/lockmap.hpp>
#include <string>
#include <vector>

using Map = lockmap::LockMap<std::string, std::vector<int>>;

int misused(Map& map) {
  auto& stored = map.entry("a").or_insert({});                                     // dangles
  auto& made = map.entry("a").or_insert_with([] { return std::vector<int>(); });   // dangles
  auto& emplaced = map.entry("a").emplace();                                       // dangles
  auto& value = map.entry("a").value();                                            // dangles
  auto& dereferenced = *map.entry("a");                                            // dangles
  const auto& key = map.entry("a").key();                                          // dangles
  const auto* pointer = map.entry("a").get();                                      // dangles
  auto& element = map.batch_lock(std::vector<std::string>{"a"})[0];                // dangles
  auto& found = map.batch_lock(std::vector<std::string>{"a"}).at("a");             // dangles
  const auto* searched = map.batch_lock(std::vector<std::string>{"a"}).find("a");  // dangles
  int sum = 0;
  for (const int number : map.entry("a").value()) sum += number;  // dangles
  return sum + static_cast<int>(stored.size() + made.size() + emplaced.size() + value.size() +
                                dereferenced.size() + key.size() + pointer->size() +
                                element.key().size() + found.key().size() + searched->key().size());
}

std::vector<int>& returned(Map& map) {
  return map.entry("a").value();  // dangles
}

int used_well(Map& map) {
  map.entry("a").or_insert({}).push_back(1);
  const std::vector<int> copy = map.entry("a").value();
  const int first = map.entry("a").value().front();
  const auto moved = std::move(*map.entry("a"));
  auto entry = map.entry("b");
  auto& value = entry.or_insert({});
  const auto& key = entry.key();
  for (const int number : entry.value()) value.push_back(number);
  auto batch = map.batch_lock(std::vector<std::string>{"c", "d"});
  auto& found = batch.at("c");
  for (auto& each : map.batch_lock(std::vector<std::string>{"e"})) each.emplace();
  return first + static_cast<int>(copy.size() + moved.size() + key.size() + found.key().size());
}
