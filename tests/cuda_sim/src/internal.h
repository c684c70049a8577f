#pragma once
#include <cuda_runtime.h>

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "cudasim/control.h"
namespace cudasim {
// ---------------- memory ----------------
struct Alloc {
  uintptr_t base;
  size_t size;
  uint32_t id;
  bool freed;
  bool host;
  uint64_t serial;
};
extern char *arena_lo, *arena_hi;  // reserved device address range
extern uint32_t* granule;          // allocation id per 256 bytes
extern std::vector<Alloc> allocs;
void arena_open();
void arena_close();  // nestable: PROT_RW / PROT_NONE
struct ArenaGuard {
  ArenaGuard() { arena_open(); }
  ~ArenaGuard() { arena_close(); }
};
std::string describe(const void* p);
bool check_redzones(const char* when);
const Alloc* find_alloc(const void* p);
// ---------------- ops / streams ----------------
using VC = std::vector<uint32_t>;
struct Rendezvous {
  size_t n;
  std::vector<int> streams;
  bool done = false;
  std::vector<std::function<void()>> parts;
  std::function<void()> run;
};
struct Op {
  std::shared_ptr<Rendezvous> rv;
  std::function<void()> fn;
  std::string name;
  uint32_t id;
  int stream;
  uint32_t index;
  VC vc;
  uint64_t seq;
  uint64_t wait_event = 0;
  uint64_t host_hash = 0;
};
extern std::vector<VC> op_vc;
extern std::vector<std::pair<int, uint32_t>> op_pos;
extern std::vector<std::string> op_name;
cudaError_t enqueue(cudaStream_t s, std::string name, std::function<void()> fn);  // used by cublas/cudnn/... shims too
cudaError_t enqueue_rv(cudaStream_t s, std::string name,
                       std::shared_ptr<Rendezvous> rv);  // collective: runs when every rank has reached it
extern std::recursive_mutex mu;
extern std::condition_variable_any cv;
cudaError_t sync_stream(cudaStream_t s);
void set_error(cudaError_t e);
// libraries touch device ranges: range-checked + shadow updated
void lib_read(const void* p, size_t n, const char* who);
void lib_write(const void* p, size_t n, const char* who);
// ---------------- engine ----------------
struct LaunchInfo {
  const char* name;
  dim3 grid, block;
  size_t smem;
  KernelBody body;
  uint32_t op_id;
};
cudaError_t run_launch(const LaunchInfo& L);
struct Lane;
struct Where {
  uint32_t op, blk;
  uint16_t thr, lane;
  uint32_t bep, wep;
};
extern constinit thread_local Lane* cur;  // non-null: executing device code
extern const LaunchInfo* cur_launch;
Where where();
bool warp_ordered(int thr_a, int thr_b, uint32_t wep_a);  // __syncwarp between a's access and now
void report(const char* kind, std::string text, const void* pc = nullptr, bool fatal = false);
std::string where_text();
std::string symbolize(const void* pc);
void profile_flush_warp(int warp);
void install_segv();
extern char *stacks_lo, *stacks_hi;
extern char *cur_stack_lo, *cur_stack_hi;
unsigned char* dyn_smem_addr();
extern unsigned char* dyn_smem_base;
extern size_t dyn_smem_cap;
extern uint64_t n_access;
}  // namespace cudasim
