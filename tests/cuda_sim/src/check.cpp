// Access checking: kernels compiled by g++ with -fsanitize=thread call __tsan_readN/__tsan_writeN for every memory
// access; we do NOT link libtsan, we implement these entry points here.
#include <cxxabi.h>
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>

#include "internal.h"
namespace cudasim {
uint64_t n_access = 0;
static bool hooks_seen = false;
bool check_build() { return hooks_seen; }
struct Acc {
  uint32_t op, blk, bep, wep, pc;
  uint16_t thr;
  uint8_t atomic, multi;
};  // multi: 1 several threads, 2 several blocks
struct Shadow {
  Acc w, r;
  uint16_t init, split;                                // init: byte mask; split: the bytes have records of their own
};                                                     // one per 4-byte word
static Shadow* gshadow;                                // for the device arena, lazily populated
static std::unordered_map<uintptr_t, Shadow> hshadow;  // pinned host memory
// ---- static __shared__ variables: the executable's TLS block, one ELF symbol each ----
struct Var {
  uintptr_t off;
  size_t size;
  std::string name;
};
static std::vector<Var> tls_vars;
static size_t tls_size;
static uintptr_t image_lo, image_hi;
static std::vector<Shadow> sshadow;
static std::vector<int> tls_idx;
extern "C" char __start_cudasim_const[] __attribute__((weak));
extern "C" char __stop_cudasim_const[] __attribute__((weak));
static char* tls_base() {
  static thread_local char* b = nullptr;
  if (!b) {
    struct R {
      char* p;
    } r{nullptr};
    dl_iterate_phdr(
        [](dl_phdr_info* i, size_t, void* v) {
          ((R*)v)->p = (char*)i->dlpi_tls_data;
          return 1;
        },
        &r);
    b = r.p;
  }
  return b;
}
static void load_tls() {
  dl_iterate_phdr(
      [](dl_phdr_info* i, size_t, void*) {
        for (int k = 0; k < i->dlpi_phnum; k++) {
          auto& p = i->dlpi_phdr[k];
          if (p.p_type == PT_TLS) tls_size = p.p_memsz;
          if (p.p_type == PT_LOAD) {
            uintptr_t lo = i->dlpi_addr + p.p_vaddr, hi = lo + p.p_memsz;
            if (!image_lo || lo < image_lo) image_lo = lo;
            image_hi = std::max(image_hi, hi);
          }
        }
        return 1;
      },
      nullptr);
  int fd = open("/proc/self/exe", O_RDONLY);
  struct stat st;
  fstat(fd, &st);
  auto* e = (char*)mmap(nullptr, st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
  close(fd);
  auto* eh = (Elf64_Ehdr*)e;
  auto* sh = (Elf64_Shdr*)(e + eh->e_shoff);
  for (int s = 0; s < eh->e_shnum; s++)
    if (sh[s].sh_type == SHT_SYMTAB) {
      auto* sy = (Elf64_Sym*)(e + sh[s].sh_offset);
      const char* str = e + sh[sh[s].sh_link].sh_offset;
      for (size_t k = 0; k < sh[s].sh_size / sizeof(Elf64_Sym); k++)
        if (ELF64_ST_TYPE(sy[k].st_info) == STT_TLS && sy[k].st_shndx != SHN_UNDEF && sy[k].st_size) {
          const char* n = str + sy[k].st_name;
          if (strncmp(n, "_ZZ", 3)) continue;  // function-local thread_local = __shared__
          int ok;
          char* d = abi::__cxa_demangle(n, nullptr, nullptr, &ok);
          tls_vars.push_back({sy[k].st_value, sy[k].st_size, ok == 0 ? d : n});
          free(d);
        }
    }
  munmap(e, st.st_size);
  std::sort(tls_vars.begin(), tls_vars.end(), [](auto& a, auto& b) { return a.off < b.off; });
  size_t words = tls_size / 4 + 2;
  tls_idx.assign(words, -1);
  for (size_t v = 0; v < tls_vars.size(); v++)
    for (size_t o = tls_vars[v].off; o < tls_vars[v].off + tls_vars[v].size; o += 4) tls_idx[o / 4] = (int)v;
  sshadow.resize(words + dyn_smem_cap / 4 + 2);
}
static std::string vname(const Var& v) {
  auto p = v.name.rfind("::");
  return p == v.name.npos ? v.name : v.name.substr(p + 2);
}
// ---- profile ----
struct PAcc {
  const void* pc;
  uintptr_t addr;
  uint16_t lane;
  uint8_t size, kind;
};  // kind bit0 write, bit1 shared, bit2 atomic
static std::vector<std::vector<PAcc>> plog;
struct PSum {
  uint64_t n, sect, ideal, bytes;
  int size;
};
static std::map<std::pair<const void*, int>, PSum> psum;
void profile_flush_warp(int w) {
  if (w >= (int)plog.size()) return;
  auto& v = plog[w];
  std::stable_sort(v.begin(), v.end(), [](auto& a, auto& b) { return a.pc != b.pc ? a.pc < b.pc : a.lane < b.lane; });
  for (size_t i = 0; i < v.size();) {
    size_t j = i;
    while (j < v.size() && v[j].pc == v[i].pc) j++;
    std::vector<size_t> start(32, 0), cnt(32, 0);
    for (size_t k = i; k < j; k++) {
      if (!cnt[v[k].lane]++) start[v[k].lane] = k;
    }
    size_t mx = *std::max_element(cnt.begin(), cnt.end());
    for (size_t k = 0; k < mx; k++) {
      auto& s = psum[{v[i].pc, v[i].kind}];
      s.size = v[i].size;
      s.n++;
      uintptr_t list[128];
      int n = 0;
      uint64_t bytes = 0;
      if (v[i].kind & 2) {  // shared: conflict degree; 16-byte accesses go by quarter warps, 8-byte by halves
        int per = v[i].size >= 16 ? 8 : v[i].size == 8 ? 16 : 32;
        for (int g = 0; g < 32; g += per) {
          uintptr_t words[32][32];
          int c[32] = {};
          bool anyl = false;
          for (int l = g; l < g + per; l++)
            if (k < cnt[l]) {
              anyl = true;
              for (int b = 0; b < (v[i].size + 3) / 4; b++) {
                uintptr_t wd = v[start[l] + k].addr / 4 + b;
                int bk = wd & 31;
                bool dup = false;
                for (int q = 0; q < c[bk]; q++) dup |= words[bk][q] == wd;
                if (!dup && c[bk] < 32) words[bk][c[bk]++] = wd;
              }
              bytes += v[i].size;
            }
          if (anyl) {
            s.sect += *std::max_element(c, c + 32);
            s.ideal++;
          }
        }
      } else {
        for (int l = 0; l < 32; l++)
          if (k < cnt[l]) {
            auto& a = v[start[l] + k];
            bytes += a.size;
            for (uintptr_t q = a.addr / 32; q <= (a.addr + a.size - 1) / 32; q++) {
              bool dup = false;
              for (int z = 0; z < n; z++) dup |= list[z] == q;
              if (!dup && n < 128) list[n++] = q;
            }
          }
        s.sect += n;
        s.ideal += (bytes + 31) / 32;
      }
      s.bytes += bytes;
    }
    i = j;
  }
  v.clear();
}
std::vector<LineProfile> take_profile() {
  std::vector<LineProfile> r;
  for (auto& [k, s] : psum)
    r.push_back({symbolize(k.first), k.second & 2 ? "shared" : "global", bool(k.second & 1), s.size, s.n, s.sect,
                 s.ideal, s.bytes});
  psum.clear();
  return r;
}
void profile_dump() {
  auto v = take_profile();
  std::sort(v.begin(), v.end(), [](auto& a, auto& b) { return a.where < b.where; });
  printf("  %-22s %-7s %-5s %4s %10s %12s %8s\n", "line", "space", "op", "B", "warp-instr", "sect|passes", "ideal");
  for (auto& l : v)
    printf("  %-22s %-7s %-5s %4d %10lu %12.2f %8.2f%s\n", l.where.c_str(), l.space.c_str(), l.write ? "write" : "read",
           l.size, l.warp_instr, (double)l.sectors / l.warp_instr, (double)l.ideal / l.warp_instr,
           l.sectors > l.ideal * 3 / 2 ? "   <-- inefficient" : "");
}
// ---- race / init checks on one 4-byte word ----
static bool ordered(const Acc& a, const Where& me) {  // a happened-before me ?
  if (!a.op) return true;
  if (a.op != me.op) {
    auto [s, idx] = op_pos[a.op];
    const VC& v = op_vc[me.op];
    return (size_t)s < v.size() && v[s] >= idx;
  }
  if (a.blk != me.blk || (a.multi & 2)) return false;
  if (a.bep != me.bep) return true;
  if (a.thr == me.thr && !(a.multi & 1)) return true;
  return warp_ordered(a.thr, me.thr, a.wep);
}
static std::string who(const Acc& a, const Where& me) {
  if (a.op != me.op) return "by '" + op_name[a.op] + "' (other stream, no event or sync in between)";
  if (a.blk != me.blk || (a.multi & 2)) return "by block " + std::to_string(a.blk) + " of the same launch";
  return "by thread " + std::to_string(a.thr) + " with no barrier in between";
}
static void note(Acc& a, const Where& me, const void* pc, bool atomic) {
  uint8_t multi = 0;
  if (a.op == me.op) {
    multi = a.multi & 2;
    if (a.blk != me.blk)
      multi |= 2;
    else if (a.bep == me.bep && (a.thr != me.thr || (a.multi & 1)))
      multi |= 1;
  }
  a = {me.op, me.blk, me.bep, me.wep, (uint32_t)(uintptr_t)pc, me.thr, atomic, multi};
}
enum { RD = 0, WR = 1, AT = 2 };
template <class N>
static inline void judge(Shadow& s, uint32_t bytes, int kind, const Where& me, const void* pc, bool shared,
                         const N& name) {
  bool fresh = !shared || (s.w.op == me.op && s.w.blk == me.blk);
  uint32_t init = fresh ? s.init : 0;
  if (shared && s.r.op && (s.r.op != me.op || s.r.blk != me.blk)) s.r = {};
  if (shared && !fresh) s.w = {};
  if (kind != WR && (init & bytes) != bytes)
    report(shared ? "uninit-shared" : "uninit-global", "read of never-written " + name(), pc);
  if (!ordered(s.w, me) && !(kind == AT && s.w.atomic))
    report(s.w.op != me.op     ? "race-stream"
           : s.w.blk != me.blk ? "race-grid"
                               : "race-block",
           std::string(kind == RD   ? "read"
                       : kind == AT ? "atomic"
                                    : "write") +
               " of " + name() + " races with write " + who(s.w, me),
           pc);
  if (kind != RD) {
    if (!ordered(s.r, me))
      report(s.r.op != me.op                        ? "race-stream"
             : s.r.blk != me.blk || (s.r.multi & 2) ? "race-grid"
                                                    : "race-block",
             "write of " + name() + " races with read " + who(s.r, me), pc);
    uint32_t ni = init | bytes;
    note(s.w, me, pc, kind == AT);
    s.init = ni;
    if (shared && !fresh) s.w.multi = 0;
  } else
    note(s.r, me, pc, false);
}
// Neighbouring bytes of one word may belong to different threads (bf16, int8): from the first access to a part of a
// word on, its bytes are judged one by one.
static std::unordered_map<const Shadow*, std::array<Shadow, 4>> parts;
template <class N>
static inline void word(Shadow& s, uint32_t bytes, int kind, const Where& me, const void* pc, bool shared,
                        const N& name) {
  if (!s.split && bytes == 15) return judge(s, bytes, kind, me, pc, shared, name);
  std::array<Shadow, 4>& part = parts[&s];
  if (!s.split) {
    part.fill(s);
    s.split = 1;
  }
  for (int b = 0; b < 4; b++)
    if (bytes >> b & 1) judge(part[b], 1u << b, kind, me, pc, shared, name);
}
static void access(uintptr_t a, int n, int kind, const void* pc) {
  hooks_seen = true;
  if (!cur) {
    if ((char*)a >= arena_lo && (char*)a < arena_hi)
      report("host-deref", "HOST code dereferences device pointer " + describe((void*)a), pc);
    return;
  }
  if ((char*)a >= cur_stack_lo && (char*)a < cur_stack_hi) return;
  n_access++;
  Where me = where();
  if ((char*)a >= arena_lo && (char*)a < arena_hi) {
    size_t off = a - (uintptr_t)arena_lo;
    uint32_t id = granule[off >> 8];
    const Alloc* al = id ? &allocs[id] : nullptr;
    if (!al || al->freed || a + n > al->base + al->size || a < al->base) {
      report(
          al && al->freed ? "use-after-free" : "oob-global",
          std::string(kind == RD ? "read" : "write") + " of " + std::to_string(n) + " bytes at " + describe((void*)a),
          pc, true);
      return;
    }
    if (a & (n - 1)) {
      report("misaligned", std::to_string(n) + "-byte access at " + describe((void*)a), pc, true);
      return;
    }
    if (config().profile) {
      if (plog.size() <= (size_t)me.thr / 32) plog.resize(me.thr / 32 + 1);
      plog[me.thr / 32].push_back({pc, a, me.lane, (uint8_t)n, (uint8_t)(kind & 1 ? 1 : kind == AT ? 5 : 0)});
    }
    auto nm = [&] { return describe((void*)a); };
    for (uintptr_t p = a & ~3ull; p < a + n; p += 4) {
      uint32_t m = 0;
      for (int b = 0; b < 4; b++)
        if (p + b >= a && p + b < a + n) m |= 1u << b;
      word(gshadow[(p - (uintptr_t)arena_lo) / 4], m, kind, me, pc, false, nm);
    }
    return;
  }
  char* tb = tls_base();
  Shadow* sb = nullptr;
  uintptr_t b0 = 0;
  int var = -1;
  if ((char*)a >= (char*)dyn_smem_base && (char*)a < (char*)dyn_smem_base + dyn_smem_cap) {
    size_t off = a - (uintptr_t)dyn_smem_base;
    if (off + n > cur_launch->smem) {
      report("oob-shared",
             "dynamic shared memory offset " + std::to_string(off) + " size " + std::to_string(n) + ", launch gave " +
                 std::to_string(cur_launch->smem) + " bytes",
             pc, true);
      return;
    }
    sb = &sshadow[tls_size / 4 + 2];
    b0 = (uintptr_t)dyn_smem_base;
  } else if ((char*)a >= tb && (char*)a < tb + tls_size) {
    size_t off = a - (uintptr_t)tb;
    int v = tls_idx[off / 4];
    if (v < 0) {  // threadIdx & co are legitimate
      uintptr_t t = a;
      auto in = [&](const void* p, size_t s) { return t >= (uintptr_t)p && t < (uintptr_t)p + s; };
      if (kind == RD && (in(&threadIdx, 12) || in(&blockIdx, 12) || in(&blockDim, 12) || in(&gridDim, 12))) {
        n_access--;
        return;
      }
      if (off >= 4 && tls_idx[off / 4 - 1] >= 0) v = tls_idx[off / 4 - 1];
      report("oob-shared",
             "access outside any __shared__ variable" +
                 (v >= 0 ? " (just after '" + vname(tls_vars[v]) + "')" : std::string()),
             pc, true);
      return;
    }
    if (off + n > tls_vars[v].off + tls_vars[v].size) {
      report("oob-shared", "access past the end of '" + vname(tls_vars[v]) + "'", pc, true);
      return;
    }
    sb = sshadow.data();
    b0 = (uintptr_t)tb;
    var = v;
  }
  if (sb) {
    auto nm = [&] {
      return var < 0 ? "dynamic shared memory +" + std::to_string(a - b0)
                     : "__shared__ '" + vname(tls_vars[var]) + "' +" + std::to_string(a - b0 - tls_vars[var].off);
    };
    if (a & (n - 1)) {
      report("misaligned", std::to_string(n) + "-byte access to " + nm(), pc, true);
      return;
    }
    if (config().profile) {
      if (plog.size() <= (size_t)me.thr / 32) plog.resize(me.thr / 32 + 1);
      plog[me.thr / 32].push_back({pc, a, me.lane, (uint8_t)n, (uint8_t)(2 | (kind == RD ? 0 : 1))});
    }
    for (uintptr_t p = a & ~3ull; p < a + n; p += 4) {
      uint32_t m = 0;
      for (int b = 0; b < 4; b++)
        if (p + b >= a && p + b < a + n) m |= 1u << b;
      word(sb[(p - b0) / 4], m, kind, me, pc, true, nm);
    }
    return;
  }
  auto& B = cur_launch->body;
  if (a >= (uintptr_t)B.data && a < (uintptr_t)B.data + B.size) {
    n_access--;
    return;
  }  // kernel parameters
  if (a >= (uintptr_t)__start_cudasim_const && a < (uintptr_t)__stop_cudasim_const) {
    if (kind != RD) report("const-write", "write to __constant__ memory", pc, true);
    return;
  }
  if (a >= image_lo && a < image_hi && kind == RD) {
    n_access--;
    return;
  }  // .rodata, vtables
  if ((char*)a >= stacks_lo && (char*)a < stacks_hi) {
    report("foreign-stack", "access to another thread's local memory", pc, true);
    return;
  }
  if (const Alloc* h = find_alloc((void*)a); h && h->host) return;  // pinned, mapped
  report("device-deref-host", std::string(kind == RD ? "read" : "write") + " of ordinary host memory from device code",
         pc, true);
}
void atomic_access(const volatile void* p, int n) {
  if (hooks_seen) access((uintptr_t)p, n, AT, __builtin_return_address(0));
}
static Where lib_where(uint32_t op) { return {op, 0, 0, 0, 0, 0}; }
extern uint32_t cur_op_id;
static void lib(const void* p, size_t n, int kind, const char* whoami) {
  uintptr_t a = (uintptr_t)p;
  if (!n || (char*)a < arena_lo || (char*)a >= arena_hi) return;
  const Alloc* al = find_alloc(p);
  if (!al || al->freed || a + n > al->base + al->size) {
    report("oob-global",
           std::string(whoami) + (kind ? " writes " : " reads ") + std::to_string(n) + " bytes at " + describe(p),
           (void*)whoami);
    return;
  }
  if (!hooks_seen) return;
  Where me = lib_where(cur_op_id);
  auto nm = [&] { return describe(p); };
  for (uintptr_t q = a & ~3ull; q < a + n; q += 4) {
    uint32_t m = 0;
    for (int b = 0; b < 4; b++)
      if (q + b >= a && q + b < a + n) m |= 1u << b;
    word(gshadow[(q - (uintptr_t)arena_lo) / 4], m, kind, me, (void*)whoami, false, nm);
  }
}
void lib_read(const void* p, size_t n, const char* w) { lib(p, n, RD, w); }
void lib_write(const void* p, size_t n, const char* w) { lib(p, n, WR, w); }
void shadow_reset(uintptr_t base, size_t n) {
  if (gshadow && hooks_seen) memset(&gshadow[(base - (uintptr_t)arena_lo) / 4], 0, (n + 3) / 4 * sizeof(Shadow));
}
void check_init(size_t arena_size) {
  gshadow = (Shadow*)mmap(nullptr, arena_size / 4 * sizeof(Shadow), PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  load_tls();
}
}  // namespace cudasim
using cudasim::access;
#define H extern "C" __attribute__((noinline))
#define RA __builtin_return_address(0)
#define PAIR(n)                                                               \
  H void __tsan_read##n(void* a) { access((uintptr_t)a, n, 0, RA); }          \
  H void __tsan_write##n(void* a) { access((uintptr_t)a, n, 1, RA); }         \
  H void __tsan_volatile_read##n(void* a) { access((uintptr_t)a, n, 0, RA); } \
  H void __tsan_volatile_write##n(void* a) { access((uintptr_t)a, n, 1, RA); }
PAIR(1)
PAIR(2)
PAIR(4)
PAIR(8)
PAIR(16)
#define UPAIR(n)                                                    \
  H void __tsan_unaligned_read##n(void* a) {                        \
    for (int i = 0; i < n; i++) access((uintptr_t)a + i, 1, 0, RA); \
  }                                                                 \
  H void __tsan_unaligned_write##n(void* a) {                       \
    for (int i = 0; i < n; i++) access((uintptr_t)a + i, 1, 1, RA); \
  }
UPAIR(2) UPAIR(4) UPAIR(8) UPAIR(16) H void __tsan_read_range(void* a, size_t n) {
  for (size_t i = 0; i < n; i += 4) access((uintptr_t)a + i, n - i < 4 ? 1 : 4, 0, RA);
}
H void __tsan_write_range(void* a, size_t n) {
  for (size_t i = 0; i < n; i += 4) access((uintptr_t)a + i, n - i < 4 ? 1 : 4, 1, RA);
}
namespace cudasim {
void mark_hooks() { hooks_seen = true; }
}  // namespace cudasim
H void __tsan_init() { cudasim::mark_hooks(); }
H void __tsan_func_entry(void*) {}
H void __tsan_func_exit() {}
H void __tsan_vptr_update(void**, void*) {}
H void __tsan_vptr_read(void**) {}
// host-side std::atomic / static guards inside instrumented .cu files
#define AT(n, T)                                                                                                   \
  H T __tsan_atomic##n##_load(const volatile T* p, int) { return __atomic_load_n(p, __ATOMIC_SEQ_CST); }           \
  H void __tsan_atomic##n##_store(volatile T* p, T v, int) { __atomic_store_n(p, v, __ATOMIC_SEQ_CST); }           \
  H T __tsan_atomic##n##_exchange(volatile T* p, T v, int) { return __atomic_exchange_n(p, v, __ATOMIC_SEQ_CST); } \
  H T __tsan_atomic##n##_fetch_add(volatile T* p, T v, int) { return __atomic_fetch_add(p, v, __ATOMIC_SEQ_CST); } \
  H T __tsan_atomic##n##_fetch_sub(volatile T* p, T v, int) { return __atomic_fetch_sub(p, v, __ATOMIC_SEQ_CST); } \
  H int __tsan_atomic##n##_compare_exchange_strong(volatile T* p, T* c, T v, int, int) {                           \
    return __atomic_compare_exchange_n(p, c, v, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);                            \
  }
AT(8, unsigned char)
AT(16, unsigned short)
AT(32, unsigned)
AT(64, unsigned long)

// UBSan entry points (we do not link libubsan): the first field of every data block is the source location
struct SrcLoc {
  const char* file;
  unsigned line, col;
};
static void ub(const char* what, SrcLoc* l, const void* pc) {
  cudasim::report("ubsan", std::string(what) + " at " + l->file + ":" + std::to_string(l->line), pc);
}
#define UB(n, what) \
  H void __ubsan_handle_##n(SrcLoc* d, void*, void*) { ub(what, d, RA); }
UB(out_of_bounds, "array index out of bounds")
UB(shift_out_of_bounds, "shift out of range")
UB(add_overflow, "signed overflow")
UB(sub_overflow, "signed overflow")
UB(mul_overflow, "signed overflow")
UB(negate_overflow, "signed overflow")
UB(divrem_overflow, "division by zero / overflow")
UB(float_cast_overflow, "float to int out of range")
UB(type_mismatch_v1, "misaligned or null access")
UB(load_invalid_value, "invalid bool/enum") UB(pointer_overflow, "pointer overflow")
