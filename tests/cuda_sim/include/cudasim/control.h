// Test-side control of the simulator.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>
namespace cudasim {
struct Report {
  std::string kind, text;
};
enum class Order { Forward, Reverse, Random };
struct Config {
  Order order = Order::Forward;  // thread / warp / block order inside a launch
  uint64_t seed = 1;
  bool lazy_streams = true;    // run stream work only when something waits for it
  bool random_streams = true;  // pick among ready streams at random
  bool protect = true;         // device memory PROT_NONE outside kernels / copies
  bool exited_counts =
      false;             // an exited thread satisfies __syncthreads (hardware does; portable code must not rely on it)
  bool profile = false;  // coalescing / bank-conflict counters (check build only)
  bool verbose = true;
};
Config& config();
std::vector<Report> take_reports();
bool check_build();  // kernels were compiled with the access hooks
struct Stats {
  uint64_t launches, blocks, threads, switches, accesses, mprotects;
};
Stats& stats();
void profile_dump();
struct LineProfile {
  std::string where, space;
  bool write;
  int size;
  uint64_t warp_instr, sectors, ideal, bytes;
};
std::vector<LineProfile> take_profile();
void reset_device();
}  // namespace cudasim
