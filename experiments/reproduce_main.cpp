// `reproduce CONFIG --model M [--out DIR] ...`: Tables 1 and 2 with our figures beside the paper's.
// `reproduce CONFIG [--out DIR] ...` with ablations in the configuration: what each choice of the method brings.
#include <iostream>

#include "data/program.h"
#include "data/stop_signal.h"
#include "experiments/ablations.h"
#include "experiments/reproduce.h"
#include "nn/shipped_model.h"

namespace {

struct Arguments {
  std::string config;
  std::vector<std::string> overrides;
  std::vector<std::string> compared;
  std::vector<std::string> answers;
  earmark::experiments::ReproduceRequest request;
  earmark::data::DeviceChoice device;
};

void declare(CLI::App& app, Arguments& arguments) {
  app.add_option("config", arguments.config, "Configuration with a section `reproduce`")->required();
  app.add_option("--set", arguments.overrides, "Overrides, key=value")->take_all()->allow_extra_args(false);
  app.add_option(
      "--model", arguments.request.model,
      "Trained model (safetensors; default: the one that comes with Earmark); none where the configuration has "
      "ablations");
  app.add_option("--out", arguments.request.out, "Folder for queries, index and results")->capture_default_str();
  app.add_option("--index", arguments.request.index, "Search this index instead of building one");
  app.add_option("--queries", arguments.request.queries, "Ask these queries (queries.csv and sound files)");
  app.add_option("--compare", arguments.compared, "NAME=MODEL: another model, as a row of that name; repeatable")
      ->take_all()
      ->allow_extra_args(false);
  app.add_option("--peer-results", arguments.answers,
                 "NAME=FILE or FILE: another system's answers to them, as a row of its own: TSV, or a file of "
                 "OUT/answers; repeatable")
      ->take_all()
      ->allow_extra_args(false);
  app.add_option("--training-run", arguments.request.training_run,
                 "Run folder for the report's curves and configuration (default: the model's)");
  arguments.device.add_option(app);
  arguments.device.add_fp32_option(app);
}

std::vector<earmark::train::NamedPath> compared_models(const std::vector<std::string>& texts) {
  std::vector<earmark::train::NamedPath> out;
  for (const std::string& text : texts) {
    const auto model = earmark::train::parse_named_path(text);
    if (!model) {
      earmark::data::fail_usage("--compare: expected NAME=MODEL, got " + text);
    }
    out.push_back(*model);
  }
  return out;
}

// Without a name it is the file's.
std::vector<earmark::train::NamedPath> other_answers(const std::vector<std::string>& texts) {
  std::vector<earmark::train::NamedPath> out;
  for (const std::string& text : texts) {
    const std::filesystem::path file(text);
    const auto named = std::filesystem::exists(file) ? std::nullopt : earmark::train::parse_named_path(text);
    out.push_back(named ? *named : earmark::train::NamedPath{file.stem().string(), file});
  }
  return out;
}

/// Ctrl-C writes a checkpoint; all else that is done is kept anyway.
int ablate_all(const earmark::experiments::ReproduceOptions& options, const Arguments& arguments,
               const earmark::experiments::Say& say) {
  const earmark::experiments::ReproduceRequest& wanted = arguments.request;
  if (!wanted.model.empty() || !wanted.index.empty() || !wanted.answers.empty() || !wanted.compared.empty()) {
    earmark::data::fail_usage(
        "the configuration has ablations, which train their own models: --model, --index, "
        "--compare and --peer-results do not go with them");
  }
  const earmark::experiments::AblationRequest request{arguments.config, arguments.overrides, wanted.out,
                                                      wanted.queries,   wanted.device,       wanted.progress};
  const auto table = earmark::experiments::ablate(options, request, earmark::data::watch_stop_signals(), say);
  if (table) {
    std::cout << *table;
  } else {
    std::cerr << "stopped; the same command goes on\n";
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app(
      "Makes distorted queries, searches them and prints Tables 1 and 2, or what each choice of the method brings.",
      "reproduce");
  Arguments arguments;
  declare(app, arguments);
  return earmark::data::run_program(app, argc, argv, [&] {
    arguments.request.compared = compared_models(arguments.compared);
    arguments.request.answers = other_answers(arguments.answers);
    auto config = earmark::train::Config::load(arguments.config, arguments.overrides);
    const auto options = earmark::experiments::read_reproduce_options(config);
    const bool ablations = options.ablations.asked_for();
    config.finish();
    if (!ablations && arguments.request.model.empty()) {
      arguments.request.model = earmark::nn::shipped_model();
    }
    arguments.request.configuration = config.resolved();
    arguments.request.device = arguments.device.choose();
    arguments.device.announce();
    const auto say = [](const std::string& line) { std::cerr << line << '\n'; };
    if (ablations) {
      return ablate_all(options, arguments, say);
    }
    std::cout << earmark::experiments::reproduce(options, arguments.request, say);
    return 0;
  });
}
