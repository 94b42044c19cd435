/* The lock protocol: include/lockmap/detail/key_lock.hpp, with state_word.hpp and waiter.hpp; and
 * what shard.hpp and hold.hpp make of it.
 *
 *   tests/model/check.sh lock_protocol.pml           every interleaving of four threads, one key
 *   tests/model/check.sh lock_protocol.pml CACHE     of three, two keys, and room for one of them
 *   tests/model/check.sh lock_protocol.pml LIVE      fewer operations, but no waiter starves
 *   tests/model/check.sh lock_protocol.pml BUG_...   a bug is put in; it has to be found
 *
 * What it says: a key is held by one owner or by any number that share it; no thread touches a node
 * that was given back, though nodes are used again at once; I4, I7, I9, I10, I12 and "pins are what
 * they count" hold whenever the shard mutex is given up; then, too, no waiter at the head of a
 * queue could go on, unless somebody is about to see to it, so that readers there get in at a
 * downgrade; nobody comes in between while a hold changes its mode; a time-out leaves no pin; no
 * thread sleeps for ever, whenever the others stop; and (LIVE) a waiter gets its key though others
 * come for it again and again, in either mode, change it, and give up.
 *
 * What it does not say: anything about memory order. Interleavings are sequentially consistent; the
 * orders are argued for in key_lock.hpp and tested under ThreadSanitizer. Left out are also nodes
 * that are ended outside the shard mutex, walks over all keys, threads that hold one key and wait
 * for another (the wait-for graph), and waiters left behind by a fork. Tasks are in tasks.pml,
 * which defines TASKS and includes this.
 *
 * A step bears the name of the function that it stands for. One `atomic` is one step. It touches at
 * most one thing that a thread without the shard mutex may touch at the same time: a state word
 * that others have pinned, or a waiter's `woken`. What only the holder of the mutex may touch
 * (table, order, queues, words without pins) is in the same step, as is taking the mutex before it
 * and giving it up after it: no other thread can tell. A loop of compare-exchanges that changes one
 * word by what that word says is one step too, and so are a look and a later step that would be
 * right whatever the look had shown: `pin` after `pin_and_try_lock`, `stop_waking` and `unpin`
 * after `try_lock_pinned`. Here these come at any time.
 *
 * Bugs, and how each is found:
 *   BUG_NO_PIN                assertion: node_is_alive
 *   BUG_FAST_VALUELESS        assertion: i4
 *   BUG_RELEASE_BY_STORE      assertion: pins_are_counted
 *   BUG_WITHDRAW_LEAVES_BIT   assertion: i7
 *   BUG_LEAKED_PIN            assertion: pins_are_counted
 *   BUG_KEEP_WAKING           assertion: i9
 *   BUG_WITHDRAW_RACE         assertion: waiter_is_alive
 *   BUG_NO_EVICTION           assertion: i10
 *   BUG_KEEP_SET_ASIDE        assertion: i10
 *   BUG_DROPPED_WAKE          end state
 *   BUG_NO_HAND_OVER          cycle
 *   BUG_SHARED_OVERTAKES      assertion: i12
 *   BUG_ADMIT_BESIDE_SHARERS  assertion: mutual_exclusion
 *   BUG_ADMIT_ONE_SHARER      assertion: not_lost
 *   BUG_UNPIN_ADMITS_NOBODY   assertion: not_lost
 *   BUG_SHARED_BY_STORE       assertion: i7
 *   BUG_AGAIN_WITHOUT_PIN     assertion: pins_are_counted
 *   BUG_AGAIN_QUEUES          end state
 *   BUG_UPGRADE_BESIDE_SHARER assertion: mutual_exclusion
 *   BUG_UPGRADE_BY_STORE      assertion: mutual_exclusion
 *   BUG_DOWNGRADE_BY_STORE    assertion: pins_are_counted
 *   BUG_DOWNGRADE_LETS_GO     assertion: mutual_exclusion
 *   BUG_DOWNGRADE_TO_NOBODY   assertion: not_lost
 */

#ifdef BUG_NO_HAND_OVER
#define LIVE
#endif
#if defined(BUG_NO_EVICTION) || defined(BUG_KEEP_SET_ASIDE)
#define CACHE
#endif
#if defined(BUG_RELEASE_BY_STORE) || defined(BUG_SHARED_BY_STORE) || \
  defined(BUG_UPGRADE_BY_STORE) || defined(BUG_DOWNGRADE_BY_STORE) || \
  defined(BUG_DOWNGRADE_LETS_GO)
#define BUG_BY_STORE /* one step is two */
#endif

#if defined(CACHE) || defined(LIVE)
#define THREADS 3
#else
#define THREADS 4
#endif
#ifdef CACHE
#define NODES 2 /* as many as there are keys */
#define BOUND 1 /* the second key is to evict the first */
#else
#define NODES 1
#endif
#define NONE 3

#define EXCLUSIVE 0
#define SHARED 1

/* -- state_word.hpp; three bits for the pins, and as owner the thread's number + 1 ------------- */

#define HAS_VALUE 1
#define LOCKED 2
#define HAS_WAITERS 4
#define WAKING 8
#define EVICT_ON_RELEASE 16
#define ONE_PIN 32
#define ONE_SHARER 256
#define PINS(w) (((w) >> 5) & 7)
#define FIELD(w) ((w) >> 8)
#define IS_LOCKED(w) (((w) & LOCKED) != 0)
#define SHARERS(w) (IS_LOCKED(w) -> 0 : FIELD(w))
#define LOCKED_BY(w, who) (IS_LOCKED(w) && FIELD(w) == (who) + 1)
#define IN_TABLE(w) (((w) & HAS_VALUE) || PINS(w) != 0)
#define FREE(w) (!IS_LOCKED(w) && FIELD(w) == 0)
#ifdef BUG_SHARED_OVERTAKES
#define ALLOWS(w, mode) ((mode) == EXCLUSIVE -> FREE(w) : !IS_LOCKED(w))
#else
#define ALLOWS(w, mode) ((mode) == EXCLUSIVE -> FREE(w) : ((w) & (LOCKED | HAS_WAITERS)) == 0)
#endif
#define WANTS_WAKE_UP(w) (((w) & (HAS_WAITERS | WAKING)) == HAS_WAITERS && FREE(w))
#ifdef BUG_FAST_VALUELESS
#define WANTS_SECTION(w) (WANTS_WAKE_UP(w) || ((w) & EVICT_ON_RELEASE))
#else
#define WANTS_SECTION(w) ((w) != HAS_VALUE && (PINS(w) == 0 || WANTS_WAKE_UP(w)))
#endif
#define LOCK(w, who, mode) \
  ((mode) == EXCLUSIVE -> ((w) | LOCKED | (((who) + 1) << 8)) : ((w) + ONE_SHARER))
#define OF_SOLE_HOLDER(who, mode, value) LOCK(ONE_PIN | (value), who, mode)
#define RELEASE(w, value) ((((w) & 255 & ~(LOCKED | HAS_VALUE)) - ONE_PIN) | (value))
#define RELEASE_SHARED(w) ((w) - ONE_SHARER - ONE_PIN)
#define DOWNGRADE(w, value) (RELEASE(w, value) + ONE_PIN + ONE_SHARER)
#define UPGRADE(w, who) LOCK((w) - ONE_SHARER, who, EXCLUSIVE)
#define UNPIN(w) ((w) - ONE_PIN)

short word[NODES];

/* -- Guarded by the shard mutex ---------------------------------------------------------------- */

bit mutex;
byte key_of[NODES];  /* the table: a node's key + 1; 0 is a node that is in no table */
short queue[NODES];  /* of waiters, thread + 1 in three bits each, from the front; 0 is the end */
#ifdef CACHE
bit aside[NODES];    /* the order: the nodes that are set aside, */
bit newest;          /* and the newer one of two that are not */
#endif

#define FIRST(waiters) ((waiters) & 7)
#define SECOND(waiters) (((waiters) >> 3) & 7)
#define THIRD(waiters) (((waiters) >> 6) & 7)
#define CONTAINS(waiters, who) \
  (FIRST(waiters) == (who) + 1 || SECOND(waiters) == (who) + 1 || THIRD(waiters) == (who) + 1 || \
   ((waiters) >> 9) == (who) + 1)

/* -- Each owner's own -------------------------------------------------------------------------- */

bit mode[THREADS];
bit woken[THREADS];
bit granted[THREADS];
#ifdef LIVE
bit starving[THREADS]; /* it was passed over */
#endif

/* -- Released and Admission, within one step --------------------------------------------------- */

short state;
short rest; /* of the queue */
byte admitted;
bit grant;
#ifdef CACHE
bit put_back;
#endif

/* -- For assertions: sets of threads, as bits -------------------------------------------------- */

byte users[NODES];   /* threads that may touch the node while the mutex is free */
byte sharers[NODES]; /* threads that hold the key shared, */
byte again[NODES];   /* and those of them that do so twice */
byte dangling;       /* threads whose node was taken from them */
byte coming[NODES];  /* taken out of the queue and not granted the key (I9) */
byte leaving[NODES]; /* out of the queue, with a pin to give up */
byte alive;          /* threads whose Waiter exists */
#ifdef CACHE
byte evicting;       /* threads whose operation evicts on release (I10) */
#endif
#ifdef LIVE
bit wanting;         /* thread 0 waits */
#endif
byte writer[NODES];  /* who is at the value, + 1 */
byte readers[NODES]; /* who reads it */
bit value[NODES];    /* whether there is a value */

#define BIT(who) (1 << (who))
#define SELF BIT(t)
#define COUNT(set) (((set) & 1) + (((set) >> 1) & 1) + (((set) >> 2) & 1) + (((set) >> 3) & 1))

#define MUTUAL_EXCLUSION(i) (!IS_LOCKED(word[i]) || (sharers[i] | again[i]) == 0)
#define PINS_ARE_COUNTED(i) (PINS(word[i]) == COUNT(users[i]) + COUNT(again[i]))
#define SHARERS_ARE_COUNTED(i) (SHARERS(word[i]) == COUNT(sharers[i]) + COUNT(again[i]))
#define UNUSED_IS_0(i) (key_of[i] != 0 || (word[i] == 0 && users[i] == 0 && queue[i] == 0))
#define I4(i) (key_of[i] == 0 || IN_TABLE(word[i]))
#define I7(i) (((word[i] & HAS_WAITERS) != 0) == (queue[i] != 0))
#define I9(i) (COUNT(coming[i]) == ((word[i] & WAKING) != 0))
/* Whoever is at the head of the queue cannot go on, or somebody is about to look. */
#define CAN_GO_ON(i) \
  (queue[i] != 0 && \
   (mode[FIRST(queue[i]) - 1] == EXCLUSIVE -> FREE(word[i]) : !IS_LOCKED(word[i])))
#define NOT_LOST(i) (!CAN_GO_ON(i) || (word[i] & WAKING) || leaving[i] != 0)
#ifdef CACHE
#define SIZE ((key_of[0] != 0) + (key_of[1] != 0))
#define WILL_EVICT(i) (PINS(word[i]) != 0 && (word[i] & EVICT_ON_RELEASE))
#define IS_OVER_FOR_A_REASON (SIZE <= BOUND || WILL_EVICT(0) || WILL_EVICT(1) || evicting != 0)
#define HAS_BIT_WHILE_ASIDE(i) (((word[i] & EVICT_ON_RELEASE) != 0) == aside[i])
#define I10 (IS_OVER_FOR_A_REASON && HAS_BIT_WHILE_ASIDE(0) && HAS_BIT_WHILE_ASIDE(1))
#define BOTH(claim) (claim(0) && claim(1))
#define FIND(key) (key_of[0] == (key) + 1 -> 0 : (key_of[1] == (key) + 1 -> 1 : NONE))
#define UNUSED_NODE (key_of[0] == 0 -> 0 : 1)
#else
#define I10 (!(word[0] & EVICT_ON_RELEASE))
#define BOTH(claim) claim(0)
#define FIND(key) (key_of[0] == (key) + 1 -> 0 : NONE)
#define UNUSED_NODE 0
#endif

#if defined(BUG_NO_PIN) || defined(BUG_WITHDRAW_RACE)
#define require(claim) true /* they would fail before harm is done */
#else
#define require(claim) assert(claim)
#endif

/* The names under which spin reports what does not hold. */
hidden byte mutual_exclusion, pins_are_counted, sharers_are_counted, unused_is_0;
hidden byte i4, i7, i9, i10, i12, not_lost, node_is_alive, waiter_is_alive;

/* -- Sections ---------------------------------------------------------------------------------- */

/* With LIVE the mutex is fair, which ShardMutex is only by chance: the first to arrive takes it. */
#ifdef LIVE
chan arrivals = [THREADS] of { byte };
#define ARRIVE arrivals ! t;
#define MAY_ENTER (mutex == 0 && arrivals ? [eval(t)])
#define ENTER arrivals ? eval(t); mutex = 1
#else
#define ARRIVE
#define MAY_ENTER (mutex == 0)
#define ENTER mutex = 1
#endif

inline leave() {
  d_step {
#ifdef CACHE
    if
    :: key_of[0] == 0 || key_of[1] == 0 || aside[0] || aside[1] -> newest = 0
    :: else
    fi;
#endif
    mutual_exclusion = BOTH(MUTUAL_EXCLUSION);
    require(mutual_exclusion);
    pins_are_counted = BOTH(PINS_ARE_COUNTED);
    require(pins_are_counted);
    sharers_are_counted = BOTH(SHARERS_ARE_COUNTED);
    require(sharers_are_counted);
    i10 = I10;
    require(i10);
    unused_is_0 = BOTH(UNUSED_IS_0);
    require(unused_is_0);
    i4 = BOTH(I4);
    require(i4);
    i7 = BOTH(I7);
    require(i7);
    i9 = BOTH(I9);
    require(i9);
    not_lost = BOTH(NOT_LOST);
    require(not_lost);
    mutex = 0
  }
}

/* Before a state word is touched without the mutex. */
inline touch_word() {
  node_is_alive = !(dangling & SELF);
  assert(node_is_alive)
}

/* -- WaitQueues -------------------------------------------------------------------------------- */

inline push_back() {
  if
  :: queue[n] == 0 -> queue[n] = t + 1
#if THREADS > 3
  :: SECOND(queue[n]) != 0 ->
     require(THIRD(queue[n]) == 0);
     queue[n] = queue[n] | ((t + 1) << 6)
#endif
  :: else ->
     require(SECOND(queue[n]) == 0);
     queue[n] = queue[n] | ((t + 1) << 3)
  fi
}

inline push_front() { queue[n] = (queue[n] << 3) | (t + 1) }

inline remove(who) {
  if
  :: FIRST(queue[n]) == who + 1 -> queue[n] = queue[n] >> 3
#if THREADS > 3
  :: THIRD(queue[n]) == who + 1 -> queue[n] = queue[n] & 63
#endif
  :: else ->
     require(SECOND(queue[n]) == who + 1);
     queue[n] = (queue[n] & 7) | ((queue[n] >> 6) << 3)
  fi
}

/* -- KeyLock: locking without waiting ---------------------------------------------------------- */

/* What all ways of locking a key oneself have in common. */
inline held() {
  i12 = (mode[t] == EXCLUSIVE || queue[n] == 0 || mine != 0);
  require(i12);
  users[n] = users[n] | SELF;
  if
  :: mode[t] == SHARED -> sharers[n] = sharers[n] | SELF
  :: else
  fi;
  coming[n] = coming[n] & ~SELF;
  leaving[n] = leaving[n] & ~SELF;
  mine = 0
}

inline lock_unpinned() {
  require(writer[n] == 0 && readers[n] == 0); /* I3 */
  word[n] = OF_SOLE_HOLDER(t, mode[t], word[n] & HAS_VALUE);
  held()
}

#define MAY_PIN_AND_LOCK ALLOWS(word[n], mode[t])
inline pin_and_try_lock() {
  word[n] = LOCK(word[n] + ONE_PIN, t, mode[t]);
  held()
}

inline pin() {
#ifndef BUG_NO_PIN
  word[n] = word[n] + ONE_PIN;
#endif
  users[n] = users[n] | SELF
}

#define MAY_LOCK_PINNED (mine != 0 -> FREE(word[n]) : ALLOWS(word[n], mode[t]))
inline try_lock_pinned() {
  touch_word();
  word[n] = LOCK(word[n], t, mode[t]) & ~mine;
  held()
}

inline lock_again() {
  touch_word();
#ifdef BUG_AGAIN_WITHOUT_PIN
  word[n] = word[n] + ONE_SHARER;
#else
  word[n] = word[n] + ONE_SHARER + ONE_PIN;
#endif
  again[n] = again[n] | SELF
}

#ifdef BUG_UPGRADE_BESIDE_SHARER
#define MAY_UPGRADE_NOW true
#else
#define MAY_UPGRADE_NOW (SHARERS(word[n]) == 1)
#endif
inline try_upgrade() {
#ifdef BUG_UPGRADE_BY_STORE
  seen = UPGRADE(word[n], t);
  goto store
#else
  word[n] = UPGRADE(word[n], t);
  upgraded()
#endif
}

/* Its caller goes on to use what it holds: as it does so in the same step, nobody came before. */
inline upgraded() {
  mutual_exclusion = (sharers[n] == SELF && again[n] == 0);
  require(mutual_exclusion);
  sharers[n] = sharers[n] & ~SELF;
  readers[n] = readers[n] & ~SELF;
  mode[t] = EXCLUSIVE;
  begin_to_write()
}

/* -- KeyLock: waiting -------------------------------------------------------------------------- */

inline lock_or_enqueue() {
  if
  :: MAY_LOCK_PINNED ->
     try_lock_pinned();
     leave();
     goto locked
  :: else ->
     touch_word();
     word[n] = (word[n] & ~mine) | HAS_WAITERS;
     if
     :: mine != 0 ->
        push_front();
#ifdef LIVE
        starving[t] = 1;
#endif
        coming[n] = coming[n] & ~SELF;
        mine = 0
     :: else -> push_back()
     fi;
     alive = alive | SELF
  fi
}

inline withdraw(who) {
  remove(who);
#ifndef BUG_WITHDRAW_LEAVES_BIT
  if
  :: queue[n] == 0 ->
     touch_word();
     word[n] = word[n] & ~HAS_WAITERS
  :: else
  fi;
#endif
#ifdef TASKS
  if
  :: IS_TASK(who) /* its frame lives on */
  :: !IS_TASK(who) -> alive = alive & ~BIT(who)
  fi;
#else
  alive = alive & ~BIT(who);
#endif
  leaving[n] = leaving[n] | BIT(who)
}

inline stop_waking() {
  touch_word();
#ifndef BUG_KEEP_WAKING
  word[n] = word[n] & ~WAKING;
#endif
  mine = 0;
  coming[n] = coming[n] & ~SELF;
  leaving[n] = leaving[n] | SELF
}

#ifdef TASKS
#include "resume_queue.inc"
#endif

/* -- KeyLock: releasing ------------------------------------------------------------------------ */

/* What all ways of releasing have in common. */
inline no_longer_held() {
  if
  :: again[n] & SELF -> again[n] = again[n] & ~SELF
  :: else ->
     users[n] = users[n] & ~SELF;
     sharers[n] = sharers[n] & ~SELF
  fi
}

#define IS_UNWANTED \
  (has_value && word[n] == OF_SOLE_HOLDER(t, EXCLUSIVE, word[n] & HAS_VALUE))
inline try_release_unwanted() {
  word[n] = HAS_VALUE;
  no_longer_held()
}

#define MAY_TRY_RELEASE (!WANTS_SECTION(RELEASE(word[n], has_value)))
inline try_release() {
#ifdef BUG_RELEASE_BY_STORE
  seen = RELEASE(word[n], has_value);
  goto store
#else
  word[n] = RELEASE(word[n], has_value);
  no_longer_held()
#endif
}

#define MAY_TRY_RELEASE_SHARED (!WANTS_SECTION(RELEASE_SHARED(word[n])))
inline try_release_shared() {
#ifdef BUG_SHARED_BY_STORE
  seen = RELEASE_SHARED(word[n]);
  goto store
#else
  word[n] = RELEASE_SHARED(word[n]);
  no_longer_held()
#endif
}

#define MAY_TRY_DOWNGRADE ((word[n] & HAS_WAITERS) == 0)
inline try_downgrade() {
#if defined(BUG_DOWNGRADE_BY_STORE)
  seen = DOWNGRADE(word[n], has_value);
  goto store
#elif defined(BUG_DOWNGRADE_LETS_GO)
  word[n] = RELEASE(word[n], has_value) + ONE_PIN;
  seen = ONE_SHARER;
  goto store
#else
  word[n] = DOWNGRADE(word[n], has_value);
  downgraded()
#endif
}

inline downgraded() {
  sharers[n] = sharers[n] | SELF;
  has_value = 0
}

/* Waiter::is_starving: sooner or later; with LIVE, if the waiter was passed over before; a task
 * always */
#ifdef LIVE
#define IS_STARVING starving[FIRST(rest) - 1]
#elif defined(TASKS) && !defined(BUG_TASK_NOT_GRANTED)
#define IS_STARVING IS_TASK(FIRST(rest) - 1)
#else
#define IS_STARVING false
#endif

inline admit() {
  if
  :: (state & (LOCKED | WAKING)) || !(state & HAS_WAITERS)
#ifdef CACHE
     ->
     if
     :: PINS(state) == 0 && (state & EVICT_ON_RELEASE) ->
        state = state & ~EVICT_ON_RELEASE;
        put_back = 1
     :: else
     fi
#endif
#ifdef BUG_DROPPED_WAKE
  :: else
#else
  :: else ->
     rest = queue[n];
     require(rest != 0);
     if
     :: mode[FIRST(rest) - 1] == EXCLUSIVE ->
        if
#ifndef BUG_ADMIT_BESIDE_SHARERS
        :: !FREE(state)
        :: FREE(state) ->
#else
        :: true ->
#endif
           if
#ifndef BUG_NO_HAND_OVER
           :: true ->
              grant = 1;
              state = LOCK(state, FIRST(rest) - 1, EXCLUSIVE)
#endif
#ifdef BUG_NO_HAND_OVER
           :: true -> state = state | WAKING
#else
           :: !IS_STARVING -> state = state | WAKING
#endif
           fi;
           admitted = 1;
           rest = rest >> 3
        fi
     :: else ->
        grant = 1;
        do
        :: rest != 0 && mode[FIRST(rest) - 1] == SHARED ->
           state = LOCK(state, FIRST(rest) - 1, SHARED);
           admitted++;
           rest = rest >> 3;
#ifdef BUG_ADMIT_ONE_SHARER
           break
#endif
        :: else -> break
        od
     fi;
     if
     :: rest == 0 -> state = state & ~HAS_WAITERS
     :: else
     fi
#endif
  fi
}

inline conclude() {
  d_step {
    do
    :: admitted != 0 ->
       rest = FIRST(queue[n]) - 1;
       queue[n] = queue[n] >> 3;
       if
       :: grant ->
          granted[rest] = 1;
          if
          :: mode[rest] == SHARED -> sharers[n] = sharers[n] | (1 << rest)
          :: else
          fi
       :: else -> coming[n] = coming[n] | (1 << rest)
       fi;
       if
#ifdef TASKS
       :: IS_TASK(rest) -> put_in_queue(rest)
       :: !IS_TASK(rest) && to_wake == 0 -> to_wake = rest + 1
       :: !IS_TASK(rest) && to_wake != 0 -> to_wake = to_wake | ((rest + 1) << 3)
#else
       :: to_wake == 0 -> to_wake = rest + 1
       :: to_wake != 0 && SECOND(to_wake) == 0 -> to_wake = to_wake | ((rest + 1) << 3)
       :: else -> to_wake = to_wake | ((rest + 1) << 6)
#endif
       fi;
       admitted--
    :: else -> break
    od;
    grant = 0;
    rest = 0;
    state = 0
  }
}

/* KeyLock::leave, and what comes of release_wanted; `state` is what is left. */
inline leave_key() {
  touch_word();
  admit();
  word[n] = state;
  conclude()
}

/* A `leave_key` follows each of these: it is large, and so is in the model only twice. */
inline release() {
  no_longer_held();
  state = RELEASE(word[n], has_value)
}

inline release_shared() {
  no_longer_held();
  state = RELEASE_SHARED(word[n])
}

inline downgrade() {
  state = DOWNGRADE(word[n], has_value);
  downgraded()
}

inline unpin(who) {
  users[n] = users[n] & ~BIT(who);
  leaving[n] = leaving[n] & ~BIT(who);
#ifdef BUG_LEAKED_PIN
  state = word[n]
#else
  state = UNPIN(word[n])
#endif
}

/* -- Shard ------------------------------------------------------------------------------------- */

/* Shard::unlink_node and Slab::free */
inline unlink() {
  d_step {
    require(writer[n] == 0 && readers[n] == 0 && queue[n] == 0);
    dangling = dangling | users[n] & ~SELF;
    users[n] = 0;
    sharers[n] = 0;
    again[n] = 0;
    key_of[n] = 0;
    word[n] = 0;
#ifdef CACHE
    aside[n] = 0;
#endif
    value[n] = 0
  }
}

#ifdef CACHE

/* KeyLock::set_aside and LruEviction::set_aside */
inline set_aside() {
  word[candidate] = word[candidate] | EVICT_ON_RELEASE;
  if
  :: PINS(word[candidate]) != 0 -> aside[candidate] = 1
  :: else -> word[candidate] = word[candidate] & ~EVICT_ON_RELEASE
  fi
}

/* KeyLock::clear_set_aside */
inline clear_set_aside() {
#ifndef BUG_KEEP_SET_ASIDE
  word[n] = word[n] & ~EVICT_ON_RELEASE
#else
  skip
#endif
}

/* Shard::evict */
inline evict() {
  require(word[candidate] == HAS_VALUE && candidate != kept);
  d_step {
    require(writer[candidate] == 0 && readers[candidate] == 0 && users[candidate] == 0);
    key_of[candidate] = 0;
    word[candidate] = 0;
    value[candidate] = 0
  }
}

/* LruEviction::on_touch */
inline touch() {
  aside[n] = 0;
  newest = n
}

#define IN_ORDER(i) (key_of[i] != 0 && !aside[i])
#define OLDEST (IN_ORDER(1 - newest) -> 1 - newest : (IN_ORDER(newest) -> newest : NONE))

/* Section::shrink */
inline shrink() {
  if
  :: SIZE > BOUND ->
     candidate = OLDEST;
     goto shrink_slow
  :: else
  fi
}

/* Section::touch_pinned */
inline touch_pinned() {
  if
  :: true /* Touch::quiet */
  :: true ->
     touch();
     if
     :: word[n] & EVICT_ON_RELEASE ->
        clear_set_aside();
        shrink()
     :: else
     fi
  fi
}

#else
#define touch() skip
#define touch_pinned() skip
#define shrink() skip
#endif

/* Section::finish, but for waking: what a release or a withdrawal leaves to the shard */
inline finish() {
  if
  :: !IN_TABLE(word[n]) -> unlink()
  :: else
#ifdef CACHE
     ->
     if
     :: put_back ->
        aside[n] = 0;
        newest = 1 - n
     :: else
     fi
#endif
  fi
}

/* -- The threads ------------------------------------------------------------------------------- */

/* The caller begins to use what it holds. */
inline begin_to_write() {
  mutual_exclusion = (writer[n] == 0 && readers[n] == 0);
  require(mutual_exclusion);
  require(LOCKED_BY(word[n], t));
  require(value[n] == (word[n] & HAS_VALUE));
  writer[n] = t + 1
}

inline begin_to_read() {
  mutual_exclusion = (writer[n] == 0);
  require(mutual_exclusion);
  require(sharers[n] & SELF);
  require(value[n] == (word[n] & HAS_VALUE));
  readers[n] = readers[n] | SELF
}

#ifndef TASKS
#define MAY_LEAVE_NOTHING true
#endif

/* The caller of an exclusive hold stores a value or not, and is done with it. */
inline leave_value() {
  if
  :: has_value = HAS_VALUE
  :: MAY_LEAVE_NOTHING -> has_value = 0
  fi;
  require(writer[n] == t + 1);
  writer[n] = 0;
  value[n] = has_value
}

inline wake_one() {
  waiter_is_alive = (alive & BIT(FIRST(to_wake) - 1)) != 0;
  assert(waiter_is_alive);
  woken[FIRST(to_wake) - 1] = 1;
  to_wake = to_wake >> 3
}

/* The operation is over. */
inline end_operation() {
  d_step {
    require(((users[0] | sharers[0] | again[0] | coming[0] | leaving[0] | alive) & SELF) == 0);
    require(!CONTAINS(queue[0], t));
#ifdef CACHE
    require(((users[1] | sharers[1] | again[1] | coming[1] | leaving[1] | evicting) & SELF) == 0);
    require(!CONTAINS(queue[1], t));
    candidate = 0;
    kept = NONE;
#endif
    n = NONE;
    mode[t] = EXCLUSIVE;
#ifdef TASKS
    end_callback();
#endif
#ifdef LIVE
    changed = 0;
#endif
    has_value = 0
  }
}

/* After a section */
inline go_on() {
  if
  :: to_wake != 0 -> goto wake
#ifdef TASKS
  :: to_wake == 0 && IS_TO_RESUME ->
     running[SELF_QUEUE] = 1;
     if
     :: n != NONE && !(users[n] & SELF) -> n = NONE /* it is done with it */
     :: else
     fi;
     goto resume
  :: to_wake == 0 && !IS_TO_RESUME && n != NONE && (users[n] & SELF) -> goto begin_to_use
#else
  :: to_wake == 0 && n != NONE && (users[n] & SELF) -> goto begin_to_use
#endif
  :: else ->
     end_operation();
     goto idle
  fi
}

/* One that never gives up finds every wake-up that is lost. */
#ifdef CACHE
#define MAY_GIVE_UP (t == 2)
#define MAY_SHARE (t != 0)
#define MAY_READ_AGAIN (t == 1)
#define MAY_CHANGE (t != 0 && !(evicting & SELF))
#elif defined(LIVE)
#define MAY_GIVE_UP (t == 2)
#define MAY_SHARE true
#define MAY_READ_AGAIN !changed /* a thread that did so for ever would let nobody else in */
#define MAY_CHANGE !changed
#define change() changed = 1
#elif defined(TASKS)
#define MAY_GIVE_UP (t == 1)
#define MAY_SHARE (t == 1)
#define MAY_WRITE (t == 0)
#else
#define MAY_GIVE_UP (t != 0)
#define MAY_SHARE true
#define MAY_READ_AGAIN (t < 3) /* so that three bits are enough for the pins */
#define MAY_CHANGE true
#endif
#ifndef LIVE
#define change() skip
#endif
#ifndef TASKS
#define MAY_WRITE true
#endif

proctype Thread(byte t) {
  byte n = NONE;   /* the node */
  byte mine;       /* the waking bit of a waiter that is on its way */
  bit late;        /* its deadline has passed, and it was admitted just before */
  short to_wake;   /* WakeList */
  bit has_value;   /* that the holder leaves */
#ifdef CACHE
  byte kept = NONE;
  byte candidate;  /* Shard::oldest_unpinned */
#endif
#ifdef LIVE
  bit changed;     /* it has taken its hold again, or changed its mode */
#endif
#ifdef BUG_BY_STORE
  short seen;      /* what it is about to store */
#endif
#ifdef TASKS
  bit blocking;    /* it is about to sleep, and resumes what it owes before */
  bit cancels;     /* it runs the callback of a stop */
  byte next;       /* the task that it resumes */
#endif

idle:
  ARRIVE
  atomic {
    if
#ifdef TASKS
    :: running[t] -> goto resume
    :: !running[t] -> goto stop
    :: MAY_CANCEL ->
       cancels = 1;
       in_callback = t + 1;
       stoppable = 0;
       goto cancel
#elif !defined(LIVE)
    :: goto stop
#endif
    :: MAY_ENTER
    fi;
    ENTER;
    if
    :: n = FIND(0)
#ifdef CACHE
    :: n = FIND(1); state = 1
#endif
    fi;
    if
    :: MAY_WRITE -> mode[t] = EXCLUSIVE
    :: MAY_SHARE -> mode[t] = SHARED
    fi;
    if
    :: n == NONE -> /* Section::find_or_make */
       n = UNUSED_NODE;
       require(key_of[n] == 0 && word[n] == 0 && !value[n]);
       key_of[n] = state + 1;
       state = 0;
       touch();
#ifdef CACHE
       kept = n;
#endif
       if
       :: lock_unpinned() /* lock_found */
#if !defined(LIVE) && !defined(TASKS)
       :: mode[t] == EXCLUSIVE -> /* Section::store_first */
          word[n] = HAS_VALUE;
          value[n] = 1
#endif
#ifdef CACHE
       :: mode[t] == EXCLUSIVE -> /* ShardedMap::store_first, with a construction that may throw */
          lock_unpinned();
          evicting = evicting | SELF;
          leave();
          go_on()
#endif
       fi;
       shrink();
       leave();
       go_on()
    :: else ->
       state = 0;
       if
       :: PINS(word[n]) == 0 -> /* try_hold */
          lock_unpinned();
          touch();
          leave();
          goto begin_to_use
       :: PINS(word[n]) != 0 && MAY_PIN_AND_LOCK ->
          pin_and_try_lock();
          touch_pinned();
          leave();
          goto begin_to_use
       :: true -> /* hold_contended: the key may have been released in between */
          pin();
#ifdef LIVE
          wanting = wanting | (t == 0);
#endif
          leave()
#if !defined(LIVE) && !defined(TASKS)
       :: PINS(word[n]) == 0 && mode[t] == SHARED -> /* ShardedMap::get, insert: in place */
          require(writer[n] == 0 && readers[n] == 0);
          touch();
          leave();
          end_operation();
          goto idle
       :: PINS(word[n]) == 0 && mode[t] == EXCLUSIVE -> /* Section::unlink */
          unlink();
          leave();
          end_operation();
          goto idle
#endif
       fi
    fi
  }

  /* KeyLock::wait */
  if
  :: MAY_GIVE_UP -> goto give_up /* expired already, or in a deadlock */
  :: true
  fi;
#ifdef TASKS
  if
  :: atomic {
       MAY_LOCK_PINNED;
       try_lock_pinned();
       goto locked
     }
#ifndef BUG_OWES_WHILE_ASLEEP
  :: to_resume[t] != 0 -> /* ResumeQueue::run_before_blocking */
     blocking = 1;
     goto resume
  :: to_resume[t] == 0
#else
  :: true
#endif
  fi;
#endif
go_on_waiting:
  do
  :: atomic { /* KeyLock::spin. To see the key held changes nothing. */
       MAY_LOCK_PINNED;
       try_lock_pinned();
       goto locked
     }
  :: ARRIVE
     atomic {
       MAY_ENTER;
       ENTER;
       lock_or_enqueue();
       leave();
       break
     }
  od;

  /* KeyLock::sleep */
  do
  :: atomic {
       woken[t];
       woken[t] = 0;
       alive = alive & ~SELF;
       if
       :: granted[t] ->
          granted[t] = 0;
          late = 0;
          goto locked
       :: else ->
          require(coming[n] & SELF);
          mine = WAKING;
#ifdef TASKS
          goto go_on_waiting
#else
          if
          :: late -> break
          :: else -> goto go_on_waiting
          fi
#endif
       fi
     }
#ifndef TASKS
  :: MAY_GIVE_UP && !late && !woken[t] ->
     ARRIVE
     atomic {
       MAY_ENTER;
       ENTER;
       if
       :: CONTAINS(queue[n], t) ->
          withdraw(t);
          leave();
          goto give_up
       :: else ->
          leave();
#ifdef BUG_WITHDRAW_RACE
          alive = alive & ~SELF;
          goto give_up
#else
          late = 1 /* the wake-up has yet to arrive */
#endif
       fi
     }
#endif
  od;

#ifndef TASKS
  ARRIVE
  atomic {
    MAY_ENTER;
    ENTER;
    late = 0;
    if
    :: MAY_LOCK_PINNED ->
       try_lock_pinned();
       leave();
       goto locked
    :: true ->
       stop_waking();
       leave()
    fi
  }
#endif

give_up:
  ARRIVE
  atomic { /* hold_contended */
    MAY_ENTER;
    ENTER;
    if
    :: MAY_LOCK_PINNED ->
       try_lock_pinned();
       touch_pinned();
       leave();
       goto begin_to_use
    :: true
    fi;
    unpin(t);
#ifdef TASKS
    goto left /* the rest is the same */
  }
#else
#ifdef BUG_UNPIN_ADMITS_NOBODY
    touch_word();
    word[n] = state;
    state = 0;
#else
    leave_key();
#endif
    finish();
#ifdef CACHE
    if
    :: put_back ->
       put_back = 0;
       shrink()
    :: else
    fi;
#endif
    leave();
    go_on()
  }
#endif

locked:
#ifdef CACHE
  atomic { /* hold_contended, in a section of its own */
    MAY_ENTER;
    ENTER;
    touch_pinned();
    leave()
  }
#endif

begin_to_use:
  atomic {
#ifdef CACHE
    kept = NONE;
    candidate = 0;
#endif
#ifdef LIVE
    wanting = wanting & (t != 0);
    starving[t] = 0;
#endif
    if
    :: mode[t] == EXCLUSIVE -> begin_to_write()
    :: else -> begin_to_read()
    fi
  }

holding:
  atomic {
    if
#ifndef TASKS
    :: mode[t] == SHARED && MAY_READ_AGAIN && !(again[n] & SELF) -> goto read_again
    :: mode[t] == SHARED && MAY_CHANGE && MAY_UPGRADE_NOW ->
       touch_word();
       change();
       try_upgrade();
       goto holding
    :: mode[t] == EXCLUSIVE && MAY_CHANGE -> /* downgrade */
       leave_value();
       change();
       mode[t] = SHARED;
       readers[n] = readers[n] | SELF;
       touch_word();
       if
       :: MAY_TRY_DOWNGRADE ->
          try_downgrade();
          goto holding
       :: else -> goto in_section
       fi
#endif
    :: mode[t] == EXCLUSIVE -> leave_value() /* release, release_slow */
    :: mode[t] == SHARED ->
       require(readers[n] & SELF);
       if
       :: again[n] & SELF
       :: else -> readers[n] = readers[n] & ~SELF
       fi
    fi;
    touch_word();
    if
#ifdef CACHE
    :: evicting & SELF -> skip /* Eviction::others_now */
    :: !(evicting & SELF) && mode[t] == EXCLUSIVE
#else
    :: mode[t] == EXCLUSIVE
#endif
       ->
       if
       :: IS_UNWANTED ->
          try_release_unwanted();
          end_operation();
          goto idle
       :: MAY_TRY_RELEASE ->
          try_release();
          end_operation();
          goto idle
       :: else
       fi
    :: mode[t] == SHARED ->
       if
       :: MAY_TRY_RELEASE_SHARED ->
          try_release_shared();
          if
          :: users[n] & SELF -> goto begin_to_use
          :: else ->
             end_operation();
             goto idle
          fi
       :: else
       fi
    fi
  }
in_section:
  ARRIVE
  atomic {
    MAY_ENTER;
    ENTER;
    if
    :: mode[t] == EXCLUSIVE -> release()
#ifndef TASKS
    :: mode[t] == SHARED && IS_LOCKED(word[n]) -> downgrade()
#endif
    :: else -> release_shared()
    fi;
#ifdef BUG_DOWNGRADE_TO_NOBODY
    if
    :: sharers[n] & SELF ->
       word[n] = state;
       state = 0;
       leave();
       goto begin_to_use
    :: else
    fi;
#endif
left:
    leave_key();
    finish();
#ifdef TASKS
    if
    :: cancels ->
       canceled();
       cancels = 0;
       n = NONE
    :: else
    fi;
#endif
#ifdef CACHE
    if
    :: put_back || (evicting & SELF) ->
       if
       :: key_of[n] != 0 -> kept = n /* Eviction::others, others_now */
       :: !(evicting & SELF) || key_of[n] == 0 /* Eviction::any */
       fi;
       put_back = 0;
       evicting = evicting & ~SELF;
#ifndef BUG_NO_EVICTION
       shrink()
#endif
    :: else
    fi;
#endif
    leave();
    go_on()
  }

#ifndef TASKS
read_again:
  ARRIVE
  atomic { /* try_hold_pinned: that pin_and_try_lock does the same, unless somebody waits */
#ifdef BUG_AGAIN_QUEUES
    MAY_ENTER && MAY_PIN_AND_LOCK;
#else
    MAY_ENTER;
#endif
    ENTER;
    change();
    lock_again();
    touch_pinned();
    leave();
    goto begin_to_use
  }
#endif

#ifdef BUG_BY_STORE
store:
  atomic {
#ifdef BUG_DOWNGRADE_LETS_GO
    word[n] = word[n] + seen;
#else
    word[n] = seen;
#endif
    seen = 0;
#if defined(BUG_UPGRADE_BY_STORE)
    upgraded();
    goto holding
#elif defined(BUG_DOWNGRADE_BY_STORE) || defined(BUG_DOWNGRADE_LETS_GO)
    downgraded();
    goto holding
#else
    no_longer_held();
    if
    :: users[n] & SELF -> goto begin_to_use
    :: else ->
       end_operation();
       goto idle
    fi
#endif
  }
#endif

#ifdef CACHE
shrink_slow:
  /* Shard::oldest_unpinned. With two nodes and a bound of one the excess is one. */
  do
  :: atomic {
       if
       :: candidate == NONE ->
          leave();
          go_on()
       :: candidate != NONE && PINS(word[candidate]) != 0
       :: candidate != NONE && PINS(word[candidate]) == 0 && candidate != kept ->
          evict();
          leave();
          go_on()
       :: else -> goto newer
       fi
     }
     atomic {
       set_aside();
       if
       :: !aside[candidate] && candidate != kept -> /* its last pin has just gone */
          evict();
          leave();
          go_on()
       :: else
       fi
     }
newer:
     atomic {
       candidate = (candidate == 1 - newest && IN_ORDER(newest) -> newest : NONE)
     }
  od;
#endif

#ifdef TASKS
cancel:
  atomic { /* TaskWait::withdraw_for_stop, KeyLock::cancel */
    MAY_ENTER;
    ENTER;
    n = 0;
    if
    :: CONTAINS(queue[n], CANCELED) ->
       withdraw(CANCELED);
       unpin(CANCELED);
       goto left
    :: else ->
#ifdef BUG_CANCEL_DOES_NOT_LOOK
       gave_up = 1;
#endif
       cancels = 0;
       n = NONE;
       leave();
       go_on()
    fi
  }

resume: /* ResumeQueue::run_now */
  do
  :: atomic {
       CALLS_NOBODY && to_resume[t] != 0;
       take()
     }
  :: atomic {
       CALLS_NOBODY && to_resume[t] == 0;
       if
       :: blocking ->
          blocking = 0;
          goto go_on_waiting
       :: else ->
          running[t] = 0;
          go_on()
       fi
     }
  :: atomic { /* one that was resumed asks for the key as a thread, or requests a stop */
       t == 0 && CALLS_NOBODY && n == NONE && in_callback != t + 1;
       goto idle
     }
  od;
#endif

wake:
  atomic { /* WakeList::wake_all */
    wake_one();
    go_on()
  }

stop:
  skip
}

#ifndef TASKS
init {
  atomic {
    run Thread(0);
    run Thread(1);
    run Thread(2);
#if THREADS > 3
    run Thread(3)
#endif
  }
}
#endif

#ifdef LIVE
ltl served { [] (wanting -> <> !wanting) }
#endif
