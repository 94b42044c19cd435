// Refresh: one caller's turn to make a new value for a key that has an old one.

#ifndef LOCKMAP_DETAIL_REFRESH_HPP
#define LOCKMAP_DETAIL_REFRESH_HPP

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <system_error>
#include <type_traits>
#include <utility>

#include "lockmap/detail/concepts.hpp"
#include "lockmap/detail/deadline.hpp"
#include "lockmap/detail/eviction_policy.hpp"
#include "lockmap/detail/hashed_key.hpp"
#include "lockmap/detail/hold.hpp"
#include "lockmap/detail/load_timer.hpp"
#include "lockmap/detail/owner.hpp"
#include "lockmap/entry.hpp"
#include "lockmap/expiry.hpp"

namespace lockmap::detail {

// The turn is a ticket in the key's record: whoever finds another there leaves the value as it is.
// A turn ends with this object, also where nothing was made. Meanwhile it holds nothing, so the
// node may go, and another come for the same key: that one has no ticket, or another.
template <class Shard, class T>
class Refresh {
  using Value = typename Shard::mapped_type;
  using Node = typename Shard::Node;
  using Section = typename Shard::Section;

 public:
  Refresh(Shard& shard, HashedKey<T> key) : shard_(shard), key_(std::move(key)) {}
  Refresh(const Refresh&) = delete;
  Refresh& operator=(const Refresh&) = delete;
  ~Refresh() { end(); }

  // Whether the value of a key that the calling thread holds was stored longer ago than `after`,
  // and nobody has the turn.
  [[nodiscard]] static bool is_due(Shard& shard, const SharedEntry<Shard>& entry,
                                   std::chrono::nanoseconds after) {
    const typename Shard::ReadSection section(shard);
    return shard.policy().wants_refresh(*entry.hold_.node(), after);
  }

  // Takes the turn if it is due.
  [[nodiscard]] bool begin(const SharedEntry<Shard>& entry, std::chrono::nanoseconds after) {
    Section section(shard_);
    auto& policy = section.policy();
    Node& node = *entry.hold_.node();
    if (!policy.wants_refresh(node, after)) return false;
    auto& record = policy.record(node);
    ticket_ = record.refresh = policy.ledger().next_ticket();
    version_ = record.version;
    return true;
  }

  // Makes the new value and stores it, unless the key was stored, removed or held exclusively since
  // the turn began. Throws what `make` throws.
  template <class F>
  [[nodiscard]] Value run(F&& make) {
    LoadTimer<Shard> timer(shard_);
    if constexpr (makes_expiring<F, Value>) {
      Expiring<Value> made = std::invoke(std::forward<F>(make));
      timer.succeed();
      store(made.value, made.expires_in);
      return std::move(made.value);
    } else {
      Value made = std::invoke(std::forward<F>(make));
      timer.succeed();
      store(made, std::nullopt);
      return made;
    }
  }

  // Lets others take a turn.
  void end() noexcept {
    const std::uint64_t ticket = std::exchange(ticket_, 0);
    if (ticket == 0) return;
    try {
      Section section(shard_);
      Node* const node = section.find(key_);
      if (node == nullptr) return;
      auto* const record = section.policy().ledger().find(*node);
      if (record != nullptr && record->refresh == ticket) record->refresh = 0;
    } catch (...) {  // KeyEqual threw: the key's next value can be refreshed
    }
  }

 private:
  [[nodiscard]] bool is_mine(Section& section, const Node& node, std::uint64_t holds) const {
    const auto* const record = section.policy().ledger().find(node);
    return record != nullptr && record->refresh == ticket_ && record->version == version_ + holds;
  }

  void store(const Value& value, const std::optional<ExpiresIn>& expires) {
    Value copy(value);
    Section section(shard_);
    Node* const node = section.find_live(key_);
    if (node == nullptr || !is_mine(section, *node, 0)) return;
    Hold<Node> hold = detail::try_hold<Mode::exclusive>(section, Found{node}, Touch::quiet);
    if (!hold) {
      // Readers have it, or somebody has been granted it just now.
      try {
        hold = detail::hold_contended<Section>(section.hand_over(), *node, Mode::exclusive,
                                               Touch::quiet, NoDeadline{});
      } catch (const std::system_error&) {
        return;  // this thread holds it, or what its readers wait for
      }
    }
    section.leave();
    Entry<Shard> entry(shard_, hold);
    {
      Section again(shard_);
      if (!entry.has_value() || !is_mine(again, *node, 1)) return;
    }
    entry.store(std::move(copy), expires);
  }

  struct Found {
    Node* node;
    bool made = false;
  };

  Shard& shard_;
  HashedKey<T> key_;
  std::uint64_t ticket_ = 0;   // 0: it is not our turn
  std::uint64_t version_ = 0;  // of the record when the turn began
};

template <class Shard, class T>
[[nodiscard]] Refresh<Shard, T> turn_to_refresh(Shard& shard, HashedKey<T> key) {
  return {shard, std::move(key)};
}

// A turn that an executor may run, once, or drop.
template <class Shard, class F>
class PostedRefresh {
  using Key = typename Shard::key_type;

 public:
  template <class Make>
  PostedRefresh(Shard& shard, const Key& key, std::uint64_t hash, Make&& make)
      : turn(shard, HashedKey<Key>{key, hash}), make_(std::forward<Make>(make)) {}

  void run() noexcept {
    if (ran_.exchange(true, std::memory_order_relaxed)) return;
    try {
      (void)turn.run(std::move(make_));
    } catch (...) {  // counted; the next caller tries
    }
    turn.end();
  }

  Refresh<Shard, Key> turn;

 private:
  F make_;
  std::atomic<bool> ran_{false};
};

}  // namespace lockmap::detail

#endif  // LOCKMAP_DETAIL_REFRESH_HPP
