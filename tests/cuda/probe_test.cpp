// Probe sequences: the CPU's, bucket by bucket, ties and the end of all buckets included.
#include "kernels/probe.h"

#include <gtest/gtest.h>

#include "tests/cuda/gpu.h"
#include "tests/op_cases.h"

namespace earmark::testing {
namespace {

using kernels::HashFamily;
using kernels::make_hash_family;

class GpuProbe : public GpuTest {};

void expect_same_sequence(const Tensor& queries, const HashFamily& family, std::int64_t probes) {
  const Shape shape{queries.dim(0), probes};
  const Tensor tables(shape, DType::i32);
  const Tensor buckets(shape, DType::i32);
  kernels::probe_sequence({queries, &family, tables, buckets});
  const Tensor tables_there(shape, DType::i32, kGpu);
  const Tensor buckets_there(shape, DType::i32, kGpu);
  kernels::probe_sequence({queries.to(kGpu), &family, tables_there, buckets_there});
  const Tensor tables_back = tables_there.to(Device{});
  const Tensor buckets_back = buckets_there.to(Device{});
  for (std::int64_t i = 0; i < tables.numel(); ++i) {
    ASSERT_EQ(tables_back.data<std::int32_t>()[i], tables.data<std::int32_t>()[i])
        << queries.shape() << ", query " << i / probes << ", probe " << i % probes;
    ASSERT_EQ(buckets_back.data<std::int32_t>()[i], buckets.data<std::int32_t>()[i])
        << queries.shape() << ", query " << i / probes << ", probe " << i % probes;
  }
}

TEST_F(GpuProbe, SequencesAreTheCpus) {
  for (const std::int64_t d : {1, 6, 33, 64, 100, 128, 200, 400}) {
    for (const int rotations : {1, 2}) {
      const HashFamily family = make_hash_family(d, 3, d == 1 ? 5 : 13, rotations, 7);
      expect_same_sequence(draw({3, d}, Domain::unit_rows, DType::f32, 3), family, 60);
    }
  }
}

TEST_F(GpuProbe, ManyTablesOfOneFunctionOrSeveral) {
  const Tensor queries = draw({2, 128}, Domain::unit_rows, DType::f32, 4);
  expect_same_sequence(queries, make_hash_family(128, 50, 18, 1, 1), 150);
  expect_same_sequence(queries, make_hash_family(128, 5, 8, 1, 1), 200);
  expect_same_sequence(queries, make_hash_family(128, 5, 18, 1, 1), 5);  // the home buckets alone
}

/// Equal losses: the frontier of the moment decides, then table and bucket.
TEST_F(GpuProbe, TiesFallAsOnTheCpu) {
  for (const std::int64_t d : {2, 8, 16}) {
    for (const Domain domain : {Domain::ties, Domain::zeros}) {
      expect_same_sequence(draw({3, d}, domain, DType::f32, 5), make_hash_family(d, 3, 7, 1, 9), 100);
    }
  }
}

TEST_F(GpuProbe, EndsWhereThereAreNoMoreBuckets) {
  expect_same_sequence(draw({2, 2}, Domain::normal, DType::f32, 2), make_hash_family(2, 2, 3, 1, 5), 20);
  expect_same_sequence(draw({1, 8}, Domain::normal, DType::f32, 2), make_hash_family(8, 2, 7, 1, 5), 260);
}

/// 512 coordinates have 1024 vertices, of which 256 are considered.
TEST_F(GpuProbe, VerticesBeyondTheFirst256AreLeftOut) {
  expect_same_sequence(draw({1, 512}, Domain::unit_rows, DType::f32, 2), make_hash_family(512, 1, 10, 1, 5), 300);
}

TEST_F(GpuProbe, NoQueriesAndImpossibleOnes) {
  const HashFamily family = make_hash_family(8, 2, 7, 1, 5);
  const Tensor none({0, 4}, DType::i32, kGpu);
  kernels::probe_sequence({Tensor({0, 8}, DType::f32, kGpu), &family, none, none});
  const Tensor here({1, 4}, DType::i32);
  EXPECT_THROW(kernels::probe_sequence({Tensor::zeros({1, 8}, DType::f32, kGpu), &family, here, here}), Error);
}

}  // namespace
}  // namespace earmark::testing
