#include "train/run.h"

#include <algorithm>
#include <array>
#include <charconv>
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
#include "train/tensorboard.h"
#include "train/trainer.h"
#include "train/validation.h"

namespace earmark::train {

namespace {

using Clock = std::chrono::steady_clock;

constexpr const char* kLogHeader =
    "step,loss,top1,learning_rate,grad_norm,validation_segment,validation_track,segments_per_s,elapsed_s\n";

double seconds_since(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }

/// The shortest text that reads back as the same number.
std::string exact(double value) {
  std::array<char, 40> buffer{};
  return {buffer.data(), std::to_chars(buffer.data(), buffer.data() + buffer.size(), value).ptr};
}

std::string rounded(double value, int digits) {
  std::array<char, 64> buffer{};
  std::snprintf(buffer.data(), buffer.size(), "%.*f", digits, value);
  return buffer.data();
}

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

/// A fresh model: its starting values are drawn on the host, so that they are the same everywhere.
nn::Model model_on(Device device, const TrainOptions& options) {
  nn::Model model = nn::make_model(options.features, options.encoder, options.seed);
  model.encoder->to(device);
  if (options.precision == Precision::bf16) {
    model.encoder->set_activation_type(DType::bf16);
  }
  return model;
}

class Run {
 public:
  Run(const TrainOptions& options, const TrainingData& data, const RunFolder& folder, Device device, bool show_progress)
      : options_(options),
        data_(data),
        folder_(folder),
        on_cpu_(device.backend == Backend::cpu),
        trainer_(model_on(device, options), options.optimizer, options.temperature, options.cuda_graph),
        state_(restore()),
        log_(folder.log(), state_.log_bytes),
        events_(folder.events(), state_.events_bytes),
        progress_("train", segments(options.time_budget_minutes > 0 ? 0 : options.steps - state_.step), "segments",
                  show_progress) {
    if (state_.log_bytes == 0) {
      log_.append(kLogHeader);
      events_.append(tensorboard_record(tensorboard_version_event(wall_time())));
    }
    if (options.cuda_graph && on_cpu_) {
      progress_.line("train.cuda_graph means nothing on the CPU: steps run as always");
    }
    if (data_changed_) {
      progress_.line("the training music is not what it was at the checkpoint: going on, but not bit for bit");
    }
  }

  RunReport go(const std::atomic<bool>& stop) {
    data::Loader loader(data_.training, state_.step, options_.data.workers, options_.data.ahead,
                        trainer_.model().encoder->device());
    bool stopped = false;
    while (!finished() && !stopped) {
      step(loader.next());
      stopped = stop;
      const bool validates = due(options_.validation.interval) || finished();
      const bool saves = due(options_.checkpoint_interval) || stopped || finished();
      while (steps_.size() > 1) {
        settle({});
      }
      if (validates || saves || on_cpu_) {
        take_report(steps_.front());
        settle(validates ? validation() : HitRate{});
      }
      if (saves) {
        checkpoint();
      }
    }
    if (finished()) {
      nn::save_model(folder_.model(), trainer_.model());
    }
    return {.steps = state_.step,
            .interrupted = !finished(),
            .loss = report_.loss,
            .best_hit_rate = state_.best_hit_rate,
            .best_step = state_.best_step,
            .elapsed_seconds = state_.elapsed_seconds};
  }

 private:
  RunState restore() {
    const std::optional<std::filesystem::path> checkpoint = folder_.latest_checkpoint();
    last_checkpoint_ = checkpoint ? checkpoint->string() : "none yet";
    RunState state;
    if (checkpoint) {
      state = RunFolder::load_checkpoint(*checkpoint, trainer_.model(), trainer_.adam());
    }
    data_changed_ = checkpoint && state.data_identity != data_.identity;
    state.data_identity = data_.identity;
    return state;
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
  static double wall_time() {
    return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
  }

  /// A step that was begun and is not in the log yet.
  struct OpenStep {
    std::int64_t number = 0;
    double rate = 0;
    double elapsed_seconds = 0;
    double segments_per_s = 0;
    std::vector<data::PairOrigin> origins;
    std::optional<StepReport> report{};
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
    steps_.push_back({state_.step, rate, state_.elapsed_seconds, speed_.mean(), batch.origins});
  }

  void take_report(OpenStep& step) {
    step.report = trainer_.finish_step();
    report_ = *step.report;
    if (!report_.finite()) {
      reject(step);
    }
    loss_.add(report_.loss);
    top1_.add(report_.top1);
    progress_.note("step " + std::to_string(step.number) + "  loss " + rounded(loss_.mean(), 3) + "  top-1 " +
                   rounded(100 * top1_.mean(), 1) + " %");
    progress_.add(segments(1));
  }

  /// Logs the oldest open step, with what was validated after it.
  void settle(const HitRate& hits) {
    OpenStep& step = steps_.front();
    if (!step.report) {
      take_report(step);
    }
    log(step, hits);
    steps_.pop_front();
  }

  [[noreturn]] void reject(const OpenStep& step) {
    std::string origins;
    for (const data::PairOrigin& origin : step.origins) {
      origins += data_.training->describe(origin) + "\n";
    }
    const std::filesystem::path listing = folder_.path() / "bad-batch.txt";
    write_file_atomically(listing, origins);
    const std::string first = origins.substr(0, origins.find('\n'));
    fail("step ", step.number, ": the ", std::isfinite(report_.loss) ? "gradient" : "loss",
         " is not finite; nothing was updated. The batch's files are listed in ", listing.string(),
         " (the first: ", first, "). Last good checkpoint: ", last_checkpoint_,
         ". A lower train.learning_rate or train.clip_norm usually helps");
  }

  HitRate validation() {
    if (!data_.validation) {
      return {};
    }
    const Clock::time_point begin = Clock::now();
    const HitRate hits = validate(trainer_.model(), *data_.validation);
    const bool best = hits.segment > state_.best_hit_rate;
    if (best) {
      state_.best_hit_rate = hits.segment;
      state_.best_step = state_.step;
      nn::save_model(folder_.best(), trainer_.model());
    }
    progress_.line("step " + std::to_string(state_.step) + ": validation hit rate " + rounded(100 * hits.segment, 1) +
                   " % (right track " + rounded(100 * hits.track, 1) + " %), " + std::to_string(hits.queries) +
                   " queries in " + std::to_string(hits.database) + " fingerprints, " +
                   rounded(seconds_since(begin), 1) + " s" + (best ? ", best so far" : ""));
    last_step_ = Clock::now();
    return hits;
  }

  /// What is the same in every run of this configuration comes first; times come last.
  void log(const OpenStep& step, const HitRate& hits) {
    const bool validated = hits.queries > 0;
    const StepReport& report = *step.report;
    log_.append(std::to_string(step.number) + "," + exact(report.loss) + "," + exact(report.top1) + "," +
                exact(step.rate) + "," + exact(report.grad_norm) + "," + (validated ? exact(hits.segment) : "") + "," +
                (validated ? exact(hits.track) : "") + "," + rounded(step.segments_per_s, 1) + "," +
                rounded(step.elapsed_seconds, 2) + "\n");
    const auto scalar = [&](std::string_view tag, double value) {
      events_.append(
          tensorboard_record(tensorboard_scalar_event(wall_time(), step.number, tag, static_cast<float>(value))));
    };
    if (options_.log_interval > 0 && step.number % options_.log_interval == 0) {
      scalar("train/loss", report.loss);
      scalar("train/top1", report.top1);
      scalar("train/learning_rate", step.rate);
      scalar("train/grad_norm", report.grad_norm);
      scalar("train/segments_per_s", step.segments_per_s);
    }
    if (validated) {
      scalar("validation/segment_hit_rate", hits.segment);
      scalar("validation/track_hit_rate", hits.track);
    }
  }

  void checkpoint() {
    state_.log_bytes = log_.size();
    state_.events_bytes = events_.size();
    folder_.save_checkpoint(trainer_.model(), trainer_.adam(), state_, options_.keep_checkpoints);
    last_checkpoint_ = folder_.latest_checkpoint()->string();
    last_step_ = Clock::now();
  }

  const TrainOptions& options_;
  const TrainingData& data_;
  const RunFolder& folder_;
  bool on_cpu_;  // where a step is over when it was begun
  Trainer trainer_;
  std::string last_checkpoint_;
  bool data_changed_ = false;  // Before state_: restore() sets both.
  RunState state_;
  AppendedFile log_;
  AppendedFile events_;
  data::Progress progress_;
  std::deque<OpenStep> steps_;
  StepReport report_;  // the last that was taken
  Smoothed loss_;
  Smoothed top1_;
  Smoothed speed_;
  Clock::time_point last_step_ = Clock::now();
};

}  // namespace

RunReport run_training(const TrainOptions& options, const TrainingData& data, const RunFolder& folder,
                       const std::atomic<bool>& stop, Device device, bool show_progress) {
  const Tf32Scope tf32(options.precision == Precision::tf32);
  return Run(options, data, folder, device, show_progress).go(stop);
}

}  // namespace earmark::train
