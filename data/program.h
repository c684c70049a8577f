// How every program begins and ends: threads, bad usage, what went wrong in one sentence. For mains only.
#pragma once

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <exception>
#include <functional>
#include <iostream>
#include <new>
#include <string>

#include "data/audio_files.h"
#include "kernels/conv.h"
#include "kernels/device_choice.h"
#include "kernels/error.h"
#include "kernels/parallel.h"
#include "kernels/rank.h"

namespace earmark::data {

/// Bad usage that only shows when all options are known.
[[noreturn]] inline void fail_usage(const std::string& sentence) { throw CLI::ValidationError(sentence); }

/// What --device was given, for programs that compute.
class DeviceChoice {
 public:
  void add_option(CLI::App& app) {
    app.add_option("--device", text_, "auto (a GPU where one works, else the CPU), cpu, cuda or cuda:<index>")
        ->capture_default_str();
  }
  /// For programs that only read models: --fp32. Without it the CPU multiplies in bf16 where that is faster.
  void add_fp32_option(CLI::App& app) {
    products_ = true;
    app.add_flag("--fp32", fp32_, "Multiply in fp32 also where the CPU multiplies bf16 faster (AMX, AVX512_BF16)");
  }
  /// The device; of several processes on a machine, each by itself where no index was given. Throws Error where it is
  /// asked for and cannot be had.
  Device choose(const Rank& rank = {}) {
    kernels::allow_bf16_products(products_ && !fp32_);
    return device_ = choose_device(text_, why_cpu_, rank.local_rank);
  }
  /// Says on standard error which one was chosen, once everything is ready for the work; nothing where this build has
  /// no other.
  void announce() const {
    if (!has_cuda_backend()) {
      return;
    }
    std::cerr << "device " << describe(device_) << (why_cpu_.empty() ? "" : ": " + why_cpu_) << '\n';
  }

 private:
  std::string text_ = "auto";
  bool products_ = false;
  bool fp32_ = false;
  Device device_;
  std::string why_cpu_;
};

/// Processes on one machine share its processors out among themselves, unless they were told how many to take. The
/// number of threads changes no result.
inline void share_processors(const Rank& rank, bool threads_given) {
  if (rank.local_size > 1 && !threads_given && std::getenv("EARMARK_THREADS") == nullptr) {
    set_num_threads(std::max(1, num_threads() / rank.local_size));
  }
}

/// What --rank-timeout was given: how long a process waits for another one of its group.
class RankTimeout {
 public:
  void add_option(CLI::App& app) {
    app.add_option("--rank-timeout", seconds_,
                   "Of several processes: seconds after which one that is silent is given up")
        ->check(CLI::Range(0.1, 1e6))
        ->capture_default_str();
  }
  std::chrono::milliseconds value() const {
    return std::chrono::ceil<std::chrono::milliseconds>(std::chrono::duration<double>(seconds_));
  }

 private:
  double seconds_ = 300;
};

/// Adds --threads, parses, and runs `work`. Returns the exit code: what `work` returns; 2 on bad usage; 1, with a
/// sentence on standard error, where it throws or standard output could not be written.
inline int run_program(CLI::App& app, int argc, char** argv, const std::function<int()>& work) {
  int threads = 0;
  app.add_option("--threads", threads, "Threads (default: all processors)")->check(CLI::Range(1, 4096));
  std::signal(SIGXFSZ, SIG_IGN);  // A file that may not grow is an error to report, as a full disk is.
  std::string problem;
  try {
    app.parse(argc, argv);
    if (threads > 0) {
      set_num_threads(threads);
    }
    const int code = work();
    check(std::cout.flush().good(), "standard output cannot be written");
    return code;
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  } catch (const std::bad_alloc&) {
    problem = "out of memory";
  } catch (const std::exception& error) {
    problem = error.what();
  }
  std::cerr << app.get_name() << ": " << printable_sentence(problem) << '\n';
  return 1;
}

}  // namespace earmark::data
