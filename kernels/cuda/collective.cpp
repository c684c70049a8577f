#include "kernels/cuda/collective.h"

#include <nccl.h>

#include <algorithm>
#include <chrono>
#include <exception>
#include <thread>
#include <utility>

#include "kernels/cuda/launch_log.h"
#include "kernels/cuda/status.h"
#include "kernels/cuda/stream.h"

namespace earmark::kernels::cuda {
namespace {

static_assert(sizeof(CommunicatorId) == sizeof(ncclUniqueId));

constexpr std::chrono::microseconds kGlance{100};  // between questions whether NCCL is done

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

template <class Call>
void Communicator::call(const char* what, Call call) const {
  const auto status_of = [&](const auto& ask) {
    const std::scoped_lock lock(mutex_);
    check(comm_ != nullptr, "rank ", rank_, " of ", size_, " cannot go on: its communication was ended");
    return ask();
  };
  ncclResult_t status = status_of(call);
  while (status == ncclInProgress) {
    if (check_meanwhile_) {
      check_meanwhile_();
    }
    std::this_thread::sleep_for(kGlance);
    status = status_of([&] {
      ncclResult_t now = ncclSuccess;
      const ncclResult_t asked = ncclCommGetAsyncError(comm_, &now);
      return asked == ncclSuccess ? now : asked;
    });
  }
  check_status(status, what);
}

Communicator::Communicator(const CommunicatorId& id, int size, int rank, std::function<void()> check_meanwhile)
    : check_meanwhile_(std::move(check_meanwhile)), size_(size), rank_(rank), exceptions_(std::uncaught_exceptions()) {
  ncclUniqueId own;
  std::ranges::copy(id, own.internal);
  ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
  config.blocking = 0;
  const ncclResult_t begun = ncclCommInitRankConfig(&comm_, size, own, rank, &config);
  try {
    check_status(begun == ncclInProgress ? ncclSuccess : begun, "ncclCommInitRankConfig");
    call("ncclCommInitRankConfig", [] { return ncclInProgress; });
  } catch (...) {
    abort();
    throw;
  }
}

Communicator::~Communicator() {
  try {
    check(std::uncaught_exceptions() == exceptions_, "the others must not wait for this rank");
    check_ranks();
    finish();
    static_cast<void>(ncclCommDestroy(comm_));
  } catch (const Error&) {
    abort();
  }
}

void Communicator::finish() {
  if (!finished_) {
    call("ncclCommFinalize", [this] { return ncclCommFinalize(comm_); });
    finished_ = true;
  }
}

void Communicator::abort() noexcept {
  ncclComm* comm = nullptr;
  {
    const std::scoped_lock lock(mutex_);
    comm = std::exchange(comm_, nullptr);
  }
  if (comm != nullptr) {  // without the lock: it waits for graphs of a thread that may be about to ask for it
    static_cast<void>(ncclCommAbort(comm));
  }
}

void Communicator::all_reduce(std::span<const Tensor> tensors, Combine how) const {
  std::ranges::for_each(tensors, check_device);
  call("ncclAllReduce", [&] {  // they begin at the group's end, together
    ncclResult_t status = ncclGroupStart();
    for (const Tensor& t : tensors) {
      const ncclResult_t queued =
          status != ncclSuccess && status != ncclInProgress
              ? status
              : ncclAllReduce(t.raw(), t.raw(), count(t), type_of(t), operation(how), comm_, current_stream());
      status = queued;
    }
    const ncclResult_t ended = ncclGroupEnd();
    return status == ncclSuccess || status == ncclInProgress ? ended : status;
  });
  note_call("ncclAllReduce", current_stream());
}

void Communicator::all_gather(const Tensor& part, const Tensor& whole) const {
  check_whole(whole, part, size_);
  call("ncclAllGather",
       [&] { return ncclAllGather(part.raw(), whole.raw(), count(part), type_of(part), comm_, current_stream()); });
  note_call("ncclAllGather", current_stream());
}

void Communicator::reduce_scatter(const Tensor& whole, const Tensor& part, Combine how) const {
  check_whole(whole, part, size_);
  call("ncclReduceScatter", [&] {
    return ncclReduceScatter(whole.raw(), part.raw(), count(part), type_of(part), operation(how), comm_,
                             current_stream());
  });
  note_call("ncclReduceScatter", current_stream());
}

void Communicator::broadcast(const Tensor& t, int root) const {
  check_device(t);
  check(root >= 0 && root < size_, "expected a rank from 0 to ", size_ - 1, ", got ", root);
  call("ncclBroadcast",
       [&] { return ncclBroadcast(t.raw(), t.raw(), count(t), type_of(t), root, comm_, current_stream()); });
  note_call("ncclBroadcast", current_stream());
}

std::string Communicator::problem() const {
  const std::scoped_lock lock(mutex_);
  ncclResult_t error = ncclSuccess;
  if (comm_ == nullptr) {
    return "its communication was ended";
  }
  const ncclResult_t asked = ncclCommGetAsyncError(comm_, &error);
  error = asked == ncclSuccess ? error : asked;
  return error == ncclSuccess || error == ncclInProgress ? "" : ncclGetErrorString(error);
}

void Communicator::check_ranks() const {
  const std::string wrong = problem();
  check(wrong.empty(), "rank ", rank_, " of ", size_, " cannot go on, since another has failed: ", wrong);
}

}  // namespace earmark::kernels::cuda
