/* The reader bias of the shard mutex: include/lockmap/detail/reader_bias.hpp.
 *
 *   tests/model/check.sh reader_bias.pml           one shard; threads come, go and come again
 *   tests/model/check.sh reader_bias.pml NESTED    two shards; a reader of the first uses the second
 *   tests/model/check.sh reader_bias.pml LIVE      a writer that revokes the bias gets in
 *   tests/model/check.sh reader_bias.pml BUG_...   a bug is put in; it has to be found
 *
 * Three threads read and write without end, or stop at any time; every interleaving is looked at.
 *
 * What it says: no reader is inside with a writer, nor are two writers; what a writer writes is
 * never read half done; a scan for readers misses none that joins the list of threads meanwhile, or
 * that took over the record of one that has ended; nobody waits for ever, whenever the others stop.
 *
 * What it does not say: anything about memory order. Interleavings are sequentially consistent,
 * which is what the protocol asks of announcing, of looking at the bias, and of turning it off. A
 * thread that reads a shard and meanwhile uses another may do so in one direction only: two that do
 * it crosswise would wait for each other, as they would with any two mutexes.
 *
 * Bugs, and how each is found:
 *   BUG_CHECK_BEFORE_ANNOUNCE   assertion: no_overlap
 *   BUG_JOIN_AFTER_ANNOUNCE     assertion: no_overlap
 *   BUG_BIAS_WITHOUT_MUTEX      assertion: no_overlap
 *   BUG_SCAN_BEFORE_BIAS_OFF    assertion: no_overlap
 *   BUG_NESTED_ANNOUNCE         assertion: no_overlap
 *   BUG_SLOT_KEPT               end state
 *   BUG_RETRY_ANNOUNCE          cycle
 */

#ifdef BUG_NESTED_ANNOUNCE
#define NESTED
#endif
#ifdef BUG_RETRY_ANNOUNCE
#define LIVE
#endif

#define THREADS 3
#define NONE 3
#ifdef NESTED
#define SHARDS 2
#define READS 1 /* so many reads without a writer turn the bias on */
#else
#define SHARDS 1
#define READS 2
#endif

/* -- A shard ----------------------------------------------------------------------------------- */

bit mutex[SHARDS];
bit bias[SHARDS];
byte reads[SHARDS]; /* under the mutex, since the last writer */
bit half[SHARDS];   /* what is read and written, in two steps */
bit other_half[SHARDS];

/* -- The list of threads ----------------------------------------------------------------------- */

byte head = NONE;
byte next[THREADS] = NONE;
bit taken[THREADS]; /* the record belongs to a thread */
byte slot[THREADS]; /* the shard that its thread announces + 1; 0 is none */
byte made;          /* how many records there are */

/* -- For assertions ---------------------------------------------------------------------------- */

byte writers[SHARDS];
byte readers[SHARDS];
#ifdef LIVE
bit revoking; /* thread 0 has turned the bias off and waits for readers */
#endif
#ifdef BUG_NESTED_ANNOUNCE
#define MAY_ANNOUNCE true
#else
#define MAY_ANNOUNCE (slot[record] == 0)
#endif

/* The names under which spin reports what does not hold. */
hidden byte no_overlap;
hidden byte not_torn;

inline must_be_without_writer() {
  no_overlap = (writers[shard] == 0);
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
     goto still_reading
  :: else -> goto idle
  fi
#else
  goto idle
#endif
}

proctype Thread(byte t) {
#ifdef NESTED
  byte record = t; /* all have joined: see init */
#else
  byte record = NONE;
#endif
  byte scanned = NONE;
  byte shard;
  bit announced;       /* the thread reads without the mutex */
  bit nested;          /* it reads shard 0 meanwhile, */
  bit outer_announced; /* without the mutex */
  bit seen;            /* the bias; then the first half of what is read */
  bit outer_seen;

idle:
#ifdef NESTED
  if
  :: shard = 0
  :: shard = 1
  :: goto stop
  fi;
#endif

begin:
  atomic {
    if
    :: goto write
    :: !bias[shard] -> goto lock /* ReaderBiasedMutex::lock_shared */
#ifndef BUG_NESTED_ANNOUNCE
    :: bias[shard] && record != NONE && slot[record] != 0 -> goto lock /* ReaderSlots::available */
#endif
    :: bias[shard] && record != NONE && MAY_ANNOUNCE -> goto announce
#ifndef NESTED
    :: goto leave
    :: bias[shard] && record == NONE -> scanned = head /* ReaderSlots::join */
#endif
    fi
  }
#ifndef NESTED
  do
  :: atomic {
       scanned != NONE;
       if
       :: !taken[scanned] -> /* ReaderSlots::take_over */
          taken[scanned] = 1;
          record = scanned;
          scanned = NONE;
          goto announce
       :: else -> scanned = next[scanned]
       fi
     }
  :: atomic {
       scanned == NONE; /* ReaderSlots::make; nobody knows of the record yet */
       record = made;
       made++;
       taken[record] = 1;
#ifdef BUG_JOIN_AFTER_ANNOUNCE
       slot[record] = shard + 1;
       seen = bias[shard];
#endif
       scanned = head;
       next[record] = head;
       break
     }
  od;
  do
  :: atomic {
       if
       :: head == scanned -> /* compare-exchange */
          head = record;
          scanned = NONE;
#ifdef BUG_JOIN_AFTER_ANNOUNCE
          goto announced_early
#else
          goto announce
#endif
       :: else ->
          scanned = head;
          next[record] = head
       fi
     }
  od;
#endif

announce:
  slot[record] = shard + 1;
  atomic {
#ifdef BUG_CHECK_BEFORE_ANNOUNCE
    seen = 1;
#else
    seen = bias[shard]; /* B1 */
#endif
announced_early:
    if
    :: seen ->
       announced = 1;
       begin_to_read();
       goto reading
    :: else
    fi
  }
#ifndef BUG_SLOT_KEPT
  slot[record] = 0;
#endif
#ifdef BUG_RETRY_ANNOUNCE
  if
  :: goto announce
  :: true
  fi;
#endif

lock:
  atomic {
    !mutex[shard];
    mutex[shard] = 1;
    reads[shard]++;
#ifndef BUG_BIAS_WITHOUT_MUTEX
    if
    :: reads[shard] == READS -> /* ReaderBiasedMutex::consider_bias, B2 */
       reads[shard] = 0;
       bias[shard] = 1
    :: else
    fi;
#endif
    begin_to_read()
  }

reading:
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
still_reading:
  atomic { /* ReaderBiasedMutex::unlock_shared */
    end_to_read();
    if
    :: announced ->
       announced = 0;
       slot[record] = 0;
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
    reads[shard] = 0;
    bias[shard] = 1;
#endif
    finish()
  }

write:
  atomic { /* ReaderBiasedMutex::lock */
    !mutex[shard];
    mutex[shard] = 1;
    reads[shard] = 0;
    if
    :: !bias[shard] -> goto change
    :: else
    fi
#ifndef BUG_SCAN_BEFORE_BIAS_OFF
    ;
#ifdef LIVE
    revoking = revoking | (t == 0);
#endif
    bias[shard] = 0
#endif
  }
  scanned = head; /* ReaderSlots::wait_for_readers */
  do
  :: atomic {
       scanned != NONE && slot[scanned] != shard + 1;
       scanned = next[scanned]
     }
  :: atomic {
       scanned == NONE;
#ifdef BUG_SCAN_BEFORE_BIAS_OFF
       bias[shard] = 0;
#endif
       break
     }
  od;

change:
  atomic {
#ifdef LIVE
    revoking = revoking & (t != 0);
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
    mutex[shard] = 0;
    finish()
  }

#ifndef NESTED
leave:
  atomic { /* ReaderSlots::Leave */
    if
    :: record != NONE ->
       assert(slot[record] == 0);
       taken[record] = 0;
       record = NONE
    :: else
    fi;
    if
    :: goto idle /* as another thread */
    :: true
    fi
  }
#endif

stop:
  skip
}

init {
  atomic {
#ifdef NESTED
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
