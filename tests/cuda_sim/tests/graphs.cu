// Streams that are recorded into graphs: nothing runs until the graph is launched, each launch runs it all, and what
// the runtime refuses while a stream is recorded is refused.
#include <functional>
#include <thread>

#include "planted.h"
#include "simulator.h"

namespace cudasim::testing {
namespace {

__global__ void add_one(int* x) { x[threadIdx.x] += 1; }
__global__ void times_two(int* x) { x[threadIdx.x] *= 2; }

cudaGraphExec_t recorded(cudaStream_t stream, const std::function<void()>& work) {
  EXPECT_EQ(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), cudaSuccess);
  work();
  cudaGraph_t graph = nullptr;
  EXPECT_EQ(cudaStreamEndCapture(stream, &graph), cudaSuccess);
  cudaGraphExec_t executable = nullptr;
  EXPECT_EQ(cudaGraphInstantiate(&executable, graph, 0), cudaSuccess);
  EXPECT_EQ(cudaGraphDestroy(graph), cudaSuccess);
  return executable;
}

TEST(Graphs, RunInOrderWithEachLaunchAndNotBefore) {
  for (const Order order : {Order::forward, Order::reverse, Order::seeded}) {
    Config c = config();
    c.order = order;
    const WithConfig scope(c);
    const Stream stream;
    const DeviceArray<int> x({1, 2});
    const DeviceArray<int> y({0, 0});
    const cudaGraphExec_t graph = recorded(stream.handle, [&] {
      launch(add_one, {.threads = 2, .stream = stream.handle}, x.data());
      launch(times_two, {.threads = 2, .stream = stream.handle}, x.data());
      EXPECT_EQ(cudaMemcpyAsync(y.data(), x.data(), 8, cudaMemcpyDeviceToDevice, stream.handle), cudaSuccess);
    });
    EXPECT_EQ(x.values(), (std::vector<int>{1, 2}));
    EXPECT_EQ(cudaGraphLaunch(graph, stream.handle), cudaSuccess);
    EXPECT_EQ(y.values(), (std::vector<int>{4, 6}));
    EXPECT_EQ(cudaGraphLaunch(graph, stream.handle), cudaSuccess);
    EXPECT_EQ(cudaGraphExecDestroy(graph), cudaSuccess) << "what was launched still runs";
    EXPECT_EQ(y.values(), (std::vector<int>{10, 14}));
    EXPECT_EQ(cudaGraphLaunch(graph, stream.handle), cudaErrorInvalidValue);
    EXPECT_EQ(cudaGraphExecDestroy(graph), cudaErrorInvalidValue);
    static_cast<void>(cudaGetLastError());
  }
}

TEST(Graphs, SayHowManyPiecesTheyHave) {
  const Stream stream;
  const DeviceArray<int> x({1, 2});
  EXPECT_EQ(cudaStreamBeginCapture(stream.handle, cudaStreamCaptureModeThreadLocal), cudaSuccess);
  launch(add_one, {.threads = 2, .stream = stream.handle}, x.data());
  EXPECT_EQ(cudaMemsetAsync(x.data(), 0, 8, stream.handle), cudaSuccess);
  cudaGraph_t graph = nullptr;
  EXPECT_EQ(cudaStreamEndCapture(stream.handle, &graph), cudaSuccess);
  std::size_t count = 0;
  EXPECT_EQ(cudaGraphGetNodes(graph, nullptr, &count), cudaSuccess);
  EXPECT_EQ(count, 2U);
  EXPECT_EQ(cudaGraphDestroy(graph), cudaSuccess);
}

TEST(Graphs, OtherStreamsAndThreadsGoOn) {
  const Stream stream;
  const Stream other;
  const DeviceArray<int> x({1, 2});
  const DeviceArray<int> y({1, 2});
  const cudaGraphExec_t graph = recorded(stream.handle, [&] {
    launch(add_one, {.threads = 2, .stream = stream.handle}, x.data());
    launch(add_one, {.threads = 2, .stream = other.handle}, y.data());
    std::thread([&] { EXPECT_EQ(cudaStreamSynchronize(other.handle), cudaSuccess); }).join();
  });
  EXPECT_EQ(y.values(), (std::vector<int>{2, 3}));
  EXPECT_EQ(x.values(), (std::vector<int>{1, 2}));
  EXPECT_EQ(cudaGraphExecDestroy(graph), cudaSuccess);
}

/// `then` goes on behind what `first` holds by now.
struct GoesOnBehind {
  cudaEvent_t event = nullptr;

  GoesOnBehind() { EXPECT_EQ(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), cudaSuccess); }
  ~GoesOnBehind() { EXPECT_EQ(cudaEventDestroy(event), cudaSuccess); }
  GoesOnBehind(const GoesOnBehind&) = delete;
  GoesOnBehind& operator=(const GoesOnBehind&) = delete;

  cudaError_t operator()(cudaStream_t first, cudaStream_t then) const {
    const cudaError_t recorded = cudaEventRecord(event, first);
    return recorded == cudaSuccess ? cudaStreamWaitEvent(then, event, 0) : recorded;
  }
};

/// x + 1 beside it doubled twice, in another memory, and then once more in place: (x + 1) and 4 (x + 1) + 1.
TEST(Graphs, StreamsThatWaitForEventsOfTheRecordingAreBranchesOfIt) {
  for (std::uint64_t seed = 1; seed <= 8; ++seed) {
    Config c = config();
    c.seed = seed;
    const WithConfig scope(c);
    const Stream stream;
    const Stream other;
    const GoesOnBehind to_branch;
    const GoesOnBehind from_branch;
    const DeviceArray<int> x({1, 2});
    const DeviceArray<int> y({0, 0});
    const cudaGraphExec_t graph = recorded(stream.handle, [&] {
      launch(add_one, {.threads = 2, .stream = stream.handle}, x.data());
      EXPECT_EQ(to_branch(stream.handle, other.handle), cudaSuccess);
      EXPECT_EQ(cudaMemcpyAsync(y.data(), x.data(), 8, cudaMemcpyDeviceToDevice, other.handle), cudaSuccess);
      EXPECT_EQ(from_branch(other.handle, stream.handle), cudaSuccess);
      EXPECT_EQ(to_branch(stream.handle, other.handle), cudaSuccess);
      launch(times_two, {.threads = 2, .stream = other.handle}, y.data());
      launch(times_two, {.threads = 2, .stream = stream.handle}, x.data());
      launch(times_two, {.threads = 2, .stream = other.handle}, y.data());
      EXPECT_EQ(from_branch(other.handle, stream.handle), cudaSuccess);
      launch(add_one, {.threads = 2, .stream = stream.handle}, y.data());
    });
    EXPECT_EQ(x.values(), (std::vector<int>{1, 2}));
    EXPECT_EQ(cudaGraphLaunch(graph, stream.handle), cudaSuccess);
    EXPECT_EQ(cudaGraphLaunch(graph, stream.handle), cudaSuccess);
    EXPECT_EQ(x.values(), (std::vector<int>{10, 14}));
    EXPECT_EQ(y.values(), (std::vector<int>{21, 29}));
    launch(add_one, {.threads = 2, .stream = other.handle}, x.data());  // it is as it was
    EXPECT_EQ(x.values(), (std::vector<int>{11, 15}));
    EXPECT_EQ(cudaGraphExecDestroy(graph), cudaSuccess);
  }
}

TEST(Graphs, BranchesEndWhereTheyBeganAndMeetNothingElse) {
  const Stream stream;
  const Stream other;
  const GoesOnBehind order;
  const GoesOnBehind outside;
  const DeviceArray<int> x({1, 2});
  cudaGraph_t graph = nullptr;
  const auto begin = [&] {
    ASSERT_EQ(cudaStreamBeginCapture(stream.handle, cudaStreamCaptureModeThreadLocal), cudaSuccess);
    EXPECT_EQ(order(stream.handle, other.handle), cudaSuccess);
    EXPECT_EQ(launch(add_one, {.threads = 2, .stream = other.handle}, x.data()), cudaSuccess);
  };
  begin();
  EXPECT_EQ(cudaStreamEndCapture(stream.handle, &graph), cudaErrorStreamCaptureUnjoined);
  begin();
  EXPECT_EQ(cudaStreamEndCapture(other.handle, &graph), cudaErrorStreamCaptureUnmatched);
  EXPECT_EQ(cudaStreamEndCapture(stream.handle, &graph), cudaErrorStreamCaptureInvalidated);
  const Stream third;
  EXPECT_EQ(cudaEventRecord(outside.event, third.handle), cudaSuccess);
  begin();
  EXPECT_EQ(cudaStreamWaitEvent(other.handle, outside.event, 0), cudaErrorStreamCaptureIsolation);
  EXPECT_EQ(cudaStreamEndCapture(stream.handle, &graph), cudaErrorStreamCaptureInvalidated);
  begin();
  ASSERT_EQ(cudaStreamBeginCapture(third.handle, cudaStreamCaptureModeThreadLocal), cudaSuccess);
  EXPECT_EQ(order(other.handle, third.handle), cudaErrorStreamCaptureMerge);
  EXPECT_EQ(cudaStreamEndCapture(third.handle, &graph), cudaErrorStreamCaptureInvalidated);
  EXPECT_EQ(cudaStreamEndCapture(stream.handle, &graph), cudaErrorStreamCaptureInvalidated);
  EXPECT_EQ(graph, nullptr);
  EXPECT_EQ(cudaStreamWaitEvent(third.handle, order.event, 0), cudaErrorCapturedEvent) << "its recording is over";
  EXPECT_EQ(cudaEventQuery(order.event), cudaErrorCapturedEvent);
  EXPECT_EQ(cudaEventSynchronize(order.event), cudaErrorCapturedEvent);
  EXPECT_EQ(order(other.handle, third.handle), cudaSuccess) << "recorded anew, it is one as any";
  EXPECT_EQ(cudaEventSynchronize(order.event), cudaSuccess);
  EXPECT_EQ(x.values(), (std::vector<int>{1, 2}));
  static_cast<void>(cudaGetLastError());
}

/// Does `forbidden` while a stream is recorded: `status` is what it gives, and the recording is spoiled.
void expect_refused(const char* what, cudaError_t status, const std::function<cudaError_t(cudaStream_t)>& forbidden,
                    unsigned flags = cudaStreamNonBlocking) {
  SCOPED_TRACE(what);
  const Stream stream(flags);
  const DeviceArray<int> x({1, 2});
  ASSERT_EQ(cudaStreamBeginCapture(stream.handle, cudaStreamCaptureModeThreadLocal), cudaSuccess);
  EXPECT_EQ(launch(add_one, {.threads = 2, .stream = stream.handle}, x.data()), cudaSuccess);
  EXPECT_EQ(forbidden(stream.handle), status);
  EXPECT_EQ(cudaGetLastError(), status);
  EXPECT_EQ(launch(add_one, {.threads = 2, .stream = stream.handle}, x.data()), cudaErrorStreamCaptureInvalidated);
  cudaGraph_t graph = nullptr;
  EXPECT_EQ(cudaStreamEndCapture(stream.handle, &graph), cudaErrorStreamCaptureInvalidated);
  EXPECT_EQ(graph, nullptr);
  EXPECT_EQ(launch(add_one, {.threads = 2, .stream = stream.handle}, x.data()), cudaSuccess) << "it is as it was";
  EXPECT_EQ(x.values(), (std::vector<int>{2, 3}));
  static_cast<void>(cudaGetLastError());
}

TEST(Graphs, WaitingAndAskingSpoilTheRecording) {
  constexpr cudaError_t kRefused = cudaErrorStreamCaptureUnsupported;
  cudaEvent_t event = nullptr;
  ASSERT_EQ(cudaEventCreateWithFlags(&event, cudaEventDefault), cudaSuccess);
  const DeviceArray<int> memory(std::vector{5});
  int value = 0;
  expect_refused("cudaStreamSynchronize", kRefused, cudaStreamSynchronize);
  expect_refused("cudaDeviceSynchronize", kRefused, [](cudaStream_t) { return cudaDeviceSynchronize(); });
  expect_refused("cudaEventSynchronize", kRefused, [&](cudaStream_t) { return cudaEventSynchronize(event); });
  expect_refused("cudaEventQuery", kRefused, [&](cudaStream_t) { return cudaEventQuery(event); });
  expect_refused("cudaMemcpy", kRefused,
                 [&](cudaStream_t) { return cudaMemcpy(&value, memory.data(), 4, cudaMemcpyDeviceToHost); });
  expect_refused("cudaMemset", kRefused, [&](cudaStream_t) { return cudaMemset(memory.data(), 0, 4); });
  EXPECT_EQ(cudaEventDestroy(event), cudaSuccess);
}

TEST(Graphs, MemoryAndThePageableHostSpoilTheRecording) {
  constexpr cudaError_t kRefused = cudaErrorStreamCaptureUnsupported;
  void* memory = nullptr;
  const DeviceArray<int> there(std::vector{5});
  int value = 0;
  expect_refused("cudaMalloc", kRefused, [&](cudaStream_t) { return cudaMalloc(&memory, 16); });
  EXPECT_EQ(memory, nullptr);
  expect_refused("cudaMallocAsync", kRefused, [&](cudaStream_t s) { return cudaMallocAsync(&memory, 16, s); });
  expect_refused("cudaFreeAsync", kRefused, [&](cudaStream_t s) { return cudaFreeAsync(there.data(), s); });
  expect_refused("from pageable memory", kRefused,
                 [&](cudaStream_t s) { return cudaMemcpyAsync(there.data(), &value, 4, cudaMemcpyHostToDevice, s); });
  expect_refused("to pageable memory", kRefused,
                 [&](cudaStream_t s) { return cudaMemcpyAsync(&value, there.data(), 4, cudaMemcpyDeviceToHost, s); });
  EXPECT_EQ(there.values(), std::vector{5});
}

TEST(Graphs, TheDefaultStreamIsNotRecordedAndWaitsForNoRecording) {
  EXPECT_EQ(cudaStreamBeginCapture(nullptr, cudaStreamCaptureModeThreadLocal), cudaErrorStreamCaptureUnsupported);
  EXPECT_EQ(cudaStreamBeginCapture(cudaStreamLegacy, cudaStreamCaptureModeThreadLocal),
            cudaErrorStreamCaptureUnsupported);
  static_cast<void>(cudaGetLastError());
  const DeviceArray<int> y({1, 2});
  const auto on_default = [&](cudaStream_t) { return launch(add_one, {.threads = 2}, y.data()); };
  expect_refused("a blocking stream", cudaErrorStreamCaptureImplicit, on_default, cudaStreamDefault);
  EXPECT_EQ(y.values(), (std::vector<int>{1, 2}));
}

TEST(Graphs, RecordingsBeginAndEndOnce) {
  const Stream stream;
  cudaGraph_t graph = nullptr;
  EXPECT_EQ(cudaStreamEndCapture(stream.handle, &graph), cudaErrorIllegalState);
  ASSERT_EQ(cudaStreamBeginCapture(stream.handle, cudaStreamCaptureModeThreadLocal), cudaSuccess);
  EXPECT_EQ(cudaStreamBeginCapture(stream.handle, cudaStreamCaptureModeThreadLocal), cudaErrorIllegalState);
  std::thread([&] {
    EXPECT_EQ(cudaStreamEndCapture(stream.handle, &graph), cudaErrorStreamCaptureWrongThread);
  }).join();
  EXPECT_EQ(cudaStreamEndCapture(stream.handle, &graph), cudaSuccess);
  EXPECT_EQ(cudaGraphDestroy(graph), cudaSuccess);
  EXPECT_EQ(cudaGraphDestroy(graph), cudaErrorInvalidValue);
  cudaGraphExec_t executable = nullptr;
  EXPECT_EQ(cudaGraphInstantiate(&executable, graph, 0), cudaErrorInvalidValue);
  EXPECT_EQ(cudaGraphLaunch(executable, stream.handle), cudaErrorInvalidValue);
  static_cast<void>(cudaGetLastError());
}

TEST(Waits, AreCountedByWhatTheyAre) {
  const Stream stream;
  const HostWaits before = host_waits();
  cudaEvent_t event = nullptr;
  EXPECT_EQ(cudaEventCreateWithFlags(&event, cudaEventDefault), cudaSuccess);
  EXPECT_EQ(cudaEventSynchronize(event), cudaSuccess);
  EXPECT_EQ(cudaStreamSynchronize(stream.handle), cudaSuccess);
  EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess);
  {
    const DeviceArray<int> x({1, 2});  // copies, and frees in the end
  }
  EXPECT_EQ(cudaEventDestroy(event), cudaSuccess);
  const HostWaits after = host_waits();
  EXPECT_EQ(after.events, before.events + 1);
  EXPECT_EQ(after.streams, before.streams + 1);
  EXPECT_EQ(after.device, before.device + 2);
  EXPECT_EQ(after.copies, before.copies + 1);
}

__global__ void count_up(int* x) {
  x[threadIdx.x] += 1;  // launch_after_free
}

/// A launch writes to memory that was freed since it was recorded.
void launch_after_free(bool broken) {
  const Stream stream;
  int* x = nullptr;
  EXPECT_EQ(cudaMalloc(reinterpret_cast<void**>(&x), 8), cudaSuccess);
  EXPECT_EQ(cudaMemset(x, 0, 8), cudaSuccess);
  const cudaGraphExec_t graph =
      recorded(stream.handle, [&] { launch(count_up, {.threads = 2, .stream = stream.handle}, x); });
  if (broken) {
    EXPECT_EQ(cudaFree(x), cudaSuccess);
  }
  EXPECT_EQ(cudaGraphLaunch(graph, stream.handle), cudaSuccess);
  static_cast<void>(cudaStreamSynchronize(stream.handle));
  EXPECT_EQ(cudaGraphExecDestroy(graph), cudaSuccess);
  if (!broken) {
    EXPECT_EQ(cudaFree(x), cudaSuccess);
  }
}

__global__ void count_beside(int* x) {
  x[threadIdx.x] += 1;  // branches_at_once
}

/// Two branches of a graph write the same memory, with nothing between them that orders them.
void branches_at_once(bool broken) {
  const Stream stream;
  const Stream other;
  const GoesOnBehind to_branch;
  const GoesOnBehind from_branch;
  const DeviceArray<int> x({1, 2});
  const cudaGraphExec_t graph = recorded(stream.handle, [&] {
    EXPECT_EQ(to_branch(stream.handle, other.handle), cudaSuccess);
    launch(count_beside, {.threads = 2, .stream = other.handle}, x.data());
    if (!broken) {
      EXPECT_EQ(from_branch(other.handle, stream.handle), cudaSuccess);
    }
    launch(count_beside, {.threads = 2, .stream = stream.handle}, x.data());
    EXPECT_EQ(from_branch(other.handle, stream.handle), cudaSuccess);
  });
  EXPECT_EQ(cudaGraphLaunch(graph, stream.handle), cudaSuccess);
  EXPECT_EQ(cudaStreamSynchronize(stream.handle), cudaSuccess);
  EXPECT_EQ(cudaGraphExecDestroy(graph), cudaSuccess);
}

const Plants kPlants(
    __FILE__,
    {{.name = "launch_after_free", .run = launch_after_free, .kinds = {"use-after-free"}, .says = {"count_up"}},
     {.name = "branches_at_once", .run = branches_at_once, .kinds = {"race-stream"}}});

}  // namespace
}  // namespace cudasim::testing
