// Work of a GPU that is recorded once and then started as a whole, as often as wanted: the host queues one thing
// instead of some hundreds. Example:
//   const auto stream = own_stream(0);  // the default stream cannot be recorded
//   Graph graph(0);
//   graph.rehearse(step);               // runs it, and learns what memory it takes
//   graph.record(step);                 // queues nothing
//   graph.launch();                     // runs it; what it reads from tensors may have changed, arguments have not
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <vector>

namespace earmark::kernels::cuda {

class Arena;

class Graph {
 public:
  /// For work of GPU `device`.
  explicit Graph(int device);
  ~Graph();
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;

  /// Runs `work` as always. What it makes once and keeps, such as plans of convolutions, is there afterwards.
  void rehearse(const std::function<void()>& work);
  /// Records what `work` queues on the current stream. Tensors that it makes are memory of this graph: those that
  /// outlive it hold what the last launch wrote. Throws Error, naming what was tried, where work waits for the GPU,
  /// copies from or to the host, takes more memory than it did in the rehearsal, or goes to the default stream; then
  /// nothing is recorded, and the stream is as it was.
  void record(const std::function<void()>& work);
  bool recorded() const { return executable_ != nullptr; }
  /// Queues the recorded work on the current stream. Throws Error where there is none.
  void launch() const;
  /// Memory that is reserved for it, and how many kernels and copies it holds.
  std::size_t bytes() const;
  std::size_t pieces() const { return pieces_; }

 private:
  int device_;
  std::size_t peak_ = 0;
  bool rehearsed_ = false;
  std::size_t pieces_ = 0;
  std::vector<const void*> kernels_;  // each once, as launch_log.h knows them
  std::shared_ptr<Arena> arena_;
  void* executable_ = nullptr;  // cudaGraphExec_t
};

/// Throws Error where this thread records work, saying that `what` cannot be part of it.
void refuse_while_recording(const char* what);

}  // namespace earmark::kernels::cuda
