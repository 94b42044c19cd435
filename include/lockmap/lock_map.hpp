// LockMap: a thread-safe hash map with a lock for each key.

#ifndef LOCKMAP_LOCK_MAP_HPP
#define LOCKMAP_LOCK_MAP_HPP

#include <cstddef>
#include <memory>
#include <utility>

#include "lockmap/default_hash.hpp"
#include "lockmap/detail/order.hpp"
#include "lockmap/detail/sharded_map.hpp"
#include "lockmap/entry.hpp"

namespace lockmap {

// What a LockMap is made with.
struct Options {
  std::size_t initial_capacity = 0;  // keys to make room for at once
  std::size_t shard_count = 0;       // 0: a default from the number of processors
};

// A hash map for many threads, in which a thread can hold the exclusive lock of one key, present or
// not, for as long as it needs, while every other key stays free.
//
//   lockmap::LockMap<std::string, int> stock;
//   stock.insert("apple", 3);
//   {
//     auto apple = stock.entry("apple");      // locks "apple", and nothing else
//     if (apple.value() > 0) --apple.value();
//   }                                         // unlocks
//
// Key needs a hash and an equality, Value only a move (and a copy for `get` and
// `get_or_insert_with`). A key is stored once and hashed once per operation. `Q`, where it stands
// below, is any type that Hash and KeyEqual accept, or that converts to a key: with std::string
// keys a std::string_view or a literal, and then no std::string is made unless a key is stored.
//
// What holds for every operation:
// - It may be called from any thread at any time, except construction and destruction.
// - It waits only for keys that it is given (`for_each`, `retain` and `clear`: for all keys), never
//   for others that somebody holds.
// - Where it would wait for ever it throws std::system_error with
//   std::errc::resource_deadlock_would_occur instead: for a key that the calling thread itself
//   holds, or at the end of a cycle of threads that wait for each other's keys, in this map or any
//   other. The thread keeps what it held.
// - Exceptions of the hash, the equality, the allocator, a copy or move, or a callback pass
//   through. No key stays locked, and an insertion that failed leaves no trace.
// - The memory of nodes and tables comes from copies of the allocator, one per shard, which must be
//   usable by several threads at a time.
// - The hash, callbacks, copies of values and destructors run outside of every internal lock and
//   may use other keys of the map. KeyEqual, the construction of keys that are stored, moves of
//   values that do not throw, and the allocator may run under one: they must not use the map.
template <class Key, class Value, class Hash = default_hash<Key>,
          class KeyEqual = default_equal<Key>,
          class Allocator = std::allocator<std::pair<const Key, Value>>>
class LockMap : private detail::ShardedMap<Key, Value, Hash, KeyEqual, Allocator,
                                           detail::NoOrder<Key, Value>> {
  using Base =
      detail::ShardedMap<Key, Value, Hash, KeyEqual, Allocator, detail::NoOrder<Key, Value>>;
  friend struct detail::TestAccess;

 public:
  // As the standard containers name them.
  using typename Base::allocator_type;
  using typename Base::hasher;
  using typename Base::key_equal;
  using typename Base::key_type;
  using typename Base::mapped_type;
  using typename Base::size_type;

  // The guards of one key and of several.
  using typename Base::Batch;
  using typename Base::Entry;

  // An empty map with the default options. Throws as the other constructor does.
  LockMap() : LockMap(Options{}) {}

  // An empty map. Throws std::length_error for a shard count or capacity that no memory could hold,
  // and what the allocator throws. Linear in both.
  explicit LockMap(Options options, Hash hash = {}, KeyEqual equal = {}, Allocator allocator = {})
      : Base(options.shard_count != 0 ? options.shard_count : detail::default_shard_count(),
             options.initial_capacity, std::move(hash), std::move(equal), allocator) {}

  // Precondition: no key is held. Destructors of values may still use the map. Linear in the keys
  // and in `shard_count()`.
  ~LockMap() { this->end_all_values(); }

  // std::optional<Value> get(const Q& key) const
  //
  // A copy of the key's value; empty if it has none. Waits while another thread holds the key.
  // Deadlock: this thread holds the key, or is part of a cycle (above). Throws what the copy
  // throws. Constant time; a value that is trivially copyable and at most 64 bytes is copied under
  // an internal lock, any other under its key's lock, with the rest of the map free.
  using Base::get;

  // bool contains(const Q& key) const
  //
  // Whether the key has a value. Waits, and throws, as `get` does, but copies nothing. Constant
  // time.
  using Base::contains;

  // std::optional<Value> insert(Q&& key, Value value)
  //
  // Stores the value, and returns the previous one (what std calls insert_or_assign). Waits while
  // another thread holds the key. Deadlock: as `get`. Throws what moves and the allocator throw;
  // then the key has its previous value, or none as before. Amortised constant time.
  using Base::insert;

  // bool try_insert(Q&& key, Value value)
  //
  // Stores the value if the key has none, and says whether it did (what std calls insert). Waits,
  // and throws, as `insert` does. Amortised constant time.
  using Base::try_insert;

  // std::optional<Value> remove(const Q& key)
  //
  // Removes the key, and returns its value; empty if it had none. Waits while another thread holds
  // the key. Deadlock: as `get`. Throws what the value's move throws; then it is still there.
  // Constant time.
  using Base::remove;

  // Entry entry(Q&& key)
  //
  // The exclusive guard of the key, present or not. Waits while another thread holds the key.
  // Deadlock: as `get`. Throws what the allocator and the key's constructor throw. Amortised
  // constant time.
  using Base::entry;

  // std::optional<Entry> try_entry(Q&& key)
  //
  // `entry` without waiting: empty if the key is held, by this thread or another. Throws what the
  // allocator and the key's constructor throw, and never for a deadlock. Amortised constant time.
  using Base::try_entry;

  // std::optional<Entry> try_entry_for(Q&& key, std::chrono::duration limit)
  // std::optional<Entry> try_entry_until(Q&& key, std::chrono::time_point time)
  //
  // `entry` with a limit to the wait: empty if the key was held for all that time. A limit of zero
  // or less, and a time in the past, make it `try_entry`; a huge limit makes it `entry`. The clock
  // may be any that std::condition_variable takes and whose now() does not throw. Deadlock: as
  // `entry`, reported at once. Throws, and takes time, as `entry` does.
  using Base::try_entry_for;
  using Base::try_entry_until;

  // Value get_or_insert_with(Q&& key, F make)
  //
  // A copy of the key's value. If there is none, calls `make()` under the key's lock and stores
  // what it returns; other callers wait for the result instead of calling theirs. Waits while
  // another thread holds the key. Deadlock: as `get`, also if `make` asks for the key. If `make`
  // throws, the exception goes to its caller, nothing is stored, and the next waiter calls its own.
  // If the copy throws, the value stays stored. Amortised constant time.
  using Base::get_or_insert_with;

  // Batch batch_lock(Range keys, Less less = {})
  // Batch batch_lock({key1, key2, ...}, Less less = {})
  //
  // The guards of all the keys, without duplicates, taken in sorted order, so that batches do not
  // deadlock with each other. Keys are sorted by `less`, std::less<> by default, which must order
  // any two keys that KeyEqual tells apart, the same way in every batch. Waits while another thread
  // holds one of the keys. Deadlock: if this thread holds one of the keys, or holds another key and
  // becomes part of a cycle. Throws what moving, comparing and storing keys throws; then no key of
  // the batch is held. O(n log n) for n keys.
  using Base::batch_lock;

  // std::optional<Batch> try_batch_lock(Range keys, Less less = {})
  // std::optional<Batch> try_batch_lock({key1, key2, ...}, Less less = {})
  //
  // `batch_lock` without waiting: all of the keys or, if one is held, none. Throws as `batch_lock`
  // does, but never for a deadlock. O(n log n) for n keys.
  using Base::try_batch_lock;

  // void for_each(F f) const
  //
  // Calls `f(const Key&, const Value&)` for every value, holding its key, in no particular order.
  // Visits every key that is there for the whole call once; keys that come or go meanwhile may be
  // visited or not. Waits while another thread holds the key that it has come to. Deadlock: if it
  // comes to a key that this thread holds; then the keys before it have been visited. Throws what
  // `f` throws. Linear in the keys and in the room that keys once took.
  using Base::for_each;

  // size_type retain(F f)
  //
  // Calls `f(const Key&, Value&)` for every value as `for_each` does, removes those for which it
  // returns false, and returns how many. Waits, throws, and takes time, as `for_each` does; what
  // was removed before stays removed.
  using Base::retain;

  // void clear()
  //
  // Removes every value, and gives back the memory of shards that are then without keys. Waits,
  // throws, and takes time, as `for_each` does; what was removed before stays removed.
  using Base::clear;

  // size_type size() const noexcept; bool empty() const noexcept
  //
  // The number of keys that have a value, also of those that are held; not of keys that are only
  // locked. Never waits for a key. While other threads store and remove, the sum of what the shards
  // had at slightly different moments. Linear in `shard_count()`.
  using Base::empty;
  using Base::size;

  // size_type shard_count() const noexcept
  //
  // What the shard count came to. Never waits. Constant time.
  using Base::shard_count;
};

}  // namespace lockmap

#endif  // LOCKMAP_LOCK_MAP_HPP
