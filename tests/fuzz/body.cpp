#include "body.hpp"

#include "batch_operations.hpp"
#include "bytes.hpp"
#include "cache_operations.hpp"
#include "entry_operations.hpp"
#include "key_operations.hpp"
#include "many_operations.hpp"
#include "map_operations.hpp"
#include "require.hpp"
#include "session.hpp"
#include "set_session.hpp"
#include "shared_operations.hpp"
#include "types.hpp"

namespace lockmap::fuzz {
namespace {

template <class S, class Operations>
void run_one_of(S& s, const Operations& operations) {
  operations[s.pick_index(operations)](s);
}

template <class S>
void step(S& s) {
  // The highest bytes, so that most of the inputs that are older mean what they did.
  const int choice = s.bytes.below(256);
  if (choice >= 224) return run_one_of(s, shared_operations<S>);
  if (choice >= 208) return run_one_of(s, many_operations<S>);
  if constexpr (S::lru) {
    if (choice >= 144 && s.rules().keeps_ledger()) return run_one_of(s, cache_operations<S>);
  }
  switch (choice % 8) {
    case 0:
    case 1:
    case 2:
      return run_one_of(s, key_operations<S>);
    case 3:
    case 4:
    case 5:
      return run_one_of(s, entry_operations<S>);
    case 6:
      return run_one_of(s, batch_operations<S>);
    default:
      return run_one_of(s, map_operations<S>);
  }
}

template <class S>
inline constexpr std::array set_operations{
    &lock_entry<S>,
    &try_lock_entry<S>,
    &release_guard<S>,
    &assign_guard<S>,
    &lock_entry<S, Mode::shared>,
    &try_lock_entry<S, Mode::shared>,
    &release_guard<S, Mode::shared>,
    &assign_guard<S, Mode::shared>,
    &take_batch<S, Mode::exclusive, most_of_large_batch>,
    &look_into_batch<S>,
    &take_from_batch<S>,
    &release_batch<S>,
};

template <class S>
void release_all(S& s) {
  while (!s.holds.guards.empty()) release_guard(s);
  while (!s.holds.batches.empty()) release_batch(s);
  while (!s.shared_holds.guards.empty()) release_guard<S, Mode::shared>(s);
  s.compare_all();
}

// Releases everything; then the order shows when the keys are popped.
template <class S>
void finish(S& s) {
  while (!s.shared_holds.batches.empty()) release_batch<S, Mode::shared>(s);
  release_all(s);
  if (!s.drains()) return;
  while (s.model.size() != 0) pop_lru(s);
  s.compare_all();
}

template <class Types, bool lru>
void run_session(Bytes& bytes, bool has_rules) {
  using S = Session<Types, lru>;
  test::Tracked::reset();
  {
    S s(bytes, lru && has_rules ? Rules(bytes) : Rules());
    s.nested_operation = [](S& self) { run_one_of(self, key_operations<S>); };
    // A look at all keys removes what has expired, so there it is rare.
    const int period = s.rules().is_told() ? 16 : 4;
    for (int steps = 0; !bytes.empty(); ++steps) {
      step(s);
      s.compare_counts();
      if (steps % period == 0) s.compare_all();
    }
    finish(s);
  }
  require(test::Tracked::alive() == 0, "values were leaked, or destroyed twice");
}

template <class Types>
void run_set_session(Bytes& bytes) {
  using S = SetSession<Types>;
  S s(bytes);
  for (int steps = 0; !bytes.empty(); ++steps) {
    run_one_of(s, set_operations<S>);
    s.compare_counts();
    if (steps % 4 == 0) s.compare_all();
  }
  release_all(s);
}

}  // namespace

void run(std::span<const std::uint8_t> input) {
  using CopiedInPlace = NumberKeys<std::uint64_t, std::hash<std::uint64_t>>;
  using Colliding = NumberKeys<test::Tracked, CollidingHash>;
  using ThrowingMoves = TextKeys<test::Faulty>;
  Bytes bytes(input);
  const int choice = bytes.below(256);
  const bool has_rules = choice >= 192;
  if (has_rules && choice % 8 == 0) return run_set_session<CopiedInPlace>(bytes);
  if (has_rules && choice % 8 == 2) return run_set_session<TextKeys<test::Tracked>>(bytes);
  if (has_rules && choice % 8 == 4) return run_set_session<Colliding>(bytes);
  switch (choice % 8) {
    case 0:
      return run_session<CopiedInPlace, false>(bytes, has_rules);
    case 1:
      return run_session<CopiedInPlace, true>(bytes, has_rules);
    case 2:
      return run_session<TextKeys<test::Tracked>, false>(bytes, has_rules);
    case 3:
      return run_session<TextKeys<test::Tracked>, true>(bytes, has_rules);
    case 4:
      return run_session<Colliding, false>(bytes, has_rules);
    case 5:
      return run_session<Colliding, true>(bytes, has_rules);
    case 6:
      return run_session<ThrowingMoves, false>(bytes, has_rules);
    default:
      return run_session<ThrowingMoves, true>(bytes, has_rules);
  }
}

}  // namespace lockmap::fuzz
