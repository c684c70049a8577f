// Fibers, block/warp scheduler, barriers, warp collectives.
#include <cxxabi.h>
#include <dlfcn.h>
#include <link.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>

#include "internal.h"

constinit thread_local uint3 threadIdx{}, blockIdx{};
constinit thread_local dim3 blockDim{1, 1, 1}, gridDim{1, 1, 1};

// Inlined context switch: 'jmp' instead of 'ret' keeps the return-address predictor right (1.5-2.5 ns instead of 10-20
// ns); every other register is declared clobbered, so the compiler saves only what is live.
static inline __attribute__((always_inline)) void cudasim_switch(void** save, void* load) {
  asm volatile(
      "leaq 1f(%%rip),%%rax; pushq %%rbp; pushq %%rax; movq %%rsp,(%0); movq %1,%%rsp; popq %%rax; popq %%rbp; jmp "
      "*%%rax\n1:"
      : "+D"(save), "+S"(load)::"rax", "rbx", "rcx", "rdx", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15",
        "memory", "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10",
        "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
}

namespace cudasim {
enum St : uint8_t { NEW, READY, WAIT_BAR, WAIT_WARP, DONE };
struct Fiber {
  void* sp;
  char *lo, *hi;
};
struct Lane {
  uint3 tid;
  uint16_t lin;
  uint8_t lane;
  St st;
  Fiber* f;
  WarpOp wop;
  uint32_t wmask;
  uint64_t wval, wout;
  int waux, wwidth;
  const void* pc;
  BarKind bk;
  int bpred, bout;
  unsigned bline;
};
struct Pending {
  uint32_t mask, arrived;
};
struct Warp {
  std::vector<Pending> pend;
  uint32_t wclock, full_sync;
  uint32_t pair[32][32];
};

constinit thread_local Lane* cur = nullptr;
const LaunchInfo* cur_launch = nullptr;
char *stacks_lo, *stacks_hi;
char *cur_stack_lo, *cur_stack_hi;
static Config from_environment() {
  Config c;
  const char* o = getenv("CUDASIM_ORDER");
  const char* s = getenv("CUDASIM_SEED");
  if (o) c.order = !strcmp(o, "reverse") ? Order::Reverse : !strcmp(o, "seeded") ? Order::Random : Order::Forward;
  if (s) c.seed = strtoull(s, nullptr, 10);
  return c;
}
static Config g_cfg = from_environment();
Config& config() { return g_cfg; }
static Stats g_stats;
Stats& stats() {
  g_stats.accesses = n_access;
  return g_stats;
}
static std::vector<Lane> lanes;
static std::vector<Warp> warps;
static std::vector<Fiber> pool;
static std::vector<Fiber*> freef;
static void* sched_sp;
static uint32_t bar_epoch, cur_blk;
static bool aborted;
static constexpr size_t STK = 64 << 10, MAXT = 1024;

static void fiber_main();
static void fiber_reset(Fiber& f, int i) {
  // colour the stacks so that 1024 of them do not all map to the same cache sets
  uintptr_t top = ((uintptr_t)f.hi - 64 - (size_t)(i % 61) * 128) & ~(uintptr_t)15;
  void** s = (void**)top;
  *--s = nullptr;
  *--s = nullptr;
  *--s = (void*)fiber_main;
  f.sp = s;
}
static void init_pool() {
  if (!pool.empty()) return;
  stacks_lo = (char*)mmap(nullptr, STK * MAXT, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  stacks_hi = stacks_lo + STK * MAXT;
  pool.resize(MAXT);
  for (size_t i = 0; i < MAXT; i++) {
    char* lo = stacks_lo + i * STK;
    mprotect(lo + 4096, STK - 4096, PROT_READ | PROT_WRITE);
    pool[i] = {nullptr, lo, lo + STK};
    fiber_reset(pool[i], (int)i);
  }
  for (size_t i = MAXT; i-- > 0;) freef.push_back(&pool[i]);
  install_segv();
}
static inline void to_sched() {
  Lane* l = cur;
  cudasim_switch(&l->f->sp, sched_sp);
}
static void fiber_main() {
  for (;;) {
    Lane* l = cur;
    cur_launch->body.call(cur_launch->body.data);
    l->st = DONE;
    to_sched();
  }
}
static inline void resume(Lane& l) {
  if (l.st == NEW) {
    l.f = freef.back();
    freef.pop_back();
    g_stats.threads++;
  }
  cur = &l;
  threadIdx = l.tid;
  cur_stack_lo = l.f->lo;
  cur_stack_hi = l.f->hi;
  g_stats.switches++;
  cudasim_switch(&sched_sp, l.f->sp);
  cur = nullptr;
  if (l.st == DONE) {
    freef.push_back(l.f);
    l.f = nullptr;
  }
}
[[noreturn]] static void abort_launch() {
  aborted = true;
  to_sched();
  __builtin_unreachable();
}
[[noreturn]] void trap() {
  report("trap", "__trap() called", __builtin_return_address(0));
  abort_launch();
}
void fence(int) {}
unsigned active_mask() {
  unsigned m = 0;
  int w = cur->lin / 32;
  for (int i = 0; i < 32; i++) {
    size_t t = w * 32 + i;
    if (t < lanes.size() && lanes[t].st != DONE) m |= 1u << i;
  }
  return m;
}
Where where() {
  Lane* l = cur;
  return {cur_launch->op_id, cur_blk, l->lin, l->lane, bar_epoch, warps[l->lin / 32].wclock};
}
bool warp_ordered(int a, int b, uint32_t wep_a) {
  if (a / 32 != b / 32) return false;
  Warp& w = warps[a / 32];
  return w.full_sync > wep_a || w.pair[a & 31][b & 31] > wep_a;
}
// ---------------------------------------------------------------- block barrier
int block_barrier(BarKind k, int pred, unsigned line) {
  Lane* l = cur;
  if (!l) {
    fprintf(stderr, "__syncthreads on host\n");
    abort();
  }
  l->bk = k;
  l->bpred = pred;
  l->bline = line;
  l->pc = __builtin_return_address(0);
  l->st = WAIT_BAR;
  to_sched();
  return l->bout;
}
// ---------------------------------------------------------------- warp collectives
static uint64_t sat(Lane& l, Lane* base, uint32_t mask) {
  int w = l.wwidth, seg = l.lane & ~(w - 1), src = l.lane;
  switch (l.wop) {
    case W_SHFL_IDX:
      src = seg + (l.waux & (w - 1));
      break;
    case W_SHFL_UP:
      src = l.lane - l.waux;
      if (src < seg) src = l.lane;
      break;
    case W_SHFL_DOWN:
      src = l.lane + l.waux;
      if (src >= seg + w) src = l.lane;
      break;
    case W_SHFL_XOR:
      src = l.lane ^ l.waux;
      if (src >= seg + w) src = l.lane;
      break;
    default:
      break;
  }
  if (!(mask >> src & 1)) {
    Lane* sv = cur;
    cur = &l;
    report("warp-read-inactive", "shuffle reads lane " + std::to_string(src) + " which is not in the mask", l.pc);
    cur = sv;
    return 0x7ff7fff7fff7fff7ull;
  }
  return base[src].wval;
}
static void complete(Lane* base, uint32_t mask, Warp& w) {
  uint64_t acc = 0;
  bool first = true;
  uint32_t ballot = 0;
  WarpOp op = base[__builtin_ctz(mask)].wop;
  auto each = [&](auto f) {
    for (uint32_t m = mask; m; m &= m - 1) f(base[__builtin_ctz(m)]);
  };
  each([&](Lane& l) {
    uint32_t v = (uint32_t)l.wval;
    if (l.wop >= W_BALLOT && v) ballot |= 1u << l.lane;
    uint32_t a = (uint32_t)acc;
    if (first) {
      acc = v;
      first = false;
      return;
    }
    switch (op) {
      case W_RADD_U:
      case W_RADD_S:
        acc = a + v;
        break;
      case W_RMIN_U:
        acc = std::min(a, v);
        break;
      case W_RMAX_U:
        acc = std::max(a, v);
        break;
      case W_RMIN_S:
        acc = (uint32_t)std::min((int)a, (int)v);
        break;
      case W_RMAX_S:
        acc = (uint32_t)std::max((int)a, (int)v);
        break;
      case W_RAND:
        acc = a & v;
        break;
      case W_ROR:
        acc = a | v;
        break;
      case W_RXOR:
        acc = a ^ v;
        break;
      default:
        break;
    }
  });
  each([&](Lane& l) {
    switch (op) {
      case W_SYNC:
        break;
      case W_SHFL_IDX:
      case W_SHFL_UP:
      case W_SHFL_DOWN:
      case W_SHFL_XOR:
        l.wout = sat(l, base, mask);
        break;
      case W_BALLOT:
        l.wout = ballot;
        break;
      case W_ANY:
        l.wout = ballot != 0;
        break;
      case W_ALL:
        l.wout = ballot == mask;
        break;
      case W_MATCH_ANY: {
        uint32_t r = 0;
        each([&](Lane& o) {
          if (o.wval == l.wval) r |= 1u << o.lane;
        });
        l.wout = r;
        break;
      }
      default:
        l.wout = acc;
    }
    l.st = READY;
  });
  if (op == W_SYNC) {
    w.wclock++;
    if (mask == 0xffffffffu)
      w.full_sync = w.wclock;
    else
      each([&](Lane& a) { each([&](Lane& b) { w.pair[a.lane][b.lane] = w.wclock; }); });
  }
}
uint64_t warp_op(WarpOp op, unsigned mask, uint64_t val, int aux, int width) {
  Lane* l = cur;
  if (!l) {
    fprintf(stderr, "warp intrinsic on host\n");
    abort();
  }
  const void* pc = __builtin_return_address(0);
  if (!(mask >> l->lane & 1)) {
    report("warp-mask", "calling lane is not in its own mask", pc);
    abort_launch();
  }
  if (width <= 0 || width > 32 || (width & (width - 1))) {
    report("warp-width", "width is not a power of two in 1..32", pc);
    abort_launch();
  }
  int wi = l->lin / 32;
  Warp& w = warps[wi];
  Lane* base = &lanes[wi * 32];
  size_t nl = std::min<size_t>(32, lanes.size() - wi * 32);
  uint32_t exist = nl == 32 ? 0xffffffffu : (1u << nl) - 1;
  if (mask & ~exist) mask &= exist;  // partial last warp: lanes that do not exist
  l->wop = op;
  l->wmask = mask;
  l->wval = val;
  l->waux = aux;
  l->wwidth = width;
  l->pc = pc;
  Pending* p = nullptr;
  for (auto& q : w.pend)
    if (q.mask == mask) p = &q;
  if (!p) {
    w.pend.push_back({mask, 0});
    p = &w.pend.back();
  }
  if (p->arrived) {
    Lane& o = base[__builtin_ctz(p->arrived)];
    if (o.wop != op) {
      report("warp-divergence", "lanes of one mask call different warp intrinsics", pc);
      abort_launch();
    }
  }
  p->arrived |= 1u << l->lane;
  if (p->arrived == mask) {
    *p = w.pend.back();
    w.pend.pop_back();
    complete(base, mask, w);
    l->st = READY;
    return l->wout;
  }
  l->st = WAIT_WARP;
  to_sched();
  return l->wout;
}
// ---------------------------------------------------------------- block scheduler
static std::string short_name(const char* pretty);
static bool run_block(const LaunchInfo& L, std::mt19937_64& rng) {
  int T = (int)lanes.size(), W = (int)warps.size();
  for (int i = 0; i < T; i++) {
    Lane& l = lanes[i];
    l.st = NEW;
    l.lin = i;
    l.lane = i & 31;
    l.f = nullptr;
    l.tid = {(unsigned)(i % L.block.x), (unsigned)(i / L.block.x % L.block.y), (unsigned)(i / (L.block.x * L.block.y))};
  }
  for (auto& w : warps) {
    w.pend.clear();
    w.wclock = 1;
    w.full_sync = 0;
    memset(w.pair, 0, sizeof w.pair);
  }
  bar_epoch = 1;
  aborted = false;
  static std::vector<int> word, lord;
  word.resize(W);
  lord.resize(32);
  for (int i = 0; i < W; i++) word[i] = i;
  for (int i = 0; i < 32; i++) lord[i] = i;
  auto order = [&](std::vector<int>& v) {
    if (g_cfg.order == Order::Reverse)
      std::reverse(v.begin(), v.end());
    else if (g_cfg.order == Order::Random)
      std::shuffle(v.begin(), v.end(), rng);
  };
  if (g_cfg.order == Order::Reverse) {
    order(word);
    order(lord);
  }
  for (;;) {
    if (g_cfg.order == Order::Random) order(word);
    for (int w : word) {
      Lane* base = &lanes[w * 32];
      int nl = std::min(32, T - w * 32);
      for (bool progress = true; progress;) {
        progress = false;
        if (g_cfg.order == Order::Random) order(lord);
        for (int i : lord)
          if (i < nl && (base[i].st == NEW || base[i].st == READY)) {
            resume(base[i]);
            if (aborted) return false;
            progress = true;
          }
      }
      for (int i = 0; i < nl; i++)
        if (base[i].st == WAIT_WARP) {
          Lane& l = base[i];
          uint32_t missing = l.wmask;
          for (auto& q : warps[w].pend)
            if (q.mask == l.wmask) missing &= ~q.arrived;
          std::string why;
          for (uint32_t m = missing; m; m &= m - 1) {
            int k = __builtin_ctz(m);
            why += " lane" + std::to_string(k) +
                   (base[k].st == DONE       ? "(exited)"
                    : base[k].st == WAIT_BAR ? "(at __syncthreads)"
                                             : "(other warp op)");
            if (why.size() > 120) {
              why += "...";
              break;
            }
          }
          cur = &l;
          report("warp-deadlock", "warp intrinsic waits for lanes of its mask that never arrive:" + why, l.pc);
          cur = nullptr;
          return false;
        }
    }
    int nb = 0, nd = 0;
    Lane* fb = nullptr;
    const void* pc2 = nullptr;
    unsigned line2 = 0;
    for (auto& l : lanes) {
      if (l.st == DONE)
        nd++;
      else if (l.st == WAIT_BAR) {
        nb++;
        if (!fb)
          fb = &l;
        else if (l.bline != fb->bline && !pc2)
          pc2 = l.pc, line2 = l.bline;
      }
    }
    if (nd == T) return true;
    if (nd && !g_cfg.exited_counts) {
      cur = fb;
      report("barrier-divergence",
             std::to_string(nb) + " threads wait at __syncthreads, " + std::to_string(nd) + " have exited the kernel",
             fb->pc);
      cur = nullptr;
      return false;
    }
    if (pc2) {
      cur = fb;
      report("barrier-divergence",
             "threads of one block wait at different __syncthreads: lines " + std::to_string(fb->bline) + " and " +
                 std::to_string(line2),
             fb->pc);
      cur = nullptr;
      return false;
    }
    int cnt = 0, all = 1, any = 0;
    for (auto& l : lanes)
      if (l.st == WAIT_BAR) {
        cnt += l.bpred;
        all &= l.bpred;
        any |= l.bpred;
      }
    for (auto& l : lanes)
      if (l.st == WAIT_BAR) {
        l.bout = l.bk == B_COUNT ? cnt : l.bk == B_AND ? all : any;
        l.st = READY;
      }
    bar_epoch++;
  }
}
cudaError_t run_launch(const LaunchInfo& L) {
  init_pool();
  dyn_smem_base = dyn_smem_addr();
  size_t T = (size_t)L.block.x * L.block.y * L.block.z;
  lanes.resize(T);
  if (warps.size() != (T + 31) / 32) warps.resize((T + 31) / 32);
  blockDim = L.block;
  gridDim = L.grid;
  cur_launch = &L;
  g_stats.launches++;
  std::mt19937_64 rng(g_cfg.seed ^ L.op_id * 0x9e3779b97f4a7c15ull);
  uint64_t NB = (uint64_t)L.grid.x * L.grid.y * L.grid.z;
  std::vector<uint32_t> perm;
  if (g_cfg.order == Order::Random) {
    perm.resize(NB);
    for (uint64_t i = 0; i < NB; i++) perm[i] = (uint32_t)i;
    std::shuffle(perm.begin(), perm.end(), rng);
  }
  cudaError_t err = cudaSuccess;
  for (uint64_t i = 0; i < NB; i++) {
    uint64_t b = g_cfg.order == Order::Random ? perm[i] : g_cfg.order == Order::Reverse ? NB - 1 - i : i;
    cur_blk = (uint32_t)b;
    blockIdx = {(unsigned)(b % L.grid.x), (unsigned)(b / L.grid.x % L.grid.y),
                (unsigned)(b / ((uint64_t)L.grid.x * L.grid.y))};
    if (L.smem) memset(dyn_smem_base, 0xff, L.smem);  // poison dynamic shared memory (NaN / -1)
    g_stats.blocks++;
    bool ok = run_block(L, rng);
    if (ok && g_cfg.profile)
      for (size_t w = 0; w < warps.size(); w++) profile_flush_warp((int)w);
    if (!ok) {
      freef.clear();
      for (size_t k = MAXT; k-- > 0;) {
        fiber_reset(pool[k], (int)k);
        freef.push_back(&pool[k]);
      }
      err = cudaErrorLaunchFailure;
      cur = nullptr;
      break;
    }
  }
  cur_launch = nullptr;
  return err;
}
// ---------------------------------------------------------------- reports
static std::vector<Report> reports;
static std::map<std::pair<std::string, const void*>, int> seen;
std::vector<Report> take_reports() {
  auto r = std::move(reports);
  reports.clear();
  seen.clear();
  return r;
}
std::string symbolize(const void* pc) {
  static std::map<const void*, std::string> memo;
  auto it = memo.find(pc);
  if (it != memo.end()) return it->second;
  Dl_info di;
  std::string out;
  char buf[512];
  link_map* map = nullptr;  // l_addr: what the file was moved by, 0 for a program at a fixed address
  if (pc && dladdr1(pc, &di, (void**)&map, RTLD_DL_LINKMAP) && map) {
    snprintf(buf, sizeof buf, "addr2line -s -i -e %s 0x%lx 2>/dev/null", di.dli_fname,
             (unsigned long)((uintptr_t)pc - 1 - map->l_addr));
    if (FILE* f = popen(buf, "r")) {
      std::string l;
      while (fgets(buf, sizeof buf, f)) {
        std::string s(buf);
        while (!s.empty() && s.back() == '\n') s.pop_back();
        auto par = s.find(" (disc");
        if (par != s.npos) s.resize(par);
        if (s.find("device.h:") == 0 || s.find("cuda_fp16") == 0 || s.find("cuda_bf16") == 0) continue;
        if (out.empty()) out = s;
      }
      pclose(f);
    }
  }
  if (out.empty()) {
    snprintf(buf, sizeof buf, "%p", pc);
    out = buf;
  }
  return memo[pc] = out;
}
static std::string short_name(const char* p) {  // "... launchKernelEx(..) [with P = {...}; ...]" or a plain name
  return p;
}
std::string where_text() {
  if (!cur) return "host";
  char b[256];
  Lane* l = cur;
  snprintf(b, sizeof b, "block(%u,%u,%u) thread(%u,%u,%u)", blockIdx.x, blockIdx.y, blockIdx.z, l->tid.x, l->tid.y,
           l->tid.z);
  return b;
}
void report(const char* kind, std::string text, const void* pc, bool fatal) {
  if (seen[{kind, pc}]++) {
    if (fatal && cur) abort_launch();
    return;
  }
  std::string t = std::string(kind) + ": " + text + "\n    at " + (pc ? symbolize(pc) : std::string("?")) + ", " +
                  where_text() + (cur_launch ? std::string(", kernel ") + short_name(cur_launch->name) : "");
  if (g_cfg.verbose) fprintf(stderr, "[cudasim] %s\n", t.c_str());
  reports.push_back({kind, t});
  if (fatal && cur) abort_launch();
}
// ---------------------------------------------------------------- SIGSEGV
static void abort_tramp() { abort_launch(); }
static void on_segv(int, siginfo_t* si, void* u) {
  auto* uc = (ucontext_t*)u;
  char* a = (char*)si->si_addr;
  const void* pc = (void*)uc->uc_mcontext.gregs[REG_RIP];
  if (cur) {
    std::string t;
    if (a >= stacks_lo && a < stacks_hi)
      t = "device thread stack overflow";
    else
      t = "device code touched unmapped address: " + describe(a);
    report("device-segv", t, (char*)pc + 1);
    uc->uc_mcontext.gregs[REG_RSP] = (((greg_t)cur->f->hi - 8192) & ~15LL) - 8;
    uc->uc_mcontext.gregs[REG_RIP] = (greg_t)abort_tramp;
    return;
  }
  if (a >= arena_lo && a < arena_hi) {
    fprintf(stderr, "[cudasim] host-deref: HOST code dereferenced a device pointer: %s\n    at %s\n",
            describe(a).c_str(), symbolize((char*)pc + 1).c_str());
    _exit(86);
  }
  signal(SIGSEGV, SIG_DFL);
}
void install_segv() {
  static bool done;
  if (done) return;
  done = true;
  stack_t ss{};
  static char altstk[256 << 10];
  ss.ss_size = sizeof altstk;
  ss.ss_sp = altstk;
  sigaltstack(&ss, nullptr);
  struct sigaction sa {};
  sa.sa_sigaction = on_segv;
  sa.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
  sigaction(SIGSEGV, &sa, nullptr);
  sigaction(SIGBUS, &sa, nullptr);
}
}  // namespace cudasim
