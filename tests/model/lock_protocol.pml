/* The lock protocol of one shard: include/lockmap/detail/shard.hpp, state_word.hpp, waiter.hpp.
 *
 *   tests/model/check.sh lock_protocol.pml           every interleaving of three threads, two keys
 *   tests/model/check.sh lock_protocol.pml LIVE      fewer operations, but no waiter starves
 *   tests/model/check.sh lock_protocol.pml BUG_...   a bug is put in; it has to be found
 *
 * What it says: no two threads hold a key; no thread touches a node that was given back, though
 * nodes are used again at once; I4, I7, I9, I10 and "pins are what they count" hold whenever the
 * shard mutex is given up; a time-out leaves no pin; no thread sleeps for ever, whenever the others
 * stop; and (LIVE) a waiter gets its key though others come for it again and again.
 *
 * What it does not say: anything about memory order. Interleavings are sequentially consistent; the
 * orders are argued for in shard.hpp and tested under ThreadSanitizer. Left out are also nodes that
 * are ended outside the shard mutex, walks over all keys, and threads that hold one key and wait
 * for another (the wait-for graph).
 *
 * One `atomic` is one step. It touches at most one thing that a thread without the shard mutex may
 * touch at the same time: a state word that others have pinned, or a waiter's `woken`. What only
 * the holder of the mutex may touch (table, order, wait list, words without pins) is in the same
 * step, as is taking the mutex before it and giving it up after it: no other thread can tell. A
 * loop of compare-exchanges that changes one word by what that word says is one step too; but the
 * fast release is two, a load and a compare-exchange.
 *
 * Bugs, and how each is found:
 *   BUG_NO_PIN             assertion: node_is_alive
 *   BUG_FAST_VALUELESS     assertion: i4
 *   BUG_RELEASE_BY_STORE   assertion: i7
 *   BUG_LEAKED_PIN         assertion: pins_are_counted
 *   BUG_KEEP_WAKING        assertion: i9
 *   BUG_WITHDRAW_RACE      assertion: waiter_is_alive
 *   BUG_NO_EVICTION        assertion: i10
 *   BUG_DROPPED_WAKE       end state
 *   BUG_NO_HAND_OVER       cycle
 */

#ifdef BUG_NO_HAND_OVER
#define LIVE
#endif

#define THREADS 3
#define NODES 2 /* as many as there are keys */
#define NONE 3
#ifndef BOUND
#define BOUND 1 /* of the cache: the second key is to evict the first */
#endif

/* state_word.hpp; three bits for the pins, and as owner the thread's number + 1 */
#define HAS_VALUE 1
#define LOCKED 2
#define HAS_WAITERS 4
#define WAKING 8
#define EVICT 16
#define PIN 32
#define PINS(w) (((w) >> 5) & 7)
#define IS_LOCKED(w) (((w) & LOCKED) != 0)
#define OWNER(w) ((w) >> 8)
#define LOCKED_BY(w, who) (OWNER(w) == (who) + 1)
#define LOCK(w, who) (((w) & 255) | LOCKED | (((who) + 1) << 8))
#define RELEASE(w, value) ((((w) & 255 & ~(LOCKED | HAS_VALUE)) - PIN) | (value))
#define WANTS_WAKE_UP(w) (((w) & (HAS_WAITERS | WAKING)) == HAS_WAITERS)

short word[NODES]; /* the state words */

/* -- Guarded by the shard mutex ---------------------------------------------------------------- */

bit mutex;
byte key_of[NODES];  /* the table: a node's key + 1; 0 is a node that is in no table */
bit newest;          /* the order, of two */
byte list[THREADS];  /* the wait list, from the front: thread + 1; 0 is the end */
byte at[THREADS];    /* the node that a waiter waits for */

#define SIZE ((key_of[0] != 0) + (key_of[1] != 0))
#define FIND(key) (key_of[0] == (key) + 1 -> 0 : (key_of[1] == (key) + 1 -> 1 : NONE))
#define WAITS(i, node) (list[i] != 0 && at[list[i] - 1] == (node))
/* WaitList::first */
#define FIRST(node) \
  (WAITS(0, node) -> list[0] : (WAITS(1, node) -> list[1] : (WAITS(2, node) -> list[2] : 0)))
/* WaitList::contains */
#define LISTED(who) (list[0] == (who) + 1 || list[1] == (who) + 1 || list[2] == (who) + 1)

/* -- Each waiter's own ------------------------------------------------------------------------- */

bit woken[THREADS];
bit starving[THREADS]; /* it was passed over; only with LIVE */

/* -- For assertions: sets of threads, as bits -------------------------------------------------- */

byte users[NODES];  /* threads that may touch the node while the mutex is free */
byte dangling;      /* threads whose node was taken from them */
byte coming;        /* taken out of the list and not handed the key (I9) */
byte waiters;       /* threads whose Waiter exists */
#ifdef LIVE
bit wanting;        /* thread 0 waits */
#endif
byte inside[NODES]; /* who is at the value, + 1 */
bit value[NODES];   /* whether there is a value */

#define SELF (1 << t)
#define COUNT(set) (((set) & 1) + (((set) >> 1) & 1) + (((set) >> 2) & 1))
#define COMING_TO(i, node) (((coming >> (i)) & 1) && at[i] == (node))
#define COMING(node) (COMING_TO(0, node) + COMING_TO(1, node) + COMING_TO(2, node))

#define PINS_ARE_COUNTED(i) (PINS(word[i]) == COUNT(users[i]))
#define UNUSED_IS_0(i) (key_of[i] != 0 || (word[i] == 0 && users[i] == 0))
#define I4(i) (key_of[i] == 0 || PINS(word[i]) != 0 || (word[i] & HAS_VALUE))
#define I7(i) (((word[i] & HAS_WAITERS) != 0) == (FIRST(i) != 0))
#define I9(i) (COMING(i) == ((word[i] & WAKING) != 0))
/* Who sleeps will be woken: by a release to come, or by one that is on its way. */
#define NOT_LOST(i) (IS_LOCKED(word[i]) || !(word[i] & HAS_WAITERS) || (word[i] & WAKING))
#define WILL_EVICT(i) (PINS(word[i]) != 0 && (word[i] & EVICT))

#ifdef BUG_NO_PIN
#define require(claim) true /* they would fail before harm is done */
#else
#define require(claim) assert(claim)
#endif

/* The names under which spin reports what does not hold. */
hidden byte pins_are_counted, unused_is_0, i4, i7, i9, not_lost, i10;
hidden byte node_is_alive, waiter_is_alive;

/* Section::leave */
inline leave() {
  d_step {
    pins_are_counted = PINS_ARE_COUNTED(0) && PINS_ARE_COUNTED(1);
    require(pins_are_counted);
    i10 = SIZE <= BOUND || WILL_EVICT(0) || WILL_EVICT(1);
    require(i10);
    unused_is_0 = UNUSED_IS_0(0) && UNUSED_IS_0(1);
    require(unused_is_0);
    i4 = I4(0) && I4(1);
    require(i4);
    i7 = I7(0) && I7(1);
    require(i7);
    i9 = I9(0) && I9(1);
    require(i9);
    not_lost = NOT_LOST(0) && NOT_LOST(1);
    require(not_lost);
    mutex = 0
  }
}

/* Section::enter. With LIVE the mutex is fair, which ShardMutex is only by chance: the first in the
 * queue takes it. */
#ifdef LIVE
chan queue = [THREADS] of { byte };
#define QUEUE_UP queue ! t;
#define MAY_ENTER (mutex == 0 && queue ? [eval(t)])
#define ENTER queue ? eval(t); mutex = 1
#else
#define QUEUE_UP
#define MAY_ENTER (mutex == 0)
#define ENTER mutex = 1
#endif

#ifdef LIVE
#define TIMED false
#else
#define TIMED (t != 0) /* one that never gives up finds every wake-up that is lost */
#endif

/* Before a state word is touched without the mutex. */
inline touch() {
  node_is_alive = !(dangling & SELF);
  assert(node_is_alive)
}

/* What each way of locking the key has in common; `left` are bits of the word that go. */
inline lock_word(left) {
  word[n] = LOCK(word[n], t) & ~(left);
  coming = coming & ~SELF;
  waiters = waiters & ~SELF
}

/* Shard::take_out and Slab::put */
inline take_out(node) {
  d_step {
    require(inside[node] == 0);
    dangling = dangling | users[node] & ~SELF;
    users[node] = 0;
    key_of[node] = 0;
    word[node] = 0;
    value[node] = 0
  }
}

/* Shard::evict */
inline evict(node) {
  require(word[node] & HAS_VALUE);
  take_out(node)
}

/* WaitList::remove */
inline remove(waiter) {
  d_step {
    if
    :: list[0] == waiter -> list[0] = list[1]; list[1] = list[2]
    :: list[1] == waiter -> list[1] = list[2]
    :: else -> require(list[2] == waiter)
    fi;
    list[2] = 0
  }
}

/* Shard::shrink */
inline shrink() {
  if
  :: SIZE > BOUND ->
     seen = 0;
     candidate = 1 - newest;
     goto evict_oldest
  :: else
  fi
}

/* The caller begins to use an Entry. */
inline use() {
  require(LOCKED_BY(word[n], t));
  require(inside[n] == 0);
  require(value[n] == (word[n] & HAS_VALUE));
  inside[n] = t + 1
}

/* The operation is over. */
inline finish() {
  d_step {
    require(((users[0] | users[1] | waiters | coming) & SELF) == 0 && !LISTED(t));
    n = NONE;
    keep = NONE;
    candidate = 0;
    seen = 0;
    has_value = 0
  }
}

/* Shard::unlock_with_aftermath, after the mutex was given up: by a thread that has released a key */
inline aftermath() {
  if
  :: to_wake != 0 -> goto wake
  :: else ->
     finish();
     goto idle
  fi
}

/* The same, by one that may have made and locked a node */
inline aftermath_or_use() {
  if
  :: users[n] & SELF ->
     keep = NONE;
     candidate = 0;
     use();
     goto using
  :: else -> aftermath()
  fi
}

proctype Thread(byte t) {
  byte key;
  byte n = NONE;    /* the node */
  byte keep = NONE; /* Shard::shrink */
  byte candidate;   /* Shard::shrink_slow */
  byte to_wake;     /* Aftermath::to_wake, + 1 */
  short seen;       /* the state word as the thread saw it last */
  byte mine;        /* Shard::wait_in_list: the waking bit, once woken */
  bit late;         /* its deadline passed while it was taken out of the list */
  bit has_value;    /* Entry::has_value_ */

idle:
  QUEUE_UP
  atomic {
#ifndef LIVE
    if
    :: goto stop
    :: MAY_ENTER
    fi;
    if :: key = 0 :: key = 1 fi;
#else
    MAY_ENTER;
#endif
    ENTER;
    n = FIND(key);
    if
    :: n == NONE -> /* Shard::find_or_make */
       n = (key_of[0] == 0 -> 0 : 1);
       require(key_of[n] == 0 && word[n] == 0 && !value[n]);
       key_of[n] = key + 1;
       key = 0;
       newest = n;
       keep = n;
       if
       :: /* Shard::try_lock, pins 0 */
          word[n] = PIN;
          users[n] = users[n] | SELF;
          lock_word(0)
#ifndef LIVE
       :: /* Shard::store_first */
          word[n] = HAS_VALUE;
          value[n] = 1
#endif
       fi;
       shrink();
       leave();
       aftermath_or_use()
    :: n != NONE && PINS(word[n]) == 0 ->
       key = 0;
       require(inside[n] == 0); /* I3 */
       if
       :: /* Shard::try_lock, pins 0 */
          newest = n;
          word[n] = word[n] + PIN;
          users[n] = users[n] | SELF;
          lock_word(0);
          leave();
          use();
          goto using
#ifndef LIVE
       :: /* ShardedMap::get, insert: in place */
          newest = n;
          leave();
          finish();
          goto idle
       :: /* Shard::unlink */
          take_out(n);
          leave();
          finish();
          goto idle
#endif
       fi
    :: n != NONE && PINS(word[n]) != 0 ->
       key = 0;
       if
       :: !IS_LOCKED(word[n]) -> /* Shard::try_lock, pins > 0 */
          word[n] = word[n] + PIN;
          users[n] = users[n] | SELF;
          lock_word(0);
          newest = n;
          leave();
          use();
          goto using
#ifndef LIVE
       :: IS_LOCKED(word[n]) -> /* Immediately: ShardedMap::try_entry */
          leave();
          finish();
          goto idle
#endif
       :: IS_LOCKED(word[n]) -> skip
       fi
    fi
  }
  atomic {
    /* Shard::lock_key_slow: the holder may have released in between */
#ifndef BUG_NO_PIN
    word[n] = word[n] + PIN;
#endif
    users[n] = users[n] | SELF;
    at[t] = n;
#ifdef LIVE
    wanting = wanting | (t == 0);
#endif
    leave();
    if
    :: TIMED -> goto give_up /* Shard::lock_key_pinned: expired already */
    :: true
    fi
  }

spin:
  do
  :: /* Shard::spin, Shard::try_lock_pinned. To see the key locked changes nothing. */
     atomic {
       !late && !IS_LOCKED(word[n]);
       touch();
       lock_word(mine);
       goto locked
     }
  :: /* Shard::wait_in_list */
     QUEUE_UP
     atomic {
       MAY_ENTER; /* Shard::try_lock_or_note */
       touch();
       if
       :: !IS_LOCKED(word[n]) ->
          ENTER;
          lock_word(mine);
          leave();
          goto locked
       :: else -> ENTER
       fi;
       coming = coming & ~SELF;
#ifdef BUG_KEEP_WAKING
       if :: late -> mine = 0 :: else fi;
#endif
       word[n] = word[n] & ~mine;
       if
       :: late ->
          waiters = waiters & ~SELF;
          mine = 0;
          late = 0;
          leave();
          goto give_up
       :: else
       fi;
       waiters = waiters | SELF;
       word[n] = word[n] | HAS_WAITERS;
       d_step {
         if
         :: mine == 0 -> /* WaitList::push_back */
            if
            :: list[0] == 0 -> list[0] = t + 1
            :: list[0] != 0 && list[1] == 0 -> list[1] = t + 1
            :: else -> require(list[2] == 0); list[2] = t + 1
            fi
         :: else -> /* WaitList::push_front */
            require(list[2] == 0);
            list[2] = list[1];
            list[1] = list[0];
            list[0] = t + 1;
#ifdef LIVE
            starving[t] = 1
#endif
         fi
       };
       mine = 0;
       leave();
       break
     }
  od;

  /* Waiter::sleep */
  do
  :: atomic {
       woken[t];
       woken[t] = 0;
       touch();
       if
       :: LOCKED_BY(word[n], t) -> /* handed over */
          waiters = waiters & ~SELF;
          late = 0;
          goto locked
       :: else ->
          require(coming & SELF);
          mine = WAKING;
          goto spin
       fi
     }
#ifndef LIVE
  :: atomic {
       TIMED && !late && !woken[t] && MAY_ENTER; /* Shard::withdraw */
       ENTER;
       if
       :: LISTED(t) ->
          remove(t + 1);
          if
          :: FIRST(n) == 0 -> touch(); word[n] = word[n] & ~HAS_WAITERS
          :: else
          fi;
          waiters = waiters & ~SELF;
          leave();
          goto give_up
       :: else ->
          leave();
#ifdef BUG_WITHDRAW_RACE
          waiters = waiters & ~SELF;
          goto give_up
#else
          late = 1 /* the wake-up has yet to arrive */
#endif
       fi
     }
#endif
  od;

give_up:
  /* Shard::lock_key_pinned, after the deadline or in a deadlock */
  atomic {
    MAY_ENTER;
    ENTER;
    touch();
    if
    :: !IS_LOCKED(word[n]) -> /* Shard::try_lock_pinned */
       lock_word(0);
       leave();
       goto locked
    :: true /* ... or a deadlock was found */
    fi
  }
  atomic { /* Shard::give_up_pin: the holder may have released in between */
    at[t] = 0;
    users[n] = users[n] & ~SELF;
#ifndef BUG_LEAKED_PIN
    word[n] = word[n] - PIN;
#endif
    if
    :: PINS(word[n]) == 0 && !(word[n] & HAS_VALUE) -> /* Shard::discard */
       take_out(n)
    :: PINS(word[n]) == 0 && (word[n] & HAS_VALUE) && (word[n] & EVICT) ->
       word[n] = word[n] & ~EVICT;
       shrink()
    :: else
    fi;
    leave();
    finish();
    goto idle
  }

locked:
  /* Shard::lock_key_slow: Order::on_touch in a section of its own */
  QUEUE_UP
  atomic {
    MAY_ENTER;
    ENTER;
    newest = n;
    at[t] = 0;
    mine = 0;
#ifdef LIVE
    wanting = wanting & (t != 0);
    starving[t] = 0;
#endif
    leave();
    use()
  }

using:
  atomic {
    if
    :: has_value = 1
    :: has_value = 0
    fi;
    value[n] = has_value;
    require(inside[n] == t + 1);
    inside[n] = 0;
    touch();
    seen = word[n] /* Shard::release */
  }

#ifdef BUG_FAST_VALUELESS
#define MAY_RELEASE_FAST(w) (!WANTS_WAKE_UP(w) && !((w) & EVICT))
#else
#define MAY_RELEASE_FAST(w) \
  (!WANTS_WAKE_UP(w) && !((w) & EVICT) && (has_value || PINS(w) > 1))
#endif
  do
  :: atomic {
       MAY_RELEASE_FAST(seen);
       touch();
       if
#ifdef BUG_RELEASE_BY_STORE
       :: true ->
#else
       :: word[n] == seen ->
#endif
          word[n] = RELEASE(seen, has_value);
          users[n] = users[n] & ~SELF;
          finish();
          goto idle
       :: else -> seen = word[n]
       fi
     }
  :: !MAY_RELEASE_FAST(seen) ->
     QUEUE_UP
     atomic {
       MAY_ENTER; /* Shard::release_slow */
       ENTER;
       touch();
       seen = word[n];
       if
       :: !has_value && PINS(seen) == 1 -> /* Shard::discard */
          take_out(n)
       :: else ->
          word[n] = RELEASE(word[n], has_value) & ~EVICT;
          users[n] = users[n] & ~SELF;
          if
#ifdef BUG_DROPPED_WAKE
          :: false ->
#else
          :: WANTS_WAKE_UP(seen) ->
#endif
             to_wake = FIRST(n);
             require(to_wake != 0);
             remove(to_wake);
             if
             :: FIRST(n) == 0 -> word[n] = word[n] & ~HAS_WAITERS
             :: else
             fi;
             if
#ifdef BUG_NO_HAND_OVER
             :: false ->
#else
             :: true -> /* Waiter::is_starving */
#endif
                word[n] = LOCK(word[n], to_wake - 1)
#ifdef BUG_NO_HAND_OVER
             :: true ->
#else
             :: !starving[to_wake - 1] ->
#endif
                word[n] = word[n] | WAKING;
                coming = coming | (1 << (to_wake - 1))
             fi
          :: else
          fi
       fi;
       if
#ifdef BUG_NO_EVICTION
       :: false ->
#else
       :: seen & EVICT ->
#endif
          if
          :: has_value -> keep = n
          :: true
          fi;
          shrink()
       :: else
       fi;
       leave();
       aftermath()
     }
  od;

evict_oldest:
  /* Shard::shrink_slow. With two nodes and a bound of one the excess is one. */
  do
  :: atomic { /* Shard::is_pinned */
       if
       :: PINS(word[candidate]) != 0
       :: PINS(word[candidate]) == 0 && candidate != keep ->
          evict(candidate);
          leave();
          aftermath_or_use()
       :: else -> goto next_candidate
       fi
     }
     atomic { /* Shard::ask_for_eviction */
       word[candidate] = word[candidate] | EVICT;
       if
       :: PINS(word[candidate]) == 0 && candidate != keep -> /* the last pin has just gone */
          evict(candidate);
          leave();
          aftermath_or_use()
       :: else
       fi
     }
next_candidate:
     atomic {
       if
       :: candidate != newest -> candidate = newest
       :: else ->
          leave();
          aftermath_or_use()
       fi
     }
  od;

wake:
  atomic { /* Waiter::wake */
    waiter_is_alive = (waiters & (1 << (to_wake - 1))) != 0;
    require(waiter_is_alive);
    woken[to_wake - 1] = 1;
    to_wake = 0;
    finish();
    goto idle
  }

stop:
  skip
}

init {
  atomic {
    run Thread(0);
    run Thread(1);
    run Thread(2)
  }
}

#ifdef LIVE
ltl served { [] (wanting -> <> !wanting) }
#endif
