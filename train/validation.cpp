#include "train/validation.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "data/pcm_store.h"
#include "data/wav.h"
#include "kernels/inner_product.h"
#include "kernels/rank_rows.h"
#include "kernels/rank_work.h"
#include "kernels/trace.h"
#include "train/rank_share.h"

namespace earmark::train {

namespace {

/// Seconds, inclusive: what the tables allow, or half a hop where hops are longer. A row has no nearer one to lose to.
double tolerance(const nn::Fingerprinter& fingerprinter) {
  return std::max(0.05, fingerprinter.hop_seconds() / 2) + 1e-9;
}

/// Where sound comes from.
struct Place {
  std::int64_t track;
  double start_s;
};

/// Of the rows of all tracks, one after the other.
struct Places {
  std::vector<Place> of_row;
  std::vector<std::int64_t> rows_of_rank;
};

Places places_of(const nn::Fingerprinter& fingerprinter, const data::PcmStore& store, const Communicator& ranks) {
  Places out;
  for (int rank = 0; rank < ranks.size(); ++rank) {
    const std::size_t before = out.of_row.size();
    const data::PairRange share = share_of(store.size(), rank, ranks.size());
    for (std::int64_t track = share.begin; track < share.end; ++track) {
      const std::int64_t rows = fingerprinter.count(static_cast<std::int64_t>(store.track(track).size()));
      for (std::int64_t i = 0; i < rows; ++i) {
        out.of_row.push_back({track, static_cast<double>(i) * fingerprinter.hop_seconds()});
      }
    }
    out.rows_of_rank.push_back(static_cast<std::int64_t>(out.of_row.size() - before));
  }
  return out;
}

/// Of this rank's tracks, (rows, D).
Tensor clean_fingerprints(const nn::Fingerprinter& fingerprinter, const data::PcmStore& store,
                          const Communicator& ranks, std::int64_t rows) {
  const Tensor out({rows, fingerprinter.model().options.embedding});
  const data::PairRange share = own_share(store.size(), ranks);
  std::int64_t row = 0;
  for (std::int64_t track = share.begin; track < share.end; ++track) {
    const std::span<const std::int16_t> samples = store.track(track);
    std::vector<float> pcm(samples.size());
    std::transform(samples.begin(), samples.end(), pcm.begin(), data::from_int16);
    const Tensor part = fingerprinter.fingerprints(pcm);
    out.slice(row, row + part.dim(0)).copy_from(part);
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

/// This rank's.
struct Queries {
  Tensor embedded;  // (n, D); none where it has none
  std::vector<Place> place;
};

std::vector<Place> true_places(const data::PairSampler& held_out, const std::vector<data::PairOrigin>& origins,
                               const data::PairRange& share) {
  std::vector<Place> out;
  for (std::int64_t i = share.begin; i < share.end; ++i) {
    const data::PairOrigin& origin = origins.at(static_cast<std::size_t>(i));
    out.push_back({origin.track, static_cast<double>(origin.positive_start) / held_out.features().sample_rate});
  }
  return out;
}

/// How many of them find the right segment, and how many the right track.
std::array<double, 2> hits_of(const Queries& queries, const Tensor& rows, const Places& places, double tolerance_s) {
  std::array<double, 2> hits{};
  if (!queries.embedded) {
    return hits;
  }
  const Tensor nearest = nearest_rows(rows, queries.embedded);
  for (std::size_t query = 0; query < queries.place.size(); ++query) {
    const std::int64_t row = nearest.data<std::int64_t>()[query];
    if (row < 0) {  // no number: nothing is near it
      continue;
    }
    const Place& best = places.of_row[static_cast<std::size_t>(row)];
    const Place& truth = queries.place[query];
    const bool same_track = best.track == truth.track;
    hits[0] += same_track && std::abs(best.start_s - truth.start_s) <= tolerance_s ? 1 : 0;
    hits[1] += same_track ? 1 : 0;
  }
  return hits;
}

}  // namespace

HitRate validate(const nn::Model& model, const data::PairSampler& held_out) {
  return validate(model, held_out, *make_communicator({}, {}));
}

HitRate validate(const nn::Model& model, const data::PairSampler& held_out, Communicator& ranks) {
  const TraceRange range("validate");
  take_first_buffers(model, ranks);
  const Device device = model.encoder->device();
  const nn::Fingerprinter fingerprinter(model, device);
  const Places places = places_of(fingerprinter, held_out.store(), ranks);
  const std::int64_t all = held_out.options().pairs;
  const data::PairRange share = own_share(all, ranks);
  Tensor own_rows;
  Queries queries;
  work_beside_ranks(ranks, [&] {
    own_rows = clean_fingerprints(fingerprinter, held_out.store(), ranks,
                                  places.rows_of_rank[static_cast<std::size_t>(ranks.rank())]);
    if (share.begin < share.end) {
      const data::Batch batch = held_out.batch(0, share, device);
      queries = {model.encoder->embed(batch.distorted), true_places(held_out, batch.origins, share)};
    }
  });
  const Tensor rows = gather_rows(ranks, own_rows, places.rows_of_rank);
  std::array<double, 2> hits{};  // segments, tracks
  work_beside_ranks(ranks, [&] { hits = hits_of(queries, rows, places, tolerance(fingerprinter)); });
  add_up(ranks, hits);
  return {.segment = hits[0] / static_cast<double>(all),
          .track = hits[1] / static_cast<double>(all),
          .queries = all,
          .database = rows.dim(0)};
}

}  // namespace earmark::train
