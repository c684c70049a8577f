// Ways in which a GPU lets a program down, once in every place where it can.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <string>

#include "cudasim/control.h"
#include "kernels/error.h"
#include "tests/test_support.h"

namespace earmark::testing {

struct Failure {
  std::function<void(std::uint64_t)> arrange;  // for the n-th call from now on, for none: 0
  std::function<std::uint64_t()> calls;        // since the program began
  std::string sentence;                        // a regular expression
};

/// The second try, after unused memory was given back, fails as well.
inline Failure no_memory() {
  return {[](std::uint64_t n) { cudasim::fail_allocations(n, n == 0 ? 0 : 2); },
          [] { return cudasim::calls().allocations; },
          "out of memory on cuda:0: a tensor needs [0-9]+ bytes, [0-9]+ of [0-9]+ are free"};
}

inline Failure no_host_memory() {
  return {[](std::uint64_t n) { cudasim::fail_host_allocations(n); }, [] { return cudasim::calls().host_allocations; },
          "out of memory on the host: [0-9]+ bytes that a GPU copies from or to cannot be page-locked"};
}

inline Failure refused_launch() {
  return {[](std::uint64_t n) { cudasim::fail_launch(n, cudasim::LaunchFailure::refused); },
          [] { return cudasim::calls().launches; },
          "earmark::kernels::cuda::.*_kernel.* blocks of [0-9]+ threads with [0-9]+ bytes of shared memory: too many "
          "resources requested for launch"};
}

inline Failure failing_library() {
  return {[](std::uint64_t n) { cudasim::fail_library_call(n); }, [] { return cudasim::calls().library_calls; },
          "(cudnn|cublas).*_ALLOC(ATION)?_FAILED|cufft.*: cuFFT error 2 for [0-9]+ real transforms of "
          "size [0-9]+"};
}

inline Failure no_stream_or_event() {
  return {[](std::uint64_t n) { cudasim::fail_creation(n); }, [] { return cudasim::calls().creations; },
          "cuda(Stream|Event)CreateWithFlags.*: out of memory"};
}

inline void expect_no_more(const cudasim::LiveMemory& before, const std::string& when) {
  const cudasim::LiveMemory after = cudasim::live_memory();
  EXPECT_EQ(after.allocations, before.allocations) << when;
  EXPECT_EQ(after.bytes, before.bytes) << when;
  EXPECT_EQ(after.pinned, before.pinned) << when;
}

/// Lets every call of `work` that can fail do so, one after the other: each time it must end with the failure's
/// sentence and leave nothing behind; then `afterwards` hears the sentence. `work` succeeds three times: twice before
/// that, once after it. Where it takes long, `step` leaves out calls.
inline void expect_clean_failures(
    const Failure& failure, const std::function<void()>& work,
    const std::function<void(const std::string&)>& afterwards = [](const std::string&) {}, std::uint64_t step = 1) {
  work();  // what is made once and kept
  const cudasim::LiveMemory before = cudasim::live_memory();
  const std::uint64_t first = failure.calls();
  work();
  const std::uint64_t count = failure.calls() - first;
  EXPECT_GT(count, 0U);
  for (std::uint64_t n = 1; n <= count; n += step) {
    failure.arrange(n);
    const std::string error = error_of(work);
    failure.arrange(0);
    const std::string when = str("call ", n, " of ", count, ": ", error);
    EXPECT_THAT(error, ::testing::ContainsRegex(failure.sentence)) << when;
    afterwards(error);
    expect_no_more(before, when);
  }
  work();
}

/// Tests of what the host does, which depends on no order of threads.
class FailingGpu : public ::testing::Test {
 protected:
  void SetUp() override {
    if (cudasim::config().order != cudasim::Order::forward) {
      GTEST_SKIP() << "what the host does depends on no order of threads";
    }
  }
};

}  // namespace earmark::testing
