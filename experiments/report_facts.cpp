// What a page says about the machine and the program that made it.
#include <sys/utsname.h>

#include <array>
#include <cstdlib>
#include <ctime>
#include <fstream>

#include "experiments/report.h"
#include "experiments/report_resources.h"
#include "kernels/device_choice.h"
#include "kernels/error.h"
#include "kernels/parallel.h"
#include "train/config.h"

namespace earmark::experiments {
namespace {

// The value of "key : value" in one of the files of /proc; empty where there is none.
std::string value_in(const char* file, const std::string& key) {
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);) {
    const std::size_t colon = line.find(':');
    if (line.starts_with(key) && colon != std::string::npos) {
      const std::size_t begin = line.find_first_not_of(" \t", colon + 1);
      return begin == std::string::npos ? "" : line.substr(begin);
    }
  }
  return "";
}

std::string processor() {
  const std::string model = value_in("/proc/cpuinfo", "model name");
  return str(model.empty() ? "unknown" : model, ", ", num_threads(), " threads used");
}

std::string memory() {
  constexpr double kKibPerGib = 1024.0 * 1024.0;
  const std::string kib = value_in("/proc/meminfo", "MemTotal");
  return kib.empty() ? "unknown" : fixed(std::atof(kib.c_str()) / kKibPerGib, 1) + " GiB";
}

std::string system_name() {
  utsname names{};
  return uname(&names) == 0 ? str(names.sysname, ' ', names.release, ' ', names.machine) : "unknown";
}

std::string time_now() {
  std::array<char, 32> text{};
  const std::time_t now = std::time(nullptr);
  std::tm utc{};
  gmtime_r(&now, &utc);
  std::strftime(text.data(), text.size(), "%Y-%m-%d %H:%M UTC", &utc);
  return text.data();
}

}  // namespace

std::vector<Fact> machine_facts(Device device) {
  return {{"Commit", report_resources::kCommit},
          {"Compiler", "GCC " __VERSION__},
          {"Processor", processor()},
          {"Memory", memory()},
          {"System", system_name()},
          {"Device", describe(device)},
          {"Made", time_now()}};
}

std::vector<Fact> seed_facts(std::uint64_t query_seed, const std::filesystem::path& training_run) {
  std::string seeds = str("queries ", query_seed);
  const std::filesystem::path config = training_run / "config.yaml";
  if (!training_run.empty() && std::filesystem::exists(config)) {
    std::uint64_t seed = 0;
    constexpr double kLargest = 9007199254740992.0;
    train::Config::load(config).section("train").read("seed", seed, {0, kLargest}, "", "");
    seeds += str(", training ", seed);
  }
  return {{"Seeds", seeds}};
}

}  // namespace earmark::experiments
