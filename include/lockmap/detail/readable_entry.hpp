// ReadableEntry: what all guards of one key have in common.

#ifndef LOCKMAP_DETAIL_READABLE_ENTRY_HPP
#define LOCKMAP_DETAIL_READABLE_ENTRY_HPP

#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

#include "lockmap/detail/config.hpp"
#include "lockmap/detail/hold.hpp"
#include "lockmap/detail/owner.hpp"

namespace lockmap::detail {

// The contents of a guard: the hold of a key of `Shard`, by a `Holder` (hold.hpp), in a mode. Moved
// from, or released, it is without a node.
template <class Shard, class Holder, Mode mode>
class HeldKey;

template <class Shard, class Holder>
class HeldKey<Shard, Holder, Mode::exclusive> {
 public:
  HeldKey(const HeldKey&) = delete;
  HeldKey& operator=(const HeldKey&) = delete;

 protected:
  using Node = typename Shard::Node;
  using Hold = detail::Hold<Node, Holder>;
  static constexpr bool cached = Shard::policy_type::enabled;

  HeldKey() noexcept = default;
  HeldKey(Shard& shard, const Hold& hold) noexcept
      : HeldKey(shard, hold, cached ? hold.has_value() : hold.had_value()) {}
  HeldKey(Shard& shard, const Hold& hold, bool has_value,
          Eviction eviction = Eviction::any) noexcept
      : shard_(&shard), hold_(hold), has_value_(has_value), eviction_(eviction) {}
  HeldKey(HeldKey&& other) noexcept
      : shard_(other.shard_),
        hold_(std::exchange(other.hold_, {})),
        has_value_(other.has_value_),
        eviction_(other.eviction_) {}
  HeldKey& operator=(HeldKey&& other) noexcept {
    if (this != &other) {
      release();
      shard_ = other.shard_;
      hold_ = std::exchange(other.hold_, {});
      has_value_ = other.has_value_;
      eviction_ = other.eviction_;
    }
    return *this;
  }
  LOCKMAP_ALWAYS_INLINE ~HeldKey() { release(); }

  [[nodiscard]] bool has() const noexcept { return has_value_; }
  LOCKMAP_ALWAYS_INLINE void release() noexcept {
    if (hold_) {
      detail::release(*shard_, std::exchange(hold_, {}), has_value_, eviction_);
    }
  }

  Shard* shard_ = nullptr;
  Hold hold_;
  bool has_value_ =
      false;  // the truth while the key is locked; the release writes it to the state word
  Eviction eviction_ = Eviction::any;
};

template <class Shard, class Holder>
class HeldKey<Shard, Holder, Mode::shared> {
 public:
  HeldKey(const HeldKey&) = delete;
  HeldKey& operator=(const HeldKey&) = delete;

 protected:
  using Node = typename Shard::Node;
  using Hold = detail::Hold<Node, Holder>;
  static constexpr bool cached = Shard::policy_type::enabled;

  HeldKey() noexcept = default;
  HeldKey(Shard& shard, const Hold& hold) noexcept : shard_(&shard), hold_(hold) {}
  HeldKey(HeldKey&& other) noexcept : shard_(other.shard_), hold_(std::exchange(other.hold_, {})) {}
  HeldKey& operator=(HeldKey&& other) noexcept {
    if (this != &other) {
      release();
      shard_ = other.shard_;
      hold_ = std::exchange(other.hold_, {});
    }
    return *this;
  }
  ~HeldKey() { release(); }

  [[nodiscard]] bool has() const noexcept { return cached ? hold_.has_value() : hold_.had_value(); }
  void release() noexcept {
    if (hold_) detail::release_shared(*shard_, std::exchange(hold_, {}));
  }

  Shard* shard_ = nullptr;
  Hold hold_;
};

// A guard's const half.
template <class Shard, class Holder, Mode held_in>
class ReadableEntry : protected HeldKey<Shard, Holder, held_in> {
  using Held = HeldKey<Shard, Holder, held_in>;

 public:
  using key_type = typename Shard::key_type;        ///< of the key
  using mapped_type = typename Shard::mapped_type;  ///< of the value

  /// The key, as the map stores it.
  [[nodiscard]] const key_type& key() const noexcept LOCKMAP_LIFETIMEBOUND { return node().key; }

  /// Whether the key has a value.
  [[nodiscard]] bool has_value() const noexcept {
    LOCKMAP_ASSERT(this->hold_);
    return this->has();
  }

  /// The value; null if there is none.
  [[nodiscard]] const mapped_type* get() const noexcept LOCKMAP_LIFETIMEBOUND {
    return has_value() ? std::addressof(this->hold_.node()->value) : nullptr;
  }

  /// The value. Throws std::bad_optional_access if there is none.
  [[nodiscard]] const mapped_type& value() const LOCKMAP_LIFETIMEBOUND {
    if (!has_value()) throw std::bad_optional_access();
    return this->hold_.node()->value;
  }

  /// The value. Precondition: there is one.
  [[nodiscard]] const mapped_type& operator*() const noexcept LOCKMAP_LIFETIMEBOUND {
    LOCKMAP_ASSERT(has_value());
    return this->hold_.node()->value;
  }
  /// The same.
  [[nodiscard]] const mapped_type* operator->() const noexcept LOCKMAP_LIFETIMEBOUND {
    return std::addressof(**this);
  }

  /// A copy of the value, or `fallback` if there is none. Throws what the copy or the conversion
  /// throws.
  template <class U = mapped_type>
  [[nodiscard]] mapped_type value_or(U&& fallback) const {
    return has_value() ? mapped_type(std::as_const(this->hold_.node()->value))
                       : static_cast<mapped_type>(std::forward<U>(fallback));
  }

  /// Releases the key before the entry dies.
  LOCKMAP_ALWAYS_INLINE void unlock() noexcept { this->release(); }

 protected:
  using typename Held::Hold;
  using typename Held::Node;
  static constexpr Mode mode = held_in;

  using Held::Held;
  ReadableEntry() noexcept = default;
  ReadableEntry(ReadableEntry&& other) noexcept = default;
  ReadableEntry& operator=(ReadableEntry&& other) noexcept = default;
  LOCKMAP_ALWAYS_INLINE ~ReadableEntry() = default;

  [[nodiscard]] Node& node() const noexcept {
    LOCKMAP_ASSERT(this->hold_);
    return *this->hold_.node();
  }
};

}  // namespace lockmap::detail

#endif  // LOCKMAP_DETAIL_READABLE_ENTRY_HPP
