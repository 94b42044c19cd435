#pragma once

// Times and weights: operations of caches that keep them.

#include <array>
#include <cstddef>
#include <functional>
#include <optional>
#include <stdexcept>
#include <utility>

#include "entry_operations.hpp"
#include "key_operations.hpp"
#include "session.hpp"

namespace lockmap::fuzz {

template <class S>
void advance(S& s) {
  const auto time = Rules::unit * s.bytes.below(8);
  if (s.rules().is_told() && s.rules().has_fake_clock()) s.model.advance(time);
}

template <class S>
void purge(S& s) {
  s.purge();
}

template <class S>
void insert_expiring(S& s) {
  const int key = s.pick_key();
  const int number = s.next_number();
  const auto own = s.pick_span();
  const auto call = [&] {
    return s.map.insert(S::Types::key(key), S::make_value(number), expires_in(own));
  };
  if (s.model.held(key)) return S::require_deadlock(call);
  const auto expected = s.model.insert(key, number, own);
  S::require_same(call(), expected);
}

template <class S>
void try_insert_expiring(S& s) {
  const int key = s.pick_key();
  const int number = s.next_number();
  const auto own = s.pick_span();
  const auto call = [&] {
    return s.map.try_insert(S::Types::lookup(key), S::make_value(number), expires_in(own));
  };
  if (s.model.held(key)) return S::require_deadlock(call);
  const bool expected = s.model.try_insert(key, number, own);
  require(call() == expected, "try_insert() of what expires");
}

template <class S>
void entry_expire_in(S& s) {
  with_entry(s, [&s](auto& entry, int key) {
    const auto own = s.pick_span();
    if (!s.model.value(key).has_value()) {
      try {
        entry.expire_in(own);
      } catch (const std::bad_optional_access&) {
        return;
      }
      fail("a time for no value");
    }
    entry.expire_in(own);
    s.model.expire_in(key, own);
    if (s.rules().is_late) return;
    const auto found = entry.expires_at().value_or(Model::Time::max());
    // A touch is noted with some time to spare.
    const auto due = s.model.due(key);
    require(found >= due - Rules::unit && found - Rules::unit < due, "expires_at()");
  });
}

template <class S>
void make_expiring(S& s) {
  const int key = s.pick_key();
  const auto own = s.pick_span();
  load(s, key, own, [&](const auto& make) {
    return s.map.get_or_insert_with(S::Types::key(key), [&] {
      return Expiring<typename S::Value>{make(), own};
    });
  });
}

template <class S>
void entry_make_expiring(S& s) {
  const auto own = s.pick_span();
  make_for_entry(
      s, own, [&](auto& entry, const auto& make) -> auto& {
        return entry.or_insert_with([&] { return Expiring<typename S::Value>{make(), own}; });
      });
}

template <class S>
void set_max_weight(S& s) {
  const auto max_weight = static_cast<std::size_t>(s.bytes.below(80));
  if (s.rules().has_weights && max_weight >= s.map.shard_count()) {
    s.model.set_max_weight(max_weight);
    return s.map.set_max_weight(max_weight);
  }
  try {
    s.map.set_max_weight(max_weight);
  } catch (const std::invalid_argument&) {
    return;
  }
  fail("a max_weight without a weigher, or one that is too small");
}

// -- Refreshes ------------------------------------------------------------------------------------

// A maker for a refresh that has begun: it holds nothing.
template <class S>
auto refresher(S& s, const Model::Refresh& refresh, bool throws) {
  return [&s, refresh, throws] {
    s.nested();
    s.model.count_load(!throws);
    if (throws) throw Thrown();
    const int number = s.next_number();
    s.model.store_refreshed(refresh, number, std::nullopt);
    return S::make_value(number);
  };
}

template <class S>
void get_or_refresh(S& s) {
  const int key = s.pick_key();
  const auto name = S::Types::lookup(key);
  const auto after = s.rules().is_late ? Rules::Span::max() : s.pick_span();
  if (!s.model.value(key).has_value() || s.model.denies(key, Mode::shared)) {
    return load(s, key, std::nullopt,
                [&](const auto& make) { return s.map.get_or_refresh(name, after, make); });
  }
  const bool throws = s.bytes.one_in(4);
  const auto old = s.model.lookup(key);
  const bool due = s.model.wants_refresh(key, after);
  const Model::Refresh refresh = due ? s.model.begin_refresh(key) : Model::Refresh{};
  const auto make = refresher(s, refresh, throws);
  const int way = s.bytes.below(5);
  bool executed = false;
  const auto call = [&](auto&& execute) {
    return s.map.get_or_refresh(name, after, make, [&](std::function<void()> run) {
      executed = true;
      execute(std::move(run));
    });
  };
  switch (way) {
    case 0: {
      const int last = s.last_number();
      const auto found = s.map.get_or_refresh(name, after, make);
      S::require_same(found, due && !throws ? std::optional(s.last_number()) : old);
      require(due || s.last_number() == last, "a value is refreshed too early");
      break;
    }
    case 1:
      S::require_same(call([](const std::function<void()>& run) { run(); }), old);
      break;
    case 2:
      S::require_same(call([](const std::function<void()>& /*run*/) {}), old);
      break;
    case 3:
      S::require_same(call([](const std::function<void()>& /*run*/) { throw Thrown(); }), old);
      break;
    default:
      S::require_same(call([&](std::function<void()> run) {
                        s.posted.push_back({refresh, std::move(run)});
                      }),
                      old);
      require(executed == due, "a refresh is posted, or not");
      return;
  }
  require(way == 0 || executed == due, "a refresh is executed, or not");
  if (due) s.model.end_refresh(refresh);
}

// Runs a refresh that was posted, or drops it.
template <class S>
void run_posted(S& s) {
  if (s.posted.empty()) return;
  const std::size_t index = s.pick_index(s.posted);
  const auto posted = std::move(s.posted[index]);
  s.posted.erase(s.posted.begin() + static_cast<std::ptrdiff_t>(index));
  if (s.bytes.one_in(4)) return s.model.end_refresh(posted.refresh);
  posted.run();
  s.model.end_refresh(posted.refresh);
}

template <class S>
inline constexpr std::array cache_operations{
    &advance<S>,
    &advance<S>,
    &purge<S>,
    &insert_expiring<S>,
    &try_insert_expiring<S>,
    &entry_expire_in<S>,
    &make_expiring<S>,
    &entry_make_expiring<S>,
    &set_max_weight<S>,
    &get_or_refresh<S>,
    &get_or_refresh<S>,
    &run_posted<S>,
};

}  // namespace lockmap::fuzz
