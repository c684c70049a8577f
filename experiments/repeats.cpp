#include "experiments/repeats.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <utility>

#include "kernels/error.h"
#include "kernels/matmul.h"

namespace earmark::experiments {
namespace {

constexpr double kOwnPlaceS = 0.1;
constexpr std::size_t kMostRepeats = 20;
constexpr std::int64_t kChunk = 2048;  // Grid positions compared at a time.
constexpr double kPromising = 0.03;    // A place between two grid points correlates this much less there.

// Pearson's correlation from sums over `count` pairs.
double pearson(double count, double x, double xx, double y, double yy, double xy) {
  const double denominator = std::sqrt((xx - x * x / count) * (yy - y * y / count));
  return denominator > 0 ? (xy - x * y / count) / denominator : 0;
}

struct Sums {
  double sum = 0;
  double square = 0;
};

Sums sums_of(std::span<const float> values) {
  Sums out;
  for (const float value : values) {
    out.sum += static_cast<double>(value);
    out.square += static_cast<double>(value) * static_cast<double>(value);
  }
  return out;
}

bool stronger(const Equivalent& a, const Equivalent& b) {
  return a.correlation != b.correlation ? a.correlation > b.correlation : a.start_s < b.start_s;
}

}  // namespace

RepeatFinder::RepeatFinder(std::span<const float> pcm, int sample_rate) : pcm_(pcm) {
  options_.sample_rate = sample_rate;
  options_.f_max = std::min(options_.f_max, sample_rate / 2.0);
  check(static_cast<std::int64_t>(pcm.size()) >= options_.n_fft, "repeats: expected at least ", options_.n_fft,
        " samples, got ", pcm.size());
  grid_ = log_mel(pcm, options_);
  const auto values = std::span(grid_.mutable_data<float>(), static_cast<std::size_t>(grid_.numel()));
  floor_db_ = *std::max_element(values.begin(), values.end()) - static_cast<float>(kDepthDb);
  for (float& value : values) {
    // Relative to the floor: sums of large negative numbers would cost precision.
    value = std::max(value - floor_db_, 0.0F);
  }
  sum_.assign(1, 0);
  square_.assign(1, 0);
  const auto bands = static_cast<std::size_t>(options_.mel_bands);
  for (std::size_t frame = 0; frame < values.size() / bands; ++frame) {
    const Sums sums = sums_of(values.subspan(frame * bands, bands));
    sum_.push_back(sum_.back() + sums.sum);
    square_.push_back(square_.back() + sums.square);
  }
}

std::vector<float> RepeatFinder::cut(std::int64_t start, std::int64_t frames) const {
  const std::int64_t margin = options_.n_fft / 2;
  const auto size = static_cast<std::int64_t>(pcm_.size());
  Tensor samples({1, frames * options_.hop + 2 * margin});
  float* out = samples.mutable_data<float>();
  for (std::int64_t i = 0; i < samples.numel(); ++i) {
    const std::int64_t at = start - margin + i;
    out[i] = at >= 0 && at < size ? pcm_[static_cast<std::size_t>(at)] : 0.0F;
  }
  const Tensor mel({1, frames, options_.mel_bands});
  kernels::log_mel(options_, {samples, mel, margin});
  std::vector<float> values(mel.values<float>().begin(), mel.values<float>().end());
  for (float& value : values) {
    value = std::max(value - floor_db_, 0.0F);
  }
  return values;
}

double RepeatFinder::correlation_with(const std::vector<float>& excerpt, std::int64_t other,
                                      std::int64_t frames) const {
  if (other < 0 || other + frames * options_.hop > static_cast<std::int64_t>(pcm_.size())) {
    return 0;
  }
  const std::vector<float> there = cut(other, frames);
  const Sums x = sums_of(excerpt);
  const Sums y = sums_of(there);
  double product = 0;
  for (std::size_t i = 0; i < there.size(); ++i) {
    product += static_cast<double>(excerpt[i]) * static_cast<double>(there[i]);
  }
  return pearson(static_cast<double>(there.size()), x.sum, x.square, y.sum, y.square, product);
}

double RepeatFinder::correlation(double start_s, double other_s, double length_s) const {
  const auto frames = static_cast<std::int64_t>(std::llround(length_s * options_.sample_rate / options_.hop));
  return correlation_with(cut(std::llround(start_s * options_.sample_rate), frames),
                          std::llround(other_s * options_.sample_rate), frames);
}

// Up to 5 ms around a grid point, by steps of 1 ms, then a quarter of one.
Equivalent RepeatFinder::refine(const std::vector<float>& excerpt, std::int64_t near, std::int64_t frames) const {
  std::int64_t best = near;
  double highest = correlation_with(excerpt, near, frames);
  const std::int64_t millisecond = options_.sample_rate / 1000;
  for (const std::int64_t step : {millisecond, millisecond / 4}) {
    const std::int64_t centre = best;
    const std::int64_t reach = step == millisecond ? 5 : 3;
    for (std::int64_t k = -reach; k <= reach; ++k) {
      const double here = k == 0 ? highest : correlation_with(excerpt, centre + k * step, frames);
      if (here > highest) {
        highest = here;
        best = centre + k * step;
      }
    }
  }
  return {static_cast<double>(best) / options_.sample_rate, highest};
}

double RepeatFinder::best_correlation(double start_s, double other_s, double length_s, double tolerance_s) const {
  const auto frames = static_cast<std::int64_t>(std::llround(length_s * options_.sample_rate / options_.hop));
  const std::vector<float> excerpt = cut(std::llround(start_s * options_.sample_rate), frames);
  const std::int64_t middle = std::llround(other_s * options_.sample_rate);
  const std::int64_t reach = std::llround(tolerance_s * options_.sample_rate / options_.hop);
  Equivalent best{other_s, -1};
  for (std::int64_t k = -reach; k <= reach; ++k) {
    const double here = correlation_with(excerpt, middle + k * options_.hop, frames);
    if (here > best.correlation) {
      best = {static_cast<double>(middle + k * options_.hop) / options_.sample_rate, here};
    }
  }
  if (best.correlation < kSameSound - kPromising) {
    return best.correlation;
  }
  return refine(excerpt, std::llround(best.start_s * options_.sample_rate), frames).correlation;
}

std::vector<double> RepeatFinder::grid_correlations(const std::vector<float>& excerpt, std::int64_t frames) const {
  const std::int64_t grid_frames = grid_.dim(0);
  const Tensor mine = Tensor::from<float>({frames, options_.mel_bands}, excerpt);
  const Sums x = sums_of(excerpt);
  std::vector<double> out;
  // The products of every excerpt frame with every grid frame; their diagonals sum to the correlations.
  for (std::int64_t first = 0; first + frames <= grid_frames; first += kChunk) {
    const std::int64_t positions = std::min(kChunk, grid_frames - frames + 1 - first);
    const std::int64_t columns = positions + frames - 1;
    const Tensor products({frames, columns});
    kernels::matmul({mine, grid_.slice(first, first + columns), products, false, true});
    std::vector<double> dots(static_cast<std::size_t>(positions), 0);
    for (std::int64_t t = 0; t < frames; ++t) {
      const float* diagonal = products.data<float>() + t * columns + t;
      for (std::int64_t p = 0; p < positions; ++p) {
        dots[static_cast<std::size_t>(p)] += static_cast<double>(diagonal[p]);
      }
    }
    for (std::int64_t p = 0; p < positions; ++p) {
      const auto from = static_cast<std::size_t>(first + p);
      const auto to = static_cast<std::size_t>(first + p + frames);
      out.push_back(pearson(static_cast<double>(excerpt.size()), x.sum, x.square, sum_[to] - sum_[from],
                            square_[to] - square_[from], dots[static_cast<std::size_t>(p)]));
    }
  }
  return out;
}

std::vector<Equivalent> RepeatFinder::repeats(double start_s, double length_s, double minimum) const {
  const auto frames = static_cast<std::int64_t>(std::llround(length_s * options_.sample_rate / options_.hop));
  const std::vector<float> excerpt = cut(std::llround(start_s * options_.sample_rate), frames);
  const std::vector<double> here = grid_correlations(excerpt, frames);
  std::vector<Equivalent> peaks;
  for (std::size_t i = 0; i < here.size(); ++i) {
    const double at_s = static_cast<double>(i) * options_.hop / options_.sample_rate;
    const bool highest = (i == 0 || here[i] >= here[i - 1]) && (i + 1 == here.size() || here[i] > here[i + 1]);
    if (highest && here[i] > minimum - kPromising && std::abs(at_s - start_s) > kOwnPlaceS) {
      peaks.push_back({at_s, here[i]});
    }
  }
  std::sort(peaks.begin(), peaks.end(), stronger);
  peaks.resize(std::min(peaks.size(), kMostRepeats));
  std::vector<Equivalent> out;
  for (const Equivalent& peak : peaks) {
    const Equivalent refined = refine(excerpt, std::llround(peak.start_s * options_.sample_rate), frames);
    if (refined.correlation > minimum) {
      out.push_back(refined);
    }
  }
  std::sort(out.begin(), out.end(), stronger);
  return out;
}

std::vector<RepeatShare> repeat_shares(const QuerySet& set) {
  std::set<std::pair<std::string, double>> excerpts;
  std::map<double, RepeatShare> by_length;
  for (const Query& query : set.queries) {
    if (excerpts.emplace(query.track, query.start_s).second) {
      for (const Repeat& repeat : query.repeats) {
        RepeatShare& share = by_length[repeat.length_s];
        share.length_s = repeat.length_s;
        share.same.add(repeat.correlation > kSameSound);
        share.similar.add(repeat.correlation > kSimilarSound);
      }
    }
  }
  std::vector<RepeatShare> out;
  out.reserve(by_length.size());
  for (const auto& [length_s, share] : by_length) {
    out.push_back(share);
  }
  return out;
}

}  // namespace earmark::experiments
