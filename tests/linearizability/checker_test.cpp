// The checker itself, on histories written by hand: right ones and wrong ones.

#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "history.hpp"
#include "specification.hpp"
#include "verdict.hpp"

namespace lockmap::test {
namespace {

using Operations = std::vector<Operation>;

// Thread 0, 1, ... of the histories below. `called` and `returned` come first, as in a drawing.
Operation at(std::uint64_t called, std::uint64_t returned, int thread, Operation operation) {
  operation.called = called;
  operation.returned = returned;
  operation.thread = thread;
  if (operation.key == no_key && operation.step != Step::pop) operation.key = 0;
  return operation;
}

Operation get(int result) {
  return {.name = "get", .step = Step::read, .result = result};
}
Operation contains(bool result) {
  return {.name = "contains", .step = Step::has, .result = result ? 1 : 0};
}
Operation insert(int argument, int previous) {
  return {.name = "insert", .step = Step::put, .argument = argument, .result = previous};
}
Operation try_insert(int argument, bool stored) {
  return {.name = "try_insert",
          .step = Step::put_if_absent,
          .argument = argument,
          .result = stored ? 1 : 0};
}
Operation get_or_insert(int argument, int result) {
  return {.name = "get_or_insert_with",
          .step = Step::get_or_put,
          .argument = argument,
          .result = result};
}
Operation remove(int previous) {
  return {.name = "remove", .step = Step::take, .result = previous};
}
Operation entry(int guard) {
  return {.name = "entry", .guard_after = guard};
}
Operation unlock(int guard) {
  return {.name = "unlock", .guard_before = guard};
}
Operation in_guard(int guard, Operation operation) {
  operation.guard_before = operation.guard_after = guard;
  return operation;
}
Operation shared_entry() {
  return {.name = "shared_entry", .shares_after = true};
}
Operation unlock_shared() {
  return {.name = "unlock", .shares_before = true};
}
Operation in_shared_guard(Operation operation) {
  operation.shares_before = operation.shares_after = true;
  return operation;
}
Operation downgrade(int guard) {
  return {.name = "downgrade", .guard_before = guard, .shares_after = true};
}
Operation upgrade(int guard) {
  return {.name = "try_upgrade", .guard_after = guard, .shares_before = true};
}
Operation not_shared() {
  return {.name = "try_shared_entry", .step = Step::not_shared};
}
Operation not_upgraded() {
  return in_shared_guard({.name = "try_upgrade", .step = Step::not_upgraded});
}
Operation refused() {
  return {.name = "try_entry", .step = Step::refused};
}
Operation may_hold() {
  return {.name = "try_batch_lock", .step = Step::may_hold};
}
Operation with_key(int key, Operation operation) {
  operation.key = key;
  return operation;
}
Operation swap(int result, int other_result) {
  return {.name = "batch_lock",
          .step = Step::exchange,
          .key = 0,
          .other_key = 1,
          .result = result,
          .other_result = other_result};
}
Operation pop(int key, int value) {
  return {.name = "pop_lru", .step = Step::pop, .key = key, .result = value};
}

// The keys have the values 1, 2, ... before.
std::string judge(const Operations& operations) {
  return verdict_by_key(MapSpecification(), {{1, 2, 3, 4, 5}, operations});
}
std::string judge_as_one(const Operations& operations) {
  return verdict_of_all(MapSpecification(), {{1, 2, 3, 4, 5}, operations});
}
std::string judge_evicting(const Operations& operations) {
  return verdict_by_key(MapSpecification(true), {{1, 2, 3, 4, 5}, operations});
}
// A cache with room for two keys, empty before.
std::string judge_order(const Operations& operations) {
  return verdict_of_all(LruSpecification(2), {{}, operations});
}

void expect_right(const std::string& verdict) {
  EXPECT_EQ(verdict, "");
}
void expect_wrong(const std::string& verdict) {
  EXPECT_NE(verdict, "");
}

TEST(CheckerTest, NothingIsRight) {
  expect_right(judge({}));
}

TEST(CheckerTest, OneAfterTheOther) {
  expect_right(judge({
      at(1, 2, 0, get(1)),
      at(3, 4, 1, insert(10, 1)),
      at(5, 6, 0, contains(true)),
      at(7, 8, 1, try_insert(11, false)),
      at(9, 10, 0, remove(10)),
      at(11, 12, 0, contains(false)),
      at(13, 14, 1, try_insert(12, true)),
      at(15, 16, 0, get_or_insert(13, 12)),
      at(17, 18, 0, remove(12)),
      at(19, 20, 1, get_or_insert(14, 14)),
      at(21, 22, 1, get(14)),
  }));
}

TEST(CheckerTest, OverlappingOnesMayComeInAnyOrder) {
  expect_right(judge({at(1, 4, 0, insert(10, 1)), at(2, 3, 1, get(1))}));
  expect_right(judge({at(1, 4, 0, insert(10, 1)), at(2, 3, 1, get(10))}));
  expect_right(judge({at(1, 3, 0, insert(10, 11)), at(2, 4, 1, insert(11, 1))}));
}

// The obvious order, that of the calls, is wrong here in more than one place.
TEST(CheckerTest, TheOrderHasToBeSearchedFor) {
  expect_right(judge({
      at(1, 10, 0, insert(10, 12)),
      at(2, 9, 1, insert(11, 10)),
      at(3, 8, 2, insert(12, 1)),
      at(4, 7, 3, get(12)),
      at(11, 12, 0, get(11)),
  }));
}

TEST(CheckerTest, StaleRead) {
  expect_wrong(judge({at(1, 2, 0, insert(10, 1)), at(3, 4, 1, get(1))}));
  expect_wrong(judge({at(1, 2, 0, remove(1)), at(3, 4, 1, contains(true))}));
}

// Two reads of one insert, the later one of which sees less.
TEST(CheckerTest, ReadsThatGoBackInTime) {
  expect_right(judge({at(1, 8, 0, insert(10, 1)), at(2, 3, 1, get(1)), at(4, 5, 2, get(10))}));
  expect_wrong(judge({at(1, 8, 0, insert(10, 1)), at(2, 3, 1, get(10)), at(4, 5, 2, get(1))}));
}

TEST(CheckerTest, ReadOfWhatNobodyStored) {
  expect_wrong(judge({at(1, 4, 0, insert(10, 1)), at(2, 3, 1, get(11))}));
  expect_wrong(judge({at(1, 2, 0, get(garbled))}));
}

TEST(CheckerTest, LostUpdate) {
  expect_wrong(judge({at(1, 3, 0, insert(10, 1)), at(2, 4, 1, insert(11, 1))}));
  expect_wrong(judge({at(1, 2, 0, remove(1)), at(3, 5, 0, try_insert(10, true)),
                      at(4, 6, 1, try_insert(11, true))}));
  expect_wrong(judge({at(1, 2, 0, remove(1)), at(3, 5, 0, get_or_insert(10, 10)),
                      at(4, 6, 1, get_or_insert(11, 11))}));
}

TEST(CheckerTest, DoubleRemove) {
  expect_right(judge({at(1, 3, 0, remove(1)), at(2, 4, 1, remove(none))}));
  expect_wrong(judge({at(1, 3, 0, remove(1)), at(2, 4, 1, remove(1))}));
}

TEST(CheckerTest, GuardsExclude) {
  const Operations guard = {at(1, 2, 0, entry(7)), at(3, 4, 0, in_guard(7, insert(10, 1))),
                            at(5, 6, 0, in_guard(7, insert(11, 10))), at(8, 10, 0, unlock(7))};
  const auto with = [&](Operation operation) {
    Operations all = guard;
    all.push_back(std::move(operation));
    return all;
  };
  expect_right(judge(with(at(1, 10, 1, get(1)))));
  expect_right(judge(with(at(3, 9, 1, get(11)))));
  // Returned before the guard was given back.
  expect_wrong(judge(with(at(3, 7, 1, get(11)))));
  // A value that the guard had not left behind.
  expect_wrong(judge(with(at(1, 10, 1, get(10)))));
  expect_wrong(judge(with(at(4, 5, 1, entry(8)))));
  expect_right(judge(with(at(4, 9, 1, entry(8)))));
}

TEST(CheckerTest, GuardsAreGivenBackByTheirHolder) {
  expect_wrong(judge({at(1, 2, 0, entry(7)), at(3, 4, 0, unlock(8))}));
  expect_wrong(judge({at(1, 2, 0, entry(7)), at(3, 4, 0, in_guard(8, get(1)))}));
}

TEST(CheckerTest, SharersKeepWritersOut) {
  const auto with = [](const Operation& operation) {
    return judge({at(1, 2, 0, shared_entry()), at(3, 4, 1, shared_entry()),
                  at(5, 6, 0, in_shared_guard(get(1))), at(7, 8, 1, unlock_shared()), operation,
                  at(11, 12, 0, in_shared_guard(get(1))), at(14, 15, 0, unlock_shared())});
  };
  expect_right(with(at(9, 10, 2, get(1))));
  expect_right(with(at(9, 10, 2, get_or_insert(10, 1))));
  expect_wrong(with(at(9, 10, 2, insert(10, 1))));
  expect_wrong(with(at(9, 10, 2, entry(7))));
  expect_right(with(at(9, 16, 2, insert(10, 1))));
  expect_wrong(judge({at(1, 2, 0, entry(7)), at(3, 4, 1, shared_entry())}));
  expect_wrong(judge({at(1, 2, 0, in_shared_guard(get(1)))}));
}

// Nobody comes in between.
TEST(CheckerTest, GuardsChangeTheirMode) {
  const Operation both = at(5, 6, 1, shared_entry());
  const Operation writes = at(5, 10, 1, insert(10, 1));
  const auto from_exclusive = [](const Operation& operation) {
    return judge({at(1, 2, 0, entry(7)), at(3, 4, 0, downgrade(7)), operation,
                  at(8, 9, 0, in_shared_guard(get(1))), at(10, 11, 0, unlock_shared())});
  };
  expect_right(from_exclusive(both));
  expect_right(from_exclusive(writes));
  expect_wrong(from_exclusive(at(5, 7, 1, insert(10, 1))));
  const auto from_shared = [](const Operation& operation) {
    return judge({at(1, 2, 0, shared_entry()), at(3, 4, 0, upgrade(7)), operation,
                  at(8, 9, 0, in_guard(7, insert(11, 1))), at(11, 12, 0, unlock(7))});
  };
  expect_wrong(from_shared(both));
  expect_wrong(from_shared(writes));
  expect_right(from_shared(at(5, 13, 1, insert(10, 11))));
}

TEST(CheckerTest, SharedRequestsAreDeniedForAReason) {
  expect_right(judge({at(1, 2, 0, entry(7)), at(3, 4, 1, not_shared())}));
  expect_wrong(judge({at(1, 2, 0, shared_entry()), at(3, 4, 1, not_shared())}));
  expect_right(judge({at(1, 2, 0, shared_entry()), at(3, 4, 1, refused())}));
  // A writer waits.
  expect_right(judge({at(1, 2, 0, shared_entry()), at(3, 10, 2, insert(10, 1)),
                      at(4, 5, 1, not_shared()), at(6, 7, 0, unlock_shared())}));
  expect_wrong(judge({at(1, 2, 0, shared_entry()), at(3, 4, 0, not_upgraded())}));
  expect_right(judge({at(1, 2, 0, shared_entry()), at(3, 4, 1, shared_entry()),
                      at(5, 6, 0, not_upgraded()), at(7, 8, 1, not_upgraded())}));
  expect_wrong(
      judge({at(1, 2, 0, shared_entry()), at(3, 4, 1, shared_entry()), at(5, 6, 0, upgrade(7))}));
  expect_right(
      judge({at(1, 2, 0, shared_entry()), at(3, 6, 1, get(1)), at(4, 5, 0, not_upgraded())}));
}

TEST(CheckerTest, RefusalNeedsAHolder) {
  expect_wrong(judge({at(1, 2, 0, refused())}));
  expect_right(judge({at(1, 2, 0, entry(7)), at(3, 4, 1, refused()), at(5, 6, 0, unlock(7))}));
  expect_right(judge({at(1, 2, 0, entry(7)), at(3, 4, 0, refused()), at(5, 6, 0, unlock(7))}));
  expect_wrong(judge({at(1, 2, 0, entry(7)), at(3, 4, 0, unlock(7)), at(5, 6, 1, refused())}));
  // A get, too, may hold the key for a moment.
  expect_right(judge({at(1, 4, 0, get(1)), at(2, 3, 1, refused())}));
  expect_wrong(judge({at(1, 2, 0, get(1)), at(3, 4, 1, refused())}));
  expect_right(judge({at(1, 4, 0, may_hold()), at(2, 3, 1, refused())}));
  expect_wrong(judge({at(1, 2, 0, may_hold()), at(3, 4, 1, refused())}));
  // Nobody is refused because of others that are.
  expect_wrong(judge({at(1, 4, 0, refused()), at(2, 3, 1, refused())}));
  // The get held the key when the one was refused: then it had seen the value.
  expect_wrong(judge({at(1, 10, 0, get(10)), at(2, 3, 1, refused()), at(4, 5, 1, insert(10, 1))}));
}

TEST(CheckerTest, ImpossibleIsNeverRight) {
  expect_wrong(judge({at(1, 2, 0, {.name = "get", .step = Step::impossible})}));
}

TEST(CheckerTest, EachKeyIsCheckedAlone) {
  expect_right(judge({at(1, 2, 0, with_key(0, get(1))), at(3, 4, 0, with_key(4, remove(5))),
                      at(5, 6, 1, with_key(4, get(none)))}));
  expect_wrong(judge({at(1, 2, 0, with_key(0, get(1))), at(3, 4, 0, with_key(4, remove(5))),
                      at(5, 6, 1, with_key(4, get(5)))}));
}

TEST(CheckerTest, BatchesAreOneOperation) {
  expect_right(judge_as_one({at(1, 2, 0, swap(1, 2)), at(3, 4, 1, swap(2, 1))}));
  // One of them saw the other half done.
  expect_wrong(judge_as_one({at(1, 4, 0, swap(1, 2)), at(2, 3, 1, swap(2, 2))}));
  // Key 0 was read after the exchange, key 1 later and yet before it.
  expect_wrong(judge_as_one({at(1, 10, 0, swap(1, 2)), at(2, 3, 1, with_key(0, get(2))),
                             at(4, 5, 1, with_key(1, get(2)))}));
  expect_right(judge_as_one({at(1, 10, 0, swap(1, 2)), at(2, 3, 1, with_key(0, get(2))),
                             at(4, 5, 1, with_key(1, get(1)))}));
}

TEST(CheckerTest, SharedBatchesSeeOneMoment) {
  Operation look = swap(1, 2);
  look.step = Step::read_both;
  expect_right(judge_as_one({at(1, 2, 0, look), at(3, 4, 1, swap(1, 2))}));
  expect_wrong(judge_as_one({at(1, 2, 0, swap(1, 2)), at(3, 4, 1, look)}));
  look.other_result = 1;
  expect_wrong(judge_as_one({at(1, 4, 0, swap(1, 2)), at(2, 3, 1, look)}));
}

TEST(CheckerTest, RefusalOfABatchNeedsAHolder) {
  Operation refusal = refused();
  refusal.other_key = 1;
  expect_wrong(judge_as_one({at(1, 2, 0, refusal)}));
  expect_right(judge_as_one({at(1, 4, 0, with_key(1, remove(2))), at(2, 3, 1, refusal)}));
  expect_wrong(judge_as_one({at(1, 4, 0, with_key(2, remove(3))), at(2, 3, 1, refusal)}));
  expect_right(judge_as_one({at(1, 4, 0, swap(1, 2)), at(2, 3, 1, refusal)}));
}

TEST(CheckerTest, ValuesOfACacheMayVanish) {
  expect_wrong(judge({at(1, 2, 0, get(1)), at(3, 4, 1, get(none))}));
  expect_right(judge_evicting({at(1, 2, 0, get(1)), at(3, 4, 1, get(none))}));
  expect_right(judge_evicting({at(1, 2, 0, insert(10, none)), at(3, 4, 1, remove(none))}));
}

TEST(CheckerTest, ValuesOfACacheDoNotComeBack) {
  expect_wrong(judge_evicting({at(1, 2, 0, get(none)), at(3, 4, 1, get(1))}));
  expect_wrong(judge_evicting({at(1, 2, 0, insert(10, 1)), at(3, 4, 1, get(1))}));
}

TEST(CheckerTest, ValuesOfACacheDoNotVanishFromAGuard) {
  expect_right(judge_evicting({at(1, 2, 0, entry(7)), at(3, 4, 0, in_guard(7, contains(false)))}));
  expect_wrong(judge_evicting({at(1, 2, 0, entry(7)), at(3, 4, 0, in_guard(7, contains(true))),
                               at(5, 6, 0, in_guard(7, contains(false)))}));
  expect_wrong(judge_evicting(
      {at(1, 2, 0, shared_entry()), at(3, 4, 0, in_shared_guard(get(1))), at(5, 6, 1, get(none))}));
}

TEST(CheckerTest, TheLeastRecentlyUsedKeyGoes) {
  const Operations full = {at(1, 2, 0, with_key(0, insert(10, none))),
                           at(3, 4, 0, with_key(1, insert(11, none)))};
  const auto then = [&](const Operations& more) {
    Operations all = full;
    all.insert(all.end(), more.begin(), more.end());
    return judge_order(all);
  };
  Operation peek = get(10);
  peek.step = Step::peek;
  const Operation one_more = at(7, 8, 0, with_key(2, insert(12, none)));
  expect_right(then({one_more, at(9, 10, 0, with_key(0, get(none)))}));
  expect_wrong(then({one_more, at(9, 10, 0, with_key(1, get(none)))}));
  // A get keeps key 0, a peek does not.
  expect_right(then({at(5, 6, 0, get(10)), one_more, at(9, 10, 0, with_key(1, get(none)))}));
  expect_wrong(then({at(5, 6, 0, peek), one_more, at(9, 10, 0, with_key(1, get(none)))}));
  expect_right(
      then({at(5, 6, 0, pop(0, 10)), at(7, 8, 0, pop(1, 11)), at(9, 10, 0, pop(no_key, 0))}));
  expect_wrong(then({at(5, 6, 0, pop(1, 11))}));
  expect_wrong(then({at(5, 6, 0, pop(no_key, 0))}));
}

TEST(CheckerTest, SaysWhatIsWrong) {
  const std::string wrong = judge({at(1, 2, 0, insert(10, 1)), at(3, 4, 1, get(1))});
  EXPECT_NE(wrong.find("thread 1  [3, 4]  get  key 0  read -> 1\n"), std::string::npos) << wrong;
}

// 14 reads have more orders than anybody can wait for, but not many subsets.
TEST(CheckerTest, WhatWasTriedIsNotTriedAgain) {
  Operations operations;
  for (int i = 0; i < 14; ++i) {
    operations.push_back(at(static_cast<std::uint64_t>(i + 1), 100, i, get(1)));
  }
  expect_right(judge(operations));
  operations.push_back(at(50, 100, 14, get(10)));
  expect_wrong(judge(operations));
}

TEST(CheckerTest, Overlap) {
  EXPECT_TRUE(has_overlap({{}, {at(1, 3, 0, get(1)), at(2, 4, 1, get(1))}}));
  EXPECT_FALSE(has_overlap({{}, {at(1, 2, 0, get(1)), at(3, 4, 1, get(1))}}));
  EXPECT_FALSE(has_overlap({{}, {at(1, 3, 0, get(1)), at(2, 4, 0, get(1))}}));
  EXPECT_FALSE(has_overlap({{}, {at(1, 3, 0, get(1)), at(2, 4, 1, with_key(1, get(1)))}}));
}

}  // namespace
}  // namespace lockmap::test
