// NCCL between threads of one process, each with a GPU of its own. A collective is a meeting of one stream of each
// rank: the last one to come reads what all have, in the order of their ranks, and writes to all.
#include <nccl.h>

#include <cstdio>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "collective.h"
#include "config.h"
#include "devices.h"
#include "patience.h"
#include "report.h"
#include "status.h"
#include "streams.h"

namespace cudasim {
namespace {

std::map<std::string, std::shared_ptr<World>> forming;  // worlds that ranks are joining, by their unique id
std::uint64_t ids = 0;
std::uint64_t worlds = 0;

thread_local int groups = 0;                                      // ncclGroupStart without its end
thread_local std::vector<std::function<ncclResult_t()>> grouped;  // calls that wait for the end

/// What keeps a rank from joining, reported; ncclSuccess if nothing does.
ncclResult_t refused(World& world, int ranks, int rank, const void* caller) {
  std::string why;
  if (ranks != static_cast<int>(world.devices.size())) {
    why = "expects " + std::to_string(ranks) + " ranks, others expect " + std::to_string(world.devices.size());
  } else if (world.devices[static_cast<std::size_t>(rank)] != kNoDevice) {
    why = "has joined already";
  }
  for (std::size_t other = 0; why.empty() && other < world.devices.size(); ++other) {
    if (world.devices[other] == current_device) {
      why = "uses GPU " + std::to_string(current_device) + ", which is that of rank " + std::to_string(other);
    }
  }
  if (why.empty()) {
    return ncclSuccess;
  }
  report("rank-mismatch", "ncclCommInitRank of " + world.name() + ": rank " + std::to_string(rank) + " " + why, caller);
  world.error = ncclInvalidUsage;
  note_progress();
  return world.error;
}

/// Lets other threads join. Those that do not come in time are reported.
void wait_for_ranks(World& world, const void* caller) {
  while (world.error == ncclSuccess && !world.absent().empty()) {
    if (!wait_for_other_threads()) {
      report("rank-missing", "ncclCommInitRank of " + world.name() + ": " + world.absent() + " never called it",
             caller);
      world.error = ncclRemoteError;
      note_progress();
    }
  }
}

ncclResult_t join(ncclComm_t* comm, int ranks, const std::string& id, int rank, const void* caller) {
  const Lock lock(runtime_mutex());
  *comm = nullptr;
  if (ranks < 1 || rank < 0 || rank >= ranks) {
    return ncclInvalidArgument;
  }
  if (groups > 0) {  // not simulated
    return ncclInvalidUsage;
  }
  if (device_status() != cudaSuccess) {
    return ncclUnhandledCudaError;
  }
  if (next_library_call_fails()) {
    return ncclSystemError;
  }
  std::shared_ptr<World> world = forming[id];
  if (world == nullptr) {
    world = forming[id] = std::make_shared<World>(++worlds, static_cast<std::size_t>(ranks));
  }
  if (const ncclResult_t status = refused(*world, ranks, rank, caller); status != ncclSuccess) {
    return status;
  }
  world->devices[static_cast<std::size_t>(rank)] = current_device;
  note_progress();
  wait_for_ranks(*world, caller);
  forming.erase(id);
  if (!world->absent().empty()) {
    return world->error;
  }
  *comm = new ncclComm{world, static_cast<std::size_t>(rank)};  // also where another has gone again in the meantime
  return ncclSuccess;
}

/// Now, or at the end of the group.
ncclResult_t queue_or_group(const Request& request, const Part& part, ncclComm_t comm, cudaStream_t stream,
                            const void* caller) {
  const Lock lock(runtime_mutex());
  if (comm == nullptr || !is_simulated(request) ||
      (request.what == Collective::broadcast && (request.root < 0 || request.root >= comm->world->size()))) {
    return ncclInvalidArgument;
  }
  if (next_library_call_fails()) {
    return ncclSystemError;
  }
  const auto call = [=] { return queue_collective(request, part, *comm, stream, caller); };
  if (groups == 0) {
    return call();
  }
  grouped.push_back(call);
  return ncclSuccess;
}

}  // namespace
}  // namespace cudasim

using namespace cudasim;

extern "C" {

const char* ncclGetErrorString(ncclResult_t status) {
  switch (status) {
    case ncclSuccess:
      return "no error";
    case ncclUnhandledCudaError:
      return "unhandled cuda error";
    case ncclSystemError:
      return "unhandled system error";
    case ncclInvalidArgument:
      return "invalid argument";
    case ncclInvalidUsage:
      return "invalid usage";
    case ncclRemoteError:
      return "remote process exited or there was a network error";
    default:
      return "unknown result code";
  }
}

ncclResult_t ncclGetUniqueId(ncclUniqueId* id) {
  const Lock lock(runtime_mutex());
  *id = {};
  std::snprintf(id->internal, sizeof id->internal, "cudasim %llu", static_cast<unsigned long long>(++ids));
  return ncclSuccess;
}

ncclResult_t ncclCommInitRank(ncclComm_t* comm, int ranks, ncclUniqueId id, int rank) {
  return join(comm, ranks, {id.internal, sizeof id.internal}, rank, __builtin_return_address(0));
}

/// What is queued is still done.
ncclResult_t ncclCommDestroy(ncclComm_t comm) {
  delete comm;
  return ncclSuccess;
}

/// What is queued is not done any more, on any rank: one that aborts leaves the others nothing to wait for.
ncclResult_t ncclCommAbort(ncclComm_t comm) {
  const Lock lock(runtime_mutex());
  comm->world->fail(ncclRemoteError);
  delete comm;
  return ncclSuccess;
}

ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t* error) {
  const Lock lock(runtime_mutex());
  *error = comm->world->error;
  return ncclSuccess;
}

ncclResult_t ncclGroupStart() {
  ++groups;
  return ncclSuccess;
}

ncclResult_t ncclGroupEnd() {
  if (groups == 0) {
    return ncclInvalidUsage;
  }
  if (--groups > 0) {
    return ncclSuccess;
  }
  ncclResult_t first = ncclSuccess;
  for (const auto& call : std::exchange(grouped, {})) {
    const ncclResult_t status = call();
    first = first == ncclSuccess ? status : first;
  }
  return first;
}

ncclResult_t ncclAllReduce(const void* from, void* to, std::size_t count, ncclDataType_t type, ncclRedOp_t op,
                           ncclComm_t comm, cudaStream_t stream) {
  return queue_or_group({Collective::all_reduce, count, type, op, 0}, {from, to}, comm, stream,
                        __builtin_return_address(0));
}

ncclResult_t ncclAllGather(const void* from, void* to, std::size_t count, ncclDataType_t type, ncclComm_t comm,
                           cudaStream_t stream) {
  return queue_or_group({Collective::all_gather, count, type, ncclSum, 0}, {from, to}, comm, stream,
                        __builtin_return_address(0));
}

ncclResult_t ncclReduceScatter(const void* from, void* to, std::size_t count, ncclDataType_t type, ncclRedOp_t op,
                               ncclComm_t comm, cudaStream_t stream) {
  return queue_or_group({Collective::reduce_scatter, count, type, op, 0}, {from, to}, comm, stream,
                        __builtin_return_address(0));
}

ncclResult_t ncclBroadcast(const void* from, void* to, std::size_t count, ncclDataType_t type, int root,
                           ncclComm_t comm, cudaStream_t stream) {
  return queue_or_group({Collective::broadcast, count, type, ncclSum, root}, {from, to}, comm, stream,
                        __builtin_return_address(0));
}

}  // extern "C"
