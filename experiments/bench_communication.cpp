// `bench communication`: what the ranks of a training exchange, and what it costs beside the step. Of a step's time
// together, three things are told apart: the step of a rank by itself, all ranks at once; the exchange alone, the same
// calls with the same shapes; and the rest, which is waiting for whoever is slower at the moment.
#include <algorithm>
#include <chrono>
#include <functional>
#include <memory>
#include <ostream>

#include "data/program.h"
#include "experiments/bench.h"
#include "experiments/recorded_exchange.h"
#include "kernels/error.h"
#include "kernels/gloo_communicator.h"
#include "kernels/shared_communicator.h"
#include "train/trainer.h"

namespace earmark::experiments {
namespace {

/// A training of one process, or of one rank of several.
class BenchTraining {
 public:
  explicit BenchTraining(const EncoderBenchOptions& options)
      : trainer_(nn::make_model({}, bench_encoder_options(options.width)), {}, 0.05) {
    batch_.clean = bench_segments(options.pairs);
    batch_.distorted = bench_segments(options.pairs);
  }
  void join(const std::shared_ptr<Communicator>& ranks) { trainer_.join(ranks, true); }
  void step() { trainer_.step(batch_, 1e-4); }

 private:
  train::Trainer trainer_;
  data::Batch batch_;
};

/// Seconds of `work`, which all ranks begin at once.
double seconds_of(Communicator& ranks, const std::function<void()>& work) {
  ranks.barrier();
  const auto begin = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

/// The longest of all ranks' `seconds`.
double longest(Communicator& ranks, double seconds) {
  std::vector<double> all(static_cast<std::size_t>(ranks.size()));
  all[static_cast<std::size_t>(ranks.rank())] = seconds;
  add_up(ranks, all);
  return *std::ranges::max_element(all);
}

/// Of each repetition.
struct StepTimes {
  std::vector<double> alone;
  std::vector<double> slowest;  // the rank that is alone and slower
  std::vector<double> together;
  std::vector<double> exchange;
  std::vector<double> over_tcp;
};

}  // namespace

BenchResult bench_communication(const EncoderBenchOptions& options, std::ostream& log) {
  const Rank rank = rank_from_environment();
  check(rank.size > 1, "bench communication is for several processes: launch --nproc-per-node 2 bench communication");
  data::share_processors(rank, false);
  const auto tcp = std::make_shared<GlooCommunicator>(rank, std::chrono::seconds(60));
  const std::shared_ptr<Communicator> ranks = through_shared_memory(tcp, true);
  const auto list = std::make_shared<ExchangeList>();
  BenchTraining alone(options);
  BenchTraining together(options);
  together.join(recorded(ranks, list));
  together.step();  // which plans the buckets
  list->note(true);
  together.step();
  list->note(false);
  alone.step();
  const ExchangeList& exchange = *list;
  StepTimes times;
  for (int i = 0; i < options.repetitions; ++i) {
    times.alone.push_back(seconds_of(*ranks, [&] { alone.step(); }));
    times.slowest.push_back(longest(*ranks, times.alone.back()));
    times.together.push_back(seconds_of(*ranks, [&] { together.step(); }));
    times.exchange.push_back(seconds_of(*ranks, [&] { exchange.repeat(*ranks); }));
    times.over_tcp.push_back(seconds_of(*ranks, [&] { exchange.repeat(*tcp); }));
  }
  const std::size_t calls = exchange.size();
  const double alone_s = median(times.alone);
  const double exchange_s = median(times.exchange);
  if (rank.rank == 0) {
    log << rank.size << " processes, width " << options.width << ", " << options.pairs << " pairs each: a step "
        << 1e3 * alone_s << " ms by itself (" << 1e3 * median(times.slowest) << " of the slowest), "
        << 1e3 * median(times.together) << " ms together; its " << calls << " exchanges alone " << 1e3 * exchange_s
        << " ms, over TCP " << 1e3 * median(times.over_tcp) << " ms\n";
  }
  return {"communication", 100 * exchange_s / alone_s, "% of a training step", "TCP",
          median(times.over_tcp) / exchange_s};
}

}  // namespace earmark::experiments
