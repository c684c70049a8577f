// `reproduce CONFIG --model M [--out DIR] ...`: Tables 1 and 2 with our figures beside the paper's.
#include <iostream>

#include "data/program.h"
#include "experiments/reproduce.h"
#include "nn/shipped_model.h"

namespace {

struct Arguments {
  std::string config;
  std::vector<std::string> overrides;
  std::vector<std::string> compared;
  earmark::experiments::ReproduceRequest request;
  earmark::data::DeviceChoice device;
};

void declare(CLI::App& app, Arguments& arguments) {
  app.add_option("config", arguments.config, "Configuration with a section `reproduce`")->required();
  app.add_option("--set", arguments.overrides, "Overrides, key=value")->take_all()->allow_extra_args(false);
  app.add_option("--model", arguments.request.model,
                 "Trained model (safetensors; default: the one that comes with Earmark)");
  app.add_option("--out", arguments.request.out, "Folder for queries, index and results")->capture_default_str();
  app.add_option("--index", arguments.request.index, "Search this index instead of building one");
  app.add_option("--queries", arguments.request.queries, "Ask these queries (queries.csv and sound files)");
  app.add_option("--compare", arguments.compared, "NAME=MODEL: another model, as a row of that name; repeatable")
      ->take_all()
      ->allow_extra_args(false);
  app.add_option("--peer-results", arguments.request.peer,
                 "Another system's answers to them, TSV, as a row of its own");
  app.add_option("--training-run", arguments.request.training_run,
                 "Run folder for the report's curves and configuration (default: the model's)");
  arguments.device.add_option(app);
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

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Makes distorted queries, searches them and prints Tables 1 and 2.", "reproduce");
  Arguments arguments;
  declare(app, arguments);
  return earmark::data::run_program(app, argc, argv, [&] {
    if (arguments.request.model.empty()) {
      arguments.request.model = earmark::nn::shipped_model();
    }
    arguments.request.compared = compared_models(arguments.compared);
    auto config = earmark::train::Config::load(arguments.config, arguments.overrides);
    const auto options = earmark::experiments::read_reproduce_options(config);
    config.finish();
    arguments.request.configuration = config.resolved();
    arguments.request.device = arguments.device.choose();
    arguments.device.announce();
    const auto say = [](const std::string& line) { std::cerr << line << '\n'; };
    std::cout << earmark::experiments::reproduce(options, arguments.request, say);
    return 0;
  });
}
