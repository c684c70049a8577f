// Times every operation case that has inputs of training's size: forward, and forward with backward.
//   ops_benchmark --threads=1 --benchmark_filter=permute
#include <benchmark/benchmark.h>

#include <cstdlib>
#include <cstring>

#include "kernels/parallel.h"
#include "tests/op_cases.h"

namespace earmark::testing {
namespace {

/// Bytes of the inputs and the result: what a perfectly cached operation has to move.
std::int64_t bytes_of(const std::vector<Variable>& inputs, const Variable& out) {
  std::size_t bytes = out.value().bytes();
  for (const Variable& input : inputs) {
    bytes += input.value().bytes();
  }
  return static_cast<std::int64_t>(bytes);
}

void forward(benchmark::State& state, const OpCase& c) {
  const std::vector<Variable> inputs = make_inputs(c, c.large, DType::f32, 1);
  const NoGradScope inference;
  Variable out;
  for (auto _ : state) {
    out = c.build(inputs);
    benchmark::DoNotOptimize(out.value().raw());
  }
  state.SetBytesProcessed(state.iterations() * bytes_of(inputs, out));
}

void forward_and_backward(benchmark::State& state, const OpCase& c) {
  std::vector<Variable> inputs = make_inputs(c, c.large, DType::f32, 1);
  const Tensor seed = draw(c.build(inputs).shape(), Domain::normal, DType::f32, 2);
  for (auto _ : state) {
    c.build(inputs).backward(seed);
    for (Variable& input : inputs) {
      input.zero_grad();
    }
  }
}

void register_all() {
  for (const OpCase& c : op_cases()) {
    if (c.large.empty()) {
      continue;
    }
    benchmark::RegisterBenchmark((c.name + "/forward").c_str(), forward, c)
        ->Unit(benchmark::kMicrosecond)
        ->UseRealTime();
    benchmark::RegisterBenchmark((c.name + "/both").c_str(), forward_and_backward, c)
        ->Unit(benchmark::kMicrosecond)
        ->UseRealTime();
  }
}

/// Takes "--threads=N" out of the arguments.
void take_threads(int& count, char** arguments) {
  constexpr const char* kFlag = "--threads=";
  int kept = 0;
  for (int i = 0; i < count; ++i) {
    if (std::strncmp(arguments[i], kFlag, std::strlen(kFlag)) == 0) {
      set_num_threads(std::atoi(arguments[i] + std::strlen(kFlag)));
    } else {
      arguments[kept++] = arguments[i];
    }
  }
  count = kept;
}

}  // namespace
}  // namespace earmark::testing

int main(int count, char** arguments) {
  earmark::testing::take_threads(count, arguments);
  benchmark::Initialize(&count, arguments);
  if (benchmark::ReportUnrecognizedArguments(count, arguments)) {
    return 2;
  }
  earmark::testing::register_all();
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
