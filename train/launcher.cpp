#include "train/launcher.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <map>
#include <system_error>
#include <utility>

#include "kernels/device_choice.h"
#include "kernels/error.h"
#include "kernels/parallel.h"
#include "train/console.h"
#include "train/machine_share.h"
#include "train/program_path.h"
#include "train/rank_group.h"
#include "train/rank_guard.h"
#include "train/signal_queue.h"

namespace earmark::train {

namespace fs = std::filesystem;

namespace {

constexpr int kTorchrunsPort = 29500;
constexpr int kBadUsage = 2;
constexpr const char* kThreads = "EARMARK_THREADS";
constexpr const char* kVisibleGpus = "CUDA_VISIBLE_DEVICES";

using Settings = std::map<std::string, std::string>;

const char* variable(const char* name) {
  return std::getenv(name);  // NOLINT(concurrency-mt-unsafe): nobody changes it
}

/// Where this process was started without one of them, its number is not for another file to get.
void open_standard_streams() {
  int opened = 0;
  do {
    opened = ::open("/dev/null", O_RDWR);
  } while (opened >= 0 && opened <= STDERR_FILENO);
  ::close(opened);
}

/// A port that nobody listens at now.
int free_port() {
  const Descriptor probe(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  socklen_t size = sizeof address;
  auto* const plain = reinterpret_cast<sockaddr*>(&address);
  check(probe.is_open() && ::bind(probe.get(), plain, size) == 0 && ::getsockname(probe.get(), plain, &size) == 0,
        "no free port: ", std::strerror(errno));
  return ntohs(address.sin_port);
}

/// The environment of this process with `settings` in it.
std::vector<std::string> environment_with(const Settings& settings) {
  std::vector<std::string> all;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string text = *entry;
    if (!settings.contains(text.substr(0, text.find('=')))) {
      all.push_back(text);
    }
  }
  for (const auto& [name, value] : settings) {
    all.push_back(str(name, '=', value));
  }
  return all;
}

std::string joined(const std::vector<std::string>& names) {
  std::string all;
  for (const std::string& name : names) {
    all += (all.empty() ? "" : ",") + name;
  }
  return all;
}

/// This machine, to be divided.
struct Machine {
  std::vector<int> processors;
  std::vector<std::string> gpus;
  int threads = 0;  ///< To be divided; 0: each rank does as the user has told it, or takes all.
};

Machine this_machine(const LaunchOptions& options) {
  Machine machine;
  machine.processors = processors_by_core();
  if (options.divide_threads || (options.local_size > 1 && variable(kThreads) == nullptr)) {
    machine.threads = num_threads();
  }
  if (options.local_size > 1) {  // a single rank may see them all
    machine.gpus = gpu_names(gpu_count(), variable(kVisibleGpus));
  }
  return machine;
}

/// What rank `local_rank` finds in its environment.
Settings settings_of(const LaunchOptions& options, const Machine& machine, int local_rank, int restart, int port) {
  const int size = options.local_size;
  Settings settings{{"RANK", str(options.node_rank * size + local_rank)},
                    {"WORLD_SIZE", str(options.nodes * size)},
                    {"LOCAL_RANK", str(local_rank)},
                    {"LOCAL_WORLD_SIZE", str(size)},
                    {"GROUP_RANK", str(options.node_rank)},
                    {"MASTER_ADDR", options.master_addr.empty() ? "127.0.0.1" : options.master_addr},
                    {"MASTER_PORT", str(port)},
                    {"TORCHELASTIC_RESTART_COUNT", str(restart)},
                    {"TORCHELASTIC_MAX_RESTARTS", str(options.max_restarts)}};
  if (machine.threads > 0) {
    settings[kThreads] = str(threads_of_part(machine.threads, local_rank, size));
  }
  if (!machine.gpus.empty()) {
    settings[kVisibleGpus] = joined(part_of(machine.gpus, local_rank, size));
  }
  return settings;
}

std::vector<RankPlan> plan_ranks(const LaunchOptions& options, const Machine& machine, const fs::path& program,
                                 int restart) {
  const int usual = options.nodes == 1 ? free_port() : kTorchrunsPort;
  const int port = options.master_port > 0 ? options.master_port : usual;
  fs::path logs;
  if (!options.log_dir.empty()) {
    logs = options.log_dir / str(restart);
    std::error_code failed;
    fs::create_directories(logs, failed);
    check(!failed, logs.string(), ": cannot be made: ", failed.message());
  }
  std::vector<RankPlan> plans;
  for (int local_rank = 0; local_rank < options.local_size; ++local_rank) {
    const int rank = options.node_rank * options.local_size + local_rank;
    RankCommand command{program.string(), options.command,
                        environment_with(settings_of(options, machine, local_rank, restart, port)),
                        part_of(machine.processors, local_rank, options.local_size)};
    plans.push_back({rank, std::move(command), logs.empty() || rank == 0, logs});
  }
  return plans;
}

/// Ends this process as the signal would have, for whoever waits for it.
[[noreturn]] void end_by(int signal) {
  std::signal(signal, SIG_DFL);
  sigset_t only;
  sigemptyset(&only);
  sigaddset(&only, signal);
  ::sigprocmask(SIG_UNBLOCK, &only, nullptr);
  std::raise(signal);
  std::_Exit(1);
}

}  // namespace

std::string problem_of(const LaunchOptions& options) {
  if (options.command.empty()) {
    return "a program is needed: launch --nproc-per-node 2 train configs/demo.yaml";
  }
  if (options.node_rank >= options.nodes) {
    return str("--node-rank: expected a number below --nnodes, ", options.nodes, ", got ", options.node_rank);
  }
  if (options.nodes > 1 && options.master_addr.empty()) {
    return str("--nnodes ", options.nodes, " needs --master-addr, the address of node 0, the same on all nodes");
  }
  return "";
}

int launch(const LaunchOptions& options) {
  const fs::path program = program_path(options.command.front());
  open_standard_streams();
  std::signal(SIGPIPE, SIG_IGN);  // when nobody reads any more, the ranks are still ended in order
  SignalQueue signals;
  RankGuard guard(static_cast<std::size_t>(options.local_size));
  const Machine machine = this_machine(options);
  const auto grace =
      std::chrono::duration_cast<RankGroup::Clock::duration>(std::chrono::duration<double>(options.grace_seconds));
  Console console;
  for (int restart = 0;; ++restart) {
    RankGroup group(plan_ranks(options, machine, program, restart), grace, console, signals, guard);
    const GroupEnd end = group.run();
    check(console.problem().empty(), console.problem());
    if (!end.failure) {
      if (!end.all_well) {
        end_by(end.signal);
      }
      return 0;
    }
    const bool bad_usage = !end.failure->by_signal && end.failure->number == kBadUsage;
    if (bad_usage || end.signal != 0 || restart == options.max_restarts) {
      return bad_usage ? kBadUsage : 1;
    }
    console.say(str("restart ", restart + 1, " of ", options.max_restarts));
  }
}

}  // namespace earmark::train
