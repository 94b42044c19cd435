// VictimQueue: evicted values whose listener and destructor are still to be called.

#ifndef LOCKMAP_DETAIL_VICTIM_QUEUE_HPP
#define LOCKMAP_DETAIL_VICTIM_QUEUE_HPP

#include <new>

namespace lockmap::detail {

// A listener, or the destructor of a value, may use maps and so evict in turn. If that ran at once,
// caches that spill into each other would recurse without end; so what an operation inside a
// listener evicts is queued for the outermost one. The same queue keeps listeners back until an
// operation has released its own key, for which they might wait.
class VictimQueue {
 public:
  using End = void (*)(void* shard, void* victims) noexcept;

  // While one lives on this thread, victims are queued; the last one to end lets them go.
  class Deferral {
   public:
    Deferral() noexcept { ++queue().deferrals_; }
    Deferral(const Deferral&) = delete;
    Deferral& operator=(const Deferral&) = delete;
    ~Deferral() {
      VictimQueue& mine = queue();
      while (mine.deferrals_ == 1 && mine.first_ != nullptr) {
        Batch* const batch = mine.first_;
        mine.first_ = batch->next;
        if (mine.first_ == nullptr) mine.last_ = nullptr;
        const Batch copy = *batch;
        delete batch;
        copy.end(copy.shard, copy.victims);
      }
      --mine.deferrals_;
    }
  };

  // Calls `end(shard, victims)`, now or when the thread's last deferral ends.
  static void push(End end, void* shard, void* victims) noexcept {
    VictimQueue& mine = queue();
    if (mine.deferrals_ != 0) {
      if (auto* const batch = new (std::nothrow) Batch{end, shard, victims, nullptr}) {
        (mine.last_ != nullptr ? mine.last_->next : mine.first_) = batch;
        mine.last_ = batch;
        return;
      }
    }
    const Deferral deferral;  // for the victims of victims; without memory they nest
    end(shard, victims);
  }

 private:
  struct Batch {
    End end;
    void* shard;
    void* victims;
    Batch* next;
  };

  [[nodiscard]] static VictimQueue& queue() noexcept {
    static constinit thread_local VictimQueue queue;
    return queue;
  }

  Batch* first_ = nullptr;
  Batch* last_ = nullptr;
  unsigned deferrals_ = 0;
};

}  // namespace lockmap::detail

#endif  // LOCKMAP_DETAIL_VICTIM_QUEUE_HPP
