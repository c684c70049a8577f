// NCCL between threads of one process, and between processes of one machine, each rank with a GPU of its own. A
// collective is a meeting of one stream of each rank: the last one to come reads what all have, in the order of their
// ranks, and writes to all.
#include <nccl.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "collective.h"
#include "config.h"
#include "patience.h"
#include "report.h"
#include "status.h"
#include "streams.h"
#include "worlds.h"

namespace cudasim {
namespace {

thread_local int groups = 0;                                      // ncclGroupStart without its end
thread_local std::vector<std::function<ncclResult_t()>> grouped;  // calls that wait for the end

/// Lets other threads and processes join. Those that do not come in time are reported.
void wait_for_ranks(World& world, const void* caller) {
  while (world.error == ncclSuccess && !world.formed) {
    if (!wait_for_other_threads()) {
      give_up_joining(world, caller);
    }
  }
}

ncclResult_t join(ncclComm_t* comm, int ranks, const ncclUniqueId& id, int rank, bool waits, const void* caller) {
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
  ncclResult_t status = ncclSuccess;
  const std::string name(id.internal, ::strnlen(id.internal, sizeof id.internal));
  const std::shared_ptr<World> world = join_world(name, ranks, rank, caller, status);
  if (status != ncclSuccess) {
    return status;
  }
  if (waits) {
    wait_for_ranks(*world, caller);
    if (!world->formed) {
      return world->error;
    }
  }
  *comm = new ncclComm{world, static_cast<std::size_t>(rank)};  // also where another has gone again in the meantime
  return waits || world->formed ? ncclSuccess : ncclInProgress;
}

/// NCCL waits until the graphs are gone, here and for ever.
void report_held(const ncclComm& comm, const char* what, const void* caller) {
  report("rank-graph",
         std::string(what) + " of " + comm.world->name() + ": a graph that holds its calls is still there", caller);
  comm.world->note_failure(ncclInvalidUsage);
}

/// Whether what was asked for is done: joining, or what was queued before the end. Asking lets some of it be done.
ncclResult_t state_of(const ncclComm& comm, const void* caller) {
  World& world = *comm.world;
  if (world.error == ncclSuccess && !world.formed) {
    if (!out_of_patience()) {
      return ncclInProgress;
    }
    give_up_joining(world, caller);
  }
  if (world.error == ncclSuccess && comm.finalizing && comm.is_held()) {
    if (!out_of_patience()) {
      return ncclInProgress;
    }
    report_held(comm, "ncclCommFinalize", caller);
    return world.error;
  }
  const auto is_own = [&](const auto& open) { return open.second->expects(comm.rank); };
  if (world.error == ncclSuccess && comm.finalizing && std::ranges::any_of(world.open, is_own)) {
    return let_work_go_on() ? ncclInProgress : world.error;
  }
  return world.error;
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
    case ncclInProgress:
      return "NCCL operation in progress";
    case ncclRemoteError:
      return "remote process exited or there was a network error";
    default:
      return "unknown result code";
  }
}

ncclResult_t ncclGetUniqueId(ncclUniqueId* id) {
  const Lock lock(runtime_mutex());
  *id = {};
  std::ranges::copy(new_world_name(), id->internal);
  return ncclSuccess;
}

ncclResult_t ncclCommInitRank(ncclComm_t* comm, int ranks, ncclUniqueId id, int rank) {
  return join(comm, ranks, id, rank, true, __builtin_return_address(0));
}

ncclResult_t ncclCommInitRankConfig(ncclComm_t* comm, int ranks, ncclUniqueId id, int rank, ncclConfig_t* config) {
  return join(comm, ranks, id, rank, config == nullptr || config->blocking != 0, __builtin_return_address(0));
}

/// Nothing can be queued any more. Whether what is queued is done ncclCommGetAsyncError tells.
ncclResult_t ncclCommFinalize(ncclComm_t comm) {
  const Lock lock(runtime_mutex());
  comm->finalizing = true;
  return state_of(*comm, __builtin_return_address(0));
}

/// What is queued is still done.
ncclResult_t ncclCommDestroy(ncclComm_t comm) {
  std::vector<std::shared_ptr<Link>> links;
  std::chrono::milliseconds most{};
  {
    const Lock lock(runtime_mutex());
    if (comm->world->error == ncclSuccess && comm->is_held()) {
      report_held(*comm, "ncclCommDestroy", __builtin_return_address(0));
    }
    leave_world(*comm->world);
    links = comm->world->links;
    links.push_back(comm->world->root);
    most = config().patience;
    delete comm;
  }
  for (const std::shared_ptr<Link>& link : links) {  // the program may end now
    if (link != nullptr) {
      link->flush(most);
    }
  }
  return ncclSuccess;
}

/// What is queued is not done any more, on any rank of this process: one that aborts leaves the others nothing to wait
/// for. Other processes see an error, and wait until they abort too.
ncclResult_t ncclCommAbort(ncclComm_t comm) {
  const Lock lock(runtime_mutex());
  comm->world->fail(ncclRemoteError);
  delete comm;
  return ncclSuccess;
}

ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t* error) {
  const Lock lock(runtime_mutex());
  *error = state_of(*comm, __builtin_return_address(0));
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
