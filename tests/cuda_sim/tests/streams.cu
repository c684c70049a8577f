// When work runs and in which order: streams, events, and the orders of blocks, warps and lanes.
#include <algorithm>
#include <numeric>
#include <set>
#include <thread>

#include "simulator.h"

namespace cudasim::testing {
namespace {

/// Each thread writes down its number when its turn comes. `log[0]` counts.
__global__ void sign_in(int* log, int first) {
  const int place = atomicAdd(log, 1);
  log[place + 1] = first + static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
}

/// Pinned memory that a kernel can write to and the host can read at any time.
class Log {
 public:
  Log() {
    EXPECT_EQ(cudaMallocHost(reinterpret_cast<void**>(&data_), 2000 * sizeof(int)), cudaSuccess);
    std::fill_n(data_, 2000, 0);
  }
  ~Log() { cudaFreeHost(data_); }
  Log(const Log&) = delete;
  Log& operator=(const Log&) = delete;
  int* data() const { return data_; }
  std::vector<int> entries() const { return {data_ + 1, data_ + 1 + data_[0]}; }

 private:
  int* data_ = nullptr;
};

Config ordered(Order order, std::uint64_t seed = 1) {
  Config c = config();
  c.order = order;
  c.seed = seed;
  return c;
}

std::vector<int> order_of(unsigned blocks, unsigned threads) {
  const Log log;
  launch(sign_in, {.blocks = blocks, .threads = threads}, log.data(), 0);
  cudaDeviceSynchronize();
  return log.entries();
}

TEST(Order, IsForwardReverseOrSeeded) {
  for (const auto& [blocks, threads] : {std::pair{50U, 1U}, {1U, 32U}, {1U, 320U}}) {
    std::vector<int> all(blocks * threads);
    std::iota(all.begin(), all.end(), 0);
    {
      const WithConfig scope(ordered(Order::forward));
      EXPECT_EQ(order_of(blocks, threads), all);
    }
    std::set<std::vector<int>> seen;
    for (const std::uint64_t seed : {1, 2, 3}) {
      const WithConfig scope(ordered(Order::seeded, seed));
      std::vector<int> order = order_of(blocks, threads);
      seen.insert(order);
      std::sort(order.begin(), order.end());
      EXPECT_EQ(order, all);
    }
    EXPECT_EQ(seen.size(), 3);
    std::reverse(all.begin(), all.end());
    const WithConfig scope(ordered(Order::reverse));
    EXPECT_EQ(order_of(blocks, threads), all);
  }
}

TEST(Streams, NothingRunsBeforeSomethingWaits) {
  const Log log;
  launch(sign_in, {.threads = 1}, log.data(), 0);
  EXPECT_TRUE(log.entries().empty());
  EXPECT_EQ(cudaStreamSynchronize(nullptr), cudaSuccess);
  EXPECT_EQ(log.entries(), std::vector{0});
}

/// Which of two streams goes first, when nothing says so.
std::vector<int> order_of_streams(std::uint64_t seed) {
  const WithConfig scope(ordered(Order::forward, seed));
  const Log log;
  const Stream first;
  const Stream second;
  launch(sign_in, {.threads = 1, .stream = first.handle}, log.data(), 1);
  launch(sign_in, {.threads = 1, .stream = second.handle}, log.data(), 2);
  cudaDeviceSynchronize();
  return log.entries();
}

TEST(Streams, TheSeedPicksWhichGoesOn) {
  std::set<std::vector<int>> seen;
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    seen.insert(order_of_streams(seed));
  }
  EXPECT_EQ(seen, (std::set<std::vector<int>>{{1, 2}, {2, 1}}));
}

TEST(Streams, EventsAndTheDefaultStreamOrderThem) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    const WithConfig scope(ordered(Order::forward, seed));
    const Log log;
    const Stream first;
    const Stream second;
    const Stream blocking(cudaStreamDefault);
    cudaEvent_t event = nullptr;
    cudaEventCreateWithFlags(&event, cudaEventDefault);
    launch(sign_in, {.threads = 1, .stream = first.handle}, log.data(), 1);
    cudaEventRecord(event, first.handle);
    cudaStreamWaitEvent(second.handle, event, 0);
    launch(sign_in, {.threads = 1, .stream = second.handle}, log.data(), 2);
    EXPECT_EQ(cudaStreamSynchronize(second.handle), cudaSuccess);
    launch(sign_in, {.threads = 1, .stream = blocking.handle}, log.data(), 3);
    launch(sign_in, {.threads = 1}, log.data(), 4);
    launch(sign_in, {.threads = 1, .stream = blocking.handle}, log.data(), 5);
    cudaDeviceSynchronize();
    EXPECT_EQ(log.entries(), (std::vector{1, 2, 3, 4, 5})) << "seed " << seed;
    cudaEventDestroy(event);
  }
}

TEST(Streams, AskingLetsWorkRun) {
  const Log log;
  const Stream stream;
  cudaEvent_t event = nullptr;
  cudaEventCreateWithFlags(&event, cudaEventDefault);
  launch(sign_in, {.threads = 1, .stream = stream.handle}, log.data(), 1);
  cudaEventRecord(event, stream.handle);
  EXPECT_EQ(cudaEventQuery(event), cudaErrorNotReady);
  int questions = 1;
  for (; cudaEventQuery(event) == cudaErrorNotReady && questions < 10; ++questions) {
  }
  EXPECT_LT(questions, 10);
  EXPECT_EQ(log.entries(), std::vector{1});
  EXPECT_EQ(cudaGetLastError(), cudaErrorNotReady);
  cudaEventDestroy(event);
}

TEST(Streams, EventsMeasureTimeIfTheyWereMadeTo) {
  cudaEvent_t timed = nullptr;
  cudaEvent_t untimed = nullptr;
  cudaEventCreateWithFlags(&timed, cudaEventDefault);
  cudaEventCreateWithFlags(&untimed, cudaEventDisableTiming);
  cudaEventRecord(timed, nullptr);
  cudaEventRecord(untimed, nullptr);
  float milliseconds = -1;
  EXPECT_EQ(cudaEventElapsedTime(&milliseconds, timed, timed), cudaErrorNotReady);
  EXPECT_EQ(cudaEventSynchronize(timed), cudaSuccess);
  EXPECT_EQ(cudaEventElapsedTime(&milliseconds, timed, timed), cudaSuccess);
  EXPECT_EQ(milliseconds, 0);
  EXPECT_EQ(cudaEventElapsedTime(&milliseconds, timed, untimed), cudaErrorInvalidResourceHandle);
  cudaEventDestroy(timed);
  cudaEventDestroy(untimed);
  EXPECT_EQ(cudaEventRecord(timed, nullptr), cudaErrorInvalidResourceHandle);
  static_cast<void>(cudaGetLastError());
}

__global__ void sum_of_block(float* x) {
  __shared__ float tile[64];
  const unsigned i = threadIdx.x;
  tile[i] = x[i];
  for (unsigned half = 32; half > 0; half /= 2) {
    __syncthreads();
    if (i < half) {
      tile[i] += tile[i + half];
    }
  }
  if (i == 0) {
    x[0] = tile[0];
  }
}

/// Fibers of one OS thread are of no use to another: each launch may come from wherever it likes.
TEST(Threads, OfTheHostTakeTurns) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([] {
      const Stream stream;
      for (int turn = 0; turn < 10; ++turn) {
        const DeviceArray<float> x(counted(64));
        launch(sum_of_block, {.stream = stream.handle}, x.data());
        EXPECT_EQ(cudaStreamSynchronize(stream.handle), cudaSuccess);
        EXPECT_EQ(x.values()[0], 2016);
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
}

template <int bytes>
__global__ void fill_local(float* y) {
  volatile char local[bytes];
  for (int i = bytes - 1; i >= 0; i -= 1024) {
    local[i] = static_cast<char>(i);
  }
  y[threadIdx.x] = local[bytes - 1];
}

/// The handler of faults needs a stack of its own on every OS thread.
TEST(Threads, ReportTheFaultsOfTheirKernels) {
  Config quiet = config();
  quiet.verbose = false;
  const WithConfig scope(quiet);
  const DeviceArray<float> y(64);
  std::thread([&] {
    launch(fill_local<100000>, {}, y.data());
    EXPECT_EQ(cudaDeviceSynchronize(), cudaErrorLaunchFailure);
  }).join();
  const std::vector<Report> reports = take_reports();
  reset_device();
  ASSERT_EQ(reports.size(), 1);
  EXPECT_EQ(reports[0].kind, "device-fault");
}

TEST(Streams, WorkOfADestroyedStreamIsDone) {
  const Log log;
  cudaStream_t stream = nullptr;
  ASSERT_EQ(cudaStreamCreateWithFlags(&stream, cudaStreamDefault), cudaSuccess);
  launch(sign_in, {.threads = 1, .stream = stream}, log.data(), 1);
  EXPECT_EQ(cudaStreamDestroy(stream), cudaSuccess);
  EXPECT_EQ(launch(sign_in, {.threads = 1, .stream = stream}, log.data(), 2), cudaErrorInvalidResourceHandle);
  EXPECT_EQ(cudaStreamSynchronize(stream), cudaErrorInvalidResourceHandle);
  static_cast<void>(cudaGetLastError());
  cudaDeviceSynchronize();
  EXPECT_EQ(log.entries(), std::vector{1});
}

}  // namespace
}  // namespace cudasim::testing
