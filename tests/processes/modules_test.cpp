// Maps that a program and its plugins share. Whether two modules share static variables depends on
// compilers, flags, how the program was linked and how a plugin was opened; a map must not.
//
// Arguments: local or global (how to open the plugins), then the paths of three plugins.
#include <dlfcn.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <barrier>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <latch>
#include <memory>
#include <ostream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "module.hpp"
#include "threads.hpp"

namespace lockmap::test {

static std::ostream& operator<<(std::ostream& out, Outcome outcome) {
  constexpr std::array<const char*, 3> names{"acquired", "timed out", "deadlock"};
  return out << names[static_cast<std::size_t>(outcome)];
}

namespace {

using std::chrono::milliseconds;

// Long enough never to pass: what is waited for comes, or the test fails.
constexpr milliseconds patience{10'000};

struct Arguments {
  int scope = RTLD_LOCAL;
  std::array<std::string, 3> plugins;
};

Arguments& arguments() {
  static Arguments parsed;
  return parsed;
}

[[noreturn]] void fail(const char* what) {
  // NOLINTNEXTLINE(concurrency-mt-unsafe): POSIX keeps a message for each thread.
  const char* const why = dlerror();
  throw std::runtime_error(std::string(what) + ": " + (why != nullptr ? why : "no message"));
}

class Plugin {
 public:
  explicit Plugin(const std::string& path)
      : path_(path), handle_(dlopen(path.c_str(), RTLD_NOW | arguments().scope)) {
    if (handle_ == nullptr) fail("dlopen");
    void* const function = dlsym(handle_, "lockmap_test_module");
    if (function == nullptr) fail("dlsym");
    module_ = reinterpret_cast<const Module* (*)()>(function)();
  }
  Plugin(const Plugin&) = delete;
  Plugin& operator=(const Plugin&) = delete;
  ~Plugin() { close(); }

  const Module& module() const { return *module_; }

  void close() {
    if (handle_ != nullptr) dlclose(handle_);
    handle_ = nullptr;
  }

  bool is_loaded() const {
    void* const handle = dlopen(path_.c_str(), RTLD_NOW | RTLD_NOLOAD);
    if (handle != nullptr) dlclose(handle);
    return handle != nullptr;
  }

 private:
  std::string path_;
  void* handle_;
  const Module* module_ = nullptr;
};

enum class Who { program, plugin_a, plugin_b };

const Module& module_of(Who who) {
  // Never closed: a thread that ends with the program may still be in them.
  static const Plugin& a = *new Plugin(arguments().plugins[0]);
  static const Plugin& b = *new Plugin(arguments().plugins[1]);
  if (who == Who::program) return this_module;
  return who == Who::plugin_a ? a.module() : b.module();
}

std::ostream& operator<<(std::ostream& out, Who who) {
  constexpr std::array<const char*, 3> names{"program", "plugin_a", "plugin_b"};
  return out << names[static_cast<std::size_t>(who)];
}

// Who makes the map, and which two use it.
struct Roles {
  Who maker;
  Who first;
  Who second;
};

std::ostream& operator<<(std::ostream& out, const Roles& roles) {
  return out << "made_by_" << roles.maker << "_used_by_" << roles.first << "_and_" << roles.second;
}

class ModulesTest : public testing::TestWithParam<Roles> {
 protected:
  const Module& maker = module_of(GetParam().maker);
  const Module& first = module_of(GetParam().first);
  const Module& second = module_of(GetParam().second);
  const std::unique_ptr<SharedMap, void (*)(SharedMap*)> owned{maker.make(), maker.destroy};
  SharedMap& map = *owned;
};

// Two threads that each hold a key and ask for the other's, with the code of two modules. Whoever
// gets the error lets its key go. `prepare(thread)` runs before.
template <class F>
void expect_cycle_is_found(SharedMap& map, const Module& one, const Module& other, F prepare) {
  // Where each module numbers threads for itself, these two get different numbers.
  for (int i = 0; i < 3; ++i) {
    in_another_thread([&] { one.release(one.hold(map, 0)); });
  }
  std::array<Outcome, 2> outcomes{};
  std::barrier both_hold(2);
  run_together(2, [&](int thread) {
    const Module& module = thread == 0 ? one : other;
    prepare(thread);
    Guard* const guard = module.hold(map, thread);
    both_hold.arrive_and_wait();
    outcomes[static_cast<std::size_t>(thread)] = module.try_key(map, 1 - thread, patience);
    module.release(guard);
  });
  EXPECT_NE(outcomes[0] == Outcome::deadlock, outcomes[1] == Outcome::deadlock)
      << "the two got: " << outcomes[0] << ", " << outcomes[1];
  EXPECT_NE(outcomes[0], Outcome::timed_out);
  EXPECT_NE(outcomes[1], Outcome::timed_out);
}

// Threads are new to the two modules in opposite order, so ids of one module never mean the same
// thread in the other.
TEST_P(ModulesTest, AThreadIsOneOwnerInAllModules) {
  constexpr int threads = 4;
  constexpr int key = 100;
  std::barrier step(threads);
  std::array<std::vector<Outcome>, threads> by_others;
  std::array<Outcome, threads> by_holder{};
  run_together(threads, [&](int thread) {
    const auto index = static_cast<std::size_t>(thread);
    for (int turn = 0; turn < threads; ++turn) {
      if (turn == thread) first.release(first.hold(map, thread));
      step.arrive_and_wait();
    }
    for (int turn = 0; turn < threads; ++turn) {
      if (turn == threads - 1 - thread) second.release(second.hold(map, thread));
      step.arrive_and_wait();
    }
    for (int holder = 0; holder < threads; ++holder) {
      Guard* const guard = holder == thread ? first.hold(map, key) : nullptr;
      step.arrive_and_wait();
      const Outcome outcome =
          second.try_key(map, key, holder == thread ? patience : milliseconds(1));
      (holder == thread ? by_holder[index] : by_others[index].emplace_back()) = outcome;
      step.arrive_and_wait();
      if (guard != nullptr) first.release(guard);
      step.arrive_and_wait();
    }
  });
  for (std::size_t thread = 0; thread < threads; ++thread) {
    EXPECT_EQ(by_holder[thread], Outcome::deadlock) << "thread " << thread << " holds the key";
    for (const Outcome outcome : by_others[thread]) {
      EXPECT_EQ(outcome, Outcome::timed_out)
          << "another than thread " << thread << " holds the key";
    }
  }
}

TEST_P(ModulesTest, ACycleOfThreadsInTwoModulesIsFound) {
  expect_cycle_is_found(map, first, second, [](int /*thread*/) {});
  expect_cycle_is_found(map, second, first, [](int /*thread*/) {});
}

// The thread's count of held keys is right in both modules: else no cycle is looked for.
TEST_P(ModulesTest, AGuardMayBeReleasedByTheOtherModule) {
  const auto hold_and_release = [this](int thread) {
    second.release(first.hold(map, thread));
    EXPECT_EQ(first.try_key(map, thread, patience), Outcome::acquired);
    EXPECT_EQ(second.try_key(map, thread, patience), Outcome::acquired);
    first.release(second.hold(map, thread));
    first.release(second.hold(map, thread));
  };
  expect_cycle_is_found(map, first, second, hold_and_release);
}

TEST_P(ModulesTest, AGuardExcludesThoseOfTheOtherModule) {
  constexpr int times = scaled(5000);
  int counter = 0;
  run_together(
      2, [&](int thread) { (thread == 0 ? first : second).count_up(map, 0, times, counter); });
  EXPECT_EQ(counter, 2 * times);
}

// The writer frees the key's node and uses it for other keys while the reader is about to read it.
TEST_P(ModulesTest, AReaderIsNotOverlooked) {
  constexpr int rounds = scaled(10);
  constexpr int key = 1;
  const auto expect_seen = [this](const Module& reading, const Module& writing) {
    for (int round = 0; round < rounds; ++round) {
      writing.store(map, key, 0);
      Gate gate;
      Found found = Found::own;
      {
        Worker reader([&] {
          // So many that the map lets readers announce themselves instead of locking.
          for (int i = 0; i < 1000; ++i) (void)reading.read(map, key);
          found = reading.read_through(map, key, gate);
        });
        await([&] { return gate.reader_is_inside(); }, "the reader to be inside");
        writing.clear(map);
        for (int other = 2; other < 10; ++other) writing.store(map, other, 0);
        gate.open();
      }
      ASSERT_NE(found, Found::torn) << "round " << round;
      ASSERT_NE(found, Found::foreign) << "round " << round;
      ASSERT_NE(found, Found::error) << "round " << round;
    }
  };
  expect_seen(first, second);
  expect_seen(second, first);
}

TEST_P(ModulesTest, NoReadIsTorn) {
  constexpr int writes = scaled(200);
  constexpr int reads_between = 200;  // so many that readers announce themselves
  std::array<std::atomic<int>, 5> finds{};
  std::atomic<int> reads{0};
  std::atomic<int> writers{2};
  // `write(i)` for each i, with some reads after each.
  const auto write_many = [&](const auto& write) {
    struct Leave {
      std::atomic<int>& writers;
      ~Leave() { writers.fetch_sub(1); }
    } const leave{writers};
    for (int i = 0; i < writes; ++i) {
      write(static_cast<std::uint32_t>(i));
      const int before = reads.load();
      await([&] { return reads.load() - before >= reads_between; }, "the reader to go on");
    }
  };
  run_together(3, [&](int thread) {
    if (thread == 0) {
      while (writers.load() != 0) {
        ++finds[static_cast<std::size_t>(first.read(map, reads.load() % 4))];
        reads.fetch_add(1);
      }
    } else if (thread == 1) {
      write_many([&](std::uint32_t version) {
        for (int key = 0; key < 4; ++key) second.store(map, key, version);
      });
    } else {
      write_many([&](std::uint32_t version) {
        second.clear(map);
        for (int key = 2; key < 6; ++key) second.store(map, key, version);
      });
    }
  });
  const auto count = [&](Found found) { return finds[static_cast<std::size_t>(found)].load(); };
  EXPECT_EQ(count(Found::torn), 0) << "of " << reads.load() << " reads";
  EXPECT_EQ(count(Found::foreign), 0) << "of " << reads.load() << " reads";
  EXPECT_EQ(count(Found::error), 0) << "of " << reads.load() << " reads";
  EXPECT_GT(count(Found::own), 0);
}

INSTANTIATE_TEST_SUITE_P(, ModulesTest,
                         testing::Values(Roles{Who::program, Who::program, Who::plugin_a},
                                         Roles{Who::program, Who::plugin_a, Who::plugin_b},
                                         Roles{Who::plugin_a, Who::program, Who::plugin_a},
                                         Roles{Who::plugin_a, Who::program, Who::plugin_b},
                                         Roles{Who::plugin_a, Who::plugin_a, Who::plugin_b}),
                         testing::PrintToStringParamName());

// The program's map refers to nothing in a plugin that used it, neither do threads that go on.
TEST(PluginTest, LeavesBehindAMapThatItUsed) {
  const std::unique_ptr<SharedMap> owned(this_module.make());
  SharedMap& map = *owned;
  std::latch used(2);
  std::latch closed(1);
  const auto use = [&](const Module& module) {
    module.store(map, 1, 0);
    for (int i = 0; i < 1000; ++i) (void)module.read(map, 1);
    module.release(module.hold(map, 2));
  };
  const auto work = [&](const Module& module) {
    use(module);
    used.arrive_and_wait();
    closed.wait();
    use(this_module);
  };
  Plugin plugin(arguments().plugins[2]);
  Worker one([&] { work(plugin.module()); });
  Worker other([&] { work(plugin.module()); });
  used.wait();
  use(plugin.module());
  plugin.close();
  closed.count_down();
  use(this_module);
  one.join();
  other.join();
  in_another_thread([&] { use(this_module); });
  EXPECT_EQ(this_module.read(map, 1), Found::own);
}

// Other libraries of C never unload. Without optimisation, g++ makes each constant of the standard
// library that a plugin uses a symbol that is unique in the process, and keeps its module loaded.
#if defined(__GLIBC__) && defined(__OPTIMIZE__)

void expect_fork_works() {
  const pid_t child = fork();
  if (child == 0) _exit(0);
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0) << "a handler of the unloaded plugin ran";
}

TEST(PluginTest, IsUnloadedWhenTheThreadsThatUsedItHaveEnded) {
  Plugin plugin(arguments().plugins[2]);
  in_another_thread([&] { EXPECT_TRUE(plugin.module().use_maps_of_its_own()); });
  plugin.close();
  EXPECT_FALSE(plugin.is_loaded());
  expect_fork_works();
}

TEST(PluginTest, IsUnloadedThoughAThreadThatUsedItGoesOn) {
  Plugin plugin(arguments().plugins[2]);
  std::latch used(1);
  std::latch closed(1);
  Worker user([&] {
    EXPECT_TRUE(plugin.module().use_maps_of_its_own());
    used.count_down();
    closed.wait();
  });
  used.wait();
  EXPECT_TRUE(plugin.module().use_maps_of_its_own());
  plugin.close();
  EXPECT_FALSE(plugin.is_loaded());
  closed.count_down();
  user.join();
  expect_fork_works();
}

#endif

}  // namespace
}  // namespace lockmap::test

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  if (argc != 5) {
    std::fprintf(stderr, "usage: %s local|global <plugin> <plugin> <plugin>\n", argv[0]);
    return EXIT_FAILURE;
  }
  auto& arguments = lockmap::test::arguments();
  arguments.scope = std::string_view(argv[1]) == "global" ? RTLD_GLOBAL : RTLD_LOCAL;
  arguments.plugins = {argv[2], argv[3], argv[4]};
  return RUN_ALL_TESTS();
}
