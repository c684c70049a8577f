#include "kernels/cuda/stream.h"

#include "kernels/cuda/status.h"

namespace earmark::kernels::cuda {
namespace {

thread_local const Stream* scoped = nullptr;

void finish(cudaStream_t stream) {
  const LaunchMark mark = mark_launches(stream);
  CUDA_CHECK(cudaStreamSynchronize(stream));
  note_finished(mark);
}

}  // namespace

int current_device() {
  int device = 0;
  CUDA_CHECK(cudaGetDevice(&device));
  return device;
}

Stream::Stream() : device_(current_device()) { CUDA_CHECK(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking)); }
Stream::~Stream() { static_cast<void>(cudaStreamDestroy(stream_)); }
void Stream::synchronize() const { finish(stream_); }

StreamScope::StreamScope(const Stream& stream) : before_(scoped) { scoped = &stream; }
StreamScope::~StreamScope() { scoped = before_; }

cudaStream_t current_stream() {
  return scoped != nullptr && scoped->device() == current_device() ? scoped->handle() : nullptr;
}

void finish_current_stream() { finish(current_stream()); }

void finish_device() {
  CUDA_CHECK(cudaDeviceSynchronize());
  note_all_finished();
}

Event::Event(Timing timing) {
  CUDA_CHECK(cudaEventCreateWithFlags(&event_, timing == Timing::on ? cudaEventDefault : cudaEventDisableTiming));
}
Event::~Event() { static_cast<void>(cudaEventDestroy(event_)); }
void Event::record() {
  mark_ = mark_launches(current_stream());
  CUDA_CHECK(cudaEventRecord(event_, mark_.stream));
}
void Event::wait() const { CUDA_CHECK(cudaStreamWaitEvent(current_stream(), event_, 0)); }
void Event::synchronize() const {
  CUDA_CHECK(cudaEventSynchronize(event_));
  note_finished(mark_);
}

bool Event::passed() const {
  const cudaError_t status = cudaEventQuery(event_);
  if (status == cudaErrorNotReady) {
    static_cast<void>(cudaGetLastError());
    return false;
  }
  CUDA_CHECK(status);
  note_finished(mark_);
  return true;
}

float Event::milliseconds_since(const Event& earlier) const {
  float out = 0;
  CUDA_CHECK(cudaEventElapsedTime(&out, earlier.event_, event_));
  return out;
}

}  // namespace earmark::kernels::cuda
