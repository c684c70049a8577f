// What the heaviest kernels move, as the checking simulator counts it: every byte of their inputs once (or as often as
// their headers say), in whole sectors of 32 bytes, and through shared memory without bank conflicts but for those that
// the headers state.
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "cudasim/control.h"
#include "kernels/batch_norm.h"
#include "kernels/cuda/conv_epilogue.h"
#include "kernels/grouped_linear.h"
#include "kernels/inner_product.h"
#include "kernels/lamb.h"
#include "kernels/layer_norm.h"
#include "kernels/nt_xent.h"
#include "kernels/optimizer.h"
#include "kernels/reduce.h"
#include "kernels/residual.h"
#include "kernels/spectral_temporal_attention.h"
#include "tests/cuda/gpu.h"
#include "tests/op_cases.h"

namespace earmark::testing {
namespace {

/// What threads asked for, and what the memory system makes of it: sectors of 32 bytes, or passes over the banks.
struct Access {
  double least = 0;
  double transactions = 0;

  double asked() const { return 32 * least; }  // bytes, in whole sectors for each request
  double moved() const { return 32 * transactions; }
};

struct Traffic {
  Access read;
  Access written;
  Access shared;
  Access wide_shared;    // of shared, in requests of 16 bytes a lane
  double wide_read = 0;  // bytes, in requests of 16 a lane
  double wide_written = 0;
  std::string lines;  // all of it, line by line, for messages
};

/// Of `work`; of one of its kernels alone, where `kernel` is given.
Traffic traffic_of(const std::function<void()>& work, const std::string& kernel = "") {
  constexpr int kWide = 16;
  kernels::cuda::synchronize();
  cudasim::record_traffic(true);
  work();
  Traffic traffic;
  for (const cudasim::LineTraffic& line : cudasim::traffic_of(kernel)) {
    const bool shared = line.space == cudasim::Space::shared;
    Access& access = shared ? traffic.shared : line.write ? traffic.written : traffic.read;
    access.least += static_cast<double>(line.least);
    access.transactions += static_cast<double>(line.transactions);
    if (shared && line.width == kWide) {
      traffic.wide_shared.least += static_cast<double>(line.least);
      traffic.wide_shared.transactions += static_cast<double>(line.transactions);
    }
    if (!shared && line.width == kWide) {
      (line.write ? traffic.wide_written : traffic.wide_read) += 32 * static_cast<double>(line.least);
    }
  }
  traffic.lines = cudasim::traffic_table(kernel);
  cudasim::record_traffic(false);
  return traffic;
}

class GpuTraffic : public GpuTest {
 protected:
  void SetUp() override {
    GpuTest::SetUp();
    if (!cudasim::check_build()) {
      GTEST_SKIP() << "accesses are counted by the checking build alone";
    }
    if (cudasim::config().order != cudasim::Order::forward) {
      GTEST_SKIP() << "what a warp asks for depends on no order of threads";
    }
  }
};

Tensor on_gpu(const Shape& shape, Domain domain = Domain::normal, std::uint64_t stream = 0, DType dtype = DType::f32) {
  return draw(shape, domain, dtype, 5, stream).to(kGpu);
}

double bytes(std::initializer_list<Tensor> tensors) {
  double total = 0;
  for (const Tensor& t : tensors) {
    total += static_cast<double>(t.bytes());
  }
  return total;
}

/// `asked`: bytes that have to be requested; `slack`: how much more may be.
void expect_moved(const Access& access, double asked, double slack, const char* what, const std::string& lines) {
  EXPECT_GE(access.asked(), asked) << what << '\n' << lines;
  EXPECT_LE(access.asked(), asked * (1 + slack)) << what << '\n' << lines;
  EXPECT_LE(access.moved(), asked * (1 + 2 * slack)) << what << ": sectors are not used whole\n" << lines;
}

kernels::AttentionForward attention(const Shape& shape, DType maps = DType::f32) {
  const std::int64_t channels = shape[3];
  const Tensor x = on_gpu(shape, Domain::normal, 0, maps);
  return {.x = x,
          .w_spectral = on_gpu({channels, shape[2]}, Domain::normal, 1),
          .w_temporal = on_gpu({channels, shape[1]}, Domain::normal, 2),
          .out = empty_like(x),
          .spectral = Tensor({shape[0], shape[1], channels}, DType::f32, kGpu),
          .temporal = Tensor({shape[0], shape[2], channels}, DType::f32, kGpu)};
}

/// Slabs are moved without bank conflicts: only what a thread has of a bf16 column or row itself, once, meets
/// another's, 1.3 and 2.1 % more in the two passes. A softmax has its channel's values 8 floats apart, 16 in bf16: the
/// 4.8 and 8.8 passes of each of its accesses are what makes `allowed` times the least of all, here where a channel has
/// 32 + 48 values.
void expect_few_bank_conflicts(const Traffic& t, double allowed) {
  EXPECT_GT(t.wide_shared.least, 0) << t.lines;
  EXPECT_LE(t.wide_shared.transactions, 1.03 * t.wide_shared.least) << t.lines;
  EXPECT_LE(t.shared.transactions, allowed * t.shared.least) << t.lines;
}

/// In bf16 a slab is as many elements: what belongs to its rows and columns is the larger share of fewer bytes.
TEST_F(GpuTraffic, AttentionReadsItsInputOnce) {
  for (const DType maps : {DType::f32, DType::bf16}) {
    const kernels::AttentionForward a = attention({1, 32, 48, 16}, maps);
    const Traffic t = traffic_of([&] { kernels::spectral_temporal_attention_forward(a); });
    EXPECT_EQ(t.wide_read, bytes({a.x})) << t.lines;
    expect_moved(t.read, bytes({a.x}), maps == DType::f32 ? 0.1 : 0.25, "read", t.lines);
    expect_moved(t.written, bytes({a.out, a.spectral, a.temporal}), 0.01, "written", t.lines);
    expect_few_bank_conflicts(t, maps == DType::f32 ? 1.25 : 1.5);
  }
}

TEST_F(GpuTraffic, AttentionsGradientReadsDoutThreeTimes) {
  for (const DType maps : {DType::f32, DType::bf16}) {
    const kernels::AttentionForward f = attention({1, 32, 48, 16}, maps);
    kernels::spectral_temporal_attention_forward(f);
    const kernels::AttentionBackward b{.forward = f,
                                       .dout = on_gpu(f.x.shape(), Domain::normal, 3, maps),
                                       .dx = empty_like(f.x),
                                       .dw_spectral = empty_like(f.w_spectral),
                                       .dw_temporal = empty_like(f.w_temporal)};
    const Traffic t = traffic_of([&] { kernels::spectral_temporal_attention_backward(b); });
    EXPECT_EQ(t.wide_read, bytes({f.x, b.dout, b.dout, b.dout})) << t.lines;
    EXPECT_GE(t.wide_written, bytes({b.dx})) << t.lines;
    expect_moved(t.read, bytes({f.x, b.dout, b.dout, b.dout}), maps == DType::f32 ? 0.1 : 0.25, "read", t.lines);
    if (maps == DType::f32) {
      expect_moved(t.written, bytes({b.dx}), 0.15, "written", t.lines);
    }
    expect_few_bank_conflicts(t, 1.25);
  }
}

/// Each of the tiles of 64 anchors meets each of the tiles of 64 keys; embeddings come from L2 as often.
TEST_F(GpuTraffic, NtXentReadsEachEmbeddingOncePerTile) {
  const Tensor z = on_gpu({128, 64}, Domain::unit_rows);
  const Tensor scalar({}, DType::f32, kGpu);
  const kernels::NtXent f{.anchors = z,
                          .keys = z,
                          .loss = scalar,
                          .top1 = empty_like(scalar),
                          .logsumexp = Tensor({128}, DType::f32, kGpu)};
  const Traffic forward = traffic_of([&] { kernels::nt_xent(f); }, "nt_xent_kernel");
  constexpr double kTiles = 2;
  EXPECT_EQ(forward.wide_read, kTiles * bytes({z, z})) << forward.lines;
  EXPECT_EQ(forward.read.asked(), forward.wide_read) << forward.lines;
  EXPECT_EQ(forward.read.transactions, forward.read.least) << forward.lines;
  EXPECT_LE(forward.shared.transactions, 1.05 * forward.shared.least) << forward.lines;

  const kernels::NtXentBackward b{f, Tensor::full({}, 1, DType::f32, kGpu), empty_like(z), empty_like(z)};
  const Traffic backward = traffic_of([&] { kernels::nt_xent_backward(b); });
  // For either side's gradient the products again, then the other side's embeddings; and its two parts are added up.
  expect_moved(backward.read, 2 * kTiles * bytes({z, z, z}) + 2 * 2 * bytes({z}), 0.15, "read", backward.lines);
  expect_moved(backward.written, 2 * 2 * bytes({z}) + 2 * bytes({z}), 0.01, "written", backward.lines);
  EXPECT_LE(backward.shared.transactions, 1.05 * backward.shared.least) << backward.lines;
}

TEST_F(GpuTraffic, AdamReadsAndWritesEachParameterOnce) {
  std::vector<kernels::AdamParameter> parameters;
  for (const std::int64_t size : {4096, 1000, 6000}) {
    const Tensor value = on_gpu({size});
    parameters.push_back({value, on_gpu({size}, Domain::normal, 1), Tensor::zeros({size}, DType::f32, kGpu),
                          Tensor::zeros({size}, DType::f32, kGpu)});
  }
  const Traffic t = traffic_of([&] { kernels::adam_step(parameters, {}); });
  const double count = 4096 + 1000 + 6000;
  EXPECT_EQ(t.read.asked(), 16 * count) << t.lines;
  EXPECT_EQ(t.written.asked(), 12 * count) << t.lines;
  EXPECT_EQ(t.read.transactions, t.read.least) << t.lines;
  EXPECT_EQ(t.written.transactions, t.written.least) << t.lines;
}

TEST_F(GpuTraffic, LambReadsEachParameterTwice) {
  std::vector<kernels::AdamParameter> layers;
  for (const std::int64_t size : {4096, 1000, 6000}) {
    const Tensor value = on_gpu({size});
    layers.push_back({value, on_gpu({size}, Domain::normal, 1), Tensor::zeros({size}, DType::f32, kGpu),
                      Tensor::zeros({size}, DType::f32, kGpu)});
  }
  const Traffic t = traffic_of([&] { kernels::lamb_step(layers, {}); });
  const double count = 4096 + 1000 + 6000;
  EXPECT_EQ(t.wide_read, (16 + 12) * count) << "all four arrays, then all but the gradient\n" << t.lines;
  EXPECT_EQ(t.wide_written, (8 + 4) * count) << t.lines;
  EXPECT_LE(t.read.moved(), 1.1 * t.wide_read) << t.lines;
}

TEST_F(GpuTraffic, ColumnSumsReadTheirInputOnce) {
  const Tensor x = on_gpu({3000, 32});
  const Tensor out({32}, DType::f32, kGpu);
  const Traffic t = traffic_of([&] { kernels::sum(x, out); });
  expect_moved(t.read, bytes({x}), 0.1, "read", t.lines);
  EXPECT_EQ(t.shared.transactions, t.shared.least) << t.lines;
}

/// What a thread reads of its channels comes on top: little, once it has more than a few rows.
/// All of `maps` in requests of 16 bytes, and up to `vectors` more of them a thread for what belongs to its channels:
/// here a thread has 8 rows, in training more. They are in cache, and no sector of them is in vain.
void expect_wide_pass(const Traffic& t, double maps, double vectors) {
  constexpr double kRows = 8;
  EXPECT_GT(t.wide_read, maps) << t.lines;
  EXPECT_LE(t.wide_read, maps * (1 + vectors / kRows)) << t.lines;
}

TEST_F(GpuTraffic, BatchNormalisationReadsXOnceAPass) {
  for (const DType maps : {DType::f32, DType::bf16}) {
    // As many vectors of 16 bytes in either type: of bf16 twice as many channels.
    const std::int64_t count = maps == DType::f32 ? 32 : 64;
    const double width = maps == DType::f32 ? 1 : 2;  // vectors of floats that belong to one of a map
    const Tensor x = on_gpu({1, 16, 24, count}, Domain::normal, 0, maps);
    const auto channels = [&](std::uint64_t stream) { return on_gpu({count}, Domain::positive, stream); };
    kernels::BatchNormStatistics s;
    s.x = x;
    s.mean = channels(1);
    s.inverse_deviation = channels(2);
    const Traffic statistics = traffic_of([&] { kernels::batch_norm_statistics(s); });
    expect_wide_pass(statistics, bytes({x}), width);
    EXPECT_EQ(statistics.shared.transactions, statistics.shared.least) << statistics.lines;

    const kernels::BatchNormForward f{.x = x,
                                      .mean = s.mean,
                                      .inverse_deviation = s.inverse_deviation,
                                      .gamma = channels(3),
                                      .beta = channels(4),
                                      .relu = true,
                                      .out = empty_like(x)};
    const Traffic forward = traffic_of([&] { kernels::batch_norm_forward(f); });
    expect_wide_pass(forward, bytes({x}), 4 * width);
    EXPECT_EQ(forward.wide_written, bytes({x})) << forward.lines;
    EXPECT_EQ(forward.written.moved(), bytes({x})) << forward.lines;

    const Tensor dout = on_gpu(x.shape(), Domain::normal, 5, maps);
    const kernels::BatchNormBackward b{
        .forward = f, .dout = dout, .dx = empty_like(x), .dgamma = empty_like(f.gamma), .dbeta = empty_like(f.beta)};
    const Traffic backward = traffic_of([&] { kernels::batch_norm_backward(b); });
    expect_wide_pass(backward, 2 * bytes({x, dout}), (5 + 8) * width);
    EXPECT_EQ(backward.wide_written, bytes({x})) << backward.lines;
    EXPECT_EQ(backward.shared.transactions, backward.shared.least) << backward.lines;
  }
}

TEST_F(GpuTraffic, LayerNormalisationReadsItsMapsTwice) {
  constexpr double kRows = 8;  // samples of a thread
  for (const DType maps : {DType::f32, DType::bf16}) {
    const std::int64_t size = maps == DType::f32 ? 512 : 1024;
    const double width = maps == DType::f32 ? 1 : 2;  // vectors of floats that belong to one of a map
    const Tensor x = on_gpu({64, size}, Domain::normal, 0, maps);
    const Tensor gamma = on_gpu({size}, Domain::positive, 1);
    const kernels::LayerNormForward f{.x = x,
                                      .gamma = gamma,
                                      .beta = gamma,
                                      .elu = true,
                                      .out = empty_like(x),
                                      .mean = Tensor({64}, DType::f32, kGpu),
                                      .inverse_deviation = Tensor({64}, DType::f32, kGpu)};
    const Traffic forward = traffic_of([&] { kernels::layer_norm_forward(f); });
    EXPECT_EQ(forward.wide_read, bytes({x}) * (2 + 2 * width / kRows)) << forward.lines;
    EXPECT_EQ(forward.wide_written, bytes({x})) << forward.lines;

    const kernels::LayerNormBackward b{.forward = f,
                                       .dout = on_gpu(x.shape(), Domain::normal, 5, maps),
                                       .dx = empty_like(x),
                                       .dgamma = empty_like(gamma),
                                       .dbeta = empty_like(gamma)};
    const Traffic backward = traffic_of([&] { kernels::layer_norm_backward(b); });
    // The gains again for each sample in the first pass, from L2: 32 bytes of them beside 16 of a map in bf16, which
    // g++, unlike nvcc, copies byte by byte.
    const double gains = maps == DType::f32 ? width : 0;
    EXPECT_EQ(backward.wide_read, bytes({x}) * (4 + gains + width / kRows)) << backward.lines;
    EXPECT_EQ(backward.wide_written, bytes({x})) << backward.lines;
    EXPECT_EQ(backward.shared.transactions, backward.shared.least) << backward.lines;
  }
}

/// A convolution's bias and ReLU, and the bias's gradient.
TEST_F(GpuTraffic, ConvolutionsEpiloguesReadTheirMapOnce) {
  for (const DType maps : {DType::f32, DType::bf16}) {
    const std::int64_t count = maps == DType::f32 ? 32 : 64;
    const Tensor out = on_gpu({1, 16, 24, count}, Domain::normal, 0, maps);
    const Tensor add = on_gpu(out.shape(), Domain::normal, 1, maps);
    const Tensor bias = on_gpu({count}, Domain::normal, 2, maps);
    const Traffic epilogue = traffic_of([&] { kernels::cuda::conv_epilogue(out, bias, add, true); });
    expect_wide_pass(epilogue, bytes({out, add}), 0.5);  // a vector of bias beside one of each map
    EXPECT_EQ(epilogue.wide_written, bytes({out})) << epilogue.lines;
    EXPECT_EQ(epilogue.written.moved(), bytes({out})) << epilogue.lines;
    const Traffic gradient = traffic_of([&] { kernels::cuda::conv_bias_gradient(out, bias); }, "channel_sums_kernel");
    EXPECT_EQ(gradient.wide_read, bytes({out})) << gradient.lines;
    EXPECT_EQ(gradient.read.transactions, gradient.read.least) << gradient.lines;
    EXPECT_EQ(gradient.shared.transactions, gradient.shared.least) << gradient.lines;
  }
}

/// 64 samples, 64 inputs and 32 outputs of each group are one tile, two slices deep.
TEST_F(GpuTraffic, TheGroupedHeadReadsItsOperandsOnceATile) {
  const kernels::GroupedLinear f{.x = on_gpu({64, 3, 64}),
                                 .w = on_gpu({3, 32, 64}, Domain::normal, 1),
                                 .b = on_gpu({3, 32}, Domain::normal, 2),
                                 .out = Tensor({64, 3, 32}, DType::f32, kGpu),
                                 .activation = kernels::Activation::elu};
  const Traffic forward = traffic_of([&] { kernels::grouped_linear(f); });
  EXPECT_EQ(forward.wide_read, bytes({f.x, f.w})) << forward.lines;
  EXPECT_EQ(forward.wide_written, bytes({f.out})) << forward.lines;
  expect_moved(forward.read, bytes({f.x, f.w}), 0.2, "read", forward.lines);  // each thread its biases, from L1
  EXPECT_LE(forward.shared.transactions, 1.05 * forward.shared.least) << forward.lines;

  const kernels::GroupedLinearBackward b{.forward = f,
                                         .dout = on_gpu(f.out.shape(), Domain::normal, 3),
                                         .dx = empty_like(f.x),
                                         .dw = empty_like(f.w),
                                         .db = empty_like(f.b)};
  const Traffic backward = traffic_of([&] { kernels::grouped_linear_backward(b); }, "grouped_product_kernel");
  // Two products: of dz and x over the samples, where x's 64 inputs are two tiles of columns; of dz and w, likewise.
  const Tensor& dz = b.dout;
  EXPECT_EQ(backward.wide_read, bytes({dz, dz, f.x, dz, dz, f.w})) << backward.lines;
  EXPECT_EQ(backward.read.transactions, backward.read.least) << backward.lines;
  EXPECT_EQ(backward.wide_written, bytes({b.dx, b.dw})) << backward.lines;
  EXPECT_LE(backward.shared.transactions, 1.05 * backward.shared.least) << backward.lines;
}

/// A block holds 32 queries; it reads them again for every 128 rows, out of L1.
TEST_F(GpuTraffic, TheScanReadsTheDatabaseOnceForThirtyTwoQueries) {
  const Tensor rows = on_gpu({2048, 128}, Domain::unit_rows);
  const Tensor queries = on_gpu({32, 128}, Domain::unit_rows, 1);
  const kernels::InnerProductTopK args{.queries = queries,
                                       .stored = {rows, {}},
                                       .scores = Tensor({32, 4}, DType::f32, kGpu),
                                       .indices = Tensor({32, 4}, DType::i64, kGpu)};
  kernels::topk_begin(args);
  const Traffic t = traffic_of([&] { kernels::inner_product_topk(args); });
  const double again = bytes({queries}) * (2048 / 128);
  expect_moved(t.read, bytes({rows}) + again, 0.15, "read", t.lines);
  EXPECT_LE(t.shared.transactions, 1.05 * t.shared.least) << t.lines;
}

/// The counting itself: a row of a tall matrix read column by column would be eight times the sectors.
TEST_F(GpuTraffic, UnalignedOperandsCostASectorMore) {
  const Tensor x = on_gpu({1025});
  const Tensor out({1024}, DType::f32, kGpu);
  const Traffic aligned = traffic_of([&] {
    kernels::residual_relu_forward({x.slice(0, 1024), x.slice(0, 1024), out});
  });
  const Traffic shifted = traffic_of([&] {
    kernels::residual_relu_forward({x.slice(1, 1025), x.slice(1, 1025), out});
  });
  EXPECT_EQ(aligned.read.least, shifted.read.least);
  EXPECT_EQ(aligned.read.transactions, aligned.read.least) << aligned.lines;
  EXPECT_GT(shifted.read.transactions, shifted.read.least) << shifted.lines;
}

}  // namespace
}  // namespace earmark::testing
