// The libraries' shims against plain definitions, and what they report.
#include <cublas_v2.h>
#include <cudnn.h>
#include <cufft.h>

#include <cmath>
#include <complex>
#include <functional>
#include <initializer_list>
#include <numbers>
#include <random>

#include "simulator.h"

namespace cudasim::testing {
namespace {

using Doubles = std::vector<double>;

std::vector<float> drawn(std::size_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(count);
  for (float& v : values) {
    v = normal(random);
  }
  return values;
}

void expect_near(const std::vector<float>& got, const Doubles& want, double slack) {
  ASSERT_EQ(got.size(), want.size());
  for (std::size_t i = 0; i < got.size(); ++i) {
    ASSERT_NEAR(got[i], want[i], slack * (1 + std::abs(want[i]))) << "at " << i;
  }
}

class Quiet {
 private:
  static Config quiet() {
    Config c = config();
    c.verbose = false;
    return c;
  }
  WithConfig scope_{quiet()};
};

/// Column-major c = 0.5 op(a) op(b) + 2 c.
void expect_product(bool transpose_a, bool transpose_b) {
  constexpr int m = 5, n = 3, k = 7;
  const std::vector<float> a = drawn(m * k, 1);
  const std::vector<float> b = drawn(k * n, 2);
  const std::vector<float> c = drawn(m * n, 3);
  const DeviceArray<float> on_a(a), on_b(b), on_c(c);
  cublasHandle_t handle = nullptr;
  ASSERT_EQ(cublasCreate(&handle), CUBLAS_STATUS_SUCCESS);
  const float alpha = 0.5F, beta = 2;
  const auto op = [](bool transpose) { return transpose ? CUBLAS_OP_T : CUBLAS_OP_N; };
  ASSERT_EQ(cublasGemmEx_64(handle, op(transpose_a), op(transpose_b), m, n, k, &alpha, on_a.data(), CUDA_R_32F,
                            transpose_a ? k : m, on_b.data(), CUDA_R_32F, transpose_b ? n : k, &beta, on_c.data(),
                            CUDA_R_32F, m, CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT),
            CUBLAS_STATUS_SUCCESS);
  Doubles want(c.begin(), c.end());
  for (int j = 0; j < n; ++j) {
    for (int i = 0; i < m; ++i) {
      double sum = 0;
      for (int l = 0; l < k; ++l) {
        sum += static_cast<double>(a[transpose_a ? i * k + l : l * m + i]) * b[transpose_b ? l * n + j : j * k + l];
      }
      double& value = want[j * m + i];
      value = 0.5 * sum + 2 * value;
    }
  }
  expect_near(on_c.values(), want, 1e-6);
  cublasDestroy(handle);
}

TEST(Cublas, MultipliesMatrices) {
  for (const bool a : {false, true}) {
    for (const bool b : {false, true}) {
      expect_product(a, b);
    }
  }
}

TEST(Cublas, RefusesWhatDoesNotFit) {
  cublasHandle_t handle = nullptr;
  cublasCreate(&handle);
  const float one = 1;
  const auto status = [&](int lda, cublasComputeType_t compute) {
    return cublasGemmEx_64(handle, CUBLAS_OP_N, CUBLAS_OP_N, 4, 4, 4, &one, nullptr, CUDA_R_32F, lda, nullptr,
                           CUDA_R_32F, 4, &one, nullptr, CUDA_R_32F, 4, compute, CUBLAS_GEMM_DEFAULT);
  };
  EXPECT_EQ(status(3, CUBLAS_COMPUTE_32F), CUBLAS_STATUS_INVALID_VALUE);
  EXPECT_EQ(status(4, CUBLAS_COMPUTE_16F), CUBLAS_STATUS_NOT_SUPPORTED);
  EXPECT_STREQ(cublasGetStatusString(CUBLAS_STATUS_NOT_SUPPORTED), "CUBLAS_STATUS_NOT_SUPPORTED");
  cublasDestroy(handle);
}

TEST(Cublas, ReportsOperandsThatAreTooSmall) {
  const Quiet quiet;
  const DeviceArray<double> x(Doubles(16, 1));
  const DeviceArray<double> small(Doubles(15, 1));
  cublasHandle_t handle = nullptr;
  cublasCreate(&handle);
  const double one = 1;
  cublasGemmEx_64(handle, CUBLAS_OP_N, CUBLAS_OP_N, 4, 4, 4, &one, small.data(), CUDA_R_64F, 4, x.data(), CUDA_R_64F, 4,
                  &one, x.data(), CUDA_R_64F, 4, CUBLAS_COMPUTE_64F, CUBLAS_GEMM_DEFAULT);
  cudaDeviceSynchronize();
  const std::vector<Report> reports = take_reports();
  ASSERT_EQ(reports.size(), 1);
  EXPECT_NE(reports[0].text.find("cublasGemm reads 128 bytes at allocation #"), std::string::npos) << reports[0].text;
  EXPECT_NE(reports[0].text.find("(120 bytes) + 0"), std::string::npos) << reports[0].text;
  cublasDestroy(handle);
}

/// A plan with a work area of its own, or of the program's.
class Fft {
 public:
  Fft(long long length, cufftType type, long long batch) {
    EXPECT_EQ(cufftCreate(&handle), CUFFT_SUCCESS);
    EXPECT_EQ(cufftSetAutoAllocation(handle, 0), CUFFT_SUCCESS);
    std::size_t bytes = 0;
    EXPECT_EQ(cufftMakePlanMany64(handle, 1, &length, nullptr, 1, 0, nullptr, 1, 0, type, batch, &bytes),
              CUFFT_SUCCESS);
    EXPECT_GT(bytes, 0);
    EXPECT_EQ(cudaMalloc(&area_, bytes), cudaSuccess);
  }
  ~Fft() {
    cufftDestroy(handle);
    cudaFree(area_);
  }
  Fft(const Fft&) = delete;
  Fft& operator=(const Fft&) = delete;
  void give_work_area() const { EXPECT_EQ(cufftSetWorkArea(handle, area_), CUFFT_SUCCESS); }
  cufftHandle handle = 0;

 private:
  void* area_ = nullptr;
};

TEST(Cufft, TransformsThereAndBack) {
  constexpr std::size_t kBatch = 3;
  for (const std::size_t n : {1U, 2U, 7U, 12U, 64U}) {
    const std::size_t bins = n / 2 + 1;
    const std::vector<float> x = drawn(n * kBatch, 4);
    const DeviceArray<float> time(x);
    const DeviceArray<float> spectrum(2 * bins * kBatch);
    auto* const complex = reinterpret_cast<cufftComplex*>(spectrum.data());
    const Fft there(static_cast<long long>(n), CUFFT_R2C, kBatch);
    const Fft back(static_cast<long long>(n), CUFFT_C2R, kBatch);
    EXPECT_EQ(cufftExecR2C(there.handle, time.data(), complex), CUFFT_INVALID_PLAN) << "without its work area";
    there.give_work_area();
    back.give_work_area();
    ASSERT_EQ(cufftExecR2C(there.handle, time.data(), complex), CUFFT_SUCCESS);
    Doubles want;
    for (std::size_t b = 0; b < kBatch; ++b) {
      for (std::size_t k = 0; k < bins; ++k) {
        std::complex<double> sum = 0;
        for (std::size_t t = 0; t < n; ++t) {
          sum += static_cast<double>(x[b * n + t]) *
                 std::polar(1.0, -2 * std::numbers::pi * static_cast<double>(k * t) / static_cast<double>(n));
        }
        want.insert(want.end(), {sum.real(), sum.imag()});
      }
    }
    expect_near(spectrum.values(), want, 1e-5);
    ASSERT_EQ(cufftExecC2R(back.handle, complex, time.data()), CUFFT_SUCCESS);
    Doubles scaled(x.begin(), x.end());
    for (double& v : scaled) {
      v *= static_cast<double>(n);
    }
    expect_near(time.values(), scaled, 1e-5);
    EXPECT_TRUE(std::isnan(spectrum.values()[0])) << "the library may overwrite its input";
    EXPECT_EQ(cufftExecC2R(there.handle, complex, time.data()), CUFFT_INVALID_TYPE);
  }
  EXPECT_EQ(cufftExecR2C(1234, nullptr, nullptr), CUFFT_INVALID_PLAN);
}

// ---- cuDNN's graphs

using Handle = cudnnBackendDescriptor_t;

/// Descriptors that live as long as the test, and shorthand for setting their attributes.
class Graph {
 public:
  ~Graph() {
    for (Handle d : all_) {
      cudnnBackendDestroyDescriptor(d);
    }
    cudnnDestroy(handle);
  }
  Graph() { EXPECT_EQ(cudnnCreate(&handle), CUDNN_STATUS_SUCCESS); }
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;

  Handle make(cudnnBackendDescriptorType_t type) {
    Handle d = nullptr;
    EXPECT_EQ(cudnnBackendCreateDescriptor(type, &d), CUDNN_STATUS_SUCCESS);
    all_.push_back(d);
    return d;
  }
  template <class T>
  static void set(Handle d, cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
                  std::initializer_list<T> values) {
    EXPECT_EQ(cudnnBackendSetAttribute(d, name, type, static_cast<std::int64_t>(values.size()), values.begin()),
              CUDNN_STATUS_SUCCESS);
  }
  static void refer(Handle d, cudnnBackendAttributeName_t name, std::initializer_list<Handle> others) {
    set<Handle>(d, name, CUDNN_TYPE_BACKEND_DESCRIPTOR, others);
  }
  static Handle finalized(Handle d) {
    EXPECT_EQ(cudnnBackendFinalize(d), CUDNN_STATUS_SUCCESS);
    return d;
  }
  /// (n, c, h, w) with channels innermost in memory.
  Handle tensor(std::int64_t id, std::int64_t n, std::int64_t c, std::int64_t h, std::int64_t w, bool is_virtual) {
    const Handle d = make(CUDNN_BACKEND_TENSOR_DESCRIPTOR);
    set<cudnnDataType_t>(d, CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, {CUDNN_DATA_FLOAT});
    set<std::int64_t>(d, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, {n, c, h, w});
    set<std::int64_t>(d, CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, {h * w * c, 1, w * c, c});
    set<std::int64_t>(d, CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, {id});
    set<std::int64_t>(d, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, {16});
    set<bool>(d, CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, {is_virtual});
    return finalized(d);
  }
  Handle plan(std::initializer_list<Handle> operations) {
    const Handle graph = make(CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
    refer(graph, CUDNN_ATTR_OPERATIONGRAPH_OPS, operations);
    const Handle heuristics = make(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
    refer(heuristics, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, {finalized(graph)});
    set<cudnnBackendHeurMode_t>(heuristics, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, {CUDNN_HEUR_MODE_A});
    Handle configuration = make(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);
    std::int64_t count = 0;
    EXPECT_EQ(cudnnBackendGetAttribute(finalized(heuristics), CUDNN_ATTR_ENGINEHEUR_RESULTS,
                                       CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &count, &configuration),
              CUDNN_STATUS_SUCCESS);
    EXPECT_EQ(count, 1);
    const Handle plan = make(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
    refer(plan, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, {configuration});
    set<cudnnHandle_t>(plan, CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, {handle});
    return finalized(plan);
  }
  cudnnStatus_t execute(Handle plan, const std::vector<std::pair<std::int64_t, void*>>& places, void* workspace) {
    std::vector<std::int64_t> ids;
    std::vector<void*> pointers;
    for (const auto& [id, place] : places) {
      ids.push_back(id);
      pointers.push_back(place);
    }
    const auto count = static_cast<std::int64_t>(ids.size());
    const Handle pack = make(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
    cudnnBackendSetAttribute(pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, count, ids.data());
    cudnnBackendSetAttribute(pack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, count, pointers.data());
    set<void*>(pack, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, {workspace});
    return cudnnBackendExecute(handle, plan, finalized(pack));
  }
  static std::int64_t workspace_of(Handle plan) {
    std::int64_t bytes = 0;
    std::int64_t count = 0;
    EXPECT_EQ(
        cudnnBackendGetAttribute(plan, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, 1, &count, &bytes),
        CUDNN_STATUS_SUCCESS);
    return bytes;
  }
  cudnnHandle_t handle = nullptr;

 private:
  std::vector<Handle> all_;
};

/// 2 samples of 5 x 6 with 3 channels to 4, 3 x 2 taps, strides 2 and 1, one row of zeros before, a column on either
/// side.
struct Problem {
  static constexpr int n = 2, c = 3, h = 5, w = 6, k = 4, r = 3, s = 2, p = 2, q = 7;
  std::vector<float> x = drawn(n * h * w * c, 5);
  std::vector<float> weight = drawn(k * r * s * c, 6);
  std::vector<float> y = drawn(n * p * q * k, 7);

  /// Calls f(index in x, index in weight, index in y) for every product of the sum.
  static void for_each_product(const std::function<void(std::size_t, std::size_t, std::size_t)>& f) {
    for (int i = 0; i < n * p * q * k * r * s * c; ++i) {
      const int channel = i % c, column = i / c % s, row = i / (c * s) % r, out = i / (c * s * r) % k;
      const int at_q = i / (c * s * r * k) % q, at_p = i / (c * s * r * k * q) % p,
                sample = i / (c * s * r * k * q * p);
      const int from_h = 2 * at_p + row - 1, from_w = at_q + column - 1;
      if (from_h >= 0 && from_h < h && from_w >= 0 && from_w < w) {
        f(static_cast<std::size_t>(((sample * h + from_h) * w + from_w) * c + channel),
          static_cast<std::size_t>(((out * r + row) * s + column) * c + channel),
          static_cast<std::size_t>(((sample * p + at_p) * q + at_q) * k + out));
      }
    }
  }
};

struct Names {
  cudnnBackendDescriptorType_t type;
  cudnnBackendAttributeName_t x, w, y, options, alpha, beta;
};
constexpr Names kForward{CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
                         CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
                         CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
                         CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y,
                         CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
                         CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
                         CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA};
constexpr Names kInputGradient{CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
                               CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
                               CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
                               CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY,
                               CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
                               CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
                               CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA};
constexpr Names kWeightGradient{CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
                                CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
                                CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
                                CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,
                                CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
                                CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
                                CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA};

constexpr std::int64_t kX = 1, kWeight = 2, kY = 3, kBias = 4, kSum = 5, kBiased = 6;

Handle convolution(Graph& g, const Names& names, std::int64_t out, bool is_virtual) {
  using P = Problem;
  const Handle options = g.make(CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR);
  g.set<cudnnConvolutionMode_t>(options, CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE,
                                {CUDNN_CROSS_CORRELATION});
  g.set<std::int64_t>(options, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, CUDNN_TYPE_INT64, {1, 1});
  g.set<std::int64_t>(options, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, CUDNN_TYPE_INT64, {0, 1});
  g.set<std::int64_t>(options, CUDNN_ATTR_CONVOLUTION_DILATIONS, CUDNN_TYPE_INT64, {1, 1});
  g.set<std::int64_t>(options, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, CUDNN_TYPE_INT64, {2, 1});
  const Handle op = g.make(names.type);
  g.refer(op, names.x, {g.tensor(kX, P::n, P::c, P::h, P::w, false)});
  g.refer(op, names.w, {g.tensor(kWeight, P::k, P::c, P::r, P::s, false)});
  g.refer(op, names.y, {g.tensor(out, P::n, P::k, P::p, P::q, is_virtual)});
  g.refer(op, names.options, {Graph::finalized(options)});
  g.set<float>(op, names.alpha, CUDNN_TYPE_FLOAT, {1});
  g.set<float>(op, names.beta, CUDNN_TYPE_FLOAT, {0});
  return Graph::finalized(op);
}

Handle pointwise(Graph& g, cudnnPointwiseMode_t mode, Handle a, Handle b, Handle y) {
  const Handle function = g.make(CUDNN_BACKEND_POINTWISE_DESCRIPTOR);
  g.set<cudnnPointwiseMode_t>(function, CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, {mode});
  const Handle op = g.make(CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
  g.refer(op, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, {Graph::finalized(function)});
  g.refer(op, CUDNN_ATTR_OPERATION_POINTWISE_XDESC, {a});
  if (b != nullptr) {
    g.refer(op, CUDNN_ATTR_OPERATION_POINTWISE_BDESC, {b});
  }
  g.refer(op, CUDNN_ATTR_OPERATION_POINTWISE_YDESC, {y});
  return Graph::finalized(op);
}

TEST(Cudnn, ConvolvesInAllThreePasses) {
  const Problem problem;
  for (const Names& names : {kForward, kInputGradient, kWeightGradient}) {
    const bool forward = names.type == kForward.type, input = names.type == kInputGradient.type;
    const DeviceArray<float> x(problem.x), weight(problem.weight), y(problem.y);
    Graph g;
    const Handle plan = g.plan({convolution(g, names, kY, false)});
    const DeviceArray<char> workspace(static_cast<std::size_t>(Graph::workspace_of(plan)));
    ASSERT_EQ(g.execute(plan, {{kX, x.data()}, {kWeight, weight.data()}, {kY, y.data()}}, workspace.data()),
              CUDNN_STATUS_SUCCESS);
    const std::vector<float> got = (forward ? y : input ? x : weight).values();
    Doubles want(got.size());
    Problem::for_each_product([&](std::size_t at_x, std::size_t at_w, std::size_t at_y) {
      const double a = problem.x[at_x], b = problem.weight[at_w], c = problem.y[at_y];
      want[forward ? at_y : input ? at_x : at_w] += forward ? a * b : input ? b * c : a * c;
    });
    expect_near(got, want, 1e-6);
  }
}

/// relu(x * w + bias), whose first two values exist in between only.
TEST(Cudnn, FusesBiasAndRelu) {
  using P = Problem;
  const Problem problem;
  const std::vector<float> bias = drawn(P::k, 8);
  const DeviceArray<float> x(problem.x), weight(problem.weight), on_bias(bias), y(P::n * P::p * P::q * P::k);
  Graph g;
  const Handle sum = g.tensor(kSum, P::n, P::k, P::p, P::q, true),
               biased = g.tensor(kBiased, P::n, P::k, P::p, P::q, true);
  const Handle plan =
      g.plan({convolution(g, kForward, kSum, true),
              pointwise(g, CUDNN_POINTWISE_ADD, sum, g.tensor(kBias, 1, P::k, 1, 1, false), biased),
              pointwise(g, CUDNN_POINTWISE_RELU_FWD, biased, nullptr, g.tensor(kY, P::n, P::k, P::p, P::q, false))});
  const DeviceArray<char> workspace(static_cast<std::size_t>(Graph::workspace_of(plan)));
  ASSERT_EQ(g.execute(plan, {{kX, x.data()}, {kWeight, weight.data()}, {kBias, on_bias.data()}, {kY, y.data()}},
                      workspace.data()),
            CUDNN_STATUS_SUCCESS);
  Doubles want(problem.y.size());
  Problem::for_each_product([&](std::size_t at_x, std::size_t at_w, std::size_t at_y) {
    want[at_y] += static_cast<double>(problem.x[at_x]) * problem.weight[at_w];
  });
  for (std::size_t i = 0; i < want.size(); ++i) {
    want[i] = std::max(0.0, want[i] + bias[i % P::k]);
  }
  expect_near(y.values(), want, 1e-6);
}

TEST(Cudnn, WantsItsWorkspaceAndAllItsTensors) {
  const Quiet quiet;
  const Problem problem;
  const DeviceArray<float> x(problem.x), weight(problem.weight), y(problem.y);
  Graph g;
  const Handle plan = g.plan({convolution(g, kForward, kY, false)});
  EXPECT_EQ(g.execute(plan, {{kX, x.data()}, {kY, y.data()}}, nullptr), CUDNN_STATUS_BAD_PARAM);
  char words[200] = "";
  cudnnGetLastErrorString(words, sizeof words);
  EXPECT_STREQ(words, "the variant pack has no pointer for tensor 2");
  EXPECT_EQ(g.execute(plan, {{kX, x.data()}, {kWeight, weight.data() + 1}, {kY, y.data()}}, nullptr),
            CUDNN_STATUS_BAD_PARAM)
      << "not aligned to 16 bytes";
  const DeviceArray<char> small(100);
  EXPECT_EQ(g.execute(plan, {{kX, x.data()}, {kWeight, weight.data()}, {kY, y.data()}}, small.data()),
            CUDNN_STATUS_SUCCESS);
  cudaDeviceSynchronize();
  const std::vector<Report> reports = take_reports();
  ASSERT_EQ(reports.size(), 1);
  EXPECT_NE(reports[0].text.find("cudnnBackendExecute (workspace) writes"), std::string::npos) << reports[0].text;
}

TEST(Cudnn, RefusesGraphsThatMakeNoSense) {
  Graph g;
  const Handle graph = g.make(CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
  EXPECT_EQ(cudnnBackendFinalize(graph), CUDNN_STATUS_BAD_PARAM) << "no operations";
  const Handle unfinished = g.make(CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
  EXPECT_EQ(
      cudnnBackendSetAttribute(graph, CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &unfinished),
      CUDNN_STATUS_BAD_PARAM);
  const Handle operation = convolution(g, kForward, kY, false);
  EXPECT_EQ(cudnnBackendSetAttribute(operation, kForward.x, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &operation),
            CUDNN_STATUS_BAD_PARAM)
      << "finalised";
  EXPECT_STREQ(cudnnGetErrorString(CUDNN_STATUS_BAD_PARAM), "CUDNN_STATUS_BAD_PARAM");
}

/// Handles, descriptors, plans and work of all three are counted together.
TEST(Libraries, FailAtTheCallThatATestChooses) {
  const Calls before = calls();
  cublasHandle_t blas = nullptr;
  cudnnBackendDescriptor_t descriptor = nullptr;
  cufftHandle fft = 0;
  fail_library_call(1);
  EXPECT_EQ(cublasCreate(&blas), CUBLAS_STATUS_ALLOC_FAILED);
  EXPECT_EQ(cublasCreate(&blas), CUBLAS_STATUS_SUCCESS);
  fail_library_call(1);
  EXPECT_EQ(cudnnBackendCreateDescriptor(CUDNN_BACKEND_TENSOR_DESCRIPTOR, &descriptor),
            CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED);
  EXPECT_EQ(descriptor, nullptr);
  EXPECT_EQ(cufftCreate(&fft), CUFFT_SUCCESS);
  fail_library_call(1);
  long long length = 8;
  std::size_t bytes = 0;
  const auto plan = [&] {
    return cufftMakePlanMany64(fft, 1, &length, nullptr, 1, 0, nullptr, 1, 0, CUFFT_R2C, 1, &bytes);
  };
  EXPECT_EQ(plan(), CUFFT_ALLOC_FAILED);
  EXPECT_EQ(plan(), CUFFT_SUCCESS);
  EXPECT_EQ(calls().library_calls, before.library_calls + 6);
  Graph g;
  g.plan({convolution(g, kForward, kY, false)});
  EXPECT_EQ(calls().plans, before.plans + 1);
  cublasDestroy(blas);
  cufftDestroy(fft);
}

}  // namespace
}  // namespace cudasim::testing
