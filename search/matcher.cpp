#include "search/matcher.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "kernels/device_choice.h"
#include "kernels/error.h"
#include "search/ranking.h"

namespace earmark::search {
namespace {

void check_matcher_options(const MatcherOptions& options) {
  check(options.neighbours >= 1, "neighbours: expected at least 1, got ", options.neighbours);
  check(options.top >= 1, "top: expected at least 1, got ", options.top);
  check(options.query_ratio >= 1, "query ratio: expected at least 1, got ", options.query_ratio);
  check(options.min_overlap > 0 && options.min_overlap <= 1, "minimum overlap: expected (0, 1], got ",
        options.min_overlap);
}

/// The tables where `database` is searched. Rows came first: tables take half of what memory those left at most.
LshIndex placed(const LshIndex& tables, const Database& database) {
  const Device device = database.device();
  return device.backend == Backend::cpu ? tables : tables.on(device, free_memory(device) / 2);
}

}  // namespace

Matcher::Matcher(const IndexStore& store, MatcherOptions options)
    : store_(&store), database_(&store.database()), options_(std::move(options)) {
  check_matcher_options(options_);
  options_.hop_seconds = store.format().hop_seconds();
  if (!options_.calibration) {
    options_.calibration = store.calibration();
  }
  if (options_.method == Method::lsh && database_->rows() > 0) {
    lsh_ = placed(store.lsh(options_.lsh), *database_);
  }
}

Matcher::Matcher(const Database& database, MatcherOptions options)
    : database_(&database), options_(std::move(options)) {
  check_matcher_options(options_);
  if (options_.method == Method::lsh && database.rows() > 0) {
    lsh_ = placed(LshIndex::build(database, options_.lsh), database);
  }
}

Neighbours Matcher::neighbours(const Tensor& fingerprints) const {
  if (options_.search) {
    return options_.search(fingerprints);
  }
  return lsh_ ? lsh_->search(*database_, fingerprints, options_.neighbours)
              : exact_search(*database_, fingerprints, options_.neighbours);
}

Neighbours Matcher::neighbours_without(const Tensor& fingerprints, std::int64_t masked_track) const {
  const auto masked = std::find_if(database_->tracks().begin(), database_->tracks().end(),
                                   [&](const TrackRows& track) { return track.track_id == masked_track; });
  check(masked != database_->tracks().end(), "no track has the number ", masked_track);
  return exact_search_without(*database_, fingerprints, options_.neighbours, masked->first,
                              masked->first + masked->count);
}

std::vector<Match> Matcher::match(const Tensor& fingerprints) const {
  return match(fingerprints, std::array{QueryRange{0, fingerprints.dim(0)}}).front();
}

std::vector<std::vector<Match>> Matcher::match(const Tensor& fingerprints, std::span<const QueryRange> queries) const {
  if (database_->rows() == 0 || fingerprints.dim(0) == 0) {
    return std::vector<std::vector<Match>>(queries.size());
  }
  const Tensor there = fingerprints.to(database_->device());
  return rank(there, neighbours(there), queries);
}

std::vector<Match> Matcher::rank(const Tensor& fingerprints, const Neighbours& neighbours) const {
  return rank(fingerprints, neighbours, std::array{QueryRange{0, fingerprints.dim(0)}}).front();
}

std::vector<std::vector<Match>> Matcher::rank(const Tensor& fingerprints, const Neighbours& neighbours,
                                              std::span<const QueryRange> queries) const {
  std::vector<std::vector<Match>> matches = rank_queries(*database_, fingerprints, neighbours, queries, options_);
  for (std::size_t q = 0; q < queries.size(); ++q) {
    const double least = threshold(queries[q].rows());
    for (Match& match : matches[q]) {
      if (store_ != nullptr) {
        match.track = store_->track(match.track_id).path;
      }
      match.matched = match.confidence > least;
    }
  }
  return matches;
}

double Matcher::threshold(std::int64_t query_rows) const {
  const auto rows = static_cast<int>(query_rows) / options_.query_ratio;
  return options_.threshold ? *options_.threshold
                            : options_.calibration.value_or(default_calibration()).threshold(std::max(1, rows));
}

std::vector<double> Matcher::similarities(const Tensor& fingerprints, std::int64_t track_id, double start_s) const {
  const auto found = std::find_if(database_->tracks().begin(), database_->tracks().end(),
                                  [&](const TrackRows& track) { return track.track_id == track_id; });
  check(found != database_->tracks().end(), "no track has the number ", track_id);
  const Block& block = database_->blocks()[database_->block_of(found->first)];
  std::vector<std::int64_t> owners;
  std::vector<std::int64_t> rows;
  for (std::int64_t i = 0; i < fingerprints.dim(0); ++i) {
    const std::int64_t at =
        std::llround(start_s / options_.hop_seconds + static_cast<double>(i) / options_.query_ratio);
    if (at >= 0 && at < found->count) {
      owners.push_back(i);
      rows.push_back(found->first + at - block.first);
    }
  }
  const Device device = block.stored.rows.device();
  const Shape shape{static_cast<std::int64_t>(rows.size())};
  const Tensor out(shape, DType::f32, device);
  kernels::gathered_inner_product({fingerprints.to(device), block.stored, Tensor::from<std::int64_t>(shape, owners),
                                   Tensor::from<std::int64_t>(shape, rows), out});
  const Tensor back = out.to(Device{});
  std::vector<double> products(static_cast<std::size_t>(fingerprints.dim(0)), -1);
  for (std::size_t i = 0; i < owners.size(); ++i) {
    products[static_cast<std::size_t>(owners[i])] = back.data<float>()[i];
  }
  return products;
}

Method parse_method(std::string_view text) {
  check(text == "exact" || text == "lsh", "method: expected exact or lsh, got '", text, "'");
  return text == "lsh" ? Method::lsh : Method::exact;
}

Ranking parse_ranking(std::string_view text) {
  constexpr std::array<std::pair<std::string_view, Ranking>, 4> kNames{{{"scored", Ranking::scored},
                                                                        {"vote", Ranking::vote},
                                                                        {"vote-track", Ranking::vote_track},
                                                                        {"sequence", Ranking::sequence}}};
  const auto* const found = std::ranges::find(kNames, text, [](const auto& name) { return name.first; });
  check(found != kNames.end(), "ranking: expected scored, vote, vote-track or sequence, got '", text, "'");
  return found->second;
}

}  // namespace earmark::search
