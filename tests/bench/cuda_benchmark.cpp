// Times every CUDA kernel against what the card can do, which it measures first: copying within its memory, and cuBLAS.
//   cuda_benchmark [--small] [--filter NAME] [--repetitions N] [--peers FILE]
// prints a table in Markdown. PyTorch's times, from pytorch_kernels.py, are its last columns where --peers names them.
#include "tests/bench/cuda_benchmark.h"

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <map>

#include "data/program.h"
#include "kernels/cuda/memory.h"
#include "kernels/cuda/stream.h"
#include "kernels/matmul.h"

namespace earmark::testing {
namespace {

namespace cuda = kernels::cuda;

struct Arguments {
  bool small = false;
  std::string filter;
  int repetitions = 20;
  std::string peers;
};

/// The card, measured.
struct Roofline {
  double bytes_per_ms = 0;
  double operations_per_ms = 0;

  double floor_ms(const KernelCase& c) const {
    return std::max(c.bytes / bytes_per_ms, c.operations / operations_per_ms);
  }
};

/// Writes more than any L2 cache holds, so that what comes next finds nothing there.
class Flush {
 public:
  explicit Flush(bool small) : memory_({small ? 1024 : 256 << 20}, DType::u8, Device{Backend::cuda, 0}) {}
  void operator()() const { cuda::zero(memory_.raw(), memory_.bytes()); }

 private:
  Tensor memory_;
};

/// Median by the GPU's clock. The flush before each run is also what hides the launch.
double milliseconds(const std::function<void()>& run, int repetitions, const Flush& flush) {
  run();
  cuda::synchronize();
  std::vector<double> times;
  for (int i = 0; i < repetitions; ++i) {
    cuda::Event begin(cuda::Event::Timing::on);
    cuda::Event end(cuda::Event::Timing::on);
    flush();
    begin.record();
    run();
    end.record();
    end.synchronize();
    times.push_back(end.milliseconds_since(begin));
  }
  std::ranges::sort(times);
  return times[times.size() / 2];
}

Roofline measure(const BenchmarkSizes& sizes, const Arguments& arguments, const Flush& flush) {
  const Tensor from = gpu_normal({sizes.batch, sizes.bands, sizes.frames, sizes.channels});
  const Tensor to = gpu_like(from);
  const double copy_ms =
      milliseconds([&] { cuda::copy_async(to.raw(), from.raw(), from.bytes()); }, arguments.repetitions, flush);
  const std::int64_t n = sizes.matrix;
  const Tensor a = gpu_normal({n, n});
  const Tensor b = gpu_normal({n, n}, 1);
  const Tensor product = gpu_like(a);
  const double product_ms =
      milliseconds([&] { kernels::matmul({.a = a, .b = b, .out = product}); }, arguments.repetitions, flush);
  const auto cube = static_cast<double>(n) * static_cast<double>(n) * static_cast<double>(n);
  // The simulator's clock may say that nothing took any time.
  return {2 * static_cast<double>(from.bytes()) / std::max(copy_ms, 1e-6), 2 * cube / std::max(product_ms, 1e-6)};
}

/// "name<TAB>milliseconds" lines.
std::map<std::string, double> read_peers(const std::string& file) {
  std::map<std::string, double> peers;
  if (file.empty()) {
    return peers;
  }
  std::ifstream in(file);
  check(in.is_open(), file, ": cannot be opened");
  std::string name;
  double ms = 0;
  while (std::getline(in, name, '\t') && in >> ms >> std::ws) {
    peers[name] = ms;
  }
  return peers;
}

void print_row(const KernelCase& c, double ms, const Roofline& card, const std::map<std::string, double>& peers) {
  const double time = std::max(ms, 1e-6);
  std::printf("| %s | %.4f | %.0f | %.1f | %.0f %% |", c.name.c_str(), ms, c.bytes / time / 1e6,
              c.operations / time / 1e9, 100 * card.floor_ms(c) / time);
  const auto peer = peers.find(c.name);
  if (peer != peers.end()) {
    std::printf(" %.4f | %.2f x |\n", peer->second, peer->second / time);
  } else {
    std::printf(" | |\n");
  }
  std::fflush(stdout);
}

int run(const Arguments& arguments) {
  std::string why;
  check(cuda::device_count(&why) > 0, why);
  const BenchmarkSizes sizes(arguments.small);
  const Flush flush(arguments.small);
  const std::map<std::string, double> peers = read_peers(arguments.peers);
  const Roofline card = measure(sizes, arguments, flush);
  std::printf(
      "Measured on the card: copies move %.0f GB/s (read and written), cuBLAS multiplies at %.1f TFLOP/s in "
      "float.\n\n",
      card.bytes_per_ms / 1e6, card.operations_per_ms / 1e9);
  std::printf(
      "| kernel | ms | GB/s | TFLOP/s | of the roofline | PyTorch, ms | PyTorch / ours |\n"
      "|---|---|---|---|---|---|---|\n");
  int timed = 0;
  for (const auto& part : {engine_kernel_cases(sizes), sound_kernel_cases(sizes), training_kernel_cases(sizes),
                           search_kernel_cases(sizes)}) {
    for (const KernelCase& c : part) {
      if (c.name.find(arguments.filter) != std::string::npos) {
        print_row(c, milliseconds(c.make(), arguments.repetitions, flush), card, peers);
        ++timed;
      }
    }
  }
  check(timed > 0, "no kernel's name contains '", arguments.filter, "'");
  return 0;
}

}  // namespace
}  // namespace earmark::testing

int main(int argc, char** argv) {
  CLI::App app("Times every CUDA kernel against the bandwidth and the peak that the card shows.", "cuda_benchmark");
  earmark::testing::Arguments arguments;
  app.add_flag("--small", arguments.small, "sizes for the simulator, whose times mean nothing");
  app.add_option("--filter", arguments.filter, "only kernels whose name contains this");
  app.add_option("--repetitions", arguments.repetitions, "of each kernel")->check(CLI::PositiveNumber);
  app.add_option("--peers", arguments.peers, "PyTorch's times, from pytorch_kernels.py");
  return earmark::data::run_program(app, argc, argv, [&] { return earmark::testing::run(arguments); });
}
