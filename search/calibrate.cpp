#include "search/calibrate.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "kernels/error.h"
#include "kernels/parallel.h"
#include "kernels/random.h"

namespace earmark::search {
namespace {

struct Excerpt {
  Tensor fingerprints;
  std::int64_t masked_track = -1;
};

std::vector<double> confidences(const Database& database, const MatcherOptions& options,
                                const std::vector<Excerpt>& excerpts) {
  std::vector<double> values(excerpts.size(), -1);
  const Matcher matcher(database, options);
  parallel_for(static_cast<std::int64_t>(excerpts.size()), [&](std::int64_t i) {
    const Excerpt& excerpt = excerpts[static_cast<std::size_t>(i)];
    const std::vector<Match> matches = matcher.match_without(excerpt.fingerprints, excerpt.masked_track);
    if (!matches.empty()) {
      values[static_cast<std::size_t>(i)] = matches.front().confidence;
    }
  });
  return values;
}

template <class Draw>
Calibration calibrate_with(const Database& database, MatcherOptions options, const CalibrateOptions& calibrate,
                           const std::string& source, Draw&& draw) {
  options.refine = true;
  options.top = 1;
  Calibration calibration{{}, calibrate.false_match_rate, source};
  for (const int rows : calibrate.rows) {
    std::vector<Excerpt> excerpts;
    for (int i = 0; i < calibrate.excerpts; ++i) {
      RandomStream random(calibrate.seed, static_cast<std::uint64_t>(rows), static_cast<std::uint64_t>(i));
      Excerpt excerpt = draw(rows, random);
      if (excerpt.fingerprints) {
        excerpts.push_back(std::move(excerpt));
      }
    }
    if (excerpts.size() >= 20) {
      calibration.points.push_back(
          {rows, gumbel_threshold(confidences(database, options, excerpts), calibrate.false_match_rate)});
    }
  }
  return calibration;
}

}  // namespace

Calibration calibrate_on_held_out_tracks(const Database& database, MatcherOptions options,
                                         const CalibrateOptions& calibrate) {
  return calibrate_with(database, std::move(options), calibrate, "held-out tracks of the index",
                        [&](int rows, RandomStream& random) -> Excerpt {
                          const TrackRows& track = database.tracks()[random.below(database.tracks().size())];
                          if (track.count < rows || database.tracks().size() < 2) {
                            return {};
                          }
                          const auto places = static_cast<std::uint64_t>(track.count - rows + 1);
                          const auto begin = track.first + static_cast<std::int64_t>(random.below(places));
                          return {database.widened(begin, begin + rows), track.track_id};
                        });
}

Calibration calibrate_on_absent(const Database& database, MatcherOptions options, const std::vector<Tensor>& absent,
                                const CalibrateOptions& calibrate) {
  check(!absent.empty(), "calibration: no sound to calibrate on");
  return calibrate_with(database, std::move(options), calibrate, "absent audio",
                        [&](int rows, RandomStream& random) -> Excerpt {
                          const Tensor& from = absent[random.below(absent.size())];
                          if (from.dim(0) < rows) {
                            return {};
                          }
                          const auto places = static_cast<std::uint64_t>(from.dim(0) - rows + 1);
                          const auto begin = static_cast<std::int64_t>(random.below(places));
                          return {from.slice(begin, begin + rows), -1};
                        });
}

double gumbel_threshold(std::vector<double> values, double rate) {
  check(!values.empty() && rate > 0 && rate < 0.5, "calibration: ", values.size(), " values, rate ", rate);
  std::sort(values.begin(), values.end());
  const auto quantile = [&](double p) {
    return values[static_cast<std::size_t>(std::lround(p * static_cast<double>(values.size() - 1)))];
  };
  // Q(p) = location + scale * position(p).
  const auto position = [](double p) { return -std::log(-std::log(p)); };
  const double scale = (quantile(0.9) - quantile(0.5)) / (position(0.9) - position(0.5));
  return quantile(0.5) + scale * (position(1 - rate) - position(0.5));
}

}  // namespace earmark::search
