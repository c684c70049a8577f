#include "train/run.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <deque>
#include <optional>
#include <utility>
#include <vector>

#include "data/loader.h"
#include "data/progress.h"
#include "kernels/atomic_file.h"
#include "kernels/conv.h"
#include "kernels/error.h"
#include "kernels/rank_work.h"
#include "train/step_log.h"
#include "train/trainer.h"
#include "train/validation.h"
#include "train/whitening.h"

namespace earmark::train {

namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }

/// An average that follows the last ~20 values, for the console only.
class Smoothed {
 public:
  void add(double value) { mean_ = count_++ == 0 ? value : mean_ + (value - mean_) / std::min(count_, 20); }
  double mean() const { return mean_; }

 private:
  double mean_ = 0;
  int count_ = 0;
};

/// While it lives, GPUs may round to TF32 or not.
class Tf32Scope {
 public:
  explicit Tf32Scope(bool allowed) : before_(kernels::tf32_allowed()) { kernels::allow_tf32(allowed); }
  ~Tf32Scope() { kernels::allow_tf32(before_); }
  Tf32Scope(const Tf32Scope&) = delete;
  Tf32Scope& operator=(const Tf32Scope&) = delete;

 private:
  bool before_;
};

/// `options.initial_model`, which must be of the same kind as `fresh`.
nn::Model initial_model(const TrainOptions& options, const nn::Model& fresh) {
  const std::string name = options.initial_model.string();
  nn::Model model = nn::with_whitening(nn::load_model(options.initial_model), options.encoder.whitening);
  check(model.features == fresh.features, "train.initial_model: ", name, " is for the features ",
        nn::to_json(model.features), ", the configuration has ", nn::to_json(fresh.features));
  check(model.options == fresh.options, "train.initial_model: ", name, " is the encoder ", nn::to_json(model.options),
        ", the configuration has ", nn::to_json(fresh.options));
  return model;
}

/// The model that a run begins with. Fresh values are drawn on the host, so that they are the same everywhere; an
/// initial model is read by rank 0, which has the folder, where no checkpoint replaces it.
nn::Model model_on(Device device, const TrainOptions& options, const RunFolder* folder) {
  nn::Model model = nn::make_model(options.features, options.encoder, options.seed);
  if (!options.initial_model.empty() && folder != nullptr && !folder->latest_checkpoint()) {
    model = initial_model(options, model);
  }
  model.encoder->to(device);
  if (options.precision == Precision::bf16) {
    model.encoder->set_activation_type(DType::bf16);
  }
  return model;
}

/// The pairs of every batch that this rank trains on.
data::PairRange own_pairs(const TrainOptions& options, const Communicator& ranks) {
  const std::int64_t pairs = options.pairs.pairs;
  check(pairs % ranks.size() == 0, "pairs.count is ", pairs, ": it must be divisible by the number of ",
        "processes, which is ", ranks.size());
  const std::int64_t groups = options.reduction_groups;
  check(groups == 1 || groups % ranks.size() == 0, "train.reduction_groups is ", groups,
        ": it must be divisible by the number of processes, which is ", ranks.size());
  const std::int64_t share = pairs / ranks.size();
  check(options.micro_batch == 0 || share % options.micro_batch == 0, "train.micro_batch is ", options.micro_batch,
        ": it must divide the pairs of a process, which are ", share);
  return {ranks.rank() * share, (ranks.rank() + 1) * share};
}

class Run {
 public:
  Run(const TrainOptions& options, const TrainingData& data, const RunPlace& place, Device device, bool show_progress)
      : options_(options),
        data_(data),
        folder_(place.folder),
        ranks_(place.ranks),
        pairs_(own_pairs(options, *place.ranks)),
        on_cpu_(device.backend == Backend::cpu),
        trainer_(model_on(device, options, place.folder), options.optimizer, options.temperature,
                 {options.cuda_graph, options.micro_batch, options.reduction_groups}),
        state_(restore()),
        progress_("train", segments(options.time_budget_minutes > 0 ? 0 : options.steps - state_.step), "segments",
                  show_progress) {
    if (folder_ != nullptr) {
      log_.emplace(*folder_, state_, options.log_interval);
    }
    trainer_.join(ranks_, options.sync_batch_norm, options.shard_optimizer);
    share_state();
    if (options.cuda_graph && on_cpu_) {
      progress_.line("train.cuda_graph means nothing on the CPU: steps run as always");
    }
    if (data_changed_) {
      progress_.line("the training music is not what it was at the checkpoint: going on, but not bit for bit");
    }
  }

  RunReport go(const std::atomic<bool>& stop) {
    const Device device = trainer_.model().encoder->device();
    data::Loader loader([this, device](std::int64_t step) { return data_.training->batch(step, pairs_, device); },
                        state_.step, options_.data.workers, options_.data.ahead, device);
    bool stopped = false;
    while (!finished() && !stopped) {
      step(loader.next());
      stopped = agreed(stop);
      const bool validates = due(options_.validation.interval) || finished();
      const bool saves = due(options_.checkpoint_interval) || stopped || finished();
      while (steps_.size() > 1) {
        settle({});
      }
      if (validates || saves || on_cpu_) {
        take_report(steps_.front());
        if (validates && options_.encoder.whitening) {
          whiten(trainer_.model(), *data_.training, options_.whitening, *ranks_);
        }
        const Validated validated = validates ? validation() : Validated{};
        const nn::SafetensorsFile moments = saves ? optimizer_state() : nn::SafetensorsFile{};
        const auto wind_up = [&] {
          settle(validates ? report_of(validated) : HitRate{});
          if (saves) {
            checkpoint(moments);
          }
        };
        validates || saves ? work_beside_ranks(*ranks_, wind_up) : wind_up();
      }
    }
    work_beside_ranks(*ranks_, [this] {
      if (finished() && folder_ != nullptr) {
        nn::save_model(folder_->model(), trainer_.model());
      }
    });
    return {.steps = state_.step,
            .interrupted = !finished(),
            .loss = report_.loss,
            .best_hit_rate = state_.best_hit_rate,
            .best_step = state_.best_step,
            .elapsed_seconds = state_.elapsed_seconds};
  }

 private:
  RunState restore() {
    if (folder_ == nullptr) {
      return {};
    }
    const std::optional<std::filesystem::path> checkpoint = folder_->latest_checkpoint();
    last_checkpoint_ = checkpoint ? checkpoint->string() : "none yet";
    RunState state;
    if (checkpoint) {
      state = RunFolder::load_checkpoint(*checkpoint, trainer_.model(), trainer_.adam());
    }
    data_changed_ = checkpoint && state.data_identity != data_.identity;
    state.data_identity = data_.identity;
    return state;
  }

  /// Rank 0 knows where the run is.
  void share_state() {
    std::array<double, 2> known{static_cast<double>(state_.step), state_.elapsed_seconds};
    take_over(*ranks_, known, 0);
    state_.step = static_cast<std::int64_t>(known[0]);
    state_.elapsed_seconds = known[1];
  }

  /// Whether any rank was asked to stop. All know then how long the run has taken: by rank 0's clock.
  bool agreed(bool stop) {
    std::array<double, 2> sums{stop ? 1.0 : 0.0, ranks_->rank() == 0 ? state_.elapsed_seconds : 0};
    add_up(*ranks_, sums);
    state_.elapsed_seconds = sums[1];
    return sums[0] > 0;
  }

  double progress() const {
    if (options_.time_budget_minutes > 0) {
      return std::min(1.0, state_.elapsed_seconds / (60 * options_.time_budget_minutes));
    }
    return static_cast<double>(state_.step) / static_cast<double>(options_.steps);
  }
  bool finished() const { return progress() >= 1; }
  bool due(std::int64_t interval) const { return interval > 0 && state_.step % interval == 0; }
  std::int64_t segments(std::int64_t steps) const { return 2 * options_.pairs.pairs * steps; }

  /// A step that was begun and is not in the log yet.
  struct OpenStep {
    LoggedStep step;
    std::vector<data::PairOrigin> origins;
    bool reported = false;
  };

  /// Begins a step. On a GPU it goes on while the one before it is reported and logged: the two never wait for the
  /// host.
  void step(const data::Batch& batch) {
    const double rate = learning_rate(options_.optimizer, state_.step, progress());
    trainer_.begin_step(batch, rate);
    ++state_.step;
    const double took = seconds_since(last_step_);
    last_step_ = Clock::now();
    state_.elapsed_seconds += took;
    speed_.add(static_cast<double>(segments(1)) / took);
    steps_.push_back({{state_.step, rate, state_.elapsed_seconds, speed_.mean(), {}}, batch.origins});
  }

  void take_report(OpenStep& step) {
    step.step.report = report_ = trainer_.finish_step();
    step.reported = true;
    if (!report_.finite()) {
      reject(step);
    }
    loss_.add(report_.loss);
    top1_.add(report_.top1);
    progress_.note("step " + std::to_string(step.step.number) + "  loss " + rounded(loss_.mean(), 3) + "  top-1 " +
                   rounded(100 * top1_.mean(), 1) + " %");
    progress_.add(segments(1));
  }

  /// Logs the oldest open step, with what was validated after it.
  void settle(const HitRate& hits) {
    OpenStep& step = steps_.front();
    if (!step.reported) {
      take_report(step);
    }
    if (log_) {
      log_->append(step.step, hits);
    }
    steps_.pop_front();
  }

  [[noreturn]] void reject(const OpenStep& step) {
    check(folder_ != nullptr, "step ", step.step.number, ": the loss or the gradient is not finite; rank 0 says more");
    std::string origins;
    for (const data::PairOrigin& origin : step.origins) {
      origins += data_.training->describe(origin) + "\n";
    }
    const std::filesystem::path listing = folder_->path() / "bad-batch.txt";
    write_file_atomically(listing, origins);
    const std::string first = origins.substr(0, origins.find('\n'));
    fail("step ", step.step.number, ": the ", std::isfinite(report_.loss) ? "gradient" : "loss",
         " is not finite; nothing was updated. The batch's files are listed in ", listing.string(),
         " (the first: ", first, "). Last good checkpoint: ", last_checkpoint_,
         ". A lower train.learning_rate or train.clip_norm usually helps");
  }

  struct Validated {
    HitRate hits;
    double seconds = 0;
  };

  /// By all ranks together.
  Validated validation() {
    if (!data_.validation) {
      return {};
    }
    const Clock::time_point begin = Clock::now();
    const HitRate hits = validate(trainer_.model(), *data_.validation, *ranks_);
    return {hits, seconds_since(begin)};
  }

  /// Rank 0 says what was found, and keeps the best model.
  HitRate report_of(const Validated& validated) {
    const HitRate& hits = validated.hits;
    if (!data_.validation || folder_ == nullptr) {
      return {};
    }
    const bool best = hits.segment > state_.best_hit_rate;
    if (best) {
      state_.best_hit_rate = hits.segment;
      state_.best_step = state_.step;
      nn::save_model(folder_->best(), trainer_.model());
    }
    progress_.line("step " + std::to_string(state_.step) + ": validation hit rate " + rounded(100 * hits.segment, 1) +
                   " % (right track " + rounded(100 * hits.track, 1) + " %), " + std::to_string(hits.queries) +
                   " queries in " + std::to_string(hits.database) + " fingerprints, " + rounded(validated.seconds, 1) +
                   " s" + (best ? ", best so far" : ""));
    last_step_ = Clock::now();
    return hits;
  }

  /// For a checkpoint, whole at rank 0. Where it is divided, all ranks take part.
  nn::SafetensorsFile optimizer_state() const {
    return folder_ != nullptr || trainer_.adam().divided() ? trainer_.adam().state() : nn::SafetensorsFile{};
  }

  void checkpoint(const nn::SafetensorsFile& moments) {
    if (folder_ == nullptr) {
      return;
    }
    state_.log_bytes = log_->log_bytes();
    state_.events_bytes = log_->events_bytes();
    folder_->save_checkpoint(trainer_.model(), moments, state_, options_.keep_checkpoints);
    last_checkpoint_ = folder_->latest_checkpoint()->string();
    last_step_ = Clock::now();
  }

  const TrainOptions& options_;
  const TrainingData& data_;
  const RunFolder* folder_;  // rank 0's
  std::shared_ptr<Communicator> ranks_;
  data::PairRange pairs_;
  bool on_cpu_;  // where a step is over when it was begun
  Trainer trainer_;
  std::string last_checkpoint_;
  bool data_changed_ = false;  // Before state_: restore() sets both.
  RunState state_;
  std::optional<StepLog> log_;
  data::Progress progress_;
  std::deque<OpenStep> steps_;
  StepReport report_;  // the last that was taken
  Smoothed loss_;
  Smoothed top1_;
  Smoothed speed_;
  Clock::time_point last_step_ = Clock::now();
};

}  // namespace

RunReport run_training(const TrainOptions& options, const TrainingData& data, const RunPlace& place,
                       const std::atomic<bool>& stop, Device device, bool show_progress) {
  check((place.ranks->rank() == 0) == (place.folder != nullptr), "rank 0, and no other, has the run's folder");
  const Tf32Scope tf32(options.precision == Precision::tf32);
  const kernels::Bf16ProductsScope products(options.precision == Precision::bf16_products);
  return Run(options, data, place, device, show_progress).go(stop);
}

RunReport run_training(const TrainOptions& options, const TrainingData& data, const RunFolder& folder,
                       const std::atomic<bool>& stop, Device device, bool show_progress) {
  const RunPlace place{&folder, make_communicator({}, {})};
  return run_training(options, data, place, stop, device, show_progress);
}

}  // namespace earmark::train
