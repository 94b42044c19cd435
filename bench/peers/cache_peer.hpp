// The common part of the caches that return copies.
#pragma once

#include <cstddef>
#include <utility>

#include "peers/peer.hpp"

namespace bench {

template <class K, class Cache>
class CachePeer : public PeerDefaults {
 public:
  using Key = K;
  static constexpr bool bounded = true;

  explicit CachePeer(std::size_t max_size) : cache_(max_size) {}

  template <class Q>
  Value get(const Q& key) {
    return cache_.get(key).value_or(0);
  }
  template <class Q>
  Value peek(const Q& key) {
    return cache_.peek(key).value_or(0);
  }
  void insert(const Key& key, Value value) { cache_.insert(key, value); }

 protected:
  template <class... Arguments>
  explicit CachePeer(std::in_place_t /*in_place*/, Arguments&&... arguments)
      : cache_(std::forward<Arguments>(arguments)...) {}

 private:
  Cache cache_;
};

// The peer whose values have weights, of a cache that is made for `keys` of them: keys 0, 1, ...
// have their numbers as values, and so 5/2 on average.
inline std::size_t weight_of(Value value) {
  return 1024 * (1 + value % 4);
}
inline std::size_t weight_of_so_many(std::size_t keys) {
  return keys * 1024 * 5 / 2;
}

}  // namespace bench
