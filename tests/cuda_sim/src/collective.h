// What NCCL's ranks do together, behind nccl.cpp: who takes part, what they have to agree on, and how it is computed.
#pragma once

#include <cuda_runtime_api.h>
#include <nccl.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace cudasim {

enum class Collective { all_reduce, all_gather, reduce_scatter, broadcast };

/// What all ranks have to agree on.
struct Request {
  Collective what = Collective::all_reduce;
  std::size_t count = 0;  ///< Elements of a rank's smaller buffer.
  ncclDataType_t type = ncclFloat;
  ncclRedOp_t op = ncclSum;
  int root = 0;
  bool operator==(const Request&) const = default;
};

/// Whether there are loops for its type and operation.
bool is_simulated(const Request& request);

/// A rank's own buffers.
struct Part {
  const void* from = nullptr;
  void* to = nullptr;
};

class Call;

inline constexpr int kNoDevice = -1;

/// The ranks that communicate.
struct World {
  World(std::uint64_t which, std::size_t ranks) : number(which), devices(ranks, kNoDevice), calls(ranks) {}

  int size() const { return static_cast<int>(devices.size()); }
  /// "communicator 1 of 4 ranks"
  std::string name() const;
  /// "rank 1, rank 3": those that have not joined.
  std::string absent() const;
  /// Nothing is done from now on; whoever waits goes on.
  void fail(ncclResult_t why);

  std::uint64_t number;
  std::vector<int> devices;                             ///< By rank; kNoDevice: has not joined yet.
  std::vector<std::uint64_t> calls;                     ///< By rank: how many collectives it has called.
  std::map<std::uint64_t, std::shared_ptr<Call>> open;  ///< By number of the call: what is not done yet.
  ncclResult_t error = ncclSuccess;
};

/// Queues a rank's part. Ranks that disagree are reported at the call of the later one. `caller` is the program's
/// return address.
ncclResult_t queue_collective(const Request& request, const Part& part, const ncclComm& comm, cudaStream_t stream,
                              const void* caller);

}  // namespace cudasim

struct ncclComm {
  std::shared_ptr<cudasim::World> world;
  std::size_t rank = 0;
};
