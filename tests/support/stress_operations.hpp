#pragma once

// The operations of both maps that may have to wait for a key, as tables, so that one test body
// covers every one of them. For maps from int to int.

#include <chrono>
#include <functional>
#include <optional>
#include <vector>

namespace lockmap::test {

template <class Map>
struct WaitingOperation {
  const char* name;
  std::function<void(Map&, int key)> run;
};

// Those that wait for one key. They store 7 where they store anything.
template <class Map>
std::vector<WaitingOperation<Map>> operations_on_a_key() {
  using std::chrono::hours;
  using std::chrono::steady_clock;
  std::vector<WaitingOperation<Map>> operations = {
      {"get", [](Map& map, int key) { (void)map.get(key); }},
      {"contains", [](Map& map, int key) { (void)map.contains(key); }},
      {"insert", [](Map& map, int key) { (void)map.insert(key, 7); }},
      {"try_insert", [](Map& map, int key) { (void)map.try_insert(key, 7); }},
      {"remove", [](Map& map, int key) { (void)map.remove(key); }},
      {"entry", [](Map& map, int key) { (void)map.entry(key); }},
      {"try_entry_for", [](Map& map, int key) { (void)map.try_entry_for(key, hours(1)); }},
      {"try_entry_until",
       [](Map& map, int key) { (void)map.try_entry_until(key, steady_clock::now() + hours(1)); }},
      {"get_or_insert_with",
       [](Map& map, int key) { (void)map.get_or_insert_with(key, [] { return 7; }); }},
      {"batch_lock", [](Map& map, int key) { (void)map.batch_lock({key}); }},
      {"batch_lock of a range",
       [](Map& map, int key) {
         (void)map.batch_lock(std::vector<int>{key, key + 1000});
       }},
  };
  if constexpr (requires(const Map& map) { map.peek(0); }) {
    operations.push_back({"peek", [](Map& map, int key) { (void)map.peek(key); }});
  }
  return operations;
}

// Those that wait for every key that holds a value.
template <class Map>
std::vector<WaitingOperation<Map>> operations_on_the_whole_map() {
  return {
      {"for_each", [](Map& map, int) { map.for_each([](const int&, const int&) {}); }},
      {"retain", [](Map& map, int) { (void)map.retain([](const int&, int&) { return true; }); }},
      {"clear", [](Map& map, int) { map.clear(); }},
  };
}

}  // namespace lockmap::test
