#include "collective.h"

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <type_traits>
#include <utility>

#include "access.h"
#include "devices.h"
#include "meeting.h"
#include "patience.h"
#include "report.h"
#include "status.h"
#include "streams.h"

namespace cudasim {
namespace {

constexpr std::array kNames{"ncclAllReduce", "ncclAllGather", "ncclReduceScatter", "ncclBroadcast"};

const char* name_of(Collective what) { return kNames[static_cast<std::size_t>(what)]; }

bool reduces(Collective what) { return what == Collective::all_reduce || what == Collective::reduce_scatter; }

std::string text_of(const Request& r) {
  constexpr std::array kTypes{"int8", "uint8", "int32", "uint32", "int64", "uint64", "half", "float", "double", "bf16"};
  constexpr std::array kOps{"sum", "product", "maximum", "minimum", "mean"};
  std::string text =
      std::string(name_of(r.what)) + " of " + std::to_string(r.count) + " " + kTypes[static_cast<std::size_t>(r.type)];
  if (reduces(r.what)) {
    text += std::string(" (") + kOps[static_cast<std::size_t>(r.op)] + ")";
  }
  return r.what == Collective::broadcast ? text + " from rank " + std::to_string(r.root) : text;
}

/// Calls f with a value of the type.
template <class F>
auto with_type(ncclDataType_t type, F f) {
  switch (type) {
    case ncclInt8:
      return f(std::int8_t{});
    case ncclUint8:
      return f(std::uint8_t{});
    case ncclInt32:
      return f(std::int32_t{});
    case ncclUint32:
      return f(std::uint32_t{});
    case ncclInt64:
      return f(std::int64_t{});
    case ncclUint64:
      return f(std::uint64_t{});
    case ncclHalf:
      return f(__half{});
    case ncclBfloat16:
      return f(__nv_bfloat16{});
    case ncclDouble:
      return f(double{});
    default:
      return f(float{});
  }
}

std::size_t size_of(ncclDataType_t type) {
  return with_type(type, [](auto value) { return sizeof value; });
}

template <class T>
constexpr bool kIsShort = std::is_same_v<T, __half> || std::is_same_v<T, __nv_bfloat16>;

/// What a type is added up in: 16-bit floating-point numbers in float, and rounded once.
template <class T>
using Wide = std::conditional_t<kIsShort<T>, float, T>;

template <class T>
T combined(ncclRedOp_t op, T a, T b) {
  switch (op) {
    case ncclMax:
      return std::max(a, b);
    case ncclMin:
      return std::min(a, b);
    default:
      return static_cast<T>(a + b);
  }
}

/// Element by element over the ranks, from the first to the last.
template <class T>
void reduce(const std::vector<const void*>& from, ncclRedOp_t op, std::size_t count, T* out) {
  for (std::size_t i = 0; i < count; ++i) {
    const auto element = [&](std::size_t rank) { return static_cast<Wide<T>>(static_cast<const T*>(from[rank])[i]); };
    Wide<T> value = element(0);
    for (std::size_t rank = 1; rank < from.size(); ++rank) {
      value = combined(op, value, element(rank));
    }
    if (op == ncclAvg) {
      value = static_cast<Wide<T>>(value / static_cast<Wide<T>>(from.size()));
    }
    out[i] = static_cast<T>(value);
  }
}

}  // namespace

/// A collective, from its first rank's call on.
class Call : public Meeting {
 public:
  Call(std::shared_ptr<World> world, std::uint64_t number, const Request& request, std::size_t first,
       const void* caller)
      : Meeting(world->devices.size()),
        world_(std::move(world)),
        number_(number),
        request_(request),
        parts_(world_->devices.size()),
        called_(world_->devices.size()),
        first_(first),
        caller_(caller) {}

  const Request& request() const { return request_; }
  std::size_t first() const { return first_; }
  std::string text() const { return text_of(request_) + ", call " + std::to_string(number_) + " of " + world_->name(); }

  void add(std::size_t rank, const Part& part) {
    parts_[rank] = part;
    called_[rank] = true;
  }

  void give_up() override {
    std::string who;
    for (std::size_t rank = 0; rank < parts_.size(); ++rank) {
      if (works()[rank] == 0) {
        who += (who.empty() ? "" : "; ") + std::string("rank ") + std::to_string(rank) +
               (called_[rank] ? " called it, but its stream waits for something else" : " never called it");
      }
    }
    report("rank-missing", text() + ": " + who, caller_);
    world_->fail(ncclRemoteError);
  }

 protected:
  void hold() override {
    if (!all_can_be_read()) {
      return fail_device(cudaErrorIllegalAddress);
    }
    const std::vector<char> result = computed();
    for (std::size_t rank = 0; rank < parts_.size(); ++rank) {
      running_work = works()[rank];
      const std::size_t bytes = receives();
      if (!library_writes(parts_[rank].to, bytes, name_of(request_.what))) {
        return fail_device(cudaErrorIllegalAddress);
      }
      const std::size_t from = request_.what == Collective::reduce_scatter ? rank * bytes : 0;
      std::memcpy(parts_[rank].to, result.data() + from, bytes);
    }
    world_->open.erase(number_);
  }

 private:
  std::size_t bytes() const { return request_.count * size_of(request_.type); }
  std::size_t sends() const { return request_.what == Collective::reduce_scatter ? bytes() * parts_.size() : bytes(); }
  std::size_t receives() const { return request_.what == Collective::all_gather ? bytes() * parts_.size() : bytes(); }

  bool all_can_be_read() const {
    for (std::size_t rank = 0; rank < parts_.size(); ++rank) {
      running_work = works()[rank];
      const bool is_read = request_.what != Collective::broadcast || static_cast<int>(rank) == request_.root;
      if (is_read && !library_reads(parts_[rank].from, sends(), name_of(request_.what))) {
        return false;
      }
    }
    return true;
  }

  /// What all ranks get; of a reduce-scatter, all their shares one behind the other.
  std::vector<char> computed() const {
    if (request_.what == Collective::broadcast) {
      const auto* const root = static_cast<const char*>(parts_[static_cast<std::size_t>(request_.root)].from);
      return {root, root + bytes()};
    }
    std::vector<const void*> from;
    std::ranges::transform(parts_, std::back_inserter(from), &Part::from);
    std::vector<char> out;
    if (request_.what == Collective::all_gather) {
      for (const void* one : from) {
        out.insert(out.end(), static_cast<const char*>(one), static_cast<const char*>(one) + bytes());
      }
      return out;
    }
    out.resize(sends());
    with_type(request_.type,
              [&]<class T>(T) { reduce<T>(from, request_.op, sends() / sizeof(T), reinterpret_cast<T*>(out.data())); });
    return out;
  }

  std::shared_ptr<World> world_;
  std::uint64_t number_;
  Request request_;
  std::vector<Part> parts_;
  std::vector<bool> called_;
  std::size_t first_;  // the rank that called first, and where
  const void* caller_;
};

std::string World::name() const {
  return "communicator " + std::to_string(number) + " of " + std::to_string(devices.size()) + " ranks";
}

std::string World::absent() const {
  std::string who;
  for (std::size_t rank = 0; rank < devices.size(); ++rank) {
    if (devices[rank] == kNoDevice) {
      who += (who.empty() ? "rank " : ", rank ") + std::to_string(rank);
    }
  }
  return who;
}

void World::fail(ncclResult_t why) {
  error = error == ncclSuccess ? why : error;
  for (const auto& [which, call] : std::exchange(open, {})) {
    call->end();
  }
  note_progress();
}

bool is_simulated(const Request& r) {
  return r.type >= 0 && r.type <= ncclBfloat16 &&
         (r.op == ncclSum || r.op == ncclMin || r.op == ncclMax || r.op == ncclAvg);
}

ncclResult_t queue_collective(const Request& request, const Part& part, const ncclComm& comm, cudaStream_t stream,
                              const void* caller) {
  const Lock lock(runtime_mutex());
  const std::shared_ptr<World>& world = comm.world;
  if (world->error != ncclSuccess || request.count == 0) {
    return world->error;
  }
  const std::uint64_t number = ++world->calls[comm.rank];
  std::shared_ptr<Call> call = world->open[number];
  if (call == nullptr) {
    call = world->open[number] = std::make_shared<Call>(world, number, request, comm.rank, caller);
  }
  if (call->request() != request) {
    report("rank-mismatch",
           "rank " + std::to_string(comm.rank) + " calls " + text_of(request) + " where rank " +
               std::to_string(call->first()) + " called " + call->text(),
           caller);
    fail_device(cudaErrorLaunchFailure);
    world->fail(ncclInvalidArgument);
    return ncclInvalidArgument;
  }
  call->add(comm.rank, part);
  const int before = std::exchange(current_device, world->devices[comm.rank]);
  const cudaError_t status = enqueue(stream, name_of(request.what), call, comm.rank);
  current_device = before;
  return status == cudaSuccess ? ncclSuccess : ncclUnhandledCudaError;
}

}  // namespace cudasim
