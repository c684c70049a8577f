// bench: the figures of the README, each against a peer, each ending with one JSON line.
// A benchmark is a function BenchResult(options, log) in a file bench_<name>.cpp and an add_..._command() here.
#include <CLI/CLI.hpp>
#include <functional>
#include <iostream>

#include "experiments/bench.h"
#include "kernels/error.h"
#include "kernels/parallel.h"

namespace {

using earmark::experiments::BenchResult;
using earmark::experiments::EncoderBenchOptions;
using Run = std::function<BenchResult(std::ostream& log)>;

/// Remembers what to run when this subcommand is the one given.
void on_command(CLI::App* command, Run& chosen, Run run) {
  command->callback([&chosen, run = std::move(run)] { chosen = run; });
}

void add_encoder_command(CLI::App& app, Run& chosen, const std::string& name, const std::string& description,
                         BenchResult (*bench)(const EncoderBenchOptions&, std::ostream&)) {
  const auto options = std::make_shared<EncoderBenchOptions>();
  CLI::App* command = app.add_subcommand(name, description);
  command->add_option("--width", options->width, "channels of the encoder's front end")->capture_default_str();
  command->add_option("--pairs", options->pairs, "positive pairs in a batch")->capture_default_str();
  command->add_option("--repetitions", options->repetitions, "of each side")->capture_default_str();
  command->add_option("--seconds", options->seconds, "of one repetition")->capture_default_str();
  command->add_option("--python", options->python, "an interpreter that has torch")->capture_default_str();
  command->add_option("--peers", options->peers, "folder of the peers' scripts")->capture_default_str();
  command->add_flag("--compile", options->compile, "let the peer try torch.compile too");
  on_command(command, chosen, [options, bench](std::ostream& log) { return bench(*options, log); });
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Speed and accuracy against peers; the last line of output is one JSON object", "bench");
  app.require_subcommand(1);
  int threads = 0;
  app.add_option("--threads", threads, "threads of either side (default: all processors)");
  Run chosen;
  add_encoder_command(app, chosen, "train", "training steps against PyTorch", earmark::experiments::bench_train);
  add_encoder_command(app, chosen, "infer", "inference against PyTorch", earmark::experiments::bench_infer);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  try {
    if (threads > 0) {
      earmark::set_num_threads(threads);
    }
    const BenchResult result = chosen(std::cout);
    std::cout << to_json(result) << "\n";
    return 0;
  } catch (const std::exception& error) {
    std::cerr << "bench: " << error.what() << "\n";
    return 1;
  }
}
