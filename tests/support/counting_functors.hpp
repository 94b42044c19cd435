#pragma once

// Hash and equality that count their calls on the calling thread.

#include <cstddef>

namespace lockmap::test {

inline thread_local std::size_t hash_calls = 0;
inline thread_local std::size_t equal_calls = 0;

// Wraps a hash that knows nothing of heterogeneous lookup.
template <class Hash>
struct CountingHash {
  template <class T>
  std::size_t operator()(const T& value) const {
    ++hash_calls;
    return static_cast<std::size_t>(Hash{}(value));
  }
};

template <class Hash>
struct TransparentCountingHash : CountingHash<Hash> {
  using is_transparent = void;
};

template <class Equal>
struct CountingEqual {
  template <class A, class B>
  bool operator()(const A& a, const B& b) const {
    ++equal_calls;
    return Equal{}(a, b);
  }
};

template <class Equal>
struct TransparentCountingEqual : CountingEqual<Equal> {
  using is_transparent = void;
};

}  // namespace lockmap::test
