#include "train/validation.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "data/pcm_store.h"
#include "data/wav.h"
#include "kernels/inner_product.h"
#include "kernels/trace.h"

namespace earmark::train {

namespace {

/// Seconds, inclusive: what the tables allow, or half a hop where hops are longer. A row has no nearer one to lose to.
double tolerance(const nn::Fingerprinter& fingerprinter) {
  return std::max(0.05, fingerprinter.hop_seconds() / 2) + 1e-9;
}

struct Database {
  Tensor rows;  // (n, D)
  std::vector<std::int64_t> track;
  std::vector<double> start_s;
};

Database clean_fingerprints(const nn::Fingerprinter& fingerprinter, const data::PcmStore& store) {
  std::vector<Tensor> parts;
  Database out;
  for (std::int64_t track = 0; track < store.size(); ++track) {
    const std::span<const std::int16_t> samples = store.track(track);
    std::vector<float> pcm(samples.size());
    std::transform(samples.begin(), samples.end(), pcm.begin(), data::from_int16);
    parts.push_back(fingerprinter.fingerprints(pcm));
    for (std::int64_t i = 0; i < parts.back().dim(0); ++i) {
      out.track.push_back(track);
      out.start_s.push_back(static_cast<double>(i) * fingerprinter.hop_seconds());
    }
  }
  out.rows = Tensor({static_cast<std::int64_t>(out.track.size()), fingerprinter.model().options.embedding});
  std::int64_t row = 0;
  for (const Tensor& part : parts) {
    out.rows.slice(row, row + part.dim(0)).copy_from(part);
    row += part.dim(0);
  }
  return out;
}

/// Of every query the row with the highest inner product, (m, 1) i64 in the host's memory; -1 for a query that is not
/// finite. Searched where the queries are.
Tensor nearest_rows(const Tensor& rows, const Tensor& queries) {
  const Shape shape{queries.dim(0), 1};
  const Device device = queries.device();
  const kernels::InnerProductTopK args{
      queries, {rows.to(device), {}}, 0, Tensor(shape, DType::f32, device), Tensor(shape, DType::i64, device)};
  kernels::topk_begin(args);
  kernels::inner_product_topk(args);
  return args.indices.to(Device{});
}

}  // namespace

HitRate validate(const nn::Model& model, const data::PairSampler& held_out) {
  const TraceRange range("validate");
  const Device device = model.encoder->device();
  const nn::Fingerprinter fingerprinter(model, device);
  const Database database = clean_fingerprints(fingerprinter, held_out.store());
  const data::Batch batch = held_out.batch(0, device);
  const Tensor queries = model.encoder->embed(batch.distorted);
  const Tensor nearest = nearest_rows(database.rows, queries);
  HitRate rate{.queries = queries.dim(0), .database = database.rows.dim(0)};
  for (std::int64_t query = 0; query < queries.dim(0); ++query) {
    const std::int64_t row = nearest.data<std::int64_t>()[query];
    if (row < 0) {  // no number: nothing is near it
      continue;
    }
    const auto best = static_cast<std::size_t>(row);
    const data::PairOrigin& origin = batch.origins.at(static_cast<std::size_t>(query));
    const double true_start = static_cast<double>(origin.positive_start) / held_out.features().sample_rate;
    const bool same_track = database.track[best] == origin.track;
    rate.track += same_track ? 1 : 0;
    rate.segment += same_track && std::abs(database.start_s[best] - true_start) <= tolerance(fingerprinter) ? 1 : 0;
  }
  rate.track /= static_cast<double>(rate.queries);
  rate.segment /= static_cast<double>(rate.queries);
  return rate;
}

}  // namespace earmark::train
