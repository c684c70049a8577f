// Makes batches ahead of time on worker threads and hands them out in order. For a GPU, each worker queues its work on
// a stream of its own, beside the training step, and waits for it: a batch that is handed out is complete, and no
// stream has to wait for it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "data/pair_sampler.h"

namespace earmark::data {

class Loader {
 public:
  /// Starts `workers` threads (0: batches are made in next()) that keep up to `ahead` batches ready, from `first_step`
  /// on. Batches come out on `device`.
  explicit Loader(std::shared_ptr<const PairSampler> sampler, std::int64_t first_step = 0, int workers = 1,
                  int ahead = 4, Device device = {});
  /// The same for any maker of batches on `device`.
  Loader(std::function<Batch(std::int64_t step)> make, std::int64_t first_step, int workers, int ahead,
         Device device = {});
  /// Stops and joins the workers; batches not taken are dropped.
  ~Loader();
  Loader(const Loader&) = delete;
  Loader& operator=(const Loader&) = delete;

  /// The next step's batch, waiting for it if need be. Rethrows what its making threw.
  Batch next();
  /// Seconds that next() has waited in total: 0 when the workers keep up.
  double waited_seconds() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace earmark::data
