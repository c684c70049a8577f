// train CONFIG [--set key=value]... [--out DIR]: trains an encoder as a configuration says.
// train --resume RUN [--set key=value]...: goes on with a run.
// train --compact MODEL --out FILE: the model with weights of 16 bits, to be passed on.
// train --average MODEL... --out FILE: the model whose weights are the mean of theirs.
// train CONFIG --whiten MODEL --out FILE: the model with its whitening estimated from the configuration's pairs.
#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <iostream>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "data/program.h"
#include "data/progress.h"
#include "data/stop_signal.h"
#include "kernels/error.h"
#include "train/run.h"
#include "train/run_group.h"
#include "train/whitening.h"

namespace fs = std::filesystem;
using namespace earmark;         // NOLINT(google-build-using-namespace): a program, not a header.
using namespace earmark::train;  // NOLINT(google-build-using-namespace)

namespace {

struct Arguments {
  std::string config;
  std::vector<std::string> overrides;
  std::string resume;
  std::string out;
  std::string compact;
  std::vector<fs::path> average;
  std::string whiten;
  data::DeviceChoice device;
  bool threads_given = false;
  bool help_config = false;
  bool dry_run = false;
};

/// Sections of the same file that other programs read.
void skip_foreign_sections(Config& config) { config.skip("reproduce"); }

TrainOptions read_and_check(Config& config) {
  const TrainOptions options = read_train_options(config);
  skip_foreign_sections(config);
  config.finish();
  check_train_options(config, options);
  return options;
}

/// "runs/demo-20250131-121314"
fs::path default_folder(const fs::path& config) {
  const std::time_t now = std::time(nullptr);
  std::tm local{};
  localtime_r(&now, &local);
  std::array<char, 32> text{};
  std::strftime(text.data(), text.size(), "-%Y%m%d-%H%M%S", &local);
  return fs::path("runs") / (config.stem().string() + text.data());
}

/// The run's own configuration with the overrides; a configuration given beside it must say the same.
Config config_to_resume(const Arguments& arguments, const RunFolder& run) {
  Config config = Config::load(run.config(), arguments.overrides);
  if (!arguments.config.empty()) {
    Config given = Config::load(arguments.config, arguments.overrides);
    read_and_check(given);
    Config same = Config::load(run.config(), arguments.overrides);
    read_and_check(same);
    check(given.resolved() == same.resolved(), run.config().string(), ": differs from ", arguments.config, " (",
          first_difference(same.resolved(), given.resolved()),
          "); leave the configuration out, or give the --set options of the run's beginning");
  }
  return config;
}

int report_end(const RunReport& report, const RunFolder& run) {
  if (report.interrupted) {
    std::cout << "stopped after step " << report.steps << "; go on with: train --resume " << run.path().string()
              << "\n";
    return 0;
  }
  std::cout << "done: " << report.steps << " steps in " << data::format_duration(report.elapsed_seconds) << ", "
            << run.model().string();
  if (report.best_hit_rate >= 0) {
    std::cout << "; best validation hit rate " << 100 * report.best_hit_rate << " % at step " << report.best_step
              << ", " << run.best().string();
  }
  std::cout << "\n";
  return 0;
}

/// Of `option`, which makes a model out of others.
void check_only_out_is_given(const Arguments& arguments, const std::string& option) {
  if (!arguments.config.empty() || !arguments.resume.empty() || arguments.out.empty()) {
    data::fail_usage(option + " needs --out FILE, and neither a configuration nor --resume");
  }
}

int average_main(const Arguments& arguments) {
  check_only_out_is_given(arguments, "--average");
  const nn::Model mean = nn::average_models(arguments.average);
  nn::save_model(arguments.out, mean);
  std::cout << arguments.out << ": the mean of " << arguments.average.size() << " models"
            << (mean.options.whitening ? "; so is its whitening: --whiten estimates its own\n" : "\n");
  return 0;
}

int compact_main(const Arguments& arguments) {
  check_only_out_is_given(arguments, "--compact");
  nn::save_model(arguments.out, nn::load_model(arguments.compact), DType::f16);
  std::cout << arguments.out << ": " << fs::file_size(arguments.out) << " bytes, " << fs::file_size(arguments.compact)
            << " before\n";
  return 0;
}

/// On pairs as the configuration draws them.
int whiten_main(Arguments& arguments) {
  if (arguments.config.empty() || !arguments.resume.empty() || arguments.out.empty()) {
    data::fail_usage("--whiten needs a configuration, which says from what pairs, and --out FILE, and no --resume");
  }
  Config config = Config::load(arguments.config, arguments.overrides);
  const TrainOptions options = read_and_check(config);
  const nn::Model model = nn::with_whitening(nn::load_model(arguments.whiten), true);
  check(model.features == options.features, arguments.whiten, ": is for the features ", nn::to_json(model.features),
        ", the configuration has ", nn::to_json(options.features));
  model.encoder->to(arguments.device.choose({}));
  arguments.device.announce();
  const TrainingData data = open_training_data(options, [](const std::string& line) { std::cerr << line << "\n"; });
  whiten(model, *data.training, options.whitening, *make_communicator({}, {}));
  nn::save_model(arguments.out, model);
  std::cout << arguments.out << ": whitened by " << options.whitening.pairs << " pairs\n";
  return 0;
}

/// The other processes of the run, if there are any.
std::shared_ptr<Communicator> meet(const Rank& rank, const TrainOptions& options, const Config& config, Device device) {
  const std::chrono::duration<double> timeout(options.rank_timeout_s);
  const std::shared_ptr<Communicator> ranks =
      make_communicator(rank, std::chrono::ceil<std::chrono::milliseconds>(timeout));
  check_same_configuration(*ranks, config.resolved());
  return on_device(ranks, device);
}

/// What the configuration says is trained, by this process alone or beside the others.
int train(Arguments& arguments, const Config& config, const TrainOptions& options, std::optional<RunFolder> run) {
  const bool resuming = run.has_value();
  const Rank rank = rank_from_environment();
  const bool first = rank.rank == 0;
  data::share_processors(rank, arguments.threads_given);
  const fs::path folder = resuming                ? fs::path(arguments.resume)
                          : arguments.out.empty() ? default_folder(arguments.config)
                                                  : fs::path(arguments.out);
  const Device device = arguments.device.choose(rank);  // before the long work
  const std::shared_ptr<Communicator> ranks = meet(rank, options, config, device);
  if (first && resuming) {
    run->claim();
  } else if (first) {
    RunFolder::check_free(folder);  // before the long work too, though the folder is made only when there is a run
  }
  const auto report = [](const std::string& line) { std::cerr << line << "\n"; };
  if (first) {
    arguments.device.announce();
    report("run folder " + folder.string());
  }
  const TrainingData data = open_training_data(options, *ranks, rank, report);
  if (first && resuming) {
    run->write_config(config.resolved());
  } else if (first) {
    run = RunFolder::create(folder, config.resolved());
  }
  if (first) {
    run->write_skipped(data.skipped);
  }
  const RunPlace place{first ? &*run : nullptr, ranks};
  const RunReport done = run_training(options, data, place, data::watch_stop_signals(), device, first);
  return first ? report_end(done, *run) : 0;
}

/// Whoever starts the processes again after a failure, with the same arguments, means them to go on.
void go_on_after_restart(Arguments& arguments) {
  const char* restarts = std::getenv("TORCHELASTIC_RESTART_COUNT");  // NOLINT(concurrency-mt-unsafe): nobody changes it
  const bool restarted = restarts != nullptr && std::string_view(restarts) != "0";
  if (restarted && arguments.resume.empty() && !arguments.out.empty() &&
      fs::exists(fs::path(arguments.out) / "config.yaml")) {
    arguments.resume = std::exchange(arguments.out, {});
  }
}

int train_main(Arguments& arguments) {
  if (!arguments.compact.empty()) {
    return compact_main(arguments);
  }
  if (!arguments.average.empty()) {
    return average_main(arguments);
  }
  if (!arguments.whiten.empty()) {
    return whiten_main(arguments);
  }
  go_on_after_restart(arguments);
  const bool resuming = !arguments.resume.empty();
  if (resuming && !arguments.out.empty()) {
    data::fail_usage("--out does not go with --resume");
  }
  if (!resuming && arguments.config.empty() && !arguments.help_config) {
    data::fail_usage("a configuration is needed (configs/demo.yaml), or --resume RUN");
  }
  if (arguments.help_config) {
    Config config = Config::parse("", "defaults");
    read_train_options(config);
    std::cout << config.help();
    return 0;
  }
  std::optional<RunFolder> run;
  if (resuming) {
    run = RunFolder::open(arguments.resume);
  }
  Config config = resuming ? config_to_resume(arguments, *run) : Config::load(arguments.config, arguments.overrides);
  const TrainOptions options = read_and_check(config);
  if (arguments.dry_run) {
    std::cout << config.resolved();
    return 0;
  }
  return train(arguments, config, options, std::move(run));
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app(
      "Trains an audio fingerprint encoder. Ctrl-C stops after the step and writes a checkpoint (exit code 0); "
      "--resume goes on bit for bit.",
      "train");
  Arguments arguments;
  app.add_option("config", arguments.config, "Configuration, YAML (configs/*.yaml)");
  app.add_option("--set", arguments.overrides, "Overrides a key: --set train.steps=100")->allow_extra_args(false);
  app.add_option("--resume", arguments.resume, "Folder of the run to go on with");
  app.add_option("--out", arguments.out, "Folder of the new run (default: runs/<config>-<time>)");
  app.add_option("--compact", arguments.compact,
                 "Writes this model to the file --out with weights of 16 bits: half the size");
  app.add_option("--average", arguments.average,
                 "Writes the mean of these models, trained on from one another or from one, to the file --out")
      ->excludes("--compact");
  app.add_option("--whiten", arguments.whiten,
                 "Writes this model, with its whitening estimated from the configuration's pairs, to the file --out")
      ->excludes("--compact", "--average");
  arguments.device.add_option(app);
  app.add_flag("--help-config", arguments.help_config, "Lists every configuration key and exits");
  app.add_flag("--dry-run", arguments.dry_run, "Checks the configuration, prints it with all defaults, and exits");
  return data::run_program(app, argc, argv, [&] {
    arguments.threads_given = app.count("--threads") > 0;
    return train_main(arguments);
  });
}
