#include "kernels/shared_memory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <thread>

#include "kernels/error.h"
#include "tests/test_support.h"

namespace earmark {
namespace {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

std::string new_name() {
  static int number = 0;
  return "earmark-test-" + std::to_string(::getpid()) + "-" + std::to_string(++number);
}

std::atomic<std::uint32_t>& first_word(const SharedMemory& memory) {
  return *reinterpret_cast<std::atomic<std::uint32_t>*>(memory.bytes().data());
}

TEST(SharedMemory, IsTheSameForAllWhoGiveItsNameUntilItIsComplete) {
  const std::string name = new_name();
  SharedMemory one(name, 100000);
  const SharedMemory two(name, 100000);
  EXPECT_EQ(one.bytes().size(), 100000u);
  one.bytes()[99999] = std::byte{7};
  EXPECT_EQ(two.bytes()[99999], std::byte{7});
  one.complete();
  SharedMemory later(name, 100000);
  later.complete();
  EXPECT_EQ(later.bytes()[99999], std::byte{0});
}

TEST(SharedMemory, WithoutRoomIsAnError) {
  SharedMemory small(new_name(), 8);
  small.complete();
  const auto wanted = std::size_t{1} << 63U;
  EXPECT_THAT(testing::error_of([&] { const SharedMemory large(new_name(), wanted); }),
              ::testing::HasSubstr("no room for 9223372036854775808 bytes of shared memory /earmark-test-"));
}

TEST(SharedMemory, AnotherProcessWakesWhoSleeps) {
  SharedMemory memory(new_name(), 64);
  memory.complete();
  const pid_t child = ::fork();
  if (child == 0) {
    while (first_word(memory) == 0) {  // the parent is about to sleep
      ::usleep(1000);
    }
    ::usleep(20000);
    first_word(memory) = 2;
    wake_sleepers(first_word(memory));
    ::_exit(0);
  }
  const OtherProcess other(child);
  first_word(memory) = 1;
  const auto start = Clock::now();
  while (first_word(memory) == 1) {
    sleep_while(first_word(memory), 1, milliseconds(60000));
  }
  EXPECT_LT(Clock::now() - start, milliseconds(30000));
  EXPECT_EQ(::waitpid(child, nullptr, 0), child);
  EXPECT_TRUE(other.ended());
}

TEST(SharedMemory, SleepEndsInTime) {
  const std::atomic<std::uint32_t> word{5};
  sleep_while(word, 5, milliseconds(10));       // comes back
  sleep_while(word, 4, milliseconds(6000000));  // at once
}

TEST(OtherProcess, IsSeenToEndAlsoWhenKilledAndNotWaitedFor) {
  const pid_t child = ::fork();
  if (child == 0) {
    while (true) {
      ::pause();
    }
  }
  const OtherProcess other(child);
  EXPECT_FALSE(other.ended());
  ::kill(child, SIGKILL);
  siginfo_t info{};
  EXPECT_EQ(::waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WNOWAIT), 0);
  EXPECT_TRUE(other.ended());
  EXPECT_EQ(::waitpid(child, nullptr, 0), child);
  EXPECT_FALSE(OtherProcess(::getpid()).ended());
  EXPECT_THAT(testing::error_of([&] { const OtherProcess nobody(child); }), ::testing::HasSubstr("No such process"));
}

TEST(MachineIdentity, IsOneTextOfThisMachine) {
  EXPECT_EQ(machine_identity(), machine_identity());
  EXPECT_GT(machine_identity().size(), 60u);
  EXPECT_THAT(machine_identity(), ::testing::HasSubstr("net:["));
}

}  // namespace
}  // namespace earmark
