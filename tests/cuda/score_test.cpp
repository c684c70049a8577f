// Sequence scores: the CPU's, for starts on either side of the track and every type of row.
#include "kernels/score.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "tests/cuda/gpu.h"
#include "tests/op_cases.h"

namespace earmark::testing {
namespace {

using kernels::SequenceScore;
using kernels::StoredRows;

class GpuScore : public GpuTest {};

/// Scores of all starts from -15 to beyond the last row, of the query that `queries` have from row 2 on, computed where
/// they are; the places stay on the host.
Tensor score(const Tensor& queries, const StoredRows& stored, std::int64_t begin, std::int64_t end, int ratio,
             int min_overlap) {
  std::vector<std::int64_t> starts;
  for (std::int64_t s = -15; s < (stored.rows.dim(0) + 4) * ratio; ++s) {
    starts.push_back(s);
  }
  const auto count = static_cast<std::int64_t>(starts.size());
  const Tensor scores({count}, DType::f32, queries.device());
  kernels::sequence_score(
      {queries, stored, Tensor::full({count}, 2, DType::i64),
       Tensor::full({count}, static_cast<double>(queries.dim(0)), DType::i64, queries.device()),
       Tensor::from<std::int64_t>({count}, starts), Tensor::full({count}, static_cast<double>(begin), DType::i64),
       Tensor::full({count}, static_cast<double>(end), DType::i64, queries.device()), ratio, min_overlap, scores});
  return scores.to(Device{});
}

TEST_F(GpuScore, ScoresAreTheCpus) {
  for (const std::int64_t d : {1, 13, 128}) {
    const Tensor rows = draw({40, d}, Domain::normal, DType::f32, 1);
    const Tensor queries = draw({11, d}, Domain::normal, DType::f32, 2);
    for (const DType dtype : {DType::f32, DType::f16, DType::i8}) {
      const StoredRows stored{Tensor(rows.shape(), dtype), dtype == DType::i8 ? Tensor({d == 13 ? 1 : 40}) : Tensor()};
      kernels::narrow_rows(rows, stored);
      const StoredRows there{stored.rows.to(kGpu), stored.scales ? stored.scales.to(kGpu) : Tensor()};
      for (const int ratio : {1, 3}) {
        const Tensor want = score(queries, stored, 5, 30, ratio, 2);
        const Tensor got = score(queries.to(kGpu), there, 5, 30, ratio, 2);
        for (std::int64_t c = 0; c < want.numel(); ++c) {
          const float expected = want.data<float>()[c];
          const float value = got.data<float>()[c];
          EXPECT_TRUE(value == expected || std::abs(value - expected) < 2e-5F)
              << "dimension " << d << ", ratio " << ratio << ", candidate " << c << ": " << value << ", expected "
              << expected;
        }
      }
    }
  }
}

TEST_F(GpuScore, RefusesTracksOutsideAndTakesNoCandidates) {
  const Tensor rows = draw({10, 4}, Domain::normal, DType::f32, 1).to(kGpu);
  EXPECT_THROW(score(rows, {rows, {}}, 0, 11, 1, 1), Error);
  const Tensor none({0}, DType::i64, kGpu);
  kernels::sequence_score({rows, {rows, {}}, none, none, none, none, none, 1, 1, Tensor({0}, DType::f32, kGpu)});
}

}  // namespace
}  // namespace earmark::testing
