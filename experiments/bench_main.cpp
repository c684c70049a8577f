// bench: the figures of the README, each against a peer, each ending with one JSON line.
// A benchmark is a function BenchResult(options, log) in a file bench_<name>.cpp and an add_..._command() here.
#include <functional>
#include <iostream>

#include "data/program.h"
#include "experiments/bench.h"
#include "experiments/bench_search.h"
#include "kernels/rank.h"

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

void add_pairs_command(CLI::App& app, Run& chosen) {
  const auto options = std::make_shared<EncoderBenchOptions>();
  CLI::App* command = app.add_subcommand("pairs", "making a batch, in percent of the training step that uses it");
  command->add_option("--width", options->width, "channels of the encoder's front end")->capture_default_str();
  command->add_option("--pairs", options->pairs, "positive pairs in a batch")->capture_default_str();
  command->add_option("--repetitions", options->repetitions, "of each side")->capture_default_str();
  on_command(command, chosen, [options](std::ostream& log) { return bench_pairs(*options, log); });
}

void add_communication_command(CLI::App& app, Run& chosen) {
  const auto options = std::make_shared<EncoderBenchOptions>();
  CLI::App* command = app.add_subcommand(
      "communication", "what processes exchange in percent of a training step: launch --nproc-per-node 2 bench ...");
  command->add_option("--width", options->width, "channels of the encoder's front end")->capture_default_str();
  command->add_option("--pairs", options->pairs, "positive pairs of a process")->capture_default_str();
  command->add_option("--repetitions", options->repetitions, "of each side")->capture_default_str();
  on_command(command, chosen, [options](std::ostream& log) { return bench_communication(*options, log); });
}

void add_index_command(CLI::App& app, Run& chosen) {
  const auto options = std::make_shared<earmark::experiments::IndexBenchOptions>();
  CLI::App* command = app.add_subcommand("index", "sound files to a committed index, in multiples of real time");
  command->add_option("--model", options->model, "trained model")->capture_default_str();
  command->add_option("--music", options->music, "folder to index")->capture_default_str();
  command->add_option("--repetitions", options->repetitions, "of each side")->capture_default_str();
  on_command(command, chosen, [options](std::ostream& log) { return bench_index(*options, log); });
}

void add_query_command(CLI::App& app, Run& chosen, const std::filesystem::path& programs) {
  const auto options = std::make_shared<earmark::experiments::QueryBenchOptions>();
  options->program = std::filesystem::exists(programs / "search") ? programs / "search" : "";
  CLI::App* command = app.add_subcommand("query", "a sound file to its answer, in milliseconds");
  command->add_flag("--lsh", options->lsh, "by LSH; otherwise exactly");
  command->add_option("--model", options->model, "trained model")->capture_default_str();
  command->add_option("--index", options->index, "search this index instead of one made up");
  command->add_option("--fingerprints", options->fingerprints, "in the made-up index")->capture_default_str();
  command->add_option("--seconds", options->seconds, "of the query")->capture_default_str();
  command->add_option("--device", options->device, "cpu, cuda or cuda:<index>")->capture_default_str();
  command->add_option("--repetitions", options->repetitions, "of each method")->capture_default_str();
  on_command(command, chosen, [options](std::ostream& log) { return bench_query(*options, log); });
}

void add_lsh_command(CLI::App& app, Run& chosen) {
  const auto options = std::make_shared<earmark::experiments::LshBenchOptions>();
  CLI::App* command = app.add_subcommand("lsh", "points of hit rate that LSH loses against exact search");
  command->add_option("--results", options->results, "results.json of the demo or of reproduce")->capture_default_str();
  on_command(command, chosen, [options](std::ostream& log) { return bench_lsh(*options, log); });
}

void add_landmark_command(CLI::App& app, Run& chosen) {
  const auto options = std::make_shared<earmark::experiments::LandmarkBenchOptions>();
  CLI::App* command = app.add_subcommand("landmark", "landmarks against audfprint, indexing and searching");
  command->add_option("--setting", options->setting, "default, dense or best")
      ->check(CLI::IsMember({"default", "dense", "best"}))
      ->capture_default_str();
  command->add_option("--music", options->music, "folder to index")->capture_default_str();
  command->add_option("--minutes", options->minutes, "of it, whole tracks; 0: all")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  command->add_option("--queries", options->queries, "parts of it, in noise")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command->add_option("--seconds", options->seconds, "of a query")->check(CLI::PositiveNumber)->capture_default_str();
  command->add_option("--repetitions", options->repetitions, "of each side")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command->add_option("--python", options->python, "an interpreter that has audfprint2; empty: no peer")
      ->capture_default_str();
  command->add_option("--peers", options->peers, "folder of the peers' scripts")->capture_default_str();
  command->add_option(
      "--original", options->original,
      "folder with audfprint's own program (github.com/dpwe/audfprint): the peer instead of audfprint2");
  on_command(command, chosen, [options](std::ostream& log) { return bench_landmark(*options, log); });
}

void add_confidence_command(CLI::App& app, Run& chosen) {
  const auto options = std::make_shared<earmark::experiments::ConfidenceBenchOptions>();
  CLI::App* command = app.add_subcommand("confidence", "how often absent music is called a match");
  command->add_option("--index", options->index, "index to search")->capture_default_str();
  command->add_option("--music", options->music, "what is in the index")->capture_default_str();
  command->add_option("--absent", options->absent, "music that is not in it")->capture_default_str();
  command->add_option("--speech", options->speech, "speech for babble")->capture_default_str();
  command->add_option("--out", options->out, "folder for the queries")->capture_default_str();
  command->add_option("--excerpts", options->excerpts, "each in all conditions")->capture_default_str();
  on_command(command, chosen, [options](std::ostream& log) { return bench_confidence(*options, log); });
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Speed and accuracy against peers; the last line of output is one JSON object", "bench");
  app.require_subcommand(1)->fallthrough();  // --threads may come behind the name of the benchmark
  Run chosen;
  add_encoder_command(app, chosen, "train", "training steps against PyTorch", earmark::experiments::bench_train);
  add_encoder_command(app, chosen, "infer", "inference against PyTorch", earmark::experiments::bench_infer);
  add_pairs_command(app, chosen);
  add_communication_command(app, chosen);
  add_index_command(app, chosen);
  add_query_command(app, chosen, std::filesystem::read_symlink("/proc/self/exe").parent_path());
  add_lsh_command(app, chosen);
  add_landmark_command(app, chosen);
  add_confidence_command(app, chosen);
  return earmark::data::run_program(app, argc, argv, [&] {
    const BenchResult result = chosen(std::cout);
    if (earmark::rank_from_environment().rank == 0) {
      std::cout << to_json(result) << "\n";
    }
    return 0;
  });
}
