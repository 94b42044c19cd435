// RocksDB's block caches.
#pragma once

#include "peers/cache_peer.hpp"
#include "peers/peer.hpp"

#if defined(LOCKMAP_BENCH_HAS_ROCKSDB)
#include <rocksdb/cache.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

namespace bench {

// A kind of cache has a name, a note, and `make(capacity)`. `weighted`: values have weights.
template <class K, class Kind, bool weighted>
class BasicRocksPeer : public PeerDefaults {
 public:
  using Key = K;
  static constexpr bool bounded = true;
  static constexpr std::string_view name = Kind::name;
  static constexpr std::string_view note = Kind::note;

  explicit BasicRocksPeer(std::size_t max_size)
      : cache_(Kind::make(weighted ? weight_of_so_many(max_size) : max_size)) {}

  Value get(const Key& key) {
    const Bytes bytes = bytes_of(key);
    rocksdb::Cache::Handle* const handle = cache_->Lookup(slice(bytes));
    if (handle == nullptr) return 0;
    const auto value = reinterpret_cast<std::uintptr_t>(cache_->Value(handle));
    cache_->Release(handle);
    return value;
  }
  void insert(const Key& key, Value value) {
    const Bytes bytes = bytes_of(key);
    const auto deleter = [](const rocksdb::Slice&, void*) {};
    cache_->Insert(slice(bytes), reinterpret_cast<void*>(static_cast<std::uintptr_t>(value)),
                   charge(value), deleter);
  }

 private:
  // HyperClockCache takes keys of this size only.
  using Bytes = std::array<std::uint64_t, 2>;

  static Bytes bytes_of(const Key& key) { return {key, 0}; }
  static rocksdb::Slice slice(const Bytes& bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), sizeof(Bytes)};
  }
  static std::size_t charge(Value value) { return weighted ? weight_of(value) : 1; }

  std::shared_ptr<rocksdb::Cache> cache_;
};

// As many shards as those by hand, and no charge but those of the values.
struct RocksLru {
  static constexpr std::string_view name = "RocksDB-LRU";
  static constexpr std::string_view note =
      "rocksdb::NewLRUCache, 64 shards, strict_capacity_limit and high_pri_pool_ratio off, no "
      "charge for metadata. get: Lookup and Release of a handle; insert: a charge of 1 (or the "
      "weight), the value in the place of the pointer, keys padded to 16 bytes; it hashes with its "
      "own function, and has no peek";

  static std::shared_ptr<rocksdb::Cache> make(std::size_t capacity) {
    return rocksdb::NewLRUCache(capacity, 6, false, 0.0, nullptr, rocksdb::kDefaultToAdaptiveMutex,
                                rocksdb::kDontChargeCacheMetadata);
  }
};

struct RocksClock {
  static constexpr std::string_view name = "RocksDB-Clock";
  static constexpr std::string_view note =
      "rocksdb::HyperClockCache, 64 shards, an estimated charge of 1 (or the least weight), used "
      "as RocksDB's LRU cache; its order is that of a clock, and insert leaves a present key as it "
      "is";

  static std::shared_ptr<rocksdb::Cache> make(std::size_t capacity) {
    return rocksdb::HyperClockCacheOptions(capacity, 1, 6, false, nullptr,
                                           rocksdb::kDontChargeCacheMetadata)
        .MakeSharedCache();
  }
};

template <class K>
using RocksLruPeer = BasicRocksPeer<K, RocksLru, false>;
template <class K>
using RocksClockPeer = BasicRocksPeer<K, RocksClock, false>;
template <class K>
using WeightedRocksLruPeer = BasicRocksPeer<K, RocksLru, true>;
template <class K>
using WeightedRocksClockPeer = BasicRocksPeer<K, RocksClock, true>;

using RocksPeers = PeerList<RocksLruPeer, RocksClockPeer>;
using WeightedRocksPeers = PeerList<WeightedRocksLruPeer, WeightedRocksClockPeer>;

}  // namespace bench
#else
namespace bench {

using RocksPeers = PeerList<>;
using WeightedRocksPeers = PeerList<>;

}  // namespace bench
#endif
