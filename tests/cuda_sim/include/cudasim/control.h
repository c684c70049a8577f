// What a test can tell the simulator and ask it.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace cudasim {

/// Something that a GPU would have done wrong, or differently from run to run.
struct Report {
  std::string kind;  ///< One word, such as "race-block": the README lists them.
  std::string text;  ///< Kind, what happened to which memory, source line, block, thread, kernel.
};

/// The reports since the last call, oldest first. Each pair of kind and source line is reported once between calls.
std::vector<Report> take_reports();

/// The order in which the blocks of a grid, the warps of a block and the lanes of a warp run.
enum class Order { forward, reverse, seeded };

/// What the machine has: a driver and a GPU, a driver without a GPU, no driver, one too old for the toolkit.
enum class Driver { present, without_device, missing, old };

struct Config {
  Order order = Order::forward;                ///< CUDASIM_ORDER=forward|reverse|seeded
  std::uint64_t seed = 1;                      ///< CUDASIM_SEED: of the seeded order, and of which stream goes on.
  Driver driver = Driver::present;             ///< CUDASIM_DRIVER=present|without_device|missing|old
  int devices = 1;                             ///< CUDASIM_DEVICES: GPUs, at most 16.
  std::size_t memory = std::size_t{8} << 30U;  ///< CUDASIM_MEMORY: bytes of each GPU; of all 16 GiB at most.
  /// CUDASIM_PATIENCE, in seconds: how long a rank waits for one that does not call, while nothing else happens.
  std::chrono::milliseconds patience{60'000};
  bool verbose = true;  ///< Print every report to the error stream as well.
};

/// May be changed whenever no work is queued. At first it is what the environment says; a variable that makes no sense
/// ends the program with exit code 2.
Config& config();

/// Lets the `from`-th allocation of device memory from now on (1: the next) fail for want of memory, and those after
/// it, `count` in all.
void fail_allocations(std::uint64_t from, std::uint64_t count = 1);

/// The same for page-locked memory of the host.
void fail_host_allocations(std::uint64_t from, std::uint64_t count = 1);

/// Lets the `number`-th call from now on (1: the next) that asks cuBLAS, cuDNN or cuFFT for a handle, a descriptor, a
/// plan or work fail for want of memory; 0: none.
void fail_library_call(std::uint64_t number);

/// Lets the `number`-th stream or event that is made from now on (1: the next) fail for want of memory; 0: none.
void fail_creation(std::uint64_t number);

/// How a launch fails: refused by the call itself, which leaves the GPU as it was; or begun, with a kernel that faults
/// when its turn comes, after which the device refuses everything.
enum class LaunchFailure { refused, faulting };

/// Lets the `number`-th launch of a kernel from now on (1: the next) fail; 0: none. CUDASIM_FAULTING_LAUNCH=NUMBER lets
/// one fault, counted from the program's start.
void fail_launch(std::uint64_t number, LaunchFailure how);

/// The kernel that fail_launch() made fail last, without namespaces: "softmax_kernel<float, 128>".
std::string failed_kernel();

/// What was asked for since the program began: a test that lets each of them fail knows how many there are.
struct Calls {
  std::uint64_t allocations = 0;       ///< Of device memory, those that failed as well.
  std::uint64_t launches = 0;          ///< Of kernels.
  std::uint64_t host_allocations = 0;  ///< Of page-locked memory.
  std::uint64_t library_calls = 0;     ///< Those that fail_library_call() counts.
  std::uint64_t creations = 0;         ///< Of streams and events.
  std::uint64_t plans = 0;             ///< Plans that cuDNN made.
};
Calls calls();

/// Waits until the work of all GPUs is done.
void finish_all_devices();

/// What was allocated and not yet freed, once the queued work is done, over all GPUs.
struct LiveMemory {
  std::size_t allocations = 0;
  std::size_t bytes = 0;
  std::size_t pinned = 0;  ///< Blocks of host memory.
};
LiveMemory live_memory();

/// How often the host waited, by what it called, since the program began.
struct HostWaits {
  std::size_t device = 0;   ///< cudaDeviceSynchronize, and cudaFree, which waits for everything as well.
  std::size_t streams = 0;  ///< cudaStreamSynchronize
  std::size_t events = 0;   ///< cudaEventSynchronize
  std::size_t copies = 0;   ///< cudaMemcpy and cudaMemset, which wait for the default stream.
};
/// Of the calling thread.
HostWaits host_waits();

/// Whether the kernels were compiled for checking: every load and store is seen. Without, only those that fault are.
bool check_build();

enum class Space { global, shared };

/// What one line of one kernel asked of the memory, added up over launches, blocks and warps.
struct LineTraffic {
  std::string kernel{};         ///< As it was launched, without namespaces: "softmax_kernel<float, 128>".
  std::string line{};           ///< "softmax.cu:41"
  Space space = Space::global;  ///< Which memory.
  bool write = false;           ///< Store or atomic; else load.
  bool atomic = false;
  int width = 0;                   ///< Bytes per lane and request: 16 for a float4.
  std::uint64_t requests = 0;      ///< Instructions of a whole warp.
  std::uint64_t transactions = 0;  ///< Global: sectors of 32 bytes touched. Shared: passes over the 32 banks.
  std::uint64_t least = 0;         ///< Transactions, had the same bytes lain together and no two lanes met in a bank.

  /// A coalesced load of a float per lane has 4.0 sectors per request, one free of bank conflicts 1.0 pass.
  double per_request() const { return static_cast<double>(transactions) / static_cast<double>(requests); }
  /// 1.0 is perfect, 8.0 the worst that floats can be: one sector of 32 bytes for each of them.
  double waste() const { return static_cast<double>(transactions) / static_cast<double>(least); }
};

/// From now on (or no longer) counts the traffic of the kernels that run; what was counted before is forgotten. Only a
/// check build sees accesses: in the fast build there is nothing to count.
void record_traffic(bool on);

/// The traffic of all launches of `kernel`, whatever its template arguments, one entry for each line, width and
/// direction, sorted by line; of all kernels when `kernel` is empty. Waits for the work that is queued. The lanes' k-th
/// passages of a line are taken for one request, which is exact unless lanes skip it in different turns of a loop.
std::vector<LineTraffic> traffic_of(std::string_view kernel);

/// The same for people: a table with a line of text for each, those with more waste than 1.5 marked.
std::string traffic_table(std::string_view kernel);

/// Forgets queued work and the sticky error that a failed kernel leaves behind, as ending the process would.
void reset_device();

}  // namespace cudasim
