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

constexpr int kShortRows = 5;

struct Excerpt {
  Tensor fingerprints;
  std::int64_t masked_track = -1;
};

/// Confidence of the beginnings of an excerpt, one of each length that it has.
std::vector<double> confidences(const Matcher& matcher, const Excerpt& excerpt, const std::vector<int>& lengths) {
  const Neighbours found = excerpt.masked_track < 0
                               ? matcher.neighbours(excerpt.fingerprints)
                               : matcher.neighbours_without(excerpt.fingerprints, excerpt.masked_track);
  std::vector<QueryRange> beginnings;
  for (const int rows : lengths) {
    if (rows > excerpt.fingerprints.dim(0)) {
      break;
    }
    beginnings.push_back({0, rows});
  }
  std::vector<double> values;
  for (const std::vector<Match>& matches : matcher.rank(excerpt.fingerprints, found, beginnings)) {
    values.push_back(matches.empty() ? -1 : matches.front().confidence);
  }
  return values;
}

/// Fewer in large databases, where every search takes longer and places differ less.
int excerpts_for(const Database& database, const CalibrateOptions& calibrate) {
  constexpr double kProducts = 5e11;  // a few seconds
  constexpr int kLeast = 60;
  const double each = static_cast<double>(calibrate.rows.back()) * static_cast<double>(database.rows()) *
                      static_cast<double>(database.dimension());
  return std::clamp(static_cast<int>(kProducts / std::max(1.0, each)), std::min(kLeast, calibrate.excerpts),
                    calibrate.excerpts);
}

template <class Draw>
Calibration calibrate_with(const Database& database, MatcherOptions options, const CalibrateOptions& calibrate,
                           const std::string& source, Draw&& draw) {
  options.method = Method::exact;
  options.top = 1;
  const Matcher matcher(database, options);
  const int count = excerpts_for(database, calibrate);
  std::vector<std::vector<double>> values(static_cast<std::size_t>(count));
  parallel_for(count, [&](std::int64_t i) {
    RandomStream random(calibrate.seed, 0, static_cast<std::uint64_t>(i));
    const Excerpt excerpt = draw(random);
    if (excerpt.fingerprints) {
      values[static_cast<std::size_t>(i)] = confidences(matcher, excerpt, calibrate.rows);
    }
  });
  Calibration calibration{{}, calibrate.false_match_rate, source};
  for (std::size_t length = 0; length < calibrate.rows.size(); ++length) {
    std::vector<double> of_length;
    for (const std::vector<double>& excerpt : values) {
      if (excerpt.size() > length) {
        of_length.push_back(excerpt[length]);
      }
    }
    constexpr std::size_t kEnough = 20;
    if (of_length.size() >= kEnough) {
      // Of very short queries all rows agree on any place, and noise makes the rest of the evidence worse than clean
      // excerpts show.
      const double caution = calibrate.rows[length] < kShortRows ? 4 : 1;
      calibration.points.push_back(
          {calibrate.rows[length], gumbel_threshold(of_length, calibrate.false_match_rate / caution)});
    }
  }
  return calibration;
}

/// At most `rows` rows from a random place of [0, count); shorter sound is taken whole.
std::pair<std::int64_t, std::int64_t> random_part(std::int64_t count, std::int64_t rows, RandomStream& random) {
  const std::int64_t length = std::min(rows, count);
  const auto begin = static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(count - length + 1)));
  return {begin, begin + length};
}

}  // namespace

Calibration calibrate_on_held_out_tracks(const Database& database, MatcherOptions options,
                                         const CalibrateOptions& calibrate) {
  return calibrate_with(database, std::move(options), calibrate, "held-out tracks of the index",
                        [&](RandomStream& random) -> Excerpt {
                          if (database.tracks().size() < 2) {
                            return {};
                          }
                          const TrackRows& track = database.tracks()[random.below(database.tracks().size())];
                          const auto [begin, end] = random_part(track.count, calibrate.rows.back(), random);
                          return {database.widened(track.first + begin, track.first + end), track.track_id};
                        });
}

Calibration calibrate_on_absent(const Database& database, MatcherOptions options, const std::vector<Tensor>& absent,
                                const CalibrateOptions& calibrate) {
  check(!absent.empty(), "calibration: no sound to calibrate on");
  return calibrate_with(database, std::move(options), calibrate, "absent audio", [&](RandomStream& random) -> Excerpt {
    const Tensor& from = absent[random.below(absent.size())];
    const auto [begin, end] = random_part(from.dim(0), calibrate.rows.back(), random);
    return {from.slice(begin, end), -1};
  });
}

double gumbel_threshold(std::vector<double> values, double rate) {
  check(!values.empty() && rate > 0 && rate < 0.3, "calibration: ", values.size(), " values, rate ", rate);
  std::sort(values.begin(), values.end());
  const auto quantile = [&](double p) {
    return values[static_cast<std::size_t>(std::lround(p * static_cast<double>(values.size() - 1)))];
  };
  // Q(p) = location + scale * position(p).
  const auto position = [](double p) { return -std::log(-std::log(p)); };
  const double scale = (quantile(0.9) - quantile(0.5)) / (position(0.9) - position(0.5));
  // Half the rate, because the tail is a guess; and not below what was seen to be passed by twice the rate.
  return std::max(quantile(1 - 2 * rate), quantile(0.5) + scale * (position(1 - rate / 2) - position(0.5)));
}

}  // namespace earmark::search
