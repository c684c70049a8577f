// NCCL inside one process: ranks are threads or one thread with group calls; a collective is a rendezvous of the ranks'
// streams.
#include <nccl.h>

#include <cstring>

#include "internal.h"
using namespace cudasim;
struct World {
  int n;
  int joined = 0;
  std::vector<uint64_t> count;
  std::map<uint64_t, std::shared_ptr<Rendezvous>> open;
  std::map<uint64_t, std::vector<std::pair<const void*, void*>>> bufs;
  std::map<uint64_t, std::string> sig;
};
struct ncclComm {
  std::shared_ptr<World> w;
  int rank;
};
static std::map<std::string, std::shared_ptr<World>> worlds;
extern "C" {
ncclResult_t ncclGetVersion(int* v) {
  *v = NCCL_VERSION_CODE;
  return ncclSuccess;
}
const char* ncclGetErrorString(ncclResult_t r) { return r ? "ncclError" : "no error"; }
ncclResult_t ncclGetUniqueId(ncclUniqueId* id) {
  static int k;
  memset(id, 0, sizeof *id);
  snprintf(id->internal, 32, "sim-%d", ++k);
  return ncclSuccess;
}
ncclResult_t ncclCommInitRank(ncclComm_t* c, int n, ncclUniqueId id, int rank) {
  std::unique_lock l(mu);
  auto& w = worlds[id.internal];
  if (!w) {
    w = std::make_shared<World>();
    w->n = n;
    w->count.resize(n);
  }
  if (n != w->n || rank < 0 || rank >= n) return ncclInvalidArgument;
  auto W = w;
  W->joined++;
  cv.notify_all();
  if (!cv.wait_for(l, std::chrono::seconds(10), [&] { return W->joined >= n; })) {
    report("nccl", "ncclCommInitRank: not all ranks joined");
    return ncclSystemError;
  }
  *c = new ncclComm{W, rank};
  return ncclSuccess;
}
ncclResult_t ncclCommInitAll(ncclComm_t* c, int n, const int*) {
  auto w = std::make_shared<World>();
  w->n = n;
  w->count.resize(n);
  for (int i = 0; i < n; i++) c[i] = new ncclComm{w, i};
  return ncclSuccess;
}
ncclResult_t ncclCommDestroy(ncclComm_t c) {
  delete c;
  return ncclSuccess;
}
ncclResult_t ncclGroupStart() { return ncclSuccess; }
ncclResult_t ncclGroupEnd() { return ncclSuccess; }
ncclResult_t ncclAllReduce(const void* s, void* r, size_t n, ncclDataType_t t, ncclRedOp_t op, ncclComm_t c,
                           cudaStream_t st) {
  if (t != ncclFloat || (op != ncclSum && op != ncclAvg)) return ncclInvalidArgument;
  std::lock_guard l(mu);
  auto w = c->w;
  uint64_t k = w->count[c->rank]++;
  std::string sig = "allreduce " + std::to_string(n) + " " + std::to_string(op);
  auto& rv = w->open[k];
  if (!rv) {
    rv = std::make_shared<Rendezvous>();
    rv->n = w->n;
    w->sig[k] = sig;
    w->bufs[k].resize(w->n);
    rv->run = [w, k, n, op] {
      auto b = w->bufs[k];
      std::vector<float> sum(n);
      for (auto& x : b) {
        lib_read(x.first, n * 4, "ncclAllReduce");
        for (size_t i = 0; i < n; i++) sum[i] += ((const float*)x.first)[i];
      }
      if (op == ncclAvg)
        for (auto& v : sum) v /= (float)w->n;
      for (auto& x : b) {
        lib_write(x.second, n * 4, "ncclAllReduce");
        memcpy(x.second, sum.data(), n * 4);
      }
      w->open.erase(k);
      w->bufs.erase(k);
    };
  }
  if (w->sig[k] != sig) {
    report("nccl-mismatch",
           "rank " + std::to_string(c->rank) + " calls '" + sig + "', another rank called '" + w->sig[k] + "'");
    return ncclInvalidArgument;
  }
  w->bufs[k][c->rank] = {s, r};
  auto p = rv;
  enqueue_rv(st, "ncclAllReduce", p);
  return ncclSuccess;
}
}
