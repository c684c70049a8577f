#include "train/whitening.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <span>
#include <vector>

#include "kernels/error.h"
#include "kernels/matmul.h"
#include "kernels/rank_rows.h"
#include "kernels/rank_work.h"
#include "kernels/trace.h"
#include "train/rank_share.h"

namespace earmark::train {

namespace {

constexpr std::int64_t kFirstStep = std::int64_t{1} << 30U;

/// A square matrix in the host's memory, by row and column.
class Square {
 public:
  explicit Square(const Tensor& of) : extent_(of.dim(0)), data_(of.mutable_data<double>()) {}
  std::int64_t extent() const { return extent_; }
  double& operator()(std::int64_t row, std::int64_t column) const { return data_[row * extent_ + column]; }

 private:
  std::int64_t extent_;
  double* data_;
};

Tensor scaled_identity(std::int64_t extent, double value) {
  Tensor out = Tensor::zeros({extent, extent}, DType::f64);
  const Square to(out);
  for (std::int64_t i = 0; i < extent; ++i) {
    to(i, i) = value;
  }
  return out;
}

double mean_of_diagonal(const Square& of) {
  double sum = 0;
  for (std::int64_t i = 0; i < of.extent(); ++i) {
    sum += of(i, i);
  }
  return sum / static_cast<double>(of.extent());
}

/// a becomes L in its lower triangle, LL' = a (Cholesky).
void factorise(const Square& a) {
  for (std::int64_t j = 0; j < a.extent(); ++j) {
    for (std::int64_t i = j; i < a.extent(); ++i) {
      double rest = a(i, j);
      for (std::int64_t k = 0; k < j; ++k) {
        rest -= a(i, k) * a(j, k);
      }
      a(i, j) = i == j ? std::sqrt(rest) : rest / a(j, j);
    }
  }
}

/// `out`, which is `scale` times the identity, becomes `scale` times the inverse of the lower triangle of `l`.
void solve(const Square& l, const Square& out) {
  for (std::int64_t column = 0; column < l.extent(); ++column) {
    for (std::int64_t i = column; i < l.extent(); ++i) {
      double rest = out(i, column);
      for (std::int64_t k = column; k < i; ++k) {
        rest -= l(i, k) * out(k, column);
      }
      out(i, column) = rest / l(i, i);
    }
  }
}

/// a - b of every pair of this process' batches, (n, D) f64.
Tensor own_differences(const nn::Model& model, const data::PairSampler& training, const data::PairRange& batches) {
  const std::int64_t pairs = training.options().pairs;
  const Tensor out({(batches.end - batches.begin) * pairs, model.options.embedding}, DType::f64);
  for (std::int64_t i = batches.begin; i < batches.end; ++i) {
    const data::Batch batch = training.batch(kFirstStep + i, model.encoder->device());
    const auto on_host = [&](const Tensor& segments) {
      return model.encoder->embed(segments).to(Device{}).to(DType::f64);
    };
    const Tensor clean = on_host(batch.clean);
    const Tensor distorted = on_host(batch.distorted);
    const auto a = clean.values<double>();
    const auto b = distorted.values<double>();
    std::transform(a.begin(), a.end(), b.begin(),
                   out.mutable_data<double>() + (i - batches.begin) * pairs * model.options.embedding, std::minus<>());
  }
  return out;
}

/// The mean of dd' over rows d.
Tensor mean_outer_product(const Tensor& rows) {
  const Tensor out({rows.dim(1), rows.dim(1)}, DType::f64);
  kernels::matmul({.a = rows, .b = rows, .out = out, .transpose_a = true});
  for (std::int64_t i = 0; i < out.numel(); ++i) {
    out.mutable_data<double>()[i] /= static_cast<double>(rows.dim(0));
  }
  return out;
}

}  // namespace

Tensor whitening_matrix(const Tensor& covariance, double floor) {
  const auto values = covariance.values<double>();
  check(std::all_of(values.begin(), values.end(), [](double value) { return std::isfinite(value); }),
        "whitening: the covariance of fingerprints is not finite");
  const Tensor factor = covariance.clone();
  const Square l(factor);
  const double mean = mean_of_diagonal(l);
  if (!(mean > 0)) {
    return scaled_identity(l.extent(), 1);
  }
  for (std::int64_t i = 0; i < l.extent(); ++i) {
    l(i, i) += floor * mean;
  }
  factorise(l);
  Tensor out = scaled_identity(l.extent(), std::sqrt(mean));
  solve(l, Square(out));
  return out;
}

void whiten(const nn::Model& model, const data::PairSampler& training, const WhiteningOptions& options,
            Communicator& ranks) {
  const TraceRange range("whiten");
  const std::int64_t pairs = training.options().pairs;
  const std::int64_t batches = (options.pairs + pairs - 1) / pairs;
  std::vector<std::int64_t> rows_of_rank;
  for (int rank = 0; rank < ranks.size(); ++rank) {
    const data::PairRange share = share_of(batches, rank, ranks.size());
    rows_of_rank.push_back((share.end - share.begin) * pairs);
  }
  take_first_buffers(model, ranks);
  model.encoder->set_whitening(scaled_identity(model.options.embedding, 1));
  Tensor own;
  work_beside_ranks(ranks, [&] { own = own_differences(model, training, own_share(batches, ranks)); });
  const Tensor all = gather_rows(ranks, own, rows_of_rank);
  model.encoder->set_whitening(whitening_matrix(mean_outer_product(all), options.floor));
}

}  // namespace earmark::train
