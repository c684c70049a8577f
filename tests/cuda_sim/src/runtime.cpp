// Memory, streams, events: the host side of the CUDA runtime.  Signatures come from the real toolkit headers.
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cassert>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>

#include "internal.h"
thread_local unsigned char earmark_dynamic_shared[228 << 10]
    __attribute__((aligned(1024)));  // extern __shared__ unsigned char earmark_dynamic_shared[]
namespace cudasim {
unsigned char* dyn_smem_addr() { return earmark_dynamic_shared; }
void check_init(size_t);
void shadow_reset(uintptr_t, size_t);
char *arena_lo, *arena_hi;
uint32_t* granule;
std::vector<Alloc> allocs;
unsigned char* dyn_smem_base;
size_t dyn_smem_cap = sizeof earmark_dynamic_shared;
static constexpr size_t ARENA = 16ull << 30, GR = 256;
static uintptr_t bump;
static size_t in_use;
static std::multimap<size_t, uintptr_t> free_blocks;
static std::map<uintptr_t, uint32_t> live;
static std::map<uintptr_t, Alloc> hostmem;
static int open_depth;
std::recursive_mutex mu;
std::condition_variable_any cv;
uint32_t cur_op_id = 0;
std::vector<VC> op_vc(1);
std::vector<std::pair<int, uint32_t>> op_pos(1);
std::vector<std::string> op_name(1);
static void init() {
  if (arena_lo) return;
  arena_lo = (char*)mmap(nullptr, ARENA, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  arena_hi = arena_lo + ARENA;
  arena_lo = (char*)(((uintptr_t)arena_lo + (2 << 20) - 1) & ~((2ull << 20) - 1));
  arena_hi = arena_lo + ARENA - (4 << 20);
  if (!getenv("NOTHP")) madvise(arena_lo, ARENA - (4 << 20), MADV_HUGEPAGE);
  bump = (uintptr_t)arena_lo + GR;
  granule = (uint32_t*)mmap(nullptr, ARENA / GR * 4, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  allocs.push_back({});
  dyn_smem_base = earmark_dynamic_shared;
  check_init(ARENA);
  install_segv();
  mprotect(arena_lo, 2 << 20, config().protect ? PROT_NONE : PROT_READ | PROT_WRITE);
}
static size_t prot_len() {
  return (bump - (uintptr_t)arena_lo + (2 << 20) - 1) & ~((2ull << 20) - 1);
}  // whole huge pages
void arena_open() {
  init();
  if (open_depth++ == 0) {
    mprotect(arena_lo, prot_len(), PROT_READ | PROT_WRITE);
    stats().mprotects++;
  }
}
void arena_close() {
  if (--open_depth == 0 && config().protect) {
    mprotect(arena_lo, prot_len(), PROT_NONE);
    stats().mprotects++;
  }
}
const Alloc* find_alloc(const void* p) {
  char* c = (char*)p;
  if (c >= arena_lo && c < arena_hi) {
    uint32_t id = granule[(c - arena_lo) / GR];
    return id ? &allocs[id] : nullptr;
  }
  auto it = hostmem.upper_bound((uintptr_t)p);
  if (it == hostmem.begin()) return nullptr;
  --it;
  return (uintptr_t)p < it->first + it->second.size ? &it->second : nullptr;
}
std::string describe(const void* p) {
  char b[200];
  if ((char*)p < arena_lo || (char*)p >= arena_hi) {
    snprintf(b, sizeof b, "%p (not device memory)", p);
    return b;
  }
  const Alloc* a = find_alloc(p);
  if (!a) {
    const Alloc* best = nullptr;
    for (auto& x : allocs)
      if (x.size && x.base <= (uintptr_t)p && (!best || x.base > best->base)) best = &x;
    if (best) {
      snprintf(b, sizeof b, "%p, %ld bytes past the end of allocation #%u (%zu bytes)", p,
               (long)((uintptr_t)p - best->base - best->size), best->id, best->size);
      return b;
    }
    snprintf(b, sizeof b, "%p (no allocation)", p);
    return b;
  }
  if ((uintptr_t)p >= a->base + a->size)
    snprintf(b, sizeof b, "%p, %ld bytes past the end of allocation #%u (%zu bytes)", p,
             (long)((uintptr_t)p - a->base - a->size), a->id, a->size);
  else
    snprintf(b, sizeof b, "allocation #%u (%zu bytes) + %ld%s", a->id, a->size, (long)((uintptr_t)p - a->base),
             a->freed ? " [freed]" : "");
  return b;
}
static size_t span(size_t n) { return (n + GR - 1) / GR * GR + GR; }  // + one redzone granule
bool check_redzones(const char* when) {
  bool ok = true;
  ArenaGuard g;
  for (auto& [b, id] : live) {
    auto& a = allocs[id];
    auto* e = (unsigned char*)b + a.size;
    auto* z = (unsigned char*)b + span(a.size);
    for (; e < z; e++)
      if (*e != 0xFC) {
        report("redzone",
               "bytes after allocation #" + std::to_string(id) + " (" + std::to_string(a.size) +
                   " bytes) were overwritten at +" + std::to_string(e - (unsigned char*)b) + "; noticed at " + when,
               (void*)(uintptr_t)id);
        ok = false;
        memset(e, 0xFC, z - e);
        break;
      }
  }
  return ok;
}
static cudaError_t last_error = cudaSuccess, sticky = cudaSuccess;
void set_error(cudaError_t e) { last_error = e; }
static cudaError_t ret(cudaError_t e) {
  if (e) last_error = e;
  return e;
}
// ------------------------------------------------------------------ streams
struct Stream {
  int idx;
  bool nonblocking;
  std::deque<Op> q;
  VC vc;
  uint32_t count = 0;
  bool destroyed = false;
};
struct Event {
  uint64_t gen = 0, done = 0;
  VC vc;
  std::chrono::steady_clock::time_point t;
};
static std::vector<std::unique_ptr<Stream>> streams;
static VC host_vc;
static uint64_t seq;
static std::map<cudaEvent_t, std::unique_ptr<Event>> events;
static std::mt19937_64 rng(1);
static void join(VC& a, const VC& b) {
  if (a.size() < b.size()) a.resize(b.size());
  for (size_t i = 0; i < b.size(); i++) a[i] = std::max(a[i], b[i]);
}
static Stream& S(cudaStream_t s) {
  if (streams.empty()) {
    streams.emplace_back(new Stream{0, false});
  }
  if (s == nullptr || s == cudaStreamLegacy) return *streams[0];
  return *streams[(size_t)s >> 4];
}
static bool ready(Stream& s) {
  if (s.q.empty()) return false;
  Op& o = s.q.front();
  if (o.wait_event) {
    Event& e = *events[(cudaEvent_t)(o.wait_event >> 20)];
    if (e.done < (o.wait_event & 0xfffff)) return false;
  }
  if (o.rv && !o.rv->done) {
    if (o.rv->streams.size() < o.rv->n) return false;
    for (int i : o.rv->streams) {
      auto& t = *streams[i];
      if (t.q.empty() || t.q.front().rv != o.rv) return false;
    }
  }
  if (s.idx == 0) {
    for (auto& t : streams)
      if (t->idx && !t->nonblocking && !t->q.empty() && t->q.front().seq < o.seq) return false;
  } else if (!s.nonblocking && !streams[0]->q.empty() && streams[0]->q.front().seq < o.seq)
    return false;
  return true;
}
template <class P>
static void drain(P done) {
  ArenaGuard g;
  std::vector<Stream*> r;
  while (!done()) {
    r.clear();
    for (auto& s : streams)
      if (ready(*s)) r.push_back(s.get());
    if (r.empty()) {
      if (cv.wait_for(mu, std::chrono::seconds(5)) == std::cv_status::timeout) {
        report("stream-deadlock", "nothing can make progress");
        return;
      }
      continue;
    }
    Stream* s = r[0];
    if (config().random_streams)
      s = r[rng() % r.size()];
    else
      for (auto* x : r)
        if (x->q.front().seq < s->q.front().seq) s = x;
    Op o = std::move(s->q.front());
    s->q.pop_front();
    cur_op_id = o.id;
    if (!sticky) o.fn();
    cur_op_id = 0;
  }
}
static cudaError_t push(Stream& s, std::string name, std::function<void()> fn, uint64_t wait = 0) {
  if (s.idx == 0) {
    for (auto& t : streams)
      if (!t->nonblocking) join(s.vc, t->vc);
  } else if (!s.nonblocking)
    join(s.vc, streams[0]->vc);
  join(s.vc, host_vc);
  if (s.vc.size() <= (size_t)s.idx) s.vc.resize(s.idx + 1);
  s.vc[s.idx] = ++s.count;
  uint32_t id = (uint32_t)op_vc.size();
  op_vc.push_back(s.vc);
  op_pos.push_back({s.idx, s.count});
  op_name.push_back(name);
  s.q.push_back({nullptr, std::move(fn), std::move(name), id, s.idx, s.count, {}, ++seq, wait});
  cv.notify_all();
  if (!config().lazy_streams) drain([&] { return s.q.empty(); });
  return cudaSuccess;
}
cudaError_t enqueue(cudaStream_t st, std::string name, std::function<void()> fn) {
  std::lock_guard l(mu);
  init();
  if (sticky) return ret(sticky);
  return push(S(st), std::move(name), std::move(fn));
}
cudaError_t enqueue_rv(cudaStream_t st, std::string name, std::shared_ptr<Rendezvous> rv) {
  std::lock_guard l(mu);
  init();
  Stream& s = S(st);
  bool lazy = config().lazy_streams;
  config().lazy_streams = true;
  push(s, name, [rv] {
    if (!rv->done) {
      rv->done = true;
      rv->run();
    }
  });
  config().lazy_streams = lazy;
  s.q.back().rv = rv;
  rv->streams.push_back(s.idx);
  cv.notify_all();
  return cudaSuccess;
}
cudaError_t sync_stream(cudaStream_t st) {
  std::lock_guard l(mu);
  init();
  Stream& s = S(st);
  drain([&] { return s.q.empty(); });
  join(host_vc, s.vc);
  check_redzones("stream synchronisation");
  return ret(sticky);
}
static cudaError_t sync_all() {
  std::lock_guard l(mu);
  init();
  drain([&] {
    for (auto& s : streams)
      if (!s->q.empty()) return false;
    return true;
  });
  for (auto& s : streams) join(host_vc, s->vc);
  check_redzones("device synchronisation");
  return ret(sticky);
}
cudaError_t enqueue_kernel(const void* fn, const char*, const cudaLaunchConfig_t& c, KernelBody body) {
  std::shared_ptr<KernelBody> b(new KernelBody(body), [](KernelBody* k) {
    k->destroy(k->data);
    delete k;
  });
  dim3 g = c.gridDim, t = c.blockDim;
  size_t n = (size_t)t.x * t.y * t.z, smem = c.dynamicSmemBytes;
  if (!n || n > 1024 || t.z > 64 || !g.x || !g.y || !g.z || g.y > 65535 || g.z > 65535)
    return ret(cudaErrorInvalidConfiguration);
  if (smem > (227u << 10)) return ret(cudaErrorInvalidValue);
  static std::map<const void*, std::string> names;
  auto& nm = names[fn];
  if (nm.empty()) {
    nm = "kernel@" + symbolize((char*)fn + 1);
  }
  const char* cn = nm.c_str();
  return enqueue(c.stream, nm, [=] {
    LaunchInfo L{cn, g, t, smem, *b, cur_op_id};
    cudaError_t e = run_launch(L);
    if (e) sticky = e;
  });
}
void reset_device() {
  std::lock_guard l(mu);
  for (auto& s : streams) s->q.clear();
  sticky = last_error = cudaSuccess;
}
static uint64_t hash(const void* p, size_t n) {
  uint64_t h = 1469598103934665603ull;
  auto* c = (const unsigned char*)p;
  for (size_t i = 0; i < n; i += 8) {
    uint64_t v = 0;
    memcpy(&v, c + i, std::min<size_t>(8, n - i));
    h = (h ^ v) * 1099511628211ull;
    h ^= h >> 29;
  }
  return h;
}
static bool isdev(const void* p) { return (char*)p >= arena_lo && (char*)p < arena_hi; }
static void do_copy(void* d, const void* s, size_t n) {
  if (isdev(s)) lib_read(s, n, "cudaMemcpy");
  if (isdev(d)) lib_write(d, n, "cudaMemcpy");
  const Alloc *a = isdev(s) ? find_alloc(s) : nullptr, *b = isdev(d) ? find_alloc(d) : nullptr;
  if ((isdev(s) && (!a || (uintptr_t)s + n > a->base + a->size)) ||
      (isdev(d) && (!b || (uintptr_t)d + n > b->base + b->size))) {
    sticky = cudaErrorInvalidValue;
    return;
  }
  memcpy(d, s, n);
}
}  // namespace cudasim
using namespace cudasim;
extern "C" {
cudaError_t cudaMalloc(void** p, size_t n) {
  std::lock_guard l(mu);
  init();
  *p = nullptr;
  if (!n) return cudaSuccess;
  if (in_use + n > (8ull << 30)) return ret(cudaErrorMemoryAllocation);
  size_t sp = span(n);
  uintptr_t b;
  auto f = free_blocks.find(sp);
  if (f != free_blocks.end() && free_blocks.size() > 64) {
    b = f->second;
    free_blocks.erase(f);
  } else {
    b = bump;
    bump += sp;
  }
  ArenaGuard g;
  if (config().protect) mprotect(arena_lo, prot_len(), PROT_READ | PROT_WRITE);
  uint32_t id = (uint32_t)allocs.size();
  allocs.push_back({b, n, id, false, false});
  for (size_t o = 0; o < (n + GR - 1) / GR; o++) granule[(b - (uintptr_t)arena_lo) / GR + o] = id;
  memset((void*)b, 0xFF, n);
  memset((void*)(b + n), 0xFC, sp - n);
  shadow_reset(b, sp);
  live[b] = id;
  in_use += n;
  *p = (void*)b;
  return cudaSuccess;
}
cudaError_t cudaFreeAsync(void* p, cudaStream_t s);
cudaError_t cudaFree(void* p) {
  if (!p) return cudaSuccess;
  sync_all();
  std::lock_guard l(mu);
  auto it = live.find((uintptr_t)p);
  if (it == live.end()) {
    report("bad-free", describe(p));
    return ret(cudaErrorInvalidValue);
  }
  auto& a = allocs[it->second];
  a.freed = true;
  {
    ArenaGuard g;
    memset(p, 0xFF, a.size);
  }
  in_use -= a.size;
  free_blocks.emplace(span(a.size), a.base);
  live.erase(it);
  return cudaSuccess;
}
cudaError_t cudaMallocAsync(void** p, size_t n, cudaStream_t) { return cudaMalloc(p, n); }
cudaError_t cudaFreeAsync(void* p, cudaStream_t s) {
  if (!p) return cudaSuccess;
  return enqueue(s, "cudaFreeAsync", [p] {
    auto it = live.find((uintptr_t)p);
    if (it == live.end()) {
      report("bad-free", describe(p));
      return;
    }
    auto& a = allocs[it->second];
    a.freed = true;
    memset(p, 0xff, a.size);
    in_use -= a.size;
    free_blocks.emplace(span(a.size), a.base);
    live.erase(it);
  });
}
cudaError_t cudaMemGetInfo(size_t* free_bytes, size_t* total) {
  *total = 8ull << 30;
  *free_bytes = *total - in_use;
  return cudaSuccess;
}
cudaError_t cudaDeviceGetDefaultMemPool(cudaMemPool_t* pool, int d) {
  *pool = (cudaMemPool_t)1;
  return d ? cudaErrorInvalidDevice : cudaSuccess;
}
cudaError_t cudaMemPoolSetAttribute(cudaMemPool_t, cudaMemPoolAttr, void*) { return cudaSuccess; }
cudaError_t cudaMemPoolTrimTo(cudaMemPool_t, size_t) { return cudaSuccess; }
cudaError_t cudaFuncGetName(const char** name, const void* fn) {
  static std::map<const void*, std::string> names;
  auto& n = names[fn];
  if (n.empty()) n = "kernel@" + symbolize((char*)fn + 1);
  *name = n.c_str();
  return cudaSuccess;
}
cudaError_t cudaHostAlloc(void** p, size_t n, unsigned) {
  std::lock_guard l(mu);
  *p = aligned_alloc(256, (n + 255) & ~255ull);
  hostmem[(uintptr_t)*p] = {(uintptr_t)*p, n, 0, false, true};
  return cudaSuccess;
}
cudaError_t cudaMallocHost(void** p, size_t n) { return cudaHostAlloc(p, n, 0); }
cudaError_t cudaFreeHost(void* p) {
  sync_all();
  std::lock_guard l(mu);
  hostmem.erase((uintptr_t)p);
  free(p);
  return cudaSuccess;
}
cudaError_t cudaMemcpyAsync(void* d, const void* s, size_t n, cudaMemcpyKind k, cudaStream_t st) {
  std::lock_guard l(mu);
  init();
  if (!n) return cudaSuccess;
  if (k != cudaMemcpyDefault) {
    bool ds = isdev(s), dd = isdev(d);
    if (ds != (k == cudaMemcpyDeviceToHost || k == cudaMemcpyDeviceToDevice) ||
        dd != (k == cudaMemcpyHostToDevice || k == cudaMemcpyDeviceToDevice)) {
      report("memcpy-kind", "direction does not match the pointers", __builtin_return_address(0));
      return ret(cudaErrorInvalidValue);
    }
  }
  if (isdev(s)) {
    if (!isdev(d)) memset(d, 0xFF, n);  // result undefined until the copy completes: poison it
    return enqueue(st, "cudaMemcpyAsync", [=] { do_copy(d, s, n); });
  }
  if (!find_alloc(s)) {
    auto tmp = std::make_shared<std::vector<char>>((const char*)s, (const char*)s + n);
    return enqueue(st, "cudaMemcpyAsync", [=] { do_copy(d, tmp->data(), n); });
  }  // pageable: staged
  uint64_t h = hash(s, n);
  return enqueue(st, "cudaMemcpyAsync", [=] {
    if (hash(s, n) != h)
      report("async-source-modified", "pinned host source changed before the H2D copy ran", (void*)s);
    do_copy(d, s, n);
  });
}
cudaError_t cudaMemcpy(void* d, const void* s, size_t n, cudaMemcpyKind k) {
  cudaError_t e = cudaMemcpyAsync(d, s, n, k, nullptr);
  return e ? e : sync_stream(nullptr);
}
cudaError_t cudaMemsetAsync(void* d, int v, size_t n, cudaStream_t st) {
  return enqueue(st, "cudaMemsetAsync", [=] {
    lib_write(d, n, "cudaMemset");
    memset(d, v, n);
  });
}
cudaError_t cudaMemset(void* d, int v, size_t n) {
  cudaError_t e = cudaMemsetAsync(d, v, n, nullptr);
  return e ? e : sync_stream(nullptr);
}
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* s, unsigned f) {
  std::lock_guard l(mu);
  S(nullptr);
  streams.emplace_back(new Stream{(int)streams.size(), (f & cudaStreamNonBlocking) != 0});
  *s = (cudaStream_t)((streams.size() - 1) << 4);
  return cudaSuccess;
}
cudaError_t cudaStreamCreate(cudaStream_t* s) { return cudaStreamCreateWithFlags(s, 0); }
cudaError_t cudaStreamDestroy(cudaStream_t s) {
  S(s).destroyed = true;
  return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t s) { return sync_stream(s); }
cudaError_t cudaDeviceSynchronize() { return sync_all(); }
cudaError_t cudaStreamQuery(cudaStream_t s) { return S(s).q.empty() ? cudaSuccess : cudaErrorNotReady; }
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* e, unsigned) {
  std::lock_guard l(mu);
  static uint64_t n = 0;
  *e = (cudaEvent_t)(++n);
  events[*e] = std::make_unique<Event>();
  return cudaSuccess;
}
cudaError_t cudaEventCreate(cudaEvent_t* e) { return cudaEventCreateWithFlags(e, 0); }
cudaError_t cudaEventDestroy(cudaEvent_t) { return cudaSuccess; }
cudaError_t cudaEventRecord(cudaEvent_t e, cudaStream_t s) {
  std::lock_guard l(mu);
  Event* ev = events[e].get();
  uint64_t g = ++ev->gen;
  cudaError_t r = enqueue(s, "cudaEventRecord", [=] {
    ev->done = std::max(ev->done, g);
    ev->t = std::chrono::steady_clock::now();
  });
  ev->vc = S(s).vc;
  return r;
}
cudaError_t cudaStreamWaitEvent(cudaStream_t s, cudaEvent_t e, unsigned) {
  std::lock_guard l(mu);
  Event* ev = events[e].get();
  if (!ev->gen) return cudaSuccess;
  join(S(s).vc, ev->vc);
  return push(
      S(s), "cudaStreamWaitEvent", [] {}, ((uint64_t)e << 20) | ev->gen);
}
cudaError_t cudaEventSynchronize(cudaEvent_t e) {
  std::lock_guard l(mu);
  Event* ev = events[e].get();
  drain([&] { return ev->done >= ev->gen; });
  join(host_vc, ev->vc);
  return ret(sticky);
}
cudaError_t cudaEventQuery(cudaEvent_t e) {
  Event* ev = events[e].get();
  return ev->done >= ev->gen ? cudaSuccess : cudaErrorNotReady;
}
cudaError_t cudaEventElapsedTime(float* ms, cudaEvent_t a, cudaEvent_t b) {
  *ms = std::chrono::duration<float, std::milli>(events[b]->t - events[a]->t).count();
  return cudaSuccess;
}
cudaError_t cudaLaunchHostFunc(cudaStream_t s, cudaHostFn_t f, void* u) {
  return enqueue(s, "cudaLaunchHostFunc", [=] { f(u); });
}
cudaError_t cudaGetLastError() {
  auto e = last_error;
  last_error = sticky;
  return e;
}
cudaError_t cudaPeekAtLastError() { return last_error; }
const char* cudaGetErrorString(cudaError_t e) {
  return e == cudaSuccess                     ? "no error"
         : e == cudaErrorLaunchFailure        ? "unspecified launch failure"
         : e == cudaErrorMemoryAllocation     ? "out of memory"
         : e == cudaErrorInvalidValue         ? "invalid argument"
         : e == cudaErrorInvalidConfiguration ? "invalid configuration argument"
                                              : "error";
}
const char* cudaGetErrorName(cudaError_t e) {
  return e == cudaSuccess                     ? "cudaSuccess"
         : e == cudaErrorLaunchFailure        ? "cudaErrorLaunchFailure"
         : e == cudaErrorMemoryAllocation     ? "cudaErrorMemoryAllocation"
         : e == cudaErrorInvalidValue         ? "cudaErrorInvalidValue"
         : e == cudaErrorInvalidConfiguration ? "cudaErrorInvalidConfiguration"
                                              : "cudaError";
}
cudaError_t cudaGetDeviceCount(int* n) {
  *n = 1;
  return cudaSuccess;
}
cudaError_t cudaGetDevice(int* d) {
  *d = 0;
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int d) { return d ? cudaErrorInvalidDevice : cudaSuccess; }
cudaError_t cudaFuncSetAttribute(const void*, cudaFuncAttribute, int) { return cudaSuccess; }
cudaError_t cudaDeviceGetAttribute(int* v, cudaDeviceAttr a, int) {
  *v = a == cudaDevAttrMultiProcessorCount            ? 4
       : a == cudaDevAttrComputeCapabilityMajor       ? 9
       : a == cudaDevAttrMaxSharedMemoryPerBlockOptin ? 227 << 10
                                                      : 0;
  return cudaSuccess;
}
}
