// launch [options] PROGRAM ARGS...: runs a program as a group of processes, with torchrun's options and variables.
#include <charconv>
#include <memory>
#include <string>
#include <system_error>

#include "data/program.h"
#include "kernels/device_choice.h"
#include "train/launcher.h"

using namespace earmark;         // NOLINT(google-build-using-namespace): a program, not a header.
using namespace earmark::train;  // NOLINT(google-build-using-namespace)

namespace {

constexpr int kMostLocalRanks = 1024;

/// Says what comes behind the options.
class LaunchFormatter : public CLI::Formatter {
 public:
  std::string make_usage(const CLI::App* /*app*/, std::string name) const override {
    return "Usage: " + name + " [OPTIONS] PROGRAM ARGS...\n";
  }
};

struct LaunchArguments {
  LaunchOptions options;
  std::string local_size = "1";
  CLI::Option* node_rank = nullptr;
};

void add_options(CLI::App& app, LaunchArguments& arguments) {
  LaunchOptions& options = arguments.options;
  app.add_option("--nproc-per-node,--nproc_per_node", arguments.local_size,
                 "Ranks on this node: a number, or auto: one for each GPU; without GPUs one, whose threads use all "
                 "processors")
      ->capture_default_str();
  app.add_option("--nnodes", options.nodes, "Nodes; launch is run on each, with as many ranks")
      ->check(CLI::Range(1, 65536))
      ->capture_default_str();
  arguments.node_rank = app.add_option("--node-rank,--node_rank", options.node_rank, "Which node this is, from 0")
                            ->check(CLI::NonNegativeNumber);
  app.add_option("--master-addr,--master_addr", options.master_addr,
                 "Address of node 0, the same on all (default: this machine, where it is the only node)");
  app.add_option("--master-port,--master_port", options.master_port,
                 "Port of rank 0, the same on all (default: a free one, on several nodes 29500)")
      ->check(CLI::Range(1, 65535));
  app.add_option("--max-restarts,--max_restarts", options.max_restarts,
                 "How often the group is started again after a failure; programs go on from their last checkpoint")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_option("--log-dir,--log_dir", options.log_dir,
                 "Writes what ranks print to DIR/<restart>/rank-<rank>.out and .err, and shows rank 0's alone");
  app.add_option("--grace", options.grace_seconds,
                 "Seconds that ranks which are told to end have before they are killed")
      ->check(CLI::Range(0.0, 1e6))
      ->capture_default_str();
}

int local_size_of(const std::string& text) {
  if (text == "auto") {
    return std::max(1, gpu_count());
  }
  int size = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), size);
  if (parsed.ec != std::errc() || parsed.ptr != text.data() + text.size() || size < 1 || size > kMostLocalRanks) {
    data::fail_usage(
        str("--nproc-per-node: expected auto or a number from 1 to ", kMostLocalRanks, ", got '", text, "'"));
  }
  return size;
}

/// The program and its arguments: what was left from the first argument on that is no option.
std::vector<std::string> command_of(const CLI::App& app) {
  std::vector<std::string> command = app.remaining();
  if (!command.empty() && command.front() == "--") {
    command.erase(command.begin());
  } else if (!command.empty() && command.front().starts_with("-")) {
    data::fail_usage("unknown option " + command.front());
  }
  return command;
}

int launch_main(const CLI::App& app, LaunchArguments& arguments) {
  LaunchOptions& options = arguments.options;
  options.command = command_of(app);
  options.divide_threads = app.count("--threads") > 0;
  if (options.nodes > 1 && arguments.node_rank->empty()) {
    data::fail_usage(str("--nnodes ", options.nodes, " needs --node-rank: which of the nodes this one is"));
  }
  const std::string problem = problem_of(options);
  if (!problem.empty()) {
    data::fail_usage(problem);
  }
  options.local_size = local_size_of(arguments.local_size);
  return launch(options);
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app(
      "Runs a program as a group of processes (ranks), each with its part of the processors and GPUs, as torchrun "
      "does: "
      "with RANK, LOCAL_RANK, WORLD_SIZE, LOCAL_WORLD_SIZE, MASTER_ADDR and MASTER_PORT in its environment. The first "
      "rank that fails ends all. A program without a slash is looked for beside launch, then in PATH; what follows it "
      "is "
      "its own. --threads is what all ranks have together.",
      "launch");
  app.prefix_command();
  app.formatter(std::make_shared<LaunchFormatter>());
  LaunchArguments arguments;
  add_options(app, arguments);
  return data::run_program(app, argc, argv, [&] { return launch_main(app, arguments); });
}
