#include "collective.h"

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <type_traits>
#include <utility>

#include "access.h"
#include "capture.h"
#include "devices.h"
#include "meeting.h"
#include "memory.h"
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

/// What a rank brings, and what it gets.
std::size_t sent_bytes(const Request& r, std::size_t rank, std::size_t ranks) {
  const bool nothing = r.what == Collective::broadcast && static_cast<int>(rank) != r.root;
  return nothing ? 0 : r.count * size_of(r.type) * (r.what == Collective::reduce_scatter ? ranks : 1);
}
std::size_t received_bytes(const Request& r, std::size_t ranks) {
  return r.count * size_of(r.type) * (r.what == Collective::all_gather ? ranks : 1);
}

constexpr std::uint32_t kWorkElsewhere = ~0U;  // a piece of work of another process

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
        sent_(world_->devices.size()),
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
  /// Of a rank in another process.
  void add(std::size_t rank, std::vector<char> bytes) {
    sent_[rank] = std::move(bytes);
    add(rank, Part{sent_[rank].data(), nullptr});
  }

  bool expects(std::size_t rank) const override { return called_[rank]; }

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
  bool hold() override {
    if (!all_can_be_read()) {
      fail_device(cudaErrorIllegalAddress);
      return true;
    }
    const std::vector<char> result = computed();
    for (std::size_t rank = 0; rank < parts_.size(); ++rank) {
      const std::size_t bytes = received_bytes(request_, parts_.size());
      const char* const from = result.data() + (request_.what == Collective::reduce_scatter ? rank * bytes : 0);
      if (world_->links[rank] != nullptr) {
        Message message{.kind = Message::result, .call = number_};
        message.bytes.assign(from, from + bytes);
        world_->links[rank]->send(std::move(message));
        continue;
      }
      running_work = works()[rank];
      if (!library_writes(parts_[rank].to, bytes, name_of(request_.what))) {
        fail_device(cudaErrorIllegalAddress);
        return true;
      }
      std::memcpy(parts_[rank].to, from, bytes);
    }
    world_->open.erase(number_);
    return true;
  }

 private:
  std::size_t bytes() const { return request_.count * size_of(request_.type); }

  bool all_can_be_read() const {
    for (std::size_t rank = 0; rank < parts_.size(); ++rank) {
      running_work = works()[rank];
      if (world_->links[rank] == nullptr && sent_bytes(request_, rank, parts_.size()) > 0 &&
          !library_reads(parts_[rank].from, sent_bytes(request_, rank, parts_.size()), name_of(request_.what))) {
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
    out.resize(sent_bytes(request_, 0, parts_.size()));
    with_type(request_.type, [&]<class T>(T) {
      reduce<T>(from, request_.op, out.size() / sizeof(T), reinterpret_cast<T*>(out.data()));
    });
    return out;
  }

  std::shared_ptr<World> world_;
  std::uint64_t number_;
  Request request_;
  std::vector<Part> parts_;
  std::vector<std::vector<char>> sent_;  // by ranks in other processes
  std::vector<bool> called_;
  std::size_t first_;  // the rank that called first, and where
  const void* caller_;
};

/// A rank's piece of a collective of which another process knows the others.
class DistantCall : public Meeting {
 public:
  DistantCall(std::shared_ptr<World> world, std::uint64_t number, const Request& request, std::size_t rank,
              const Part& part, const void* caller)
      : Meeting(1),
        world_(std::move(world)),
        number_(number),
        request_(request),
        rank_(rank),
        part_(part),
        caller_(caller) {}

  void give_up() override {
    report("rank-missing",
           text_of(request_) + ", call " + std::to_string(number_) + " of " + world_->name() + ": rank " +
               std::to_string(rank_) + " called it, and it never came to its end",
           caller_);
    world_->fail(ncclRemoteError);
  }

  void take(const std::vector<char>& result) {
    const ArenaAccess access;
    running_work = works()[0];
    if (library_writes(part_.to, result.size(), name_of(request_.what))) {
      std::memcpy(part_.to, result.data(), result.size());
    } else {
      fail_device(cudaErrorIllegalAddress);
    }
    running_work = 0;
    end();
  }

 protected:
  /// It goes on until the result is there.
  bool hold() override {
    const std::size_t bytes = sent_bytes(request_, rank_, world_->devices.size());
    if (bytes > 0 && !library_reads(part_.from, bytes, name_of(request_.what))) {
      fail_device(cudaErrorIllegalAddress);
      return true;
    }
    const auto* const from = static_cast<const char*>(part_.from);
    world_->root->send({.kind = Message::part,
                        .rank = static_cast<std::int32_t>(rank_),
                        .what = static_cast<std::int32_t>(request_.what),
                        .type = static_cast<std::int32_t>(request_.type),
                        .op = static_cast<std::int32_t>(request_.op),
                        .root = request_.root,
                        .call = number_,
                        .count = request_.count,
                        .bytes = std::vector<char>(from, from + bytes)});
    return false;
  }

 private:
  std::shared_ptr<World> world_;
  std::uint64_t number_;
  Request request_;
  std::size_t rank_;
  Part part_;
  const void* caller_;
};

/// The call of this number, begun where it has not been. Null, with a report, where `rank` asks for something else.
std::shared_ptr<Call> agreed_call(const std::shared_ptr<World>& world, std::uint64_t number, const Request& request,
                                  std::size_t rank, const void* caller) {
  std::shared_ptr<Meeting>& open = world->open[number];
  if (open == nullptr) {
    open = std::make_shared<Call>(world, number, request, rank, caller);
  }
  auto call = std::static_pointer_cast<Call>(open);
  if (call->request() == request) {
    return call;
  }
  report("rank-mismatch",
         "rank " + std::to_string(rank) + " calls " + text_of(request) + " where rank " +
             std::to_string(call->first()) + " called " + call->text(),
         caller);
  fail_device(cudaErrorLaunchFailure);
  world->fail(ncclInvalidArgument);
  return nullptr;
}

}  // namespace

World::~World() {
  for (const std::shared_ptr<Link>& link : links) {
    if (link != nullptr) {
      link->close();
    }
  }
  if (root != nullptr) {
    root->close();
  }
}

std::string World::name() const {
  return "communicator " + std::to_string(number) + " of " + std::to_string(devices.size()) + " ranks";
}

std::string World::absent() const {
  std::string who;
  for (std::size_t rank = 0; rank < devices.size(); ++rank) {
    if (devices[rank] == kNoDevice) {
      who += (who.empty() ? "" : ", ") + std::string("rank ") + std::to_string(rank);
    }
  }
  return root != nullptr ? "some of the others" : who;
}

void World::fail(ncclResult_t why) {
  note_failure(why);
  for (const auto& [which, call] : std::exchange(open, {})) {
    call->end();
  }
  if (root != nullptr) {
    root->close();
  }
}

void World::note_failure(ncclResult_t why) {
  error = error == ncclSuccess ? why : error;
  for (const std::shared_ptr<Link>& link : links) {
    if (link != nullptr) {
      link->send({.kind = Message::failure, .what = static_cast<std::int32_t>(why)});
    }
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
  if (!world->formed || comm.finalizing) {
    return ncclInvalidUsage;
  }
  const auto again = [request, part, comm, caller](cudaStream_t launched) {
    const ncclResult_t status = queue_collective(request, part, comm, launched, caller);
    return status == ncclUnhandledCudaError ? cudaErrorInvalidResourceHandle : device_status();
  };
  if (const auto recorded = record_call(stream, again)) {  // what is wrong with it, each launch says
    return *recorded == cudaSuccess ? ncclSuccess : ncclUnhandledCudaError;
  }
  const std::uint64_t number = ++world->calls[comm.rank];
  std::shared_ptr<Meeting> meeting;
  std::size_t piece = 0;
  if (world->root != nullptr) {
    meeting = world->open[number] = std::make_shared<DistantCall>(world, number, request, comm.rank, part, caller);
  } else {
    const std::shared_ptr<Call> call = agreed_call(world, number, request, comm.rank, caller);
    if (call == nullptr) {
      return ncclInvalidArgument;
    }
    call->add(comm.rank, part);
    meeting = call;
    piece = comm.rank;
  }
  const int before = std::exchange(current_device, world->devices[comm.rank]);
  const cudaError_t status = enqueue(stream, name_of(request.what), meeting, piece);
  current_device = before;
  return status == cudaSuccess ? ncclSuccess : ncclUnhandledCudaError;
}

void take_part(const std::shared_ptr<World>& world, std::size_t rank, const Message& message) {
  if (world->error != ncclSuccess) {
    return;
  }
  const Request request{static_cast<Collective>(message.what), message.count, static_cast<ncclDataType_t>(message.type),
                        static_cast<ncclRedOp_t>(message.op), message.root};
  if (const std::shared_ptr<Call> call = agreed_call(world, message.call, request, rank, nullptr)) {
    const ArenaAccess access;
    call->add(rank, message.bytes);
    call->arrive(rank, kWorkElsewhere);
    running_work = 0;
  }
}

void take_result(World& world, const Message& message) {
  const auto at = world.open.find(message.call);
  if (at != world.open.end()) {
    const auto call = std::static_pointer_cast<DistantCall>(at->second);
    world.open.erase(at);
    call->take(message.bytes);
  }
}

}  // namespace cudasim
