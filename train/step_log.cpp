#include "train/step_log.h"

#include <array>
#include <charconv>
#include <chrono>
#include <cstdio>

#include "train/tensorboard.h"

namespace earmark::train {

namespace {

constexpr const char* kLogHeader =
    "step,loss,top1,learning_rate,grad_norm,validation_segment,validation_track,segments_per_s,elapsed_s\n";

/// The shortest text that reads back as the same number.
std::string exact(double value) {
  std::array<char, 40> buffer{};
  return {buffer.data(), std::to_chars(buffer.data(), buffer.data() + buffer.size(), value).ptr};
}

double wall_time() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

}  // namespace

std::string rounded(double value, int digits) {
  std::array<char, 64> buffer{};
  std::snprintf(buffer.data(), buffer.size(), "%.*f", digits, value);
  return buffer.data();
}

StepLog::StepLog(const RunFolder& folder, const RunState& state, std::int64_t scalar_interval)
    : log_(folder.log(), state.log_bytes),
      events_(folder.events(), state.events_bytes),
      scalar_interval_(scalar_interval) {
  if (state.log_bytes == 0) {
    log_.append(kLogHeader);
    events_.append(tensorboard_record(tensorboard_version_event(wall_time())));
  }
}

// What is the same in every run of this configuration comes first; times come last.
void StepLog::append(const LoggedStep& step, const HitRate& hits) {
  const bool validated = hits.queries > 0;
  const StepReport& report = step.report;
  log_.append(std::to_string(step.number) + "," + exact(report.loss) + "," + exact(report.top1) + "," +
              exact(step.rate) + "," + exact(report.grad_norm) + "," + (validated ? exact(hits.segment) : "") + "," +
              (validated ? exact(hits.track) : "") + "," + rounded(step.segments_per_s, 1) + "," +
              rounded(step.elapsed_seconds, 2) + "\n");
  const auto scalar = [&](std::string_view tag, double value) {
    events_.append(
        tensorboard_record(tensorboard_scalar_event(wall_time(), step.number, tag, static_cast<float>(value))));
  };
  if (scalar_interval_ > 0 && step.number % scalar_interval_ == 0) {
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

}  // namespace earmark::train
