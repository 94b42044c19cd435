// The queue of evicted values: when their listeners run, in which order, and how deep.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <functional>
#include <vector>

#include <lockmap/lockmap.hpp>

#include "threads.hpp"

namespace lockmap::test {
namespace {

using detail::VictimQueue;
using Numbers = std::vector<int>;

// Stands for a shard: notes which victims it was to end, and may evict more meanwhile.
struct Log {
  Numbers ended;
  std::function<void(int)> meanwhile = [](int) {};
  int depth = 0;
  int greatest_depth = 0;
};

struct Victims {
  int number;
};

void end(void* shard, void* victims) noexcept {
  Log& log = *static_cast<Log*>(shard);
  const int number = static_cast<Victims*>(victims)->number;
  ++log.depth;
  log.greatest_depth = std::max(log.greatest_depth, log.depth);
  log.ended.push_back(number);
  log.meanwhile(number);
  --log.depth;
}

class VictimQueueTest : public testing::Test {
 protected:
  void push(int number) {
    victims_[static_cast<std::size_t>(number)].number = number;
    VictimQueue::push(&end, &log_, &victims_[static_cast<std::size_t>(number)]);
  }

  Log log_;

 private:
  std::vector<Victims> victims_ = std::vector<Victims>(100'001);
};

TEST_F(VictimQueueTest, WithoutADeferralTheyEndAtOnce) {
  push(1);
  EXPECT_EQ(log_.ended, Numbers{1});
  push(2);
  EXPECT_EQ(log_.ended, (Numbers{1, 2}));
}

TEST_F(VictimQueueTest, ADeferralLetsThemGoInTheirOrder) {
  {
    const VictimQueue::Deferral deferral;
    for (int i = 1; i <= 3; ++i) push(i);
    EXPECT_EQ(log_.ended, Numbers{});
  }
  EXPECT_EQ(log_.ended, (Numbers{1, 2, 3}));
  push(4);
  EXPECT_EQ(log_.ended, (Numbers{1, 2, 3, 4}));
}

TEST_F(VictimQueueTest, OnlyTheLastDeferralLetsThemGo) {
  {
    const VictimQueue::Deferral outer;
    push(1);
    {
      const VictimQueue::Deferral inner;
      push(2);
    }
    EXPECT_EQ(log_.ended, Numbers{});
    push(3);
  }
  EXPECT_EQ(log_.ended, (Numbers{1, 2, 3}));
}

TEST_F(VictimQueueTest, VictimsOfVictimsComeAfterThem) {
  log_.meanwhile = [this](int number) {
    if (number == 1) {
      push(3);
      push(4);
      EXPECT_EQ(log_.ended, Numbers{1});
    }
  };
  {
    const VictimQueue::Deferral deferral;
    push(1);
    push(2);
  }
  EXPECT_EQ(log_.ended, (Numbers{1, 2, 3, 4}));
  EXPECT_EQ(log_.greatest_depth, 1);
}

TEST_F(VictimQueueTest, ADeferralInsideAListenerLetsNothingGo) {
  log_.meanwhile = [this](int number) {
    if (number != 1) return;
    {
      const VictimQueue::Deferral deferral;
      push(2);
    }
    EXPECT_EQ(log_.ended, Numbers{1});
  };
  push(1);
  EXPECT_EQ(log_.ended, (Numbers{1, 2}));
}

TEST_F(VictimQueueTest, AChainOfVictimsTakesConstantDepth) {
  constexpr int length = 100'000;
  log_.meanwhile = [this](int number) {
    if (number < length) push(number + 1);
  };
  push(1);
  EXPECT_EQ(log_.ended.size(), static_cast<std::size_t>(length));
  EXPECT_EQ(log_.greatest_depth, 1);
}

TEST_F(VictimQueueTest, ADeferralOfOneThreadDoesNotKeepBackThoseOfAnother) {
  const VictimQueue::Deferral deferral;
  in_another_thread([this] { push(1); });
  EXPECT_EQ(log_.ended, Numbers{1});
}

}  // namespace
}  // namespace lockmap::test
