// Ranks in several processes: what they get, and what the others see of one that is gone.
#include <nccl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <functional>
#include <string>

#include "planted.h"

namespace cudasim::testing {
namespace {

/// A rank in a process of its own, with a GPU and a stream.
struct Process {
  int number = 0;
  int size = 0;
  ncclUniqueId id{};
  ncclComm_t comm = nullptr;
  cudaStream_t stream = nullptr;

  /// Joins as programs do that must not wait for ever.
  bool join() {
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    config.blocking = 0;
    static_cast<void>(ncclCommInitRankConfig(&comm, size, id, number, &config));
    return settled() == ncclSuccess;
  }
  ncclResult_t settled() const {
    ncclResult_t state = ncclInProgress;
    while (comm != nullptr && state == ncclInProgress) {
      ncclCommGetAsyncError(comm, &state);
    }
    return state;
  }
  /// Waits until all that was queued is done, and leaves.
  bool leave() const {
    return ncclCommFinalize(comm), settled() == ncclSuccess && ncclCommDestroy(comm) == ncclSuccess;
  }
};

std::string all_of(int descriptor) {
  std::string text;
  std::array<char, 512> buffer{};
  for (ssize_t n = 0; (n = ::read(descriptor, buffer.data(), buffer.size())) > 0;) {
    text.append(buffer.data(), static_cast<std::size_t>(n));
  }
  ::close(descriptor);
  return text;
}

/// What each of `size` processes says of its work: "" where all is well. Rank 0 makes the id.
std::vector<std::string> said_by(int size, const std::function<std::string(Process&)>& work) {
  std::array<int, 2> ids{};
  EXPECT_EQ(::pipe(ids.data()), 0);
  std::vector<int> answers;
  std::vector<pid_t> children;
  for (int number = 0; number < size; ++number) {
    std::array<int, 2> answer{};
    EXPECT_EQ(::pipe(answer.data()), 0);
    const pid_t child = ::fork();
    if (child == 0) {
      config().devices = size;
      config().verbose = false;
      Process process{number, size};
      cudaSetDevice(number);
      cudaStreamCreateWithFlags(&process.stream, cudaStreamNonBlocking);
      if (number == 0) {
        ncclGetUniqueId(&process.id);
        for (int other = 1; other < size; ++other) {
          static_cast<void>(!::write(ids[1], &process.id, sizeof process.id));
        }
      } else {
        static_cast<void>(!::read(ids[0], &process.id, sizeof process.id));
      }
      const std::string said = work(process);
      static_cast<void>(!::write(answer[1], said.data(), said.size()));
      ::_exit(0);
    }
    ::close(answer[1]);
    answers.push_back(answer[0]);
    children.push_back(child);
  }
  ::close(ids[0]);
  ::close(ids[1]);
  std::vector<std::string> said;
  for (std::size_t i = 0; i < answers.size(); ++i) {
    said.push_back(all_of(answers[i]));
    ::waitpid(children[i], nullptr, 0);
  }
  return said;
}

std::string text_of(const std::vector<float>& values) {
  std::string text;
  for (const float value : values) {
    text += std::to_string(static_cast<int>(value)) + " ";
  }
  return text;
}

TEST(NcclProcesses, ExchangeWhatThreadsDo) {
  const auto said = said_by(3, [](Process& p) -> std::string {
    if (!p.join()) {
      return "cannot join";
    }
    const auto own = static_cast<float>(p.number + 1);
    const DeviceArray<float> part(std::vector<float>{own, 10 * own});
    const DeviceArray<float> sum(2);
    const DeviceArray<float> whole(6);
    const DeviceArray<float> share(2);
    ncclAllReduce(part.data(), sum.data(), 2, ncclFloat, ncclSum, p.comm, p.stream);
    ncclAllGather(part.data(), whole.data(), 2, ncclFloat, p.comm, p.stream);
    ncclReduceScatter(whole.data(), share.data(), 2, ncclFloat, ncclAvg, p.comm, p.stream);
    ncclBroadcast(part.data(), part.data(), 2, ncclFloat, 2, p.comm, p.stream);
    if (!p.leave()) {
      return "cannot leave";
    }
    cudaStreamSynchronize(p.stream);
    const std::string got = text_of(sum.values()) + "| " + text_of(whole.values()) + "| " + text_of(share.values()) +
                            "| " + text_of(part.values());
    return take_reports().empty() ? got : "reported";
  });
  for (int rank = 0; rank < 3; ++rank) {
    const std::string own = std::to_string(rank + 1) + " " + std::to_string(10 * (rank + 1)) + " ";
    EXPECT_EQ(said[static_cast<std::size_t>(rank)], "6 60 | 1 10 2 20 3 30 | " + own + "| 3 30 ");
  }
}

/// As on GPUs: those who are left see an error, and go on waiting until they abort.
TEST(NcclProcesses, OneThatIsKilledIsAnErrorToTheOthers) {
  for (const int killed : {0, 2}) {
    const auto said = said_by(3, [killed](Process& p) -> std::string {
      if (!p.join()) {
        return "cannot join";
      }
      const DeviceArray<float> x(counted(8));
      for (int call = 0; call < 2; ++call) {  // when the second is done, all have joined and got the first
        ncclAllReduce(x.data(), x.data(), 8, ncclFloat, ncclMax, p.comm, p.stream);
      }
      if (p.number == killed) {
        cudaStreamSynchronize(p.stream);
        ::raise(SIGKILL);
      }
      if (ncclAllReduce(x.data(), x.data(), 8, ncclFloat, ncclSum, p.comm, p.stream) == ncclRemoteError) {
        return "as it should be";  // known already
      }
      ncclResult_t error = ncclSuccess;
      while (error == ncclSuccess) {
        ncclCommGetAsyncError(p.comm, &error);
      }
      cudaEvent_t event = nullptr;
      cudaEventCreateWithFlags(&event, cudaEventDisableTiming);
      cudaEventRecord(event, p.stream);
      for (int i = 0; i < 100; ++i) {
        if (cudaEventQuery(event) == cudaSuccess) {
          return "does not wait";
        }
      }
      ncclCommAbort(p.comm);
      return cudaStreamSynchronize(p.stream) == cudaSuccess && error == ncclRemoteError ? "as it should be" : "fails";
    });
    for (int rank = 0; rank < 3; ++rank) {
      EXPECT_EQ(said[static_cast<std::size_t>(rank)], rank == killed ? "" : "as it should be") << killed;
    }
  }
}

TEST(NcclProcesses, OnesThatDisagreeAreReported) {
  const auto said = said_by(2, [](Process& p) -> std::string {
    if (!p.join()) {
      return "cannot join";
    }
    const DeviceArray<float> x(counted(8));
    ncclAllReduce(x.data(), x.data(), p.number == 0 ? 8 : 7, ncclFloat, ncclSum, p.comm, p.stream);
    cudaEvent_t event = nullptr;
    cudaEventCreateWithFlags(&event, cudaEventDisableTiming);
    cudaEventRecord(event, p.stream);
    ncclResult_t error = ncclSuccess;
    while (error == ncclSuccess) {
      ncclCommGetAsyncError(p.comm, &error);
      static_cast<void>(cudaEventQuery(event));  // lets it go on
    }
    const auto reports = take_reports();
    ncclCommAbort(p.comm);
    return reports.empty() ? std::to_string(error) : reports[0].text;
  });
  EXPECT_NE(said[0].find("rank-mismatch: rank "), std::string::npos) << said[0];
  EXPECT_TRUE(said[1] == std::to_string(ncclInvalidArgument) || said[1] == std::to_string(ncclRemoteError)) << said[1];
}

TEST(NcclProcesses, OneGpuIsNotForTwo) {
  const auto said = said_by(2, [](Process& p) -> std::string {
    cudaSetDevice(0);
    if (p.join()) {
      return "joined";
    }
    const auto reports = take_reports();
    return reports.empty() ? "refused" : reports[0].kind;
  });
  EXPECT_TRUE(said[0] == "rank-mismatch" || said[1] == "rank-mismatch") << said[0] << ", " << said[1];
  EXPECT_TRUE(said[0] != "joined" && said[1] != "joined");
}

}  // namespace
}  // namespace cudasim::testing
