// The deadlock error names the key that was asked for, if it can be printed.

#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include <lockmap/lockmap.hpp>

#include "maps.hpp"
#include "threads.hpp"
#include "tracked.hpp"
#include "waiting.hpp"

namespace lockmap::test::deadlock_message {
namespace {

// The message of the deadlock error that `action` gets.
template <class Action>
std::string deadlock_message(Action action) {
  try {
    action();
  } catch (const std::system_error& error) {
    EXPECT_EQ(error.code(), std::errc::resource_deadlock_would_occur);
    return error.what();
  }
  ADD_FAILURE() << "no deadlock error";
  return {};
}

void expect_names(const std::string& message, std::string_view key) {
  EXPECT_NE(message.find(key), std::string::npos) << "'" << message << "' does not name " << key;
}

using Texts = LockMap<std::string, int>;

TEST(DeadlockMessageTest, NamesAStringWhateverAsksForIt) {
  Texts map;
  const std::string_view key = "apples and pears";
  map.insert(key, 1);
  const auto own = map.entry(key);
  const std::vector<std::function<void()>> operations = {
      [&] { (void)map.get(key); },
      [&] { (void)map.contains(key); },
      [&] { (void)map.insert(key, 2); },
      [&] { (void)map.try_insert(key, 2); },
      [&] { (void)map.remove(std::string(key)); },
      [&] { (void)map.entry("apples and pears"); },
      [&] { (void)map.try_entry_for(key, std::chrono::hours(1)); },
      [&] { (void)map.get_or_insert_with(key, [] { return 2; }); },
      [&] {
        (void)map.batch_lock(std::vector<std::string_view>{"quinces", key});
      },
      [&] { map.for_each([](const std::string&, const int&) {}); },
      [&] { (void)map.retain([](const std::string&, int&) { return true; }); },
      [&] { map.clear(); },
  };
  for (const auto& operation : operations) expect_names(deadlock_message(operation), key);
}

TEST(DeadlockMessageTest, NamesANumber) {
  LruLockMap<long, int> cache(100);
  const auto own = cache.entry(-7'654'321L);
  expect_names(deadlock_message([&] { (void)cache.get(-7'654'321L); }), "-7654321");
}

TEST(DeadlockMessageTest, NamesTheKeyThatWouldCloseACycle) {
  Texts map;
  auto own = map.entry("first");
  Worker other([&] {
    const auto theirs = map.entry("second");
    (void)map.get("first");
  });
  await([&] { return detail::TestAccess::blocked_owners() == 1; }, "the other to block");
  expect_names(deadlock_message([&] { (void)map.get("second"); }), "second");
  own.unlock();
}

TEST(DeadlockMessageTest, AKeyThatCannotBePrinted) {
  LockMap<Tracked, int> map;
  const auto own = map.entry(Tracked(1));
  EXPECT_FALSE(deadlock_message([&] { (void)map.get(Tracked(1)); }).empty());
}

}  // namespace
}  // namespace lockmap::test::deadlock_message
