#include "kernels/cuda/collective.h"

#include <nccl.h>

#include <algorithm>
#include <exception>

#include "kernels/cuda/launch_log.h"
#include "kernels/cuda/status.h"
#include "kernels/cuda/stream.h"

namespace earmark::kernels::cuda {
namespace {

static_assert(sizeof(CommunicatorId) == sizeof(ncclUniqueId));

void check_status(ncclResult_t status, const char* what, const char* file = __builtin_FILE(),
                  int line = __builtin_LINE()) {
  if (status != ncclSuccess) [[unlikely]] {
    throw_library_error(str(what, ": ", ncclGetErrorString(status)), file, line);
  }
}
#define NCCL_CHECK(call) check_status((call), #call)

ncclDataType_t type_of(const Tensor& t) {
  switch (t.dtype()) {
    case DType::f32:
      return ncclFloat;
    case DType::f64:
      return ncclDouble;
    case DType::bf16:
      return ncclBfloat16;
    case DType::f16:
      return ncclHalf;
    case DType::i8:
      return ncclInt8;
    case DType::u8:
      return ncclUint8;
    case DType::i32:
      return ncclInt32;
    case DType::i64:
      return ncclInt64;
    default:
      fail("ranks exchange no elements of type ", name_of(t.dtype()));
  }
}

ncclRedOp_t operation(Combine how) {
  switch (how) {
    case Combine::mean:
      return ncclAvg;
    case Combine::min:
      return ncclMin;
    case Combine::max:
      return ncclMax;
    default:
      return ncclSum;
  }
}

std::size_t count(const Tensor& t) { return static_cast<std::size_t>(t.numel()); }

/// All that stand in it begin at its end, together.
class Group {
 public:
  Group() { NCCL_CHECK(ncclGroupStart()); }
  ~Group() {
    if (open_) {
      static_cast<void>(ncclGroupEnd());
    }
  }
  Group(const Group&) = delete;
  Group& operator=(const Group&) = delete;
  /// What goes wrong with its calls comes out here; `what` they are.
  void end(const char* what) {
    open_ = false;
    check_status(ncclGroupEnd(), what);
  }

 private:
  bool open_ = true;
};

void check_device(const Tensor& t) {
  check(t.device().backend == Backend::cuda, "ranks exchange tensors on GPUs, got one on ", t.device());
}

void check_whole(const Tensor& whole, const Tensor& part, int size) {
  check_device(whole);
  check_device(part);
  check(whole.dtype() == part.dtype() && whole.numel() == part.numel() * size, "expected ", size,
        " times a part's elements of its type, got ", whole.shape(), " ", name_of(whole.dtype()), " for ", part.shape(),
        " ", name_of(part.dtype()));
}

}  // namespace

CommunicatorId new_communicator_id() {
  ncclUniqueId id;
  NCCL_CHECK(ncclGetUniqueId(&id));
  CommunicatorId out;
  std::ranges::copy(id.internal, out.begin());
  return out;
}

Communicator::Communicator(const CommunicatorId& id, int size, int rank)
    : size_(size), rank_(rank), exceptions_(std::uncaught_exceptions()) {
  ncclUniqueId own;
  std::ranges::copy(id, own.internal);
  NCCL_CHECK(ncclCommInitRank(&comm_, size, own, rank));
}

Communicator::~Communicator() {
  ncclResult_t error = ncclSuccess;
  const bool asked = ncclCommGetAsyncError(comm_, &error) == ncclSuccess;
  const bool well = asked && error == ncclSuccess && std::uncaught_exceptions() == exceptions_;
  static_cast<void>(well ? ncclCommDestroy(comm_) : ncclCommAbort(comm_));
}

void Communicator::all_reduce(std::span<const Tensor> tensors, Combine how) const {
  Group group;
  for (const Tensor& t : tensors) {
    check_device(t);
    NCCL_CHECK(ncclAllReduce(t.raw(), t.raw(), count(t), type_of(t), operation(how), comm_, current_stream()));
  }
  group.end("ncclAllReduce");
  note_call("ncclAllReduce", current_stream());
}

void Communicator::all_gather(const Tensor& part, const Tensor& whole) const {
  check_whole(whole, part, size_);
  NCCL_CHECK(ncclAllGather(part.raw(), whole.raw(), count(part), type_of(part), comm_, current_stream()));
  note_call("ncclAllGather", current_stream());
}

void Communicator::reduce_scatter(const Tensor& whole, const Tensor& part, Combine how) const {
  check_whole(whole, part, size_);
  NCCL_CHECK(
      ncclReduceScatter(whole.raw(), part.raw(), count(part), type_of(part), operation(how), comm_, current_stream()));
  note_call("ncclReduceScatter", current_stream());
}

void Communicator::broadcast(const Tensor& t, int root) const {
  check_device(t);
  check(root >= 0 && root < size_, "expected a rank from 0 to ", size_ - 1, ", got ", root);
  NCCL_CHECK(ncclBroadcast(t.raw(), t.raw(), count(t), type_of(t), root, comm_, current_stream()));
  note_call("ncclBroadcast", current_stream());
}

void Communicator::check_ranks() const {
  ncclResult_t error = ncclSuccess;
  NCCL_CHECK(ncclCommGetAsyncError(comm_, &error));
  check(error == ncclSuccess, "rank ", rank_, " of ", size_,
        " cannot go on, since another has failed: ", ncclGetErrorString(error));
}

}  // namespace earmark::kernels::cuda
