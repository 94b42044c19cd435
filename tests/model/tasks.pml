/* Tasks beside threads: include/lockmap/detail/async_hold.hpp (A1, A2), resume_queue.hpp (R1 to
 * R4), and what key_lock.hpp does for them. The lock itself, and what threads do, is
 * lock_protocol.pml; what a step is, and what is left out, is said there.
 *
 *   tests/model/check.sh tasks.pml           every interleaving of two threads, two tasks, one key
 *   tests/model/check.sh tasks.pml BUG_...   a bug is put in; it has to be found
 *
 * What it says, besides: a wait is either granted or given up, once; a task is resumed once, after
 * it has suspended or as the end of suspending (R3); whoever resumes touches no frame that has
 * ended (R1, R2), though a task may be destroyed while it waits, or when it has been granted the
 * key; a key that a task was granted is never lost, whoever resumes or destroys it; a thread that
 * sleeps for a key owes nobody a resumption (R4); nobody waits for the end of a callback that waits
 * for him (A2).
 *
 * A task is a process that goes on by itself: what its coroutine does is done by the thread that
 * resumed it, which waits until it suspends, or by a thread of an executor, to which `Resume` posts
 * it. So `on` says in whose queue it puts what it lets go on. An executor's thread is as the task
 * that it runs, and has its number. What a resumed task does as a thread, the thread does itself.
 * One of the tasks is never stopped or destroyed: it finds every resumption that is lost.
 *
 * Threads do less here than there: one locks the key exclusively, and requests the stop; the other
 * shares it, or gives up before it is queued.
 *
 * Bugs, and how each is found:
 *   BUG_TASK_NOT_GRANTED           assertion: ended_once
 *   BUG_CANCEL_DOES_NOT_LOOK       assertion: ended_once
 *   BUG_RESUMED_EARLY              assertion: is_suspended
 *   BUG_DESTROYED_STAYS_QUEUED     assertion: frame_is_alive
 *   BUG_DESTROYED_KEEPS_KEY        assertion: pins_are_counted
 *   BUG_OWES_WHILE_ASLEEP          end state
 */

#define TASKS
#define FIRST_TASK 2
#define IS_TASK(who) ((who) >= FIRST_TASK)
#define CANCELED 3 /* the task that may be stopped and destroyed */
#define MAY_LEAVE_NOTHING !IS_TASK(t)

#include "lock_protocol.pml"

/* The coroutine's next wait, or its end, is up to the thread that has it then. */
inline return_to_caller() {
  caller[t] = 0;
  on[t] = t
}

proctype Task(byte t) {
  byte n = NONE;
  byte mine;     /* never: it is not on its way (I9) */
  short to_wake;
  bit has_value;
  byte next;

idle:
  atomic {
    return_to_caller();
    step[t] = NO_STEP;
    if
    :: goto stop
    :: MAY_ENTER
    fi;
    ENTER;
    n = FIND(0);
    if
    :: mode[t] = EXCLUSIVE
    :: mode[t] = SHARED
    fi;
    if
    :: n == NONE -> /* Section::find_or_make */
       n = UNUSED_NODE;
       key_of[n] = 1;
       lock_unpinned();
       leave();
       goto begin_to_use
    :: else ->
       if
       :: PINS(word[n]) == 0 -> /* try_hold */
          lock_unpinned();
          leave();
          goto begin_to_use
       :: PINS(word[n]) != 0 && MAY_PIN_AND_LOCK ->
          pin_and_try_lock();
          leave();
          goto begin_to_use
       :: true -> /* begin_contended */
          pin();
          leave()
       fi
    fi
  }

  /* HoldAwaiter::await_suspend */
  if
  :: t == CANCELED -> goto end_wait /* a stop was requested */
  :: true
  fi;
  atomic { /* TaskWait::begin */
    MAY_ENTER;
    ENTER;
    if
    :: MAY_LOCK_PINNED -> /* KeyLock::lock_or_enqueue */
       try_lock_pinned();
       leave();
       goto begin_to_use
    :: else ->
       touch_word();
       word[n] = word[n] | HAS_WAITERS;
       push_back();
       alive = alive | SELF;
       if
       :: t == CANCELED -> stoppable = 1
       :: t != CANCELED
       fi;
       leave()
    fi
  }
  atomic { /* TaskWait::suspend */
    if
    :: step[t] == RESUMED -> goto resumed
    :: else ->
       step[t] = SUSPENDED;
       return_to_caller()
    fi
  }
  atomic {
    if
    :: goes_on[t] ->
       goes_on[t] = 0;
       goto resumed
    :: t == CANCELED && step[t] == SUSPENDED -> destroyed = 1
    fi
  }

  atomic { /* TaskWait's destructor */
    CALLBACK_HAS_ENDED;
    stoppable = 0
  }
end_wait:
  atomic { /* TaskWait::abandon, or a stop that came first */
    MAY_ENTER;
    ENTER;
    if
    :: !destroyed && MAY_LOCK_PINNED ->
       try_lock_pinned();
       leave();
       goto begin_to_use
    :: !destroyed && !MAY_LOCK_PINNED
    :: destroyed && CONTAINS(queue[n], t) -> withdraw(t)
    :: destroyed && !CONTAINS(queue[n], t) ->
       leave();
       goto abandon_resumption
    fi;
    unpin(t);
    alive = alive & ~SELF;
    destroyed = 0;
    goto in_section
  }
abandon_resumption:
  atomic {
    retract();
    alive = alive & ~SELF;
    destroyed = 0;
    if
    :: granted[t] ->
       granted[t] = 0;
       has_value = value[n];
#ifdef BUG_DESTROYED_KEEPS_KEY
       d_step {
         users[n] = users[n] & ~SELF;
         sharers[n] = sharers[n] & ~SELF
       }
       end_operation();
       goto idle
#else
       goto let_go /* release_unused */
#endif
    :: else ->
       gave_up = 0;
       end_operation();
       goto idle
    fi
  }

resumed:
  atomic { /* TaskWait::end */
    t != CANCELED || CALLBACK_HAS_ENDED;
    if
    :: t == CANCELED -> stoppable = 0
    :: t != CANCELED
    fi;
    alive = alive & ~SELF;
    ended_once = (t == CANCELED -> granted[t] != gave_up : granted[t]);
    assert(ended_once);
    if
    :: granted[t] -> granted[t] = 0
    :: else ->
       gave_up = 0;
       end_operation();
       goto idle
    fi
  }

begin_to_use:
  atomic {
    if
    :: mode[t] == EXCLUSIVE -> begin_to_write()
    :: else -> begin_to_read()
    fi
  }
  atomic {
    if
    :: t != CANCELED -> return_to_caller() /* it awaits something else, and goes on elsewhere */
    :: true
    fi;
    if
    :: mode[t] == EXCLUSIVE -> leave_value()
    :: else ->
       require(readers[n] & SELF);
       readers[n] = readers[n] & ~SELF
    fi;
let_go:
    touch_word();
    if
    :: mode[t] == EXCLUSIVE ->
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
          end_operation();
          goto idle
       :: else
       fi
    fi
  }
  atomic {
    MAY_ENTER;
    ENTER;
    if
    :: mode[t] == EXCLUSIVE -> release()
    :: else -> release_shared()
    fi;
in_section:
    leave_key();
    finish();
    leave();
    go_on()
  }

resume: /* ResumeQueue::run_now, by the executor's thread */
  do
  :: atomic {
       CALLS_NOBODY && to_resume[t] != 0;
       take()
     }
  :: atomic {
       CALLS_NOBODY && to_resume[t] == 0;
       running[t] = 0;
       go_on()
     }
  od;

wake:
  atomic {
    wake_one();
    go_on()
  }

stop:
  skip
}

init {
  atomic {
    on[1] = 1;
    on[2] = 2;
    on[3] = 3;
    run Thread(0);
    run Thread(1);
    run Task(2);
    run Task(3)
  }
}
