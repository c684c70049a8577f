// Adam over an encoder's parameters, or LAMB, which is Adam with steps scaled layer by layer: the moments and where
// they are kept. Several ranks may divide them: each keeps a share of the moments, moves that share of the parameters,
// and gets the others from the ranks that move those.
#pragma once

#include <memory>
#include <vector>

#include "kernels/optimizer.h"
#include "nn/encoder.h"
#include "nn/safetensors.h"
#include "train/optimizer_shares.h"
#include "train/options.h"

namespace earmark::train {

class Adam {
 public:
  Adam(const nn::Encoder& encoder, const OptimizerOptions& options);

  /// From now on this rank keeps the moments of its share of the parameters alone. Every rank calls it, with the same
  /// parameters and moments, and from then on update() and state() together, with the same gradients and loss: all then
  /// have, to the bit, what one has that keeps everything. LAMB's layers are not divided. Those throw Error as the
  /// communicator does.
  void divide_among(std::shared_ptr<Communicator> ranks);
  bool divided() const { return ranks_ != nullptr; }
  /// Of the moments that are kept here.
  std::size_t bytes() const;

  /// Tells the device what the next update is: its learning rate, and the how many-th it is.
  void begin_step(double learning_rate);
  /// The update: clips if the options say so, moves every parameter that has a gradient, and clears the gradients; the
  /// host does not wait for any of it. When `loss` () or the norm of all gradients is not finite, nothing is moved, now
  /// and from then on. Where the device refuses an update that it has half begun, this throws Error, and so
  /// does begin_step() until parameters and state are loaded. Recorded in a CUDA graph, it does what begin_step() says
  /// anew before each launch.
  void update(const Tensor& loss);
  /// Counts the update that was queued.
  void end_step() { ++steps_done_; }
  /// All three.
  void step(double learning_rate, const Tensor& loss);
  /// What update() does at its end; for a step that failed before.
  void forget_gradients();
  /// Of all gradients of the last step before clipping, () f64 on their device; the next step overwrites it.
  Tensor norm() const { return gate_.slice(0, 1); }
  /// Says that the last step moved nothing.
  void step_was_refused() { --steps_done_; }

  std::int64_t steps_done() const { return steps_done_; }
  /// The moments, as "<parameter>.moment1" and ".moment2", with the step and the kind of optimiser in the metadata. Of
  /// a divided one, rank 0's has all of them, and the others' none.
  nn::SafetensorsFile state() const;
  /// Of all moments, of which a divided one takes its own. Throws Error naming `origin` when a moment is missing or has
  /// another shape, or the state is another optimiser's.
  void load_state(const nn::SafetensorsFile& state, const std::string& origin);

 private:
  kernels::AdamOptions kernel_options() const;
  const char* format() const;  ///< Of the state, as its file names it.
  std::vector<SharedParameter> cuttable() const;
  /// Moves the parameters, or their layers, one by one.
  void move_parameters() const;
  /// What each rank has moved reaches the others.
  void exchange_parameters() const;
  /// Moments of this rank's pieces as whole tensors; of a divided one at rank 0 alone.
  std::vector<Tensor> whole(const std::vector<Tensor>& moments) const;

  std::vector<nn::NamedParameter> parameters_;
  std::shared_ptr<Communicator> ranks_;  // null: nothing is divided
  std::vector<Share> shares_;            // by rank; of one: everything
  Share own_;                            // this rank's
  std::vector<Tensor> moment1_;          // (elements) of each piece of it
  std::vector<Tensor> moment2_;
  Tensor gate_;      // kernels::UpdateGate's
  Tensor schedule_;  // kernels::set_schedule's, or set_lamb_schedule's
  OptimizerOptions options_;
  std::int64_t steps_done_ = 0;
  bool cut_off_ = false;  // only some parameters were updated
};

}  // namespace earmark::train
