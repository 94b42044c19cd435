#pragma once

// A range that can be read once, from front to back, and no more.

#include <cstddef>
#include <iterator>
#include <ranges>
#include <utility>
#include <vector>

namespace lockmap::test {

template <class T>
class InputRange {
 public:
  class Iterator {
   public:
    using value_type = T;
    using difference_type = std::ptrdiff_t;

    explicit Iterator(InputRange& range) : range_(&range) {}
    Iterator(Iterator&&) = default;
    Iterator& operator=(Iterator&&) = default;

    const T& operator*() const { return range_->items_[range_->next_]; }
    Iterator& operator++() {
      ++range_->next_;
      return *this;
    }
    void operator++(int) { ++range_->next_; }
    bool operator==(std::default_sentinel_t /*end*/) const {
      return range_->next_ == range_->items_.size();
    }

   private:
    InputRange* range_;
  };

  explicit InputRange(std::vector<T> items) : items_(std::move(items)) {}

  Iterator begin() { return Iterator(*this); }
  std::default_sentinel_t end() const { return {}; }

 private:
  std::vector<T> items_;
  std::size_t next_ = 0;
};

static_assert(std::ranges::input_range<InputRange<int>>);
static_assert(!std::ranges::forward_range<InputRange<int>>);

}  // namespace lockmap::test
