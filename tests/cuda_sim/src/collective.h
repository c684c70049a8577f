// What NCCL's ranks do together, behind nccl.cpp: who takes part, what they have to agree on, and how it is computed.
#pragma once

#include <cuda_runtime_api.h>
#include <nccl.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "link.h"
#include "meeting.h"

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

inline constexpr int kNoDevice = -1;
inline constexpr int kElsewhere = -2;

/// The ranks that communicate. Those in other processes send what they bring to the process that made the world, and
/// get what they are to have from there (worlds.h).
struct World {
  World(std::uint64_t which, std::size_t ranks)
      : number(which), devices(ranks, kNoDevice), gpus(ranks, kNoDevice), links(ranks), calls(ranks) {}
  ~World();
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  int size() const { return static_cast<int>(devices.size()); }
  /// "communicator 1 of 4 ranks"
  std::string name() const;
  /// "rank 1, rank 3": those that have not joined, as far as this process knows.
  std::string absent() const;
  /// Nothing is done from now on; whoever waits here goes on, and other processes are told.
  void fail(ncclResult_t why);
  /// The same, but whoever waits goes on waiting, as on GPUs, until the communicator is aborted.
  void note_failure(ncclResult_t why);

  std::uint64_t number;
  std::vector<int> devices;                  ///< By rank; kNoDevice: has not joined yet; kElsewhere: another process's.
  std::vector<int> gpus;                     ///< By rank: the number that the machine knows its GPU by.
  std::vector<std::shared_ptr<Link>> links;  ///< By rank: to its process, where that is another one.
  std::shared_ptr<Link> root;                ///< To the process that made the world, where that is another one.
  bool formed = false;                       ///< All have joined.
  bool left = false;                         ///< The other process, or this one, has gone in order.
  std::vector<std::uint64_t> calls;          ///< By rank: how many collectives it has called.
  std::map<std::uint64_t, std::shared_ptr<Meeting>> open;  ///< By number of the call: what is not done yet.
  ncclResult_t error = ncclSuccess;
};

/// Queues a rank's part. Ranks that disagree are reported at the call of the later one. `caller` is the program's
/// return address.
ncclResult_t queue_collective(const Request& request, const Part& part, const ncclComm& comm, cudaStream_t stream,
                              const void* caller);

/// What a rank of another process brings, and what this process gets from the one that made the world.
void take_part(const std::shared_ptr<World>& world, std::size_t rank, const Message& message);
void take_result(World& world, const Message& message);

}  // namespace cudasim

struct ncclComm {
  std::shared_ptr<cudasim::World> world;
  std::size_t rank = 0;
  bool finalizing = false;
  std::shared_ptr<int> recorded = std::make_shared<int>(0);  ///< Shared by the graphs that hold calls of it.

  bool is_held() const { return recorded.use_count() > 1; }
};
