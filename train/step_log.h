// What a run writes about its steps: a line of log.csv each, and scalars for TensorBoard.
#pragma once

#include <cstdint>
#include <string>

#include "train/run_folder.h"
#include "train/trainer.h"
#include "train/validation.h"

namespace earmark::train {

struct LoggedStep {
  std::int64_t number = 0;
  double rate = 0;  ///< Of learning.
  double elapsed_seconds = 0;
  double segments_per_s = 0;
  StepReport report;
};

class StepLog {
 public:
  /// Goes on where `state` says; scalars come every `scalar_interval` steps, 0: none. Throws Error as AppendedFile
  /// does.
  StepLog(const RunFolder& folder, const RunState& state, std::int64_t scalar_interval);

  /// With what was validated after it; no queries: nothing was.
  void append(const LoggedStep& step, const HitRate& hits);
  std::uint64_t log_bytes() const { return log_.size(); }
  std::uint64_t events_bytes() const { return events_.size(); }

 private:
  AppendedFile log_;
  AppendedFile events_;
  std::int64_t scalar_interval_;
};

/// "0.250" for 3 digits.
std::string rounded(double value, int digits);

}  // namespace earmark::train
