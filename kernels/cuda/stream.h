// Streams and events. Every launch, copy and allocation goes to the calling thread's current stream: the device's
// default stream, unless a StreamScope says otherwise.
#pragma once

#include <cuda_runtime_api.h>

#include "kernels/cuda/launch_log.h"

namespace earmark::kernels::cuda {

/// The GPU whose turn it is in this thread. Throws Error when the driver does not say.
int current_device();

/// Work in one stream runs in order; work of two streams runs at once unless an Event orders it. Made on the current
/// GPU, and used on no other.
class Stream {
 public:
  Stream();
  ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  cudaStream_t handle() const { return stream_; }
  int device() const { return device_; }
  void synchronize() const;  ///< Blocks until its work is done; throws Error when any of it failed.

 private:
  cudaStream_t stream_ = nullptr;
  int device_ = 0;
};

/// While alive, `stream` is the current one of this thread. Scopes nest.
class StreamScope {
 public:
  explicit StreamScope(const Stream& stream);
  ~StreamScope();
  StreamScope(const StreamScope&) = delete;
  StreamScope& operator=(const StreamScope&) = delete;

 private:
  const Stream* before_;
};

/// The stream that this thread's work for the current GPU goes to.
cudaStream_t current_stream();

/// Block until the current stream's work is done, or all that of the current GPU; throw Error when any of it failed.
void finish_current_stream();
void finish_device();

/// A point in a stream that other streams, or the host, can wait for.
class Event {
 public:
  enum class Timing { off, on };
  explicit Event(Timing timing = Timing::off);
  ~Event();
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;

  void record();             ///< Marks the end of what the current stream holds now.
  void wait() const;         ///< What is queued on the current stream from now on starts after the mark.
  void synchronize() const;  ///< Blocks the host until the mark is passed.
  bool passed() const;
  /// Milliseconds from `earlier` to this; both have timing on and are passed.
  float milliseconds_since(const Event& earlier) const;

 private:
  cudaEvent_t event_ = nullptr;
  LaunchMark mark_;  ///< Where it was recorded.
};

}  // namespace earmark::kernels::cuda
