// Collectives: their results, several GPUs, and ranks that disagree or never call.
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <nccl.h>

#include <array>
#include <atomic>
#include <barrier>
#include <cstdint>
#include <functional>
#include <limits>
#include <numeric>
#include <thread>

#include "planted.h"

namespace cudasim::testing {
namespace {

Config with_devices(int devices, bool verbose = true) {
  Config c = config();
  c.devices = devices;
  c.verbose = verbose;
  return c;
}

/// Ranks meet here when all have done what they were to do; who is missing from now on is not waited for for long.
class LastMeeting {
 public:
  explicit LastMeeting(int ranks) : barrier_(ranks, lose_patience) {}
  void arrive_and_wait() { barrier_.arrive_and_wait(); }

 private:
  static void lose_patience() noexcept { config().patience = std::chrono::milliseconds(50); }
  std::barrier<void (*)() noexcept> barrier_;
};

/// One rank, on a thread of its own, with a GPU and a stream of its own.
struct Rank {
  int number = 0;
  int size = 0;
  ncclComm_t comm = nullptr;
  cudaStream_t stream = nullptr;

  template <class T>
  std::vector<T> finished(const DeviceArray<T>& x) const {
    EXPECT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
    return x.values();
  }
};

void run_rank(int size, int number, const ncclUniqueId& id, const std::function<void(const Rank&)>& body) {
  ASSERT_EQ(cudaSetDevice(number), cudaSuccess);
  Rank rank{number, size};
  ASSERT_EQ(ncclCommInitRank(&rank.comm, size, id, number), ncclSuccess);
  {
    const Stream stream;
    rank.stream = stream.handle;
    body(rank);
  }
  EXPECT_EQ(ncclCommDestroy(rank.comm), ncclSuccess);
}

void run_ranks(int size, const std::function<void(const Rank&)>& body) {
  ncclUniqueId id;
  ASSERT_EQ(ncclGetUniqueId(&id), ncclSuccess);
  std::vector<std::thread> threads;
  for (int number = 0; number < size; ++number) {
    threads.emplace_back([&, number] { run_rank(size, number, id, body); });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
}

/// Rank r has {r + 1, 10 (r + 1)}: what three of them make of it.
template <class T>
void expect_reduced(ncclDataType_t type, ncclRedOp_t op, float first) {
  SCOPED_TRACE(static_cast<int>(type));
  run_ranks(3, [&](const Rank& rank) {
    const auto own = static_cast<float>(rank.number + 1);
    const DeviceArray<T> x(std::vector<T>{static_cast<T>(own), static_cast<T>(10 * own)});
    const DeviceArray<T> y(2);
    EXPECT_EQ(ncclAllReduce(x.data(), y.data(), 2, type, op, rank.comm, rank.stream), ncclSuccess);
    const std::vector<T> values = rank.finished(y);
    EXPECT_EQ(static_cast<float>(values[0]), first);
    EXPECT_EQ(static_cast<float>(values[1]), 10 * first);
  });
}

TEST(Nccl, ReducesEveryType) {
  const WithConfig scope(with_devices(3));
  expect_reduced<float>(ncclFloat, ncclSum, 6);
  expect_reduced<double>(ncclDouble, ncclAvg, 2);
  expect_reduced<__half>(ncclHalf, ncclMax, 3);
  expect_reduced<__nv_bfloat16>(ncclBfloat16, ncclMin, 1);
  expect_reduced<std::int8_t>(ncclInt8, ncclSum, 6);
  expect_reduced<std::uint8_t>(ncclUint8, ncclAvg, 2);
  expect_reduced<std::int32_t>(ncclInt32, ncclMax, 3);
  expect_reduced<std::uint32_t>(ncclUint32, ncclMin, 1);
  expect_reduced<std::int64_t>(ncclInt64, ncclSum, 6);
  expect_reduced<std::uint64_t>(ncclUint64, ncclAvg, 2);
}

/// 1, 2^-25 and 2^-25: from the first rank on both small ones are lost, in any other order they are not.
TEST(Nccl, AddsInTheOrderOfTheRanks) {
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    Config c = with_devices(3);
    c.seed = seed;
    const WithConfig scope(c);
    run_ranks(3, [](const Rank& rank) {
      const DeviceArray<float> x(std::vector<float>{rank.number == 0 ? 1.0F : 0x1p-25F});
      EXPECT_EQ(ncclAllReduce(x.data(), x.data(), 1, ncclFloat, ncclSum, rank.comm, rank.stream), ncclSuccess);
      EXPECT_EQ(rank.finished(x)[0], 1.0F);
    });
  }
}

/// 256 + 1 + 1 in bf16: rounded once, at the end, the ones are not lost.
TEST(Nccl, RoundsShortTypesOnce) {
  const WithConfig scope(with_devices(3));
  run_ranks(3, [](const Rank& rank) {
    const auto own = static_cast<__nv_bfloat16>(rank.number == 0 ? 256.0F : 1.0F);
    const DeviceArray<__nv_bfloat16> x(std::vector<__nv_bfloat16>{own});
    EXPECT_EQ(ncclAllReduce(x.data(), x.data(), 1, ncclBfloat16, ncclSum, rank.comm, rank.stream), ncclSuccess);
    EXPECT_EQ(static_cast<float>(rank.finished(x)[0]), 258.0F);
  });
}

TEST(Nccl, GathersScattersAndBroadcasts) {
  const WithConfig scope(with_devices(3));
  run_ranks(3, [](const Rank& rank) {
    const auto own = static_cast<float>(rank.number);
    const DeviceArray<float> part(std::vector<float>{own, own + 10});
    const DeviceArray<float> whole(6);
    EXPECT_EQ(ncclAllGather(part.data(), whole.data(), 2, ncclFloat, rank.comm, rank.stream), ncclSuccess);
    EXPECT_EQ(rank.finished(whole), (std::vector<float>{0, 10, 1, 11, 2, 12}));
    EXPECT_EQ(ncclReduceScatter(whole.data(), part.data(), 2, ncclFloat, ncclSum, rank.comm, rank.stream), ncclSuccess);
    EXPECT_EQ(rank.finished(part), (std::vector<float>{3 * own, 3 * (own + 10)}));
    EXPECT_EQ(ncclBroadcast(part.data(), part.data(), 2, ncclFloat, 1, rank.comm, rank.stream), ncclSuccess);
    EXPECT_EQ(rank.finished(part), (std::vector<float>{3, 33}));
  });
}

/// A rank's part of the gathered memory is where it sends from.
TEST(Nccl, WorksInPlace) {
  const WithConfig scope(with_devices(2));
  run_ranks(2, [](const Rank& rank) {
    const DeviceArray<int> whole(std::vector<int>{rank.number + 1, rank.number + 5});
    int* const own = whole.data() + rank.number;
    EXPECT_EQ(ncclAllGather(own, whole.data(), 1, ncclInt32, rank.comm, rank.stream), ncclSuccess);
    EXPECT_EQ(rank.finished(whole), (std::vector<int>{1, 6}));
    EXPECT_EQ(ncclReduceScatter(whole.data(), own, 1, ncclInt32, ncclSum, rank.comm, rank.stream), ncclSuccess);
    EXPECT_EQ(rank.finished(whole)[static_cast<std::size_t>(rank.number)], rank.number == 0 ? 2 : 12);
  });
}

/// Nothing of a group is queued before its end.
TEST(Nccl, GroupsBeginAtTheirEnd) {
  const WithConfig scope(with_devices(2));
  run_ranks(2, [](const Rank& rank) {
    const DeviceArray<float> x(std::vector<float>{1});
    const DeviceArray<float> y(std::vector<float>{2});
    EXPECT_EQ(ncclGroupStart(), ncclSuccess);
    EXPECT_EQ(ncclAllReduce(x.data(), x.data(), 1, ncclFloat, ncclSum, rank.comm, rank.stream), ncclSuccess);
    EXPECT_EQ(ncclAllReduce(y.data(), y.data(), 1, ncclFloat, ncclSum, rank.comm, rank.stream), ncclSuccess);
    EXPECT_EQ(rank.finished(x)[0], 1);
    EXPECT_EQ(ncclGroupEnd(), ncclSuccess);
    EXPECT_EQ(rank.finished(x)[0], 2);
    EXPECT_EQ(rank.finished(y)[0], 4);
    EXPECT_EQ(ncclGroupEnd(), ncclInvalidUsage);
  });
}

/// Sums of x that a graph makes on a branch, `launches` times.
void launch_recorded_sums(const Rank& rank, float* x, int launches, const std::function<void()>& before_the_end = {}) {
  const Stream beside;
  std::array<cudaEvent_t, 2> events{};
  for (cudaEvent_t& event : events) {
    EXPECT_EQ(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), cudaSuccess);
  }
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t executable = nullptr;
  EXPECT_EQ(cudaStreamBeginCapture(rank.stream, cudaStreamCaptureModeThreadLocal), cudaSuccess);
  EXPECT_EQ(cudaEventRecord(events[0], rank.stream), cudaSuccess);
  EXPECT_EQ(cudaStreamWaitEvent(beside.handle, events[0], 0), cudaSuccess);
  EXPECT_EQ(ncclAllReduce(x, x, 2, ncclFloat, ncclSum, rank.comm, beside.handle), ncclSuccess);
  EXPECT_EQ(cudaEventRecord(events[1], beside.handle), cudaSuccess);
  EXPECT_EQ(cudaStreamWaitEvent(rank.stream, events[1], 0), cudaSuccess);
  EXPECT_EQ(cudaStreamEndCapture(rank.stream, &graph), cudaSuccess);
  EXPECT_EQ(cudaGraphInstantiate(&executable, graph, 0), cudaSuccess);
  EXPECT_EQ(cudaGraphDestroy(graph), cudaSuccess);
  for (int launch = 0; launch < launches; ++launch) {
    EXPECT_EQ(cudaGraphLaunch(executable, rank.stream), cudaSuccess);
  }
  static_cast<void>(cudaStreamSynchronize(rank.stream));
  if (before_the_end) {
    before_the_end();
  }
  EXPECT_EQ(cudaGraphExecDestroy(executable), cudaSuccess);
  for (const cudaEvent_t event : events) {
    EXPECT_EQ(cudaEventDestroy(event), cudaSuccess);
  }
}

TEST(Nccl, RecordedIntoAGraphExchangesWithEachLaunch) {
  for (std::uint64_t seed = 1; seed <= 4; ++seed) {
    Config c = with_devices(3);
    c.seed = seed;
    const WithConfig scope(c);
    run_ranks(3, [](const Rank& rank) {
      const DeviceArray<float> x(std::vector<float>{static_cast<float>(rank.number + 1), 10});
      launch_recorded_sums(rank, x.data(), 3);
      EXPECT_EQ(rank.finished(x), (std::vector<float>{54, 270}));
      EXPECT_EQ(ncclAllReduce(x.data(), x.data(), 2, ncclFloat, ncclMax, rank.comm, rank.stream), ncclSuccess);
      EXPECT_EQ(rank.finished(x), (std::vector<float>{54, 270})) << "and goes on as always";
    });
  }
}

TEST(Nccl, RefusesWhatIsNotSimulatedOrMakesNoSense) {
  const WithConfig scope(with_devices(2));
  run_ranks(1, [](const Rank& rank) {
    const DeviceArray<float> x(std::vector<float>{1});
    const auto reduce = [&](ncclDataType_t type, ncclRedOp_t op, cudaStream_t stream) {
      return ncclAllReduce(x.data(), x.data(), 1, type, op, rank.comm, stream);
    };
    EXPECT_EQ(reduce(ncclFloat, ncclProd, rank.stream), ncclInvalidArgument);
    EXPECT_EQ(reduce(ncclFloat8e4m3, ncclSum, rank.stream), ncclInvalidArgument);
    EXPECT_EQ(ncclBroadcast(x.data(), x.data(), 1, ncclFloat, 1, rank.comm, rank.stream), ncclInvalidArgument);
    EXPECT_EQ(reduce(ncclFloat, ncclSum, reinterpret_cast<cudaStream_t>(16000)), ncclUnhandledCudaError);
    static_cast<void>(cudaGetLastError());
  });
  ncclUniqueId id;
  ncclGetUniqueId(&id);
  ncclComm_t comm = nullptr;
  EXPECT_EQ(ncclCommInitRank(&comm, 2, id, 2), ncclInvalidArgument);
  fail_library_call(1);
  EXPECT_EQ(ncclCommInitRank(&comm, 1, id, 0), ncclSystemError);
  EXPECT_EQ(comm, nullptr);
}

/// Reports of ranks that misbehave, and the error that each of two ranks sees.
struct Outcome {
  std::array<cudaError_t, 2> synchronised{};
  std::array<ncclResult_t, 2> error{};
  std::vector<Report> reports;
};

Outcome outcome_of(const std::function<void(const Rank&, float*)>& call) {
  const WithConfig scope(with_devices(2, false));
  Outcome out;
  run_ranks(2, [&](const Rank& rank) {
    const auto at = static_cast<std::size_t>(rank.number);
    const DeviceArray<float> x(counted(8));
    call(rank, x.data());
    out.synchronised[at] = cudaStreamSynchronize(rank.stream);
    EXPECT_EQ(ncclCommGetAsyncError(rank.comm, &out.error[at]), ncclSuccess);
  });
  out.reports = take_reports();
  reset_device();
  static_cast<void>(cudaGetLastError());
  return out;
}

void expect_mismatch(const char* text, const std::function<void(const Rank&, float*)>& call) {
  const Outcome outcome = outcome_of(call);
  ASSERT_EQ(outcome.reports.size(), 1) << text;
  EXPECT_EQ(outcome.reports[0].kind, "rank-mismatch");
  EXPECT_NE(outcome.reports[0].text.find(text), std::string::npos) << outcome.reports[0].text;
  EXPECT_EQ(outcome.synchronised[1], cudaErrorLaunchFailure);
  EXPECT_EQ(outcome.error[0], ncclInvalidArgument);
}

TEST(Nccl, ReportsRanksThatDisagree) {
  expect_mismatch("float (sum)", [](const Rank& rank, float* x) {
    ncclAllReduce(x, x, rank.number == 0 ? 8 : 7, ncclFloat, ncclSum, rank.comm, rank.stream);
  });
  expect_mismatch("half (sum)", [](const Rank& rank, float* x) {
    ncclAllReduce(x, x, 8, rank.number == 0 ? ncclFloat : ncclHalf, ncclSum, rank.comm, rank.stream);
  });
  expect_mismatch("float (mean)", [](const Rank& rank, float* x) {
    ncclAllReduce(x, x, 8, ncclFloat, rank.number == 0 ? ncclSum : ncclAvg, rank.comm, rank.stream);
  });
  expect_mismatch("float from rank 1", [](const Rank& rank, float* x) {
    ncclBroadcast(x, x, 8, ncclFloat, rank.number, rank.comm, rank.stream);
  });
  expect_mismatch("ncclAllGather of 4 float", [](const Rank& rank, float* x) {
    rank.number == 0 ? ncclAllReduce(x, x, 8, ncclFloat, ncclSum, rank.comm, rank.stream)
                     : ncclAllGather(x, x, 4, ncclFloat, rank.comm, rank.stream);
  });
}

TEST(Nccl, AbortingEndsWhatOthersWaitFor) {
  const WithConfig scope(with_devices(2));
  ncclUniqueId id;
  ncclGetUniqueId(&id);
  std::atomic<bool> waits = false;
  std::thread other([&] {
    ncclComm_t comm = nullptr;
    EXPECT_EQ(cudaSetDevice(1), cudaSuccess);
    EXPECT_EQ(ncclCommInitRank(&comm, 2, id, 1), ncclSuccess);
    while (!waits) {
      std::this_thread::yield();
    }
    EXPECT_EQ(ncclCommAbort(comm), ncclSuccess);
  });
  ncclComm_t comm = nullptr;
  ASSERT_EQ(ncclCommInitRank(&comm, 2, id, 0), ncclSuccess);
  {
    const DeviceArray<float> x(counted(8));
    const Stream stream;
    EXPECT_EQ(ncclAllReduce(x.data(), x.data(), 8, ncclFloat, ncclSum, comm, stream.handle), ncclSuccess);
    waits = true;
    EXPECT_EQ(cudaStreamSynchronize(stream.handle), cudaSuccess);
    ncclResult_t error = ncclSuccess;
    EXPECT_EQ(ncclCommGetAsyncError(comm, &error), ncclSuccess);
    EXPECT_EQ(error, ncclRemoteError);
    EXPECT_EQ(ncclAllReduce(x.data(), x.data(), 8, ncclFloat, ncclSum, comm, stream.handle), ncclRemoteError);
  }
  other.join();
  EXPECT_EQ(ncclCommAbort(comm), ncclSuccess);
}

/// A program that asks again and again is told as well.
TEST(Nccl, AskingForARankThatNeverCallsComesToAnEnd) {
  LastMeeting last(2);
  const Outcome outcome = outcome_of([&](const Rank& rank, float* x) {
    last.arrive_and_wait();
    if (rank.number == 1) {
      return;
    }
    cudaEvent_t event = nullptr;
    EXPECT_EQ(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), cudaSuccess);
    EXPECT_EQ(ncclAllReduce(x, x, 8, ncclFloat, ncclSum, rank.comm, rank.stream), ncclSuccess);
    EXPECT_EQ(cudaEventRecord(event, rank.stream), cudaSuccess);
    while (cudaEventQuery(event) == cudaErrorNotReady) {
    }
    EXPECT_EQ(cudaEventDestroy(event), cudaSuccess);
  });
  EXPECT_EQ(outcome.reports.size(), 1);
  EXPECT_EQ(outcome.error[0], ncclRemoteError);
  EXPECT_EQ(outcome.synchronised[0], cudaErrorLaunchTimeout);
}

/// Two communicators whose collectives the ranks queue in different orders on one stream.
TEST(Nccl, ReportsStreamsThatWaitForEachOther) {
  const WithConfig scope(with_devices(2, false));
  LastMeeting last(2);
  ncclUniqueId id;
  ncclGetUniqueId(&id);
  run_ranks(2, [&](const Rank& first) {
    const DeviceArray<float> x(counted(8));
    ncclComm_t second = nullptr;
    ASSERT_EQ(ncclCommInitRank(&second, 2, id, first.number), ncclSuccess);
    for (const ncclComm_t comm : {first.number == 0 ? first.comm : second, first.number == 0 ? second : first.comm}) {
      EXPECT_EQ(ncclAllReduce(x.data(), x.data(), 8, ncclFloat, ncclSum, comm, first.stream), ncclSuccess);
    }
    last.arrive_and_wait();
    EXPECT_EQ(cudaStreamSynchronize(first.stream), cudaErrorLaunchTimeout);
    EXPECT_EQ(ncclCommDestroy(second), ncclSuccess);
  });
  const std::vector<Report> reports = take_reports();
  reset_device();
  static_cast<void>(cudaGetLastError());
  ASSERT_EQ(reports.size(), 1) << "both wait at the same line";
  EXPECT_EQ(reports[0].kind, "rank-missing");
  EXPECT_NE(reports[0].text.find(" called it, but its stream waits for something else"), std::string::npos);
}

TEST(Nccl, ReportsRanksThatNeverJoin) {
  Config c = with_devices(2, false);
  c.patience = std::chrono::milliseconds(50);
  const WithConfig scope(c);
  ncclUniqueId id;
  ncclGetUniqueId(&id);
  ncclComm_t comm = nullptr;
  EXPECT_EQ(ncclCommInitRank(&comm, 2, id, 0), ncclRemoteError);
  EXPECT_EQ(comm, nullptr);
  const std::vector<Report> reports = take_reports();
  ASSERT_EQ(reports.size(), 1);
  EXPECT_EQ(reports[0].kind, "rank-missing");
  EXPECT_NE(reports[0].text.find(" of 2 ranks: rank 1 never called it"), std::string::npos) << reports[0].text;
}

TEST(Nccl, ReportsRanksThatUseOneGpu) {
  const WithConfig scope(with_devices(2, false));
  ncclUniqueId id;
  ncclGetUniqueId(&id);
  std::array<ncclResult_t, 2> status{};
  std::vector<std::thread> threads;
  for (int rank = 0; rank < 2; ++rank) {
    threads.emplace_back([&, rank] {
      ncclComm_t own = nullptr;
      status[static_cast<std::size_t>(rank)] = ncclCommInitRank(&own, 2, id, rank);
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  EXPECT_EQ(status, (std::array{ncclInvalidUsage, ncclInvalidUsage}));
  const std::vector<Report> reports = take_reports();
  ASSERT_EQ(reports.size(), 1);
  EXPECT_EQ(reports[0].kind, "rank-mismatch");
  EXPECT_NE(reports[0].text.find(" uses GPU 0, which is that of rank "), std::string::npos) << reports[0].text;
}

/// Of three ranks the last goes home without the second collective.
void run_rank_never_calls(bool broken) {
  const WithConfig scope(with_devices(3, config().verbose));
  LastMeeting last(3);
  run_ranks(3, [&](const Rank& rank) {
    const DeviceArray<float> x(counted(8));
    EXPECT_EQ(ncclAllReduce(x.data(), x.data(), 8, ncclFloat, ncclSum, rank.comm, rank.stream), ncclSuccess);
    EXPECT_EQ(cudaStreamSynchronize(rank.stream), cudaSuccess);
    if (broken) {
      last.arrive_and_wait();
    }
    if (!broken || rank.number != 2) {
      float* const own = x.data() + 2 * rank.number;
      ncclAllGather(own, x.data(), 2, ncclFloat, rank.comm, rank.stream);  // rank_that_never_calls
    }
    static_cast<void>(cudaStreamSynchronize(rank.stream));
  });
}

/// A rank leaves while its graph holds calls of the communicator.
void run_graph_outlives(bool broken) {
  const WithConfig scope(with_devices(2, config().verbose));
  ncclUniqueId id;
  ncclGetUniqueId(&id);
  std::vector<std::thread> threads;
  for (int number = 0; number < 2; ++number) {
    threads.emplace_back([&, number] {
      EXPECT_EQ(cudaSetDevice(number), cudaSuccess);
      Rank rank{number, 2};
      EXPECT_EQ(ncclCommInitRank(&rank.comm, 2, id, number), ncclSuccess);
      const Stream stream;
      rank.stream = stream.handle;
      const DeviceArray<float> x(std::vector<float>{2, 3});
      const auto leave = [&] {
        ncclCommDestroy(rank.comm);  // graph_that_outlives_its_ranks
      };
      launch_recorded_sums(rank, x.data(), 1, broken ? std::function<void()>(leave) : nullptr);
      if (!broken) {
        leave();
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
}

const Plants kPlants(__FILE__,
                     {{"graph_that_outlives_its_ranks",
                       run_graph_outlives,
                       {"rank-graph"},
                       {"ncclCommDestroy of communicator ", ": a graph that holds its calls is still there"},
                       "rank-graph"},
                      {"rank_that_never_calls",
                       run_rank_never_calls,
                       {"rank-missing"},
                       {"ncclAllGather of 2 float, call 2 of communicator ", " of 3 ranks: rank 2 never called it"},
                       "rank-missing"}});

}  // namespace
}  // namespace cudasim::testing
