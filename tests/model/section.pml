/* The structure lock of a shard: include/lockmap/detail/section.hpp, with reader_slots.hpp and
 * deferred_hold.hpp.
 *
 *   tests/model/check.sh section.pml           one shard; threads come, go and come again
 *   tests/model/check.sh section.pml NESTED    two shards; a reader of the first uses the second
 *   tests/model/check.sh section.pml BARRIER   plain and pinning bias, too, and process barriers
 *   tests/model/check.sh section.pml DEFER     two shards; readers defer their holds
 *   tests/model/check.sh section.pml LIVE      a writer that revokes the bias gets in
 *   tests/model/check.sh section.pml BUG_...   a bug is put in; it has to be found
 *
 * Three threads read and write without end, or stop at any time; every interleaving is looked at.
 * Labels and inlines bear the names of the functions of StructureLock.
 *
 * What it says: no reader is inside with a writer, nor are two writers; what a writer writes is
 * never read half done; a scan for readers misses none that joins the list of slots meanwhile, or
 * that took over the slot of one that has ended; nobody waits for ever, whenever the others stop.
 * With DEFER: in an exclusive section all holds are counted, each once, in the word of their key.
 *
 * What it does not say: anything about memory order, but for one thing. Interleavings are
 * sequentially consistent, which is what the protocol asks of ordered announcements, of looking at
 * the bias, and of revoking it. But with BARRIER, a plain announcement may stay in its thread's
 * store buffer for as long as the thread reads, unless a process barrier writes it back.
 *
 * A thread that reads a shard and meanwhile uses another may do so in one direction only: two that
 * do it crosswise would wait for each other, as they would with any two mutexes.
 *
 * Bugs, and how each is found:
 *   BUG_CHECK_BEFORE_ANNOUNCE   assertion: no_overlap
 *   BUG_JOIN_AFTER_ANNOUNCE     assertion: no_overlap
 *   BUG_BIAS_WITHOUT_MUTEX      assertion: no_overlap
 *   BUG_SCAN_BEFORE_BIAS_OFF    assertion: no_overlap
 *   BUG_NESTED_ANNOUNCE         assertion: no_overlap
 *   BUG_NO_BARRIER              assertion: no_overlap
 *   BUG_PLAIN_UNDER_ORDERED     assertion: no_overlap
 *   BUG_ORDERED_UNDER_PINNING   assertion: no_overlap
 *   BUG_READ_UNDER_PINNING      assertion: no_overlap
 *   BUG_DEFER_AFTER_LEAVING     assertion: all_counted
 *   BUG_WORD_BEFORE_LOCK        assertion: all_counted
 *   BUG_MARK_BEFORE_COUNT       assertion: all_counted
 *   BUG_NO_UNCOUNT              assertion: all_counted
 *   BUG_SLOT_KEPT               end state
 *   BUG_RETRY_ANNOUNCE          cycle
 */

#ifdef BUG_NESTED_ANNOUNCE
#define NESTED
#endif
#ifdef BUG_RETRY_ANNOUNCE
#define LIVE
#endif
#if defined(BUG_NO_BARRIER) || defined(BUG_PLAIN_UNDER_ORDERED) || \
  defined(BUG_ORDERED_UNDER_PINNING) || defined(BUG_READ_UNDER_PINNING)
#define BARRIER
#endif
#if defined(BUG_DEFER_AFTER_LEAVING) || defined(BUG_WORD_BEFORE_LOCK) || \
  defined(BUG_MARK_BEFORE_COUNT) || defined(BUG_NO_UNCOUNT)
#define DEFER
#endif
#if defined(NESTED) || defined(BARRIER) || defined(DEFER)
#define JOINED /* every thread has its slot from the beginning */
#endif

/* Bias */
#define UNBIASED 0
#define ORDERED 1
#define PLAIN 2
#define PINNING 3

#define THREADS 3
#ifdef DEFER /* one only reads, one only writes: else there are too many states */
#define FIRST_WRITER 1
#define LAST_READER 1
#else
#define FIRST_WRITER 0
#define LAST_READER 2
#endif
#define NONE 3
#if defined(NESTED) || defined(DEFER)
#define SHARDS 2
#else
#define SHARDS 1
#endif
#if defined(JOINED) || defined(LIVE)
#define READS 1 /* so many reads in a row turn the bias on */
#else
#define READS 2
#endif

/* -- A shard ----------------------------------------------------------------------------------- */

bit mutex[SHARDS];
byte bias[SHARDS];
byte reads[SHARDS]; /* under the mutex, since the last writer */
bit half[SHARDS];   /* what is read and written, in two steps */
bit other_half[SHARDS];

/* -- The list of slots ------------------------------------------------------------------------- */

byte head = NONE;
byte next[THREADS] = NONE;
bit owned[THREADS];    /* the slot belongs to a thread */
byte reading[THREADS]; /* the shard that its thread announces + 1; 0 is none */
byte made;             /* how many slots there are */
#ifdef DEFER
byte place_lock[THREADS]; /* DeferredHold: the shard */
byte place_word[THREADS]; /* the shard of the key + 1; 0 is none */
bit marked[THREADS];
byte sharers[SHARDS]; /* in the word of the one key of a shard */
#endif
#ifdef BARRIER
byte buffered[THREADS]; /* what a store to `reading` that is still in its thread's buffer says */
#endif

/* -- For assertions ---------------------------------------------------------------------------- */

byte writers[SHARDS];
byte readers[SHARDS];
#ifdef BARRIER
byte pinners; /* in pinning sections */
#endif
#ifdef LIVE
bit revoking; /* thread 0 has turned the bias off and waits for readers */
#endif
#ifdef BUG_NESTED_ANNOUNCE
#define MAY_ANNOUNCE true
#else
#define MAY_ANNOUNCE (reading[slot] == 0)
#endif

/* The names under which spin reports what does not hold. */
hidden byte no_overlap;
hidden byte not_torn;
#ifdef DEFER
hidden byte all_counted;
#endif

inline consider_bias() {
  reads[shard] = 0;
  if
  :: bias[shard] == UNBIASED -> bias[shard] = ORDERED /* B2 */
  :: else
  fi
}

#ifdef BARRIER
inline process_barrier() {
#ifdef BUG_NO_BARRIER
  skip
#else
  i = 0;
  do
  :: i < THREADS ->
     if
     :: buffered[i] != 0 ->
        reading[i] = buffered[i];
        buffered[i] = 0
     :: else
     fi;
     i++
  :: else -> break
  od;
  i = 0
#endif
}
#endif

inline must_be_without_writer() {
#ifdef BARRIER
  no_overlap = (writers[shard] == 0 && pinners == 0);
#else
  no_overlap = (writers[shard] == 0);
#endif
  assert(no_overlap)
}

inline begin_to_read() {
  must_be_without_writer();
  readers[shard]++;
  seen = half[shard]
}

inline end_to_read() {
  must_be_without_writer();
  not_torn = (seen == other_half[shard]);
  assert(not_torn);
  seen = 0;
  readers[shard]--
}

/* The operation is over: the thread goes on with what it was doing before, or is idle. */
inline finish() {
#ifdef NESTED
  if
  :: nested ->
     nested = 0;
     shard = 0;
     announced = outer_announced;
     outer_announced = 0;
     seen = outer_seen;
     outer_seen = 0;
     goto unlock_shared
  :: else -> goto idle
  fi
#else
  goto idle
#endif
}

proctype Thread(byte t) {
#ifdef JOINED
  byte slot = t; /* see init */
#else
  byte slot = NONE;
#endif
  byte scanned = NONE;
  byte shard;
  bit announced;       /* the thread reads without the mutex */
  bit nested;          /* it reads shard 0 meanwhile, */
  bit outer_announced; /* without the mutex */
  bit seen;            /* whether there is the bias; then the first half of what is read */
#ifdef BARRIER
  byte kind;           /* the bias that it announces itself for, or has found and is to end */
  bit pins;            /* it is to pin, not to read */
  bit reads_after;     /* it ends the pinning bias in order to read */
  byte i;
#endif
#ifdef DEFER
  byte word;
#endif
  bit outer_seen;

idle:
#if defined(NESTED) || defined(DEFER)
  if
  :: shard = 0
  :: shard = 1
  :: goto stop
  fi;
#elif defined(JOINED)
  if
  :: true
  :: goto stop
  fi;
#endif

begin:
  atomic {
    if
    :: t >= FIRST_WRITER -> goto lock
#ifndef JOINED
    :: goto give_back
#endif
    :: t <= LAST_READER -> skip /* lock_shared */
    fi;
#ifdef BARRIER
    kind = bias[shard];
    if
    :: kind == ORDERED && !mutex[shard] -> bias[shard] = PLAIN /* make_plain, B2 */
    :: kind == PINNING -> /* lock_for_pinning */
       pins = 1;
       goto announce
    :: kind == PINNING -> goto lock_mutex
    :: kind != PINNING
    fi;
#endif
    if
    :: !bias[shard] -> goto lock_mutex
#ifndef BUG_NESTED_ANNOUNCE
    :: bias[shard] && slot != NONE && reading[slot] != 0 -> goto lock_mutex /* B4 */
#endif
    :: bias[shard] && slot != NONE && MAY_ANNOUNCE -> goto announce
#ifndef JOINED
    :: bias[shard] && slot == NONE -> goto lock_mutex /* no memory, or the thread is ending */
    :: bias[shard] && slot == NONE -> scanned = head /* ReaderSlots::take */
#endif
    fi
  }
#ifndef JOINED
  do
  :: atomic {
       scanned != NONE;
       if
       :: !owned[scanned] ->
          owned[scanned] = 1;
          slot = scanned;
          scanned = NONE;
          goto announce
       :: else -> scanned = next[scanned]
       fi
     }
  :: atomic {
       scanned == NONE; /* nobody knows of the new slot yet */
       slot = made;
       made++;
       owned[slot] = 1;
#ifdef BUG_JOIN_AFTER_ANNOUNCE
       reading[slot] = shard + 1;
       seen = (bias[shard] != UNBIASED);
#endif
       scanned = head;
       next[slot] = head;
       break
     }
  od;
  do
  :: atomic {
       if
       :: head == scanned -> /* compare-exchange */
          head = slot;
          scanned = NONE;
#ifdef BUG_JOIN_AFTER_ANNOUNCE
          goto announced_early
#else
          goto announce
#endif
       :: else ->
          scanned = head;
          next[slot] = head
       fi
     }
  od;
#endif

announce:
#ifdef BARRIER
  if
  :: kind != ORDERED -> buffered[slot] = shard + 1
  :: reading[slot] = shard + 1 /* a plain store may also arrive at once */
  fi;
#else
  reading[slot] = shard + 1;
#endif
  atomic {
#ifdef BUG_CHECK_BEFORE_ANNOUNCE
    seen = 1;
#else
    seen = (bias[shard] != UNBIASED); /* B1 */
#ifdef BARRIER
    if
#ifndef BUG_PLAIN_UNDER_ORDERED
    :: kind == PLAIN -> seen = (bias[shard] == PLAIN)
#endif
#ifndef BUG_ORDERED_UNDER_PINNING
    :: kind == ORDERED -> seen = (bias[shard] == ORDERED || bias[shard] == PLAIN)
#endif
    :: kind == PINNING -> seen = (bias[shard] == PINNING)
    :: else
    fi;
#endif
#endif
#ifdef BARRIER
    kind = UNBIASED;
    if
    :: seen && pins ->
       no_overlap = (writers[shard] == 0 && readers[shard] == 0);
       assert(no_overlap);
       pinners++;
       seen = 0;
       goto pinning
    :: else
    fi;
#endif
announced_early:
    if
    :: seen ->
       announced = 1;
       begin_to_read();
       goto inside
    :: else
    fi
  }
#ifndef BUG_SLOT_KEPT
  atomic {
#ifdef BARRIER
    buffered[slot] = 0; /* or both stores arrive, one behind the other */
#endif
    reading[slot] = 0
  }
#endif
#ifdef BUG_RETRY_ANNOUNCE
  if
  :: goto announce
  :: true
  fi;
#endif

#ifdef BARRIER
  if
  :: pins ->
     pins = 0;
     goto lock
  :: else
  fi;
#endif

lock_mutex:
  atomic {
    !mutex[shard];
    mutex[shard] = 1;
#ifdef BARRIER
    if
#ifndef BUG_READ_UNDER_PINNING
    :: bias[shard] == PINNING -> /* B5 */
       reads_after = 1;
       kind = PINNING;
       bias[shard] = UNBIASED;
       goto revoke
#endif
    :: else
    fi
  }
read_under_mutex:
  atomic {
#endif
    reads[shard]++;
#ifndef BUG_BIAS_WITHOUT_MUTEX
    if
    :: reads[shard] == READS -> consider_bias()
    :: else
    fi;
#endif
    begin_to_read()
  }

inside:
#ifdef NESTED
  atomic {
    if
    :: shard == 0 -> /* KeyEqual may use another map */
       nested = 1;
       outer_announced = announced;
       outer_seen = seen;
       announced = 0;
       shard = 1;
       goto begin
    :: true
    fi
  }
#endif
#ifdef DEFER
  if
#ifndef BUG_DEFER_AFTER_LEAVING
  :: announced -> /* begin */
#ifdef BUG_WORD_BEFORE_LOCK
     place_word[slot] = shard + 1;
     place_lock[slot] = shard;
#else
     place_lock[slot] = shard;
     place_word[slot] = shard + 1;
#endif
     announced = 0;
     reading[slot] = 0;
     goto end
#else
  :: announced ->
     announced = 0;
     reading[slot] = 0;
     place_lock[slot] = shard;
     place_word[slot] = shard + 1;
     goto end
#endif
  :: true
  fi;
#endif
unlock_shared:
  atomic {
    end_to_read();
    if
    :: announced ->
       announced = 0;
#ifdef BARRIER
       buffered[slot] = 0;
#endif
       reading[slot] = 0;
       finish()
    :: else
    fi;
    mutex[shard] = 0;
#ifdef BUG_BIAS_WITHOUT_MUTEX
    if
    :: reads[shard] >= READS -> skip
    :: else -> finish()
    fi
  }
  atomic {
    consider_bias();
#endif
    finish()
  }

lock:
  atomic {
    !mutex[shard];
    mutex[shard] = 1;
    reads[shard] = 0;
    if
    :: !bias[shard] -> goto change
    :: else /* revoke */
    fi
#ifndef BUG_SCAN_BEFORE_BIAS_OFF
    ;
#ifdef LIVE
    revoking = revoking | (t == 0);
#endif
#ifdef BARRIER
    kind = bias[shard];
#endif
    bias[shard] = UNBIASED
#endif
  }
#ifdef BARRIER
revoke:
  atomic {
    if
    :: kind != ORDERED -> process_barrier()
    :: else
    fi;
    kind = UNBIASED
  }
#endif
  scanned = head; /* ReaderSlots::wait_for_readers */
  do
  :: atomic {
       scanned != NONE && reading[scanned] != shard + 1;
       scanned = next[scanned]
     }
  :: atomic {
       scanned == NONE;
#ifdef BUG_SCAN_BEFORE_BIAS_OFF
       bias[shard] = UNBIASED;
#endif
       break
     }
  od;

#ifdef DEFER
  scanned = head; /* ReaderSlots::count_deferred */
  do
  :: atomic {
       scanned != NONE -> word = place_word[scanned];
       if
       :: word == 0 || marked[scanned] ->
          word = 0;
          scanned = next[scanned]
       :: else
       fi
     }
     if
     :: atomic { word != 0 && place_lock[scanned] == shard ->
          all_counted = (word == shard + 1); /* D3 */
          assert(all_counted);
#ifdef BUG_MARK_BEFORE_COUNT
          marked[scanned] = 1
#else
          sharers[shard]++
#endif
        }
        atomic {
#ifdef BUG_MARK_BEFORE_COUNT
          sharers[shard]++;
#else
          if
          :: place_word[scanned] == word -> marked[scanned] = 1
          :: else ->
#ifndef BUG_NO_UNCOUNT
             sharers[shard]--
#else
             skip
#endif
          fi;
#endif
          word = 0;
          scanned = next[scanned]
        }
     :: atomic { word != 0 && place_lock[scanned] != shard ->
          word = 0;
          scanned = next[scanned]
        }
     :: word == 0
     fi
  :: scanned == NONE -> break
  od;
#endif

#ifdef BARRIER
  if
  :: reads_after ->
     reads_after = 0;
     goto read_under_mutex
  :: else
  fi;
#endif

change:
  atomic {
#ifdef LIVE
    revoking = revoking & (t != 0);
#endif
#ifdef DEFER
    all_counted = (readers[shard] == sharers[shard]);
    assert(all_counted);
    if
    :: sharers[shard] != 0 -> /* the key is held */
       mutex[shard] = 0;
       finish()
    :: else
    fi;
#endif
    must_be_without_writer();
    no_overlap = (readers[shard] == 0);
    assert(no_overlap);
    writers[shard]++;
#ifndef NESTED
    half[shard] = !half[shard]
#endif
  }
  atomic {
    other_half[shard] = half[shard];
    writers[shard]--;
#ifdef BARRIER
    if
    :: bias[shard] = PINNING /* let_pin */
    :: true
    fi;
#endif
    mutex[shard] = 0; /* unlock */
    finish()
  }

#ifdef DEFER
end:
  atomic {
    assert(place_word[slot] == shard + 1);
    place_word[slot] = 0;
    if
    :: marked[slot] -> marked[slot] = 0
    :: else ->
       end_to_read();
       finish()
    fi
  }
  atomic { /* release_shared */
    all_counted = (sharers[shard] != 0);
    assert(all_counted);
    sharers[shard]--;
    end_to_read();
    finish()
  }
#endif

#ifdef BARRIER
pinning:
  atomic {
    no_overlap = (writers[shard] == 0 && readers[shard] == 0);
    assert(no_overlap);
    pinners--;
    pins = 0;
    buffered[slot] = 0;
    reading[slot] = 0;
    finish()
  }
#endif

#ifndef JOINED
give_back:
  atomic { /* ReaderSlots::give_back */
    if
    :: slot != NONE ->
       assert(reading[slot] == 0);
       owned[slot] = 0;
       slot = NONE
    :: else
    fi;
    if
#ifndef LIVE
    :: goto idle /* as another thread */
#endif
    :: true
    fi
  }
#endif

stop:
  skip
}

init {
  atomic {
#ifdef JOINED
    head = 0;
    next[0] = 1;
    next[1] = 2;
#endif
    run Thread(0);
    run Thread(1);
    run Thread(2)
  }
}

#ifdef LIVE
ltl gets_in { [] (revoking -> <> !revoking) }
#endif
