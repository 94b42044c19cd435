// IntrusiveList: every way in, and every way out.

#include <gtest/gtest.h>

#include <vector>

#include <lockmap/lockmap.hpp>

namespace lockmap::test {
namespace {

using detail::IntrusiveList;
using detail::ListLinks;

struct Element : ListLinks {
  explicit Element(int n) : number(n) {}
  int number;
};

// Forwards, after checking that the way back is the same.
std::vector<int> numbers(const IntrusiveList& list) {
  std::vector<int> found;
  for (const auto* element = list.front<Element>(); element != nullptr;
       element = list.after(*element)) {
    EXPECT_EQ(element->next->previous, element);
    EXPECT_EQ(element->previous->next, element);
    EXPECT_EQ(list.is_back(*element), list.after(*element) == nullptr);
    found.push_back(element->number);
  }
  EXPECT_EQ(list.empty(), found.empty());
  return found;
}

using Numbers = std::vector<int>;

TEST(IntrusiveListTest, TakesElementsAtBothEnds) {
  IntrusiveList list;
  EXPECT_EQ(numbers(list), Numbers{});
  EXPECT_EQ(list.front<Element>(), nullptr);
  Element one(1);
  Element two(2);
  Element three(3);
  list.push_back(two);
  EXPECT_EQ(numbers(list), Numbers{2});
  list.push_back(three);
  list.push_front(one);
  EXPECT_EQ(numbers(list), (Numbers{1, 2, 3}));
}

TEST(IntrusiveListTest, AnElementLeavesWithoutItsList) {
  for (int leaving = 1; leaving <= 3; ++leaving) {
    IntrusiveList list;
    Element elements[]{Element(1), Element(2), Element(3)};
    Numbers expected;
    for (Element& element : elements) {
      list.push_back(element);
      if (element.number != leaving) expected.push_back(element.number);
    }
    elements[leaving - 1].unlink();
    EXPECT_EQ(numbers(list), expected);
  }
}

TEST(IntrusiveListTest, TheLastElementLeavesAnEmptyList) {
  IntrusiveList list;
  Element one(1);
  list.push_front(one);
  one.unlink();
  EXPECT_EQ(numbers(list), Numbers{});
  list.push_back(one);
  EXPECT_EQ(numbers(list), Numbers{1});
}

TEST(IntrusiveListTest, AnElementIsLinkedBeforeAnother) {
  IntrusiveList list;
  Element one(1);
  Element two(2);
  Element three(3);
  list.push_back(one);
  list.push_back(three);
  two.link_before(three);
  EXPECT_EQ(numbers(list), (Numbers{1, 2, 3}));
}

TEST(IntrusiveListTest, AnElementTakesThePlaceOfAnother) {
  for (int replaced = 1; replaced <= 3; ++replaced) {
    IntrusiveList list;
    Element elements[]{Element(1), Element(2), Element(3)};
    Numbers expected{1, 2, 3};
    for (Element& element : elements) list.push_back(element);
    Element other(4);
    other.replace(elements[replaced - 1]);
    expected[static_cast<unsigned>(replaced - 1)] = 4;
    EXPECT_EQ(numbers(list), expected);
  }
  IntrusiveList list;
  Element alone(1);
  Element other(2);
  list.push_back(alone);
  other.replace(alone);
  EXPECT_EQ(numbers(list), Numbers{2});
}

TEST(IntrusiveListTest, AListIsAppendedToAnother) {
  for (int first = 0; first <= 2; ++first) {
    for (int second = 0; second <= 2; ++second) {
      IntrusiveList list;
      IntrusiveList other;
      Element elements[]{Element(1), Element(2), Element(3), Element(4)};
      Numbers expected;
      for (int i = 0; i < first + second; ++i) {
        (i < first ? list : other).push_back(elements[i]);
        expected.push_back(i + 1);
      }
      list.splice_back(other);
      EXPECT_EQ(numbers(list), expected);
      EXPECT_EQ(numbers(other), Numbers{});
      // Both go on as lists of their own.
      Element more(5);
      other.push_back(more);
      EXPECT_EQ(numbers(other), Numbers{5});
      EXPECT_EQ(numbers(list), expected);
    }
  }
}

}  // namespace
}  // namespace lockmap::test
