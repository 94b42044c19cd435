#pragma once

// LockSet as a map whose keys never have a value.

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <utility>

#include <lockmap/lockmap.hpp>

namespace lockmap::test {

// A set, with the names that a map has for the same.
template <class Key, class Hash>
class LockSetAsMap : public LockSet<Key, Hash> {
  using Base = LockSet<Key, Hash>;

 public:
  using Entry = typename Base::Guard;
  using SharedEntry = typename Base::SharedGuard;
  using typename Base::Batch;
  using mapped_type = std::uint64_t;  // of which there is none

  using Base::Base;

  template <class Q>
  Entry entry(const Q& key) {
    return Base::lock(key);
  }
  template <class Q>
  SharedEntry shared_entry(const Q& key) {
    return Base::lock_shared(key);
  }
  template <class Q, class... Limit>
  std::optional<Entry> try_entry(const Q& key, const Limit&... limit) {
    return Base::try_lock(key, limit...);
  }
  template <class Q, class Limit>
  std::optional<Entry> try_entry_for(const Q& key, const Limit& limit) {
    return Base::try_lock_for(key, limit);
  }
  template <class Q, class Time>
  std::optional<Entry> try_entry_until(const Q& key, const Time& time) {
    return Base::try_lock_until(key, time);
  }
  template <class Q, class... Limit>
  std::optional<SharedEntry> try_shared_entry(const Q& key, const Limit&... limit) {
    return Base::try_lock_shared(key, limit...);
  }
  template <class Q, class Limit>
  std::optional<SharedEntry> try_shared_entry_for(const Q& key, const Limit& limit) {
    return Base::try_lock_shared_for(key, limit);
  }
  template <class Q, class Time>
  std::optional<SharedEntry> try_shared_entry_until(const Q& key, const Time& time) {
    return Base::try_lock_shared_until(key, time);
  }
  template <class Range, class Less>
  Batch batch_lock(Range&& keys, Less less) {
    return Base::lock_all(std::forward<Range>(keys), less);
  }
  template <class Less>
  Batch batch_lock(std::initializer_list<Key> keys, Less less) {
    return Base::lock_all(keys, less);
  }
  template <class Range, class Less>
  std::optional<Batch> try_batch_lock(Range&& keys, Less less) {
    return Base::try_lock_all(std::forward<Range>(keys), less);
  }
  template <class Less>
  std::optional<Batch> try_batch_lock(std::initializer_list<Key> keys, Less less) {
    return Base::try_lock_all(keys, less);
  }
};

}  // namespace lockmap::test
