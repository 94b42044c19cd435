// The queues of a shard's waiters: each key has its order, whatever others do.

#include <gtest/gtest.h>

#include <array>
#include <cstddef>
#include <deque>
#include <memory>
#include <random>
#include <vector>

#include <lockmap/lockmap.hpp>

#include "test_access.hpp"

namespace lockmap::test {
namespace {

using detail::Mode;
using detail::OwnerId;
using detail::StateWord;
using detail::TestAccess;
using detail::Waiter;
using detail::WaitQueues;

struct Queued : Waiter {
  explicit Queued(const StateWord& word, OwnerId owner = 1)
      : Waiter(word, owner, Mode::exclusive, 0, [](Waiter&) noexcept {}) {}
};

// The waiters for a key in the order in which they are to be served.
std::vector<const Waiter*> order_of(const WaitQueues& queues, const StateWord& word) {
  std::vector<const Waiter*> order;
  const Waiter* const first = queues.first(word);
  for (const Waiter* waiter = first; waiter != nullptr;
       waiter = WaitQueues::after(*first, *waiter)) {
    order.push_back(waiter);
  }
  return order;
}

using Order = std::vector<const Waiter*>;

TEST(WaitQueuesTest, AKeyThatNobodyWaitsForHasNoFirstWaiter) {
  const WaitQueues queues;
  const StateWord word;
  EXPECT_EQ(queues.first(word), nullptr);
  EXPECT_FALSE(WaitQueues::contains(Queued(word)));
}

TEST(WaitQueuesTest, WaitersOfAKeyAreInTheirOrder) {
  WaitQueues queues;
  const StateWord word;
  Queued a(word);
  Queued b(word);
  Queued c(word);
  for (Queued* const waiter : {&a, &b, &c}) queues.push_back(*waiter);
  EXPECT_EQ(order_of(queues, word), (Order{&a, &b, &c}));
  for (Queued* const waiter : {&a, &b, &c}) {
    EXPECT_TRUE(WaitQueues::contains(*waiter));
    queues.remove(*waiter);
    EXPECT_FALSE(WaitQueues::contains(*waiter));
  }
  EXPECT_EQ(queues.first(word), nullptr);
}

TEST(WaitQueuesTest, AnyWaiterMayLeave) {
  for (std::size_t leaving = 0; leaving < 4; ++leaving) {
    WaitQueues queues;
    const StateWord word;
    std::deque<Queued> waiters;
    Order expected;
    for (int i = 0; i < 4; ++i) {
      queues.push_back(waiters.emplace_back(word));
      expected.push_back(&waiters.back());
    }
    queues.remove(waiters[leaving]);
    std::erase(expected, &waiters[leaving]);
    EXPECT_EQ(order_of(queues, word), expected);
    TestAccess::check_queues(queues, 3);
    // It may come back, at the end.
    queues.push_back(waiters[leaving]);
    expected.push_back(&waiters[leaving]);
    EXPECT_EQ(order_of(queues, word), expected);
    for (Queued& waiter : waiters) queues.remove(waiter);
    TestAccess::check_queues(queues, 0);
  }
}

TEST(WaitQueuesTest, AWaiterThatIsPushedToTheFrontKeepsItsTurn) {
  WaitQueues queues;
  const StateWord word;
  Queued a(word);
  Queued b(word);
  Queued c(word);
  queues.push_front(a);
  EXPECT_EQ(order_of(queues, word), Order{&a});
  queues.push_back(b);
  queues.push_back(c);
  queues.remove(a);
  queues.push_front(a);
  EXPECT_EQ(order_of(queues, word), (Order{&a, &b, &c}));
  TestAccess::check_queues(queues, 3);
  queues.remove(b);
  queues.push_front(b);
  EXPECT_EQ(order_of(queues, word), (Order{&b, &a, &c}));
  for (Queued* const waiter : {&c, &b, &a}) queues.remove(*waiter);
  TestAccess::check_queues(queues, 0);
}

TEST(WaitQueuesTest, KeysHaveOrdersOfTheirOwn) {
  WaitQueues queues;
  const std::array<StateWord, 2> words;
  Queued a(words[0]);
  Queued b(words[1]);
  Queued c(words[0]);
  Queued d(words[1]);
  for (Queued* const waiter : {&a, &b, &c, &d}) queues.push_back(*waiter);
  EXPECT_EQ(order_of(queues, words[0]), (Order{&a, &c}));
  EXPECT_EQ(order_of(queues, words[1]), (Order{&b, &d}));
  queues.remove(a);
  EXPECT_EQ(order_of(queues, words[0]), Order{&c});
  EXPECT_EQ(order_of(queues, words[1]), (Order{&b, &d}));
  queues.push_front(a);
  EXPECT_EQ(order_of(queues, words[1]), (Order{&b, &d}));
  for (Queued* const waiter : {&a, &b, &c, &d}) queues.remove(*waiter);
}

TEST(WaitQueuesTest, TheTableGrowsWithTheKeysAndGivesItsMemoryBack) {
  constexpr std::size_t keys = 3000;
  constexpr std::size_t most_per_bucket = 4;
  WaitQueues queues;
  const std::vector<StateWord> words(keys);
  std::deque<Queued> waiters;
  for (std::size_t i = 0; i < keys; ++i) {
    queues.push_back(waiters.emplace_back(words[i], 1));
    queues.push_back(waiters.emplace_back(words[i], 2));
    EXPECT_LE(i + 1, most_per_bucket * TestAccess::bucket_count(queues));
  }
  TestAccess::check_queues(queues, 2 * keys);
  for (std::size_t i = 0; i < keys; ++i) {
    ASSERT_EQ(order_of(queues, words[i]), (Order{&waiters[2 * i], &waiters[2 * i + 1]}));
  }
  // Waiters of one key are one entry.
  const std::size_t buckets = TestAccess::bucket_count(queues);
  std::deque<Queued> crowd;
  for (std::size_t i = 0; i < 20 * keys; ++i) queues.push_back(crowd.emplace_back(words[0]));
  EXPECT_EQ(TestAccess::bucket_count(queues), buckets);
  for (Queued& waiter : crowd) queues.remove(waiter);

  for (Queued& waiter : waiters) {
    EXPECT_EQ(TestAccess::bucket_count(queues), buckets);
    queues.remove(waiter);
  }
  EXPECT_EQ(TestAccess::bucket_count(queues), 1U);
  TestAccess::check_queues(queues, 0);
}

TEST(WaitQueuesTest, RandomStepsKeepEveryOrder) {
  struct Key {
    StateWord word;
    std::deque<Queued*> order;
  };
  std::mt19937 random(1);
  WaitQueues queues;
  std::deque<Key> keys(40);
  std::vector<std::unique_ptr<Queued>> waiters;
  std::size_t queued = 0;
  for (int step = 0; step < 20'000; ++step) {
    // Phases in which the queues fill, and phases in which they empty.
    const bool filling = step / 1000 % 2 == 0;
    Key& key = keys[random() % keys.size()];
    if (random() % 4 < (filling ? 3U : 1U)) {
      Queued* const waiter = waiters.emplace_back(std::make_unique<Queued>(key.word)).get();
      if (random() % 3 == 0) {
        queues.push_front(*waiter);
        key.order.push_front(waiter);
      } else {
        queues.push_back(*waiter);
        key.order.push_back(waiter);
      }
      ++queued;
    } else if (!key.order.empty()) {
      const auto leaving =
          key.order.begin() +
          static_cast<std::ptrdiff_t>(random() % 2 == 0 ? 0 : random() % key.order.size());
      queues.remove(**leaving);
      key.order.erase(leaving);
      --queued;
    }
    ASSERT_EQ(order_of(queues, key.word), Order(key.order.begin(), key.order.end()));
    if (step % 100 == 0) {
      ASSERT_NO_THROW(TestAccess::check_queues(queues, queued));
    }
  }
  for (Key& key : keys) {
    for (Queued* const waiter : key.order) queues.remove(*waiter);
  }
  TestAccess::check_queues(queues, 0);
}

// Notes that it was woken, and ends.
class Woken : public Waiter {
 public:
  Woken(const StateWord& word, OwnerId owner, std::vector<OwnerId>& order)
      : Waiter(word, owner, Mode::exclusive, 0, &note), order_(order) {}

 private:
  static void note(Waiter& waiter) noexcept {
    auto& self = static_cast<Woken&>(waiter);
    self.order_.push_back(self.owner());
    delete &self;
  }

  std::vector<OwnerId>& order_;
};

TEST(WakeListTest, WakesInItsOrderAndLooksAtNobodyAfterwards) {
  const StateWord word;
  std::vector<OwnerId> order;
  detail::WakeList list;
  EXPECT_TRUE(list.empty());
  list.wake_all();
  {
    detail::WakeList::Builder builder(list);
    for (OwnerId owner = 1; owner <= 3; ++owner) {
      builder.push_back(*std::make_unique<Woken>(word, owner, order).release());
    }
  }
  EXPECT_FALSE(list.empty());
  list.wake_all();
  EXPECT_EQ(order, (std::vector<OwnerId>{1, 2, 3}));
}

}  // namespace
}  // namespace lockmap::test
