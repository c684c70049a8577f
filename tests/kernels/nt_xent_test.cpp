#include "kernels/nt_xent.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "tests/op_cases.h"

namespace earmark::kernels {
namespace {

using testing::Domain;
using testing::draw;

NtXent run_nt_xent(const Tensor& anchors, const Tensor& keys, std::int64_t offset, double temperature) {
  const DType dtype = anchors.dtype();
  const NtXent a{.anchors = anchors,
                 .keys = keys,
                 .offset = offset,
                 .temperature = temperature,
                 .loss = Tensor({}, dtype),
                 .top1 = Tensor({}, dtype),
                 .logsumexp = Tensor({anchors.dim(0)}, dtype)};
  nt_xent(a);
  return a;
}

NtXent run_nt_xent(const Tensor& views, double temperature) { return run_nt_xent(views, views, 0, temperature); }

/// Row i is the unit vector of axis which[i].
Tensor axes(const std::vector<int>& which, std::int64_t d, DType dtype) {
  const Tensor t = Tensor::zeros({static_cast<std::int64_t>(which.size()), d}, DType::f64);
  for (std::size_t i = 0; i < which.size(); ++i) {
    t.mutable_data<double>()[static_cast<std::int64_t>(i) * d + which[i]] = 1;
  }
  return t.to(dtype);
}

/// Loss and gradient by the definition, with the whole matrix of similarities, in double.
struct PlainNtXent {
  double loss = 0;
  std::vector<double> gradient;  // of every number of the views
};
PlainNtXent plain_nt_xent(const Tensor& views, double temperature) {
  const Tensor z = views.to(DType::f64);
  const std::int64_t n = z.dim(0);
  const std::int64_t d = z.dim(1);
  const auto row = [&](std::int64_t i) { return z.data<double>() + i * d; };
  PlainNtXent out{0, std::vector<double>(static_cast<std::size_t>(n * d))};
  for (std::int64_t i = 0; i < n; ++i) {
    const std::int64_t positive = (i + n / 2) % n;
    std::vector<double> similarity(static_cast<std::size_t>(n));
    double highest = -1e300;
    for (std::int64_t j = 0; j < n; ++j) {
      similarity[static_cast<std::size_t>(j)] = std::inner_product(row(i), row(i) + d, row(j), 0.0) / temperature;
      highest = j == i ? highest : std::max(highest, similarity[static_cast<std::size_t>(j)]);
    }
    double denominator = 0;
    for (std::int64_t j = 0; j < n; ++j) {
      denominator += j == i ? 0 : std::exp(similarity[static_cast<std::size_t>(j)] - highest);
    }
    out.loss +=
        (highest + std::log(denominator) - similarity[static_cast<std::size_t>(positive)]) / static_cast<double>(n);
    for (std::int64_t j = 0; j < n; ++j) {
      const double softmax = j == i ? 0 : std::exp(similarity[static_cast<std::size_t>(j)] - highest) / denominator;
      const double slope = (softmax - (j == positive ? 1 : 0)) / (temperature * static_cast<double>(n));
      for (std::int64_t k = 0; k < d; ++k) {
        out.gradient[static_cast<std::size_t>(i * d + k)] += slope * row(j)[k];
        out.gradient[static_cast<std::size_t>(j * d + k)] += slope * row(i)[k];
      }
    }
  }
  return out;
}

class AnyType : public ::testing::TestWithParam<DType> {};
INSTANTIATE_TEST_SUITE_P(Types, AnyType, ::testing::Values(DType::f32, DType::f64),
                         [](const auto& p) { return std::string(name_of(p.param)); });

TEST_P(AnyType, IdenticalEmbeddingsLoseLogOfTheOthersAtAnyTemperature) {
  for (const int n : {2, 6, 40, 600}) {
    for (const double temperature : {0.01, 0.1, 1.0}) {
      const NtXent a = run_nt_xent(axes(std::vector<int>(static_cast<std::size_t>(n), 1), 3, GetParam()), temperature);
      EXPECT_NEAR(a.loss.item(), std::log(n - 1.0), 2e-5) << n << " at " << temperature;
      EXPECT_EQ(a.top1.item(), n == 2 ? 1 : 0) << "a tie is no answer";
    }
  }
}

TEST_P(AnyType, PerfectPairsOfOrthogonalVectors) {
  // Positive at similarity 1, 2P - 2 others at 0: loss = log(1 + (2P - 2) exp(-1 / tau)).
  const NtXent a = run_nt_xent(axes({0, 1, 2, 0, 1, 2}, 3, GetParam()), 0.5);
  EXPECT_NEAR(a.loss.item(), std::log(1 + 4 * std::exp(-2.0)), 1e-6);
  EXPECT_EQ(a.top1.item(), 1);
}

TEST_P(AnyType, WrongPairsAtTheColdestTemperature) {
  // Each positive is orthogonal and one negative identical: the loss is 1 / tau = 100 and must not overflow.
  const NtXent a = run_nt_xent(axes({0, 0, 1, 1}, 2, GetParam()), 0.01);
  EXPECT_NEAR(a.loss.item(), 100, 1e-4);
  EXPECT_EQ(a.top1.item(), 0);
}

TEST(NtXent, MatchesTheDefinitionAcrossTiles) {
  for (const std::int64_t rows : {2, 10, 66, 514}) {
    const Tensor views = draw({rows, 17}, Domain::unit_rows, DType::f64, 4);
    EXPECT_NEAR(run_nt_xent(views, 0.1).loss.item(), plain_nt_xent(views, 0.1).loss, 1e-11) << rows;
    EXPECT_NEAR(run_nt_xent(views.to(DType::f32), 0.1).loss.item(), plain_nt_xent(views, 0.1).loss, 3e-6) << rows;
  }
}

TEST(NtXent, CountsPositivesThatAreNearest) {
  // Pairs (0, 3), (1, 4), (2, 5); the second view of the last pair sits on the first pair's axis.
  const NtXent a = run_nt_xent(axes({0, 1, 2, 0, 1, 0}, 3, DType::f64), 0.1);
  // Anchors 1 and 4 find each other; 0, 3 and 5 tie or miss; 2 sees its positive at 0 like all others: a tie.
  EXPECT_NEAR(a.top1.item(), 2.0 / 6, 1e-12);
}

/// Ranks of P pairs each: the gathered keys, and each rank's anchors as a slice of them.
struct Ranks {
  std::int64_t count;
  std::int64_t anchors;
  Tensor keys;

  Tensor of(std::int64_t rank) const { return keys.slice(rank * anchors, (rank + 1) * anchors); }
};

/// The same views in the order of one device: all first views, then all second views. to[i] is key i's place.
Tensor on_one_device(const Ranks& r, std::vector<std::int64_t>& to) {
  const Tensor out = empty_like(r.keys);
  const std::int64_t pairs = r.anchors / 2;
  const std::int64_t d = r.keys.dim(1);
  for (std::int64_t i = 0; i < r.keys.dim(0); ++i) {
    const std::int64_t view = i % r.anchors / pairs;
    to.push_back(view * r.count * pairs + i / r.anchors * pairs + i % pairs);
    std::copy_n(r.keys.data<double>() + i * d, d, out.mutable_data<double>() + to.back() * d);
  }
  return out;
}

TEST(NtXent, RanksTogetherAreOneDevice) {
  const Ranks ranks{3, 8, draw({24, 5}, Domain::unit_rows, DType::f64, 6)};
  std::vector<std::int64_t> to;
  const Tensor whole = on_one_device(ranks, to);
  const Tensor one = Tensor::full({}, 1, DType::f64);
  const NtXentBackward want{run_nt_xent(whole, 0.2), one, empty_like(whole), empty_like(whole)};
  nt_xent_backward(want);

  const Tensor gradient = Tensor::zeros(ranks.keys.shape(), DType::f64);
  double loss = 0;
  double top1 = 0;
  for (std::int64_t r = 0; r < ranks.count; ++r) {
    const NtXentBackward part{run_nt_xent(ranks.of(r), ranks.keys, r * ranks.anchors, 0.2), one,
                              empty_like(ranks.of(r)), empty_like(ranks.keys)};
    nt_xent_backward(part);
    loss += part.forward.loss.item() / 3;
    top1 += part.forward.top1.item() / 3;
    for (std::int64_t i = 0; i < gradient.numel(); ++i) {
      const std::int64_t local = i - r * ranks.anchors * 5;
      const bool mine = local >= 0 && local < part.danchors.numel();
      gradient.mutable_data<double>()[i] +=
          (part.dkeys.data<double>()[i] + (mine ? part.danchors.data<double>()[local] : 0)) / 3;
    }
  }
  EXPECT_NEAR(loss, want.forward.loss.item(), 1e-12);
  EXPECT_NEAR(top1, want.forward.top1.item(), 1e-12);
  for (std::int64_t i = 0; i < gradient.numel(); ++i) {
    const std::int64_t place = to[static_cast<std::size_t>(i / 5)] * 5 + i % 5;
    EXPECT_NEAR(gradient.data<double>()[i], want.danchors.data<double>()[place] + want.dkeys.data<double>()[place],
                1e-12);
  }
}

/// Pairs as training makes them: second views near the first ones, how near differs from pair to pair.
Tensor pairs(std::int64_t count, std::int64_t d) {
  const Tensor first = draw({count, d}, Domain::unit_rows, DType::f64, 9);
  const Tensor noise = draw({count, d}, Domain::unit_rows, DType::f64, 10);
  const Tensor views({2 * count, d}, DType::f64);
  for (std::int64_t i = 0; i < count; ++i) {
    const double* a = first.data<double>() + i * d;
    const double* b = noise.data<double>() + i * d;
    const double share = static_cast<double>(i) / static_cast<double>(count);
    double square = 0;
    for (std::int64_t k = 0; k < d; ++k) {
      views.mutable_data<double>()[i * d + k] = a[k];
      square += std::pow(a[k] + share * b[k], 2);
    }
    for (std::int64_t k = 0; k < d; ++k) {
      views.mutable_data<double>()[(count + i) * d + k] = (a[k] + share * b[k]) / std::sqrt(square);
    }
  }
  return views;
}

TEST_P(AnyType, LossAndGradientAreTheDefinitionsWhenItIsCold) {
  const bool single = GetParam() == DType::f32;
  for (const double temperature : {0.01, 0.02, 0.1}) {
    for (const std::int64_t count : {1, 3, 37, 150}) {
      const Tensor views = pairs(count, 16).to(GetParam());
      const PlainNtXent want = plain_nt_xent(views, temperature);
      const NtXentBackward got{run_nt_xent(views, temperature), Tensor::full({}, 1, GetParam()), empty_like(views),
                               empty_like(views)};
      nt_xent_backward(got);
      // A similarity of 1 over the temperature is rounded to a share of 6e-8 (1e-16): so is what becomes of it.
      const double exact = (single ? 1.2e-7 : 2.3e-16) / temperature;
      EXPECT_NEAR(got.forward.loss.item(), want.loss, 4 * exact) << count << " pairs at " << temperature;
      const Tensor anchors = got.danchors.to(DType::f64);
      const Tensor keys = got.dkeys.to(DType::f64);
      // Where a pair is solved, softmax and 1 cancel: what is left is as exact as one of them.
      const double most = 1 / (temperature * 2.0 * static_cast<double>(count));
      for (std::size_t i = 0; i < want.gradient.size(); ++i) {
        ASSERT_NEAR(anchors.values<double>()[i] + keys.values<double>()[i], want.gradient[i], 4 * exact * most)
            << count << " pairs at " << temperature;
      }
    }
  }
}

TEST(NtXent, OneNaNEmbeddingMakesTheLossNaN) {
  for (const std::int64_t broken : {0, 5, 599}) {
    const Tensor views = draw({600, 4}, Domain::unit_rows, DType::f32, 9);
    views.mutable_data<float>()[broken * 4 + 2] = std::nanf("");
    EXPECT_TRUE(std::isnan(run_nt_xent(views, 0.1).loss.item())) << broken;
  }
}

TEST(NtXent, RefusesWhatMakesNoSense) {
  const Tensor views = draw({6, 3}, Domain::unit_rows, DType::f32, 1);
  EXPECT_THROW(run_nt_xent(views, 0.009), Error);
  EXPECT_THROW(run_nt_xent(views, std::nan("")), Error);
  EXPECT_THROW(run_nt_xent(views.slice(0, 3), 0.1), Error);
  EXPECT_THROW(run_nt_xent(views.slice(0, 0), 0.1), Error);
  EXPECT_THROW(run_nt_xent(views, views, 1, 0.1), Error);
  EXPECT_THROW(run_nt_xent(views.slice(0, 2), views, -1, 0.1), Error);
  EXPECT_THROW(run_nt_xent(views, views.to(DType::f64), 0, 0.1), Error);
}

}  // namespace
}  // namespace earmark::kernels
