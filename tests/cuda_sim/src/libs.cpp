// cuBLAS / cuDNN (graph API) / cuFFT / NCCL on the CPU, declared by the real headers.  Work is enqueued on the handle's
// stream like a kernel.
#include <cublas_v2.h>
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cudnn.h>
#include <cufft.h>
#include <nccl.h>

#include <cmath>
#include <complex>
#include <cstring>
#include <mutex>
#include <set>

#include "internal.h"
using namespace cudasim;
// ---------------------------------------------------------------- cuBLAS
struct cublasContext {
  cudaStream_t s = nullptr;
  cublasMath_t math = CUBLAS_DEFAULT_MATH;
};
static double ld(const void* p, cudaDataType t, size_t i) {
  switch (t) {
    case CUDA_R_64F:
      return ((const double*)p)[i];
    case CUDA_R_32F:
      return ((const float*)p)[i];
    case CUDA_R_16BF:
      return __bfloat162float(((const __nv_bfloat16*)p)[i]);
    case CUDA_R_16F:
      return __half2float(((const __half*)p)[i]);
    default:
      return NAN;
  }
}
static void st(void* p, cudaDataType t, size_t i, double w) {
  float v = (float)w;
  switch (t) {
    case CUDA_R_64F:
      ((double*)p)[i] = w;
      break;
    case CUDA_R_32F:
      ((float*)p)[i] = v;
      break;
    case CUDA_R_16BF:
      ((__nv_bfloat16*)p)[i] = __float2bfloat16_rn(v);
      break;
    case CUDA_R_16F:
      ((__half*)p)[i] = __float2half_rn(v);
      break;
    default:
      break;
  }
}
static size_t esz(cudaDataType t) { return t == CUDA_R_64F ? 8 : t == CUDA_R_32F ? 4 : 2; }
template <class T>
static void gemm_as(bool ta, bool tb, int m, int n, int k, T al, const void* A, cudaDataType at, int lda, const void* B,
                    cudaDataType bt, int ldb, T be, void* C, cudaDataType ct, int ldc) {
  if (!m || !n) return;
  lib_read(A, ((size_t)(ta ? m : k) - 1) * lda * esz(at) + (size_t)(ta ? k : m) * esz(at), "gemm A");
  lib_read(B, ((size_t)(tb ? k : n) - 1) * ldb * esz(bt) + (size_t)(tb ? n : k) * esz(bt), "gemm B");
  if (be != 0)
    for (int j = 0; j < n; j++) lib_read((char*)C + (size_t)j * ldc * esz(ct), m * esz(ct), "gemm C");
  std::vector<T> a((size_t)m * k), b((size_t)k * n), acc(m);
  for (int p = 0; p < k; p++)
    for (int i = 0; i < m; i++) a[(size_t)p * m + i] = ld(A, at, ta ? (size_t)i * lda + p : (size_t)p * lda + i);
  for (int j = 0; j < n; j++)
    for (int p = 0; p < k; p++) b[(size_t)j * k + p] = ld(B, bt, tb ? (size_t)p * ldb + j : (size_t)j * ldb + p);
  for (int j = 0; j < n; j++) {
    std::fill(acc.begin(), acc.end(), T(0));
    for (int p = 0; p < k; p++) {
      T v = b[(size_t)j * k + p];
      const T* ap = &a[(size_t)p * m];
      for (int i = 0; i < m; i++) acc[i] += ap[i] * v;
    }
    for (int i = 0; i < m; i++) {
      size_t q = (size_t)j * ldc + i;
      st(C, ct, q, al * acc[i] + (be != 0 ? be * ld(C, ct, q) : 0.f));
    }
    lib_write((char*)C + (size_t)j * ldc * esz(ct), m * esz(ct), "gemm C");
  }
}
extern "C" {
cublasStatus_t cublasCreate_v2(cublasHandle_t* h) {
  *h = new cublasContext;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasDestroy_v2(cublasHandle_t h) {
  delete h;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasSetStream_v2(cublasHandle_t h, cudaStream_t s) {
  h->s = s;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasSetMathMode(cublasHandle_t h, cublasMath_t m) {
  h->math = m;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasGemmStridedBatchedEx(cublasHandle_t h, cublasOperation_t ta, cublasOperation_t tb, int m, int n,
                                          int k, const void* al, const void* A, cudaDataType at, int lda, long long sa,
                                          const void* B, cudaDataType bt, int ldb, long long sb, const void* be,
                                          void* C, cudaDataType ct, int ldc, long long sc, int batch,
                                          cublasComputeType_t c, cublasGemmAlgo_t) {
  if (!h) return CUBLAS_STATUS_NOT_INITIALIZED;
  if (m < 0 || n < 0 || k < 0 || lda < std::max(1, ta ? k : m) || ldb < std::max(1, tb ? n : k) || ldc < std::max(1, m))
    return CUBLAS_STATUS_INVALID_VALUE;
  bool dbl = c == CUBLAS_COMPUTE_64F;
  double a = dbl ? *(const double*)al : *(const float*)al, b = dbl ? *(const double*)be : *(const float*)be;
  enqueue(h->s, "cublasGemm", [=] {
    for (int i = 0; i < batch; i++) {
      auto* Ai = (const char*)A + i * sa * (long long)esz(at);
      auto* Bi = (const char*)B + i * sb * (long long)esz(bt);
      auto* Ci = (char*)C + i * sc * (long long)esz(ct);
      if (dbl)
        gemm_as<double>(ta, tb, m, n, k, a, Ai, at, lda, Bi, bt, ldb, b, Ci, ct, ldc);
      else
        gemm_as<float>(ta, tb, m, n, k, (float)a, Ai, at, lda, Bi, bt, ldb, (float)b, Ci, ct, ldc);
    }
  });
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasGemmEx(cublasHandle_t h, cublasOperation_t ta, cublasOperation_t tb, int m, int n, int k,
                            const void* al, const void* A, cudaDataType at, int lda, const void* B, cudaDataType bt,
                            int ldb, const void* be, void* C, cudaDataType ct, int ldc, cublasComputeType_t c,
                            cublasGemmAlgo_t g) {
  return cublasGemmStridedBatchedEx(h, ta, tb, m, n, k, al, A, at, lda, 0, B, bt, ldb, 0, be, C, ct, ldc, 0, 1, c, g);
}
cublasStatus_t cublasGemmEx_64(cublasHandle_t h, cublasOperation_t ta, cublasOperation_t tb, int64_t m, int64_t n,
                               int64_t k, const void* al, const void* A, cudaDataType at, int64_t lda, const void* B,
                               cudaDataType bt, int64_t ldb, const void* be, void* C, cudaDataType ct, int64_t ldc,
                               cublasComputeType_t c, cublasGemmAlgo_t g) {
  return cublasGemmEx(h, ta, tb, (int)m, (int)n, (int)k, al, A, at, (int)lda, B, bt, (int)ldb, be, C, ct, (int)ldc, c,
                      g);
}
cublasStatus_t cublasGemmStridedBatchedEx_64(cublasHandle_t h, cublasOperation_t ta, cublasOperation_t tb, int64_t m,
                                             int64_t n, int64_t k, const void* al, const void* A, cudaDataType at,
                                             int64_t lda, long long sa, const void* B, cudaDataType bt, int64_t ldb,
                                             long long sb, const void* be, void* C, cudaDataType ct, int64_t ldc,
                                             long long sc, int64_t batch, cublasComputeType_t c, cublasGemmAlgo_t g) {
  return cublasGemmStridedBatchedEx(h, ta, tb, (int)m, (int)n, (int)k, al, A, at, (int)lda, sa, B, bt, (int)ldb, sb, be,
                                    C, ct, (int)ldc, sc, (int)batch, c, g);
}
const char* cublasGetStatusString(cublasStatus_t s) { return s ? "CUBLAS_STATUS_ERROR" : "CUBLAS_STATUS_SUCCESS"; }
cublasStatus_t cublasSgemmStridedBatched(cublasHandle_t h, cublasOperation_t ta, cublasOperation_t tb, int m, int n,
                                         int k, const float* al, const float* A, int lda, long long sa, const float* B,
                                         int ldb, long long sb, const float* be, float* C, int ldc, long long sc,
                                         int batch) {
  return cublasGemmStridedBatchedEx(h, ta, tb, m, n, k, al, A, CUDA_R_32F, lda, sa, B, CUDA_R_32F, ldb, sb, be, C,
                                    CUDA_R_32F, ldc, sc, batch, CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT);
}
}
// ---------------------------------------------------------------- cuDNN graph API: descriptors are attribute bags
struct cudnnContext {
  cudaStream_t s = nullptr;
};
struct Desc {
  cudnnBackendDescriptorType_t type;
  bool fin = false;
  std::map<int, std::pair<int, std::vector<char>>> at;
};
static std::string dnn_err;
static size_t tsz(cudnnBackendAttributeType_t t) {
  switch (t) {
    case CUDNN_TYPE_INT64:
    case CUDNN_TYPE_VOID_PTR:
    case CUDNN_TYPE_HANDLE:
    case CUDNN_TYPE_BACKEND_DESCRIPTOR:
    case CUDNN_TYPE_DOUBLE:
      return 8;
    case CUDNN_TYPE_BOOLEAN:
    case CUDNN_TYPE_CHAR:
      return 1;
    default:
      return 4;
  }
}
template <class T>
static T get(Desc* d, int a, int i = 0) {
  auto it = d->at.find(a);
  if (it == d->at.end() || it->second.second.size() < (i + 1) * sizeof(T))
    throw std::string("attribute " + std::to_string(a) + " missing");
  T v;
  memcpy(&v, it->second.second.data() + i * sizeof(T), sizeof(T));
  return v;
}
static Desc* sub(Desc* d, int a, int i = 0) { return (Desc*)get<void*>(d, a, i); }
struct T4 {
  cudaDataType t;
  int64_t d[4], s[4], id;
};
static T4 tensor(Desc* d) {
  T4 r;
  auto dt = get<cudnnDataType_t>(d, CUDNN_ATTR_TENSOR_DATA_TYPE);
  r.t = dt == CUDNN_DATA_FLOAT ? CUDA_R_32F : dt == CUDNN_DATA_BFLOAT16 ? CUDA_R_16BF : CUDA_R_16F;
  for (int i = 0; i < 4; i++) {
    r.d[i] = get<int64_t>(d, CUDNN_ATTR_TENSOR_DIMENSIONS, i);
    r.s[i] = get<int64_t>(d, CUDNN_ATTR_TENSOR_STRIDES, i);
  }
  r.id = get<int64_t>(d, CUDNN_ATTR_TENSOR_UNIQUE_ID);
  return r;
}
static size_t bytes(const T4& t) {
  size_t n = 1;
  for (int i = 0; i < 4; i++) n += (t.d[i] - 1) * t.s[i];
  return n * esz(t.t);
}
static void conv(int kind, const T4& x, void* X, const T4& w, void* W, const T4& y, void* Y, const int64_t* pad,
                 const int64_t* str, const int64_t* dil, float al, float be) {
  auto& out = kind == 0 ? y : kind == 1 ? x : w;
  void* O = kind == 0 ? Y : kind == 1 ? X : W;
  if (kind != 0) lib_read(Y, bytes(y), "conv dy");
  if (kind != 1) lib_read(X, bytes(x), "conv x");
  if (kind != 2) lib_read(W, bytes(w), "conv w");
  auto load = [](const T4& t, void* p) {
    std::vector<float> v((size_t)t.d[0] * t.d[1] * t.d[2] * t.d[3]);
    size_t q = 0;
    for (int64_t a = 0; a < t.d[0]; a++)
      for (int64_t c = 0; c < t.d[2]; c++)
        for (int64_t e = 0; e < t.d[3]; e++)
          for (int64_t b = 0; b < t.d[1]; b++) v[q++] = ld(p, t.t, a * t.s[0] + b * t.s[1] + c * t.s[2] + e * t.s[3]);
    return v;
  };  // packed NHWC
  std::vector<float> xv, wv, yv;
  auto zero = [](const T4& t) { return std::vector<float>((size_t)t.d[0] * t.d[1] * t.d[2] * t.d[3]); };
  xv = kind == 1 ? zero(x) : load(x, X);
  wv = kind == 2 ? zero(w) : load(w, W);
  yv = kind == 0 ? zero(y) : load(y, Y);
  int64_t C = w.d[1], K = w.d[0], R = w.d[2], S = w.d[3], H = x.d[2], Wd = x.d[3];
  for (int64_t n = 0; n < y.d[0]; n++)
    for (int64_t oh = 0; oh < y.d[2]; oh++)
      for (int64_t ow = 0; ow < y.d[3]; ow++) {
        float* yp = &yv[((n * y.d[2] + oh) * y.d[3] + ow) * K];
        for (int64_t r = 0; r < R; r++) {
          int64_t ih = oh * str[0] - pad[0] + r * dil[0];
          if (ih < 0 || ih >= H) continue;
          for (int64_t s = 0; s < S; s++) {
            int64_t iw = ow * str[1] - pad[1] + s * dil[1];
            if (iw < 0 || iw >= Wd) continue;
            float* xp = &xv[((n * H + ih) * Wd + iw) * C];
            for (int64_t k = 0; k < K; k++) {
              float* wp = &wv[((k * R + r) * S + s) * C];
              if (kind == 0) {
                float a = 0;
                for (int64_t c = 0; c < C; c++) a += xp[c] * wp[c];
                yp[k] += a;
              } else if (kind == 1) {
                float g = yp[k];
                for (int64_t c = 0; c < C; c++) xp[c] += g * wp[c];
              } else {
                float g = yp[k];
                for (int64_t c = 0; c < C; c++) wp[c] += g * xp[c];
              }
            }
          }
        }
      }
  auto& ov = kind == 0 ? yv : kind == 1 ? xv : wv;
  size_t q = 0;
  for (int64_t a = 0; a < out.d[0]; a++)
    for (int64_t c = 0; c < out.d[2]; c++)
      for (int64_t e = 0; e < out.d[3]; e++)
        for (int64_t b = 0; b < out.d[1]; b++) {
          size_t i = a * out.s[0] + b * out.s[1] + c * out.s[2] + e * out.s[3];
          st(O, out.t, i, al * ov[q++] + (be != 0 ? be * ld(O, out.t, i) : 0));
        }
  lib_write(O, bytes(out), "conv out");
}
#define TRY(...)                   \
  try {                            \
    __VA_ARGS__                    \
  } catch (std::string & e) {      \
    dnn_err = e;                   \
    return CUDNN_STATUS_BAD_PARAM; \
  }
extern "C" {
size_t cudnnGetVersion() { return 91900; }
const char* cudnnGetErrorString(cudnnStatus_t s) { return s ? "CUDNN_STATUS_ERROR" : "CUDNN_STATUS_SUCCESS"; }
void cudnnGetLastErrorString(char* m, size_t n) { snprintf(m, n, "%s", dnn_err.c_str()); }
cudnnStatus_t cudnnCreate(cudnnHandle_t* h) {
  *h = new cudnnContext;
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnDestroy(cudnnHandle_t h) {
  delete h;
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnSetStream(cudnnHandle_t h, cudaStream_t s) {
  h->s = s;
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnBackendCreateDescriptor(cudnnBackendDescriptorType_t t, cudnnBackendDescriptor_t* d) {
  *d = new Desc{t};
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnBackendDestroyDescriptor(cudnnBackendDescriptor_t d) {
  delete (Desc*)d;
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnBackendSetAttribute(cudnnBackendDescriptor_t d, cudnnBackendAttributeName_t a,
                                       cudnnBackendAttributeType_t t, int64_t n, const void* v) {
  auto* D = (Desc*)d;
  if (D->fin) return CUDNN_STATUS_NOT_INITIALIZED;
  if (t == CUDNN_TYPE_BACKEND_DESCRIPTOR)
    for (int64_t i = 0; i < n; i++)
      if (!((Desc* const*)v)[i]->fin) {
        dnn_err = "descriptor not finalized";
        return CUDNN_STATUS_BAD_PARAM;
      }
  D->at[a] = {t, std::vector<char>((const char*)v, (const char*)v + n * tsz(t))};
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnBackendFinalize(cudnnBackendDescriptor_t d) {
  auto* D = (Desc*)d;
  TRY(switch (D->type) {
    case CUDNN_BACKEND_TENSOR_DESCRIPTOR:
      tensor(D);
      get<int64_t>(D, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT);
      break;
    case CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR:
      sub(D, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG);
      get<void*>(D, CUDNN_ATTR_EXECUTION_PLAN_HANDLE);
      break;
    case CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR:
      sub(D, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH);
      break;
    default:
      break;
  })
  D->fin = true;
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnBackendGetAttribute(cudnnBackendDescriptor_t const d, cudnnBackendAttributeName_t a,
                                       cudnnBackendAttributeType_t, int64_t n, int64_t* cnt, void* out) {
  auto* D = (Desc*)d;
  if (a == CUDNN_ATTR_ENGINEHEUR_RESULTS) {
    *cnt = 1;
    if (n && out) {
      auto* c = ((Desc**)out)[0];
      c->at[-1] = {0, std::vector<char>(8)};
      Desc* g = sub(D, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH);
      memcpy(c->at[-1].second.data(), &g, 8);
      c->fin = true;
    }
    return CUDNN_STATUS_SUCCESS;
  }
  if (a == CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE) {
    *(int64_t*)out = 0;
    return CUDNN_STATUS_SUCCESS;
  }
  return CUDNN_STATUS_NOT_SUPPORTED;
}
cudnnStatus_t cudnnBackendExecute(cudnnHandle_t h, cudnnBackendDescriptor_t plan, cudnnBackendDescriptor_t vp) {
  TRY(
      Desc* g = (Desc*)get<void*>(sub((Desc*)plan, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG), -1);
      Desc* op = sub(g, CUDNN_ATTR_OPERATIONGRAPH_OPS); auto* V = (Desc*)vp; std::map<int64_t, void*> ptr;
      size_t n = V->at[CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS].second.size() / 8;
      for (size_t i = 0; i < n; i++) ptr[get<int64_t>(V, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, (int)i)] =
          get<void*>(V, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, (int)i);
      int kind = op->type == CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR           ? 0
                 : op->type == CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR   ? 1
                 : op->type == CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR ? 2
                                                                                              : 9;
      if (kind == 9) throw std::string("operation not simulated");
      static const int N[3][6] =
          {{CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
            CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
            CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA},
           {CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA},
           {CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA}};
      auto* a = N[kind]; T4 x = tensor(sub(op, a[0])), w = tensor(sub(op, a[1])), y = tensor(sub(op, a[2]));
      Desc* c = sub(op, a[3]); struct P { int64_t pad[2], str[2], dil[2]; } p; for (int i = 0; i < 2; i++) {
        p.pad[i] = get<int64_t>(c, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, i);
        p.str[i] = get<int64_t>(c, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, i);
        p.dil[i] = get<int64_t>(c, CUDNN_ATTR_CONVOLUTION_DILATIONS, i);
      } float al = get<float>(op, a[4]),
                                                                               be = get<float>(op, a[5]);
      void* X = ptr.at(x.id), *W = ptr.at(w.id), *Y = ptr.at(y.id);
      enqueue(h->s, "cudnnConvolution", [=] { conv(kind, x, X, w, W, y, Y, p.pad, p.str, p.dil, al, be); });)
  return CUDNN_STATUS_SUCCESS;
}
// ---------------------------------------------------------------- cuFFT
struct FP {
  cudaStream_t s;
  int n, batch;
  cufftType type;
  bool own_work;
  size_t work_size;
  void* work;
};
static std::map<int, FP> ffts;
static int fft_id;
static void fft(std::vector<std::complex<double>>& a) {
  size_t n = a.size();
  if (n == 1) return;
  if (n % 2) {
    std::vector<std::complex<double>> r(n);
    for (size_t k = 0; k < n; k++)
      for (size_t t = 0; t < n; t++) r[k] += a[t] * std::polar(1.0, -2 * M_PI * (double)(k * t % n) / n);
    a = r;
    return;
  }
  std::vector<std::complex<double>> e(n / 2), o(n / 2);
  for (size_t i = 0; i < n / 2; i++) {
    e[i] = a[2 * i];
    o[i] = a[2 * i + 1];
  }
  fft(e);
  fft(o);
  for (size_t k = 0; k < n / 2; k++) {
    auto t = std::polar(1.0, -2 * M_PI * k / n) * o[k];
    a[k] = e[k] + t;
    a[k + n / 2] = e[k] - t;
  }
}
cufftResult cufftCreate(cufftHandle* p) {
  std::lock_guard l(mu);
  *p = ++fft_id;
  ffts[*p] = {nullptr, 0, 0, CUFFT_R2C, true, 0, nullptr};
  return CUFFT_SUCCESS;
}
cufftResult cufftSetAutoAllocation(cufftHandle p, int on) {
  std::lock_guard l(mu);
  ffts.at(p).own_work = on != 0;
  return CUFFT_SUCCESS;
}
cufftResult cufftMakePlanMany64(cufftHandle p, int rank, long long* n, long long* inembed, long long, long long,
                                long long*, long long, long long, cufftType t, long long batch, size_t* work) {
  std::lock_guard l(mu);
  if (rank != 1 || inembed || (t != CUFFT_R2C && t != CUFFT_C2R)) return CUFFT_NOT_SUPPORTED;
  if (*n < 1 || batch < 1) return CUFFT_INVALID_SIZE;
  FP& f = ffts.at(p);
  f.n = (int)*n;
  f.batch = (int)batch;
  f.type = t;
  *work = f.work_size = (size_t)*n * batch * 4;
  return CUFFT_SUCCESS;
}
cufftResult cufftSetWorkArea(cufftHandle p, void* work) {
  std::lock_guard l(mu);
  ffts.at(p).work = work;
  return CUFFT_SUCCESS;
}
cufftResult cufftPlanMany(cufftHandle* p, int rank, int* n, int*, int, int, int*, int, int, cufftType t, int batch) {
  long long size = n[0];
  size_t work;
  cufftCreate(p);
  return cufftMakePlanMany64(*p, rank, &size, nullptr, 1, 0, nullptr, 1, 0, t, batch, &work);
}
cufftResult cufftSetStream(cufftHandle p, cudaStream_t s) {
  std::lock_guard l(mu);
  ffts.at(p).s = s;
  return CUFFT_SUCCESS;
}
cufftResult cufftDestroy(cufftHandle p) {
  std::lock_guard l(mu);
  ffts.erase(p);
  return CUFFT_SUCCESS;
}
}
// The work area is written over, as the real library may: a second transform in flight that shares it is a race.
static void use_work_area(const FP& f) {
  if (!f.own_work) lib_write(f.work, f.work_size, "fft work area");
}
static cufftResult start(cufftHandle p, cufftType type, FP& f) {
  std::lock_guard l(mu);
  f = ffts.at(p);
  return f.type != type ? CUFFT_INVALID_TYPE : !f.own_work && !f.work ? CUFFT_INVALID_PLAN : CUFFT_SUCCESS;
}
extern "C" {
cufftResult cufftExecR2C(cufftHandle p, cufftReal* x, cufftComplex* y) {
  FP f;
  if (auto e = start(p, CUFFT_R2C, f)) return e;
  enqueue(f.s, "cufftExecR2C", [=] {
    use_work_area(f);
    lib_read(x, (size_t)f.n * f.batch * 4, "fft in");
    for (int b = 0; b < f.batch; b++) {
      std::vector<std::complex<double>> v(f.n);
      for (int i = 0; i < f.n; i++) v[i] = x[(size_t)b * f.n + i];
      fft(v);
      for (int k = 0; k <= f.n / 2; k++) y[(size_t)b * (f.n / 2 + 1) + k] = {(float)v[k].real(), (float)v[k].imag()};
    }
    lib_write(y, (size_t)(f.n / 2 + 1) * f.batch * 8, "fft out");
  });
  return CUFFT_SUCCESS;
}
// x[i] = sum of X[k] e^(+2 pi i k / n) over all k, X[n - k] = conj X[k]: the forward transform of conj X, real part.
cufftResult cufftExecC2R(cufftHandle p, cufftComplex* y, cufftReal* x) {
  FP f;
  if (auto e = start(p, CUFFT_C2R, f)) return e;
  enqueue(f.s, "cufftExecC2R", [=] {
    use_work_area(f);
    lib_read(y, (size_t)(f.n / 2 + 1) * f.batch * 8, "fft in");
    for (int b = 0; b < f.batch; b++) {
      std::vector<std::complex<double>> v(f.n);
      for (int k = 0; k <= f.n / 2; k++) {
        cufftComplex z = y[(size_t)b * (f.n / 2 + 1) + k];
        bool edge = k == 0 || 2 * k == f.n;
        v[k] = {z.x, edge ? 0.0 : -z.y};
        if (!edge) v[f.n - k] = {z.x, z.y};
        y[(size_t)b * (f.n / 2 + 1) + k] = {NAN, NAN};  // the real one may overwrite its input
      }
      fft(v);
      for (int i = 0; i < f.n; i++) x[(size_t)b * f.n + i] = (float)v[i].real();
    }
    lib_write(y, (size_t)(f.n / 2 + 1) * f.batch * 8, "fft in, overwritten");
    lib_write(x, (size_t)f.n * f.batch * 4, "fft out");
  });
  return CUFFT_SUCCESS;
}
}
