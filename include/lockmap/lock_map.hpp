// LockMap: a thread-safe hash map with a lock for each key.

#ifndef LOCKMAP_LOCK_MAP_HPP
#define LOCKMAP_LOCK_MAP_HPP

#include <memory>
#include <utility>

#include "lockmap/default_hash.hpp"
#include "lockmap/detail/eviction_policy.hpp"
#include "lockmap/detail/shard_array.hpp"
#include "lockmap/detail/sharded_map.hpp"
#include "lockmap/options.hpp"

namespace lockmap {

/// A hash map for many threads, in which a thread or a coroutine can hold the lock of one key,
/// exclusive or shared, present or not, for as long as it needs, while every other key stays free.
///
///     lockmap::LockMap<std::string, int> stock;
///     stock.insert("apple", 3);
///     {
///       auto apple = stock.entry("apple");      // locks "apple", and nothing else
///       if (apple.value() > 0) --apple.value();
///     }                                         // unlocks
///
/// Key needs a hash and an equality, Value only a move (and a copy for `get` and
/// `get_or_insert_with`). A key is stored once and hashed once per operation. `Q`, where it stands
/// below, is any type that Hash and KeyEqual accept, or that converts to a key: with std::string
/// keys a std::string_view or a literal, and then no std::string is made unless a key is stored, or
/// locked while it is absent. A number that might lose its value does not compile; a constant that
/// fits, such as 1 for unsigned keys, is a key.
///
/// For every operation:
/// - It may be called from any thread at any time, except construction and destruction.
/// - It waits only for keys that it is given (`for_each`, `retain` and `clear`: for all keys),
///   never for others that somebody holds.
/// - Where it would wait for ever it throws std::system_error with
///   std::errc::resource_deadlock_would_occur instead: for a key that the calling thread itself
///   holds, or at the end of a cycle of threads that wait for each other's keys, in this map or any
///   other. The thread keeps what it held.
/// - Exceptions of the hash, the equality, the allocator, a copy or move, or a callback pass
///   through. No key stays locked, and an insertion that failed leaves no trace.
/// - The memory of nodes and tables comes from copies of the allocator, one per shard, which must
///   be usable by several threads at a time.
/// - The hash, callbacks, copies of values and destructors run outside of every internal lock and
///   may use other keys of the map. KeyEqual, the construction of keys that are stored, moves of
///   keys and values that do not throw, and the allocator may run under one:
///   they must not use the map.
template <class Key, class Value, class Hash = default_hash<Key>,
          class KeyEqual = default_equal<Key>,
          class Allocator = std::allocator<std::pair<const Key, Value>>>
class LockMap : private detail::ShardedMap<Key, Value, Hash, KeyEqual, Allocator,
                                           detail::NoEviction<Key, Value, Allocator>> {
  using Base = detail::ShardedMap<Key, Value, Hash, KeyEqual, Allocator,
                                  detail::NoEviction<Key, Value, Allocator>>;
  friend struct detail::TestAccess;

 public:
  using typename Base::allocator_type;
  using typename Base::hasher;
  using typename Base::key_equal;
  using typename Base::key_type;
  using typename Base::mapped_type;
  using typename Base::size_type;

  using typename Base::Batch;
  using typename Base::Entry;
  using typename Base::SharedBatch;
  using typename Base::SharedEntry;
  using typename Base::SharedTaskEntry;
  using typename Base::TaskEntry;

  /// An empty map with the default options. Throws as the other constructor does.
  LockMap() : LockMap(Options{}) {}

  /// An empty map. Throws std::length_error for a shard count or capacity that no memory could
  /// hold, and what the allocator throws. Linear in both.
  explicit LockMap(Options options, Hash hash = {}, KeyEqual equal = {}, Allocator allocator = {})
      : Base(options.shard_count != 0 ? options.shard_count : detail::default_shard_count(),
             options.initial_capacity, std::move(hash), std::move(equal), allocator) {}

  /// Precondition: no key is held. Destructors of values may still use the map. Linear in the keys
  /// and in `shard_count()`.
  ~LockMap() { this->destroy_all_values(); }

  // One key
  using Base::contains;
  using Base::entry;
  using Base::find_entry;
  using Base::find_shared_entry;
  using Base::get;
  using Base::get_or_insert_with;
  using Base::insert;
  using Base::read;
  using Base::remove;
  using Base::shared_entry;
  using Base::try_entry;
  using Base::try_entry_for;
  using Base::try_entry_until;
  using Base::try_insert;
  using Base::try_shared_entry;
  using Base::try_shared_entry_for;
  using Base::try_shared_entry_until;

  // One key, for a coroutine
  using Base::async_entry;
  using Base::async_get_or_insert_with;
  using Base::async_shared_entry;
  using Base::try_async_entry;

  // Several keys
  using Base::batch_lock;
  using Base::shared_batch_lock;
  using Base::try_batch_lock;
  using Base::try_batch_lock_for;
  using Base::try_batch_lock_until;
  using Base::try_shared_batch_lock;

  // Many keys, one at a time
  using Base::get_many;
  using Base::insert_many;
  using Base::read_many;

  // All keys
  using Base::clear;
  using Base::empty;
  using Base::for_each;
  using Base::retain;
  using Base::shard_count;
  using Base::shrink_to_fit;
  using Base::size;
  using Base::try_for_each;
  using Base::try_retain;
};

}  // namespace lockmap

#endif  // LOCKMAP_LOCK_MAP_HPP
