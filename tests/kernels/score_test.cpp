#include "kernels/score.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "kernels/error.h"
#include "tests/op_cases.h"

namespace earmark::kernels {
namespace {

using testing::Domain;
using testing::draw;

using Numbers = std::vector<std::int64_t>;

std::vector<float> score(const Tensor& queries, const StoredRows& stored, const Numbers& starts, std::int64_t begin,
                         std::int64_t end, int ratio, int min_overlap = 1) {
  const auto count = static_cast<std::int64_t>(starts.size());
  const Numbers begins(starts.size(), begin);
  const Numbers ends(starts.size(), end);
  SequenceScore args{queries,
                     stored,
                     Tensor::zeros({count}, DType::i64),
                     Tensor::full({count}, static_cast<double>(queries.dim(0)), DType::i64),
                     Tensor::from<std::int64_t>({count}, starts),
                     Tensor::from<std::int64_t>({count}, begins),
                     Tensor::from<std::int64_t>({count}, ends),
                     ratio,
                     min_overlap,
                     Tensor({count})};
  sequence_score(args);
  const auto scores = args.scores.values<float>();
  return {scores.begin(), scores.end()};
}

double reference_score(const Tensor& queries, const Tensor& rows, std::int64_t start, std::int64_t begin,
                       std::int64_t end, int ratio, int min_overlap) {
  const std::int64_t d = rows.dim(1);
  double sum = 0;
  int count = 0;
  for (std::int64_t i = 0; i < queries.dim(0); ++i) {
    const std::int64_t place = start + i;
    if (((place % ratio) + ratio) % ratio != 0) {
      continue;
    }
    const auto row = static_cast<std::int64_t>(std::floor(static_cast<double>(place) / ratio));
    if (row < begin || row >= end) {
      continue;
    }
    for (std::int64_t j = 0; j < d; ++j) {
      sum +=
          static_cast<double>(queries.data<float>()[i * d + j]) * static_cast<double>(rows.data<float>()[row * d + j]);
    }
    ++count;
  }
  return count < min_overlap || count == 0 ? -std::numeric_limits<double>::infinity() : sum / count;
}

TEST(SequenceScoreTest, AgreesWithDefinition) {
  const Tensor rows = draw({40, 13}, Domain::normal, DType::f32, 1);
  for (const DType dtype : {DType::f32, DType::f16, DType::i8}) {
    StoredRows stored{Tensor(rows.shape(), dtype), dtype == DType::i8 ? Tensor({40}) : Tensor()};
    narrow_rows(rows, stored);
    Tensor wide(rows.shape());
    widen_rows(stored, 0, 40, wide);
    for (const int ratio : {1, 2, 3}) {
      const Tensor queries = draw({11, 13}, Domain::normal, DType::f32, 2);
      Numbers starts;
      for (std::int64_t s = -15; s < 45 * ratio; ++s) {
        starts.push_back(s);
      }
      const std::vector<float> scores = score(queries, stored, starts, 5, 30, ratio, 2);
      for (std::size_t i = 0; i < starts.size(); ++i) {
        const double expected = reference_score(queries, wide, starts[i], 5, 30, ratio, 2);
        if (std::isinf(expected)) {
          EXPECT_EQ(scores[i], expected) << "start " << starts[i] << " ratio " << ratio;
        } else {
          EXPECT_NEAR(scores[i], expected, 1e-4) << "start " << starts[i] << " ratio " << ratio;
        }
      }
    }
  }
}

TEST(SequenceScoreTest, QueriesOfOneCallAreScoredAsEachByItself) {
  const StoredRows stored{draw({40, 13}, Domain::normal, DType::f32, 1), {}};
  const Tensor queries = draw({11, 13}, Domain::normal, DType::f32, 2);
  const Numbers query_begins{0, 3, 3, 10};
  const Numbers query_ends{5, 11, 9, 11};
  const Numbers starts{-2, 20, 61, 31};
  const SequenceScore args{queries,
                           stored,
                           Tensor::from<std::int64_t>({4}, query_begins),
                           Tensor::from<std::int64_t>({4}, query_ends),
                           Tensor::from<std::int64_t>({4}, starts),
                           Tensor::zeros({4}, DType::i64),
                           Tensor::full({4}, 40, DType::i64),
                           2,
                           1,
                           Tensor({4})};
  sequence_score(args);
  for (std::size_t c = 0; c < starts.size(); ++c) {
    const Tensor own = queries.slice(query_begins[c], query_ends[c]);
    EXPECT_EQ(args.scores.values<float>()[c], score(own, stored, {starts[c]}, 0, 40, 2).front()) << c;
  }
}

TEST(SequenceScoreTest, RefusesTracksAndQueriesOutside) {
  const StoredRows stored{draw({10, 4}, Domain::normal, DType::f32, 1), {}};
  EXPECT_THROW(score(draw({3, 4}, Domain::normal, DType::f32, 2), stored, {0}, 0, 11, 1), Error);
  EXPECT_THROW(score(draw({3, 5}, Domain::normal, DType::f32, 2), stored, {0}, 0, 10, 1), Error);
  const Tensor one = Tensor::zeros({1}, DType::i64);
  const Tensor ten = Tensor::full({1}, 10, DType::i64);
  EXPECT_THROW(sequence_score({draw({3, 4}, Domain::normal, DType::f32, 2), stored, one, ten, one, one, ten, 1, 1,
                               Tensor(Shape{1})}),
               Error);
}

}  // namespace
}  // namespace earmark::kernels
