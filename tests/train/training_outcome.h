// What some training steps have led to, and whether others have led to the same bits.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "nn/encoder.h"
#include "tests/compare_tensors.h"
#include "train/trainer.h"

namespace earmark::train {

/// By name, in the host's memory.
using NamedTensors = std::map<std::string, Tensor>;

struct TrainingOutcome {
  std::vector<StepReport> reports;  ///< Of each step.
  NamedTensors parameters;
  NamedTensors buffers;  ///< Running statistics of batch normalisation.
};

/// Of a trainer whose steps have all been reported.
inline TrainingOutcome outcome_of(const Trainer& trainer, std::vector<StepReport> reports) {
  TrainingOutcome outcome{.reports = std::move(reports), .parameters = {}, .buffers = {}};
  for (const nn::NamedParameter& parameter : trainer.model().encoder->parameters()) {
    outcome.parameters[parameter.name] = parameter.variable.value().to(Device{}).clone();
  }
  for (const nn::NamedBuffer& buffer : trainer.model().encoder->buffers()) {
    outcome.buffers[buffer.name] = buffer.tensor.to(Device{}).clone();
  }
  return outcome;
}

inline void expect_same_bits(const NamedTensors& got, const NamedTensors& want, const char* what) {
  EXPECT_EQ(got.size(), want.size()) << what;
  for (const auto& [name, tensor] : want) {
    const auto at = got.find(name);
    EXPECT_TRUE(at != got.end() && testing::same_bits(at->second, tensor)) << what << " " << name;
  }
}

/// Of finite steps, to the last bit of their reports and of all that they have moved.
inline void expect_same_bits(const TrainingOutcome& got, const TrainingOutcome& want) {
  ASSERT_EQ(got.reports.size(), want.reports.size());
  for (std::size_t step = 0; step < want.reports.size(); ++step) {
    EXPECT_TRUE(want.reports[step].finite()) << "step " << step;
    EXPECT_EQ(got.reports[step].loss, want.reports[step].loss) << "step " << step;
    EXPECT_EQ(got.reports[step].top1, want.reports[step].top1) << "step " << step;
    EXPECT_EQ(got.reports[step].grad_norm, want.reports[step].grad_norm) << "step " << step;
  }
  expect_same_bits(got.parameters, want.parameters, "parameter");
  expect_same_bits(got.buffers, want.buffers, "buffer");
}

}  // namespace earmark::train
