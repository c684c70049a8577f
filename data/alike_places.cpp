#include "data/alike_places.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <numeric>
#include <utility>

#include "data/wav.h"

namespace earmark::data {
namespace {

constexpr float kStepsPerDb = 1.5F;  // 0..120 are 80 dB below a track's maximum
constexpr float kDeepestStep = 120;
constexpr std::int64_t kStretch = std::int64_t{1} << 16U;

// A track's spectrogram in steps above what is too soft to count.
std::vector<std::int8_t> quantised(const Tensor& log_mel) {
  const auto values = log_mel.values<float>();
  const float top = *std::max_element(values.begin(), values.end());
  std::vector<std::int8_t> out(values.size());
  std::transform(values.begin(), values.end(), out.begin(), [top](float value) {
    return static_cast<std::int8_t>(std::lround(std::max(0.0F, kDeepestStep - (top - value) * kStepsPerDb)));
  });
  return out;
}

// In stretches whose sum 32 bits hold: they are added several at a time.
std::int64_t inner_product(const std::int8_t* a, const std::int8_t* b, std::int64_t count) {
  std::int64_t out = 0;
  for (std::int64_t begin = 0; begin < count; begin += kStretch) {
    std::int32_t sum = 0;
    for (std::int64_t i = begin; i < std::min(count, begin + kStretch); ++i) {
      sum += std::int32_t{a[i]} * std::int32_t{b[i]};
    }
    out += sum;
  }
  return out;
}

// The highest first, of equal ones the earliest.
std::vector<std::int64_t> by_height(const std::vector<double>& values) {
  std::vector<std::int64_t> order(values.size());
  std::iota(order.begin(), order.end(), std::int64_t{0});
  std::sort(order.begin(), order.end(), [&](std::int64_t a, std::int64_t b) {
    const double there = values[static_cast<std::size_t>(a)];
    const double here = values[static_cast<std::size_t>(b)];
    return there != here ? there > here : a < b;
  });
  return order;
}

}  // namespace

struct AlikePlaces::Spectrogram {
  std::vector<std::int8_t> values;     // (frames, bands)
  std::vector<std::int64_t> sums;      // of the values before each frame
  std::vector<std::int64_t> products;  // of their squares
};

AlikePlaces::AlikePlaces(std::shared_ptr<const PcmStore> store, const FeatureOptions& features)
    : store_(std::move(store)), features_(features) {
  samples_ = features_.segment_samples();
  const int hops = std::max(1, features_.n_fft / features_.hop);  // as many as windows reach over
  frames_ = std::max(1, features_.frames / hops);
  features_.hop *= hops;
  features_.compression = FeatureOptions::Compression::decibels;
}

std::shared_ptr<const AlikePlaces::Spectrogram> AlikePlaces::spectrogram(std::int64_t track) const {
  {
    const std::scoped_lock lock(mutex_);
    if (const auto found = made_.find(track); found != made_.end()) {
      return found->second;
    }
  }
  const auto pcm = store_->track(track);
  std::vector<float> samples(pcm.size());
  std::transform(pcm.begin(), pcm.end(), samples.begin(), from_int16);
  auto out = std::make_shared<Spectrogram>();
  out->values = quantised(log_mel(samples, features_));
  const auto bands = static_cast<std::size_t>(features_.mel_bands);
  out->sums.assign(1, 0);
  out->products.assign(1, 0);
  for (std::size_t frame = 0; frame < out->values.size() / bands; ++frame) {
    const std::int8_t* row = &out->values[frame * bands];
    out->sums.push_back(out->sums.back() + std::accumulate(row, row + bands, std::int64_t{0}));
    out->products.push_back(out->products.back() + inner_product(row, row, features_.mel_bands));
  }
  const std::scoped_lock lock(mutex_);
  return made_.emplace(track, std::move(out)).first->second;
}

std::vector<double> AlikePlaces::correlations(const Spectrogram& of, std::int64_t at) const {
  const std::int64_t bands = features_.mel_bands;
  const std::int64_t n = frames_ * bands;
  const auto sum = [&](const std::vector<std::int64_t>& before, std::int64_t frame) {
    return before[static_cast<std::size_t>(frame + frames_)] - before[static_cast<std::size_t>(frame)];
  };
  // n² times a variance, n² times a covariance: whole numbers, so that what is equal comes out equal.
  const auto spread = [&](std::int64_t frame) {
    const std::int64_t s = sum(of.sums, frame);
    return static_cast<double>(n * sum(of.products, frame) - s * s);
  };
  const double own = spread(at);
  const std::int64_t places = static_cast<std::int64_t>(of.sums.size()) - frames_;
  std::vector<double> out(static_cast<std::size_t>(std::max<std::int64_t>(0, places)));
  for (std::int64_t frame = 0; frame < places; ++frame) {
    const std::int64_t together = inner_product(&of.values[static_cast<std::size_t>(at * bands)],
                                                &of.values[static_cast<std::size_t>(frame * bands)], n);
    const double both = own * spread(frame);
    const auto shared = static_cast<double>(n * together - sum(of.sums, at) * sum(of.sums, frame));
    out[static_cast<std::size_t>(frame)] = both > 0 ? shared / std::sqrt(both) : 0;
  }
  return out;
}

std::vector<std::int64_t> AlikePlaces::find(std::int64_t track, std::int64_t start, int count,
                                            std::int64_t apart) const {
  const auto of = spectrogram(track);
  const std::int64_t places = static_cast<std::int64_t>(of->sums.size()) - frames_;
  if (places < 1) {
    return {};
  }
  const std::int64_t at = std::min((start + features_.hop / 2) / features_.hop, places - 1);
  const std::vector<double> alike = correlations(*of, at);
  const std::int64_t last = static_cast<std::int64_t>(store_->track(track).size()) - samples_;
  std::vector<std::int64_t> found;
  for (const std::int64_t frame : by_height(alike)) {
    if (static_cast<int>(found.size()) >= count) {
      break;
    }
    const std::int64_t place = std::clamp<std::int64_t>(start + (frame - at) * features_.hop, 0, last);
    const auto near = [&](std::int64_t other) { return std::abs(other - place) < apart; };
    if (!near(start) && std::none_of(found.begin(), found.end(), near)) {
      found.push_back(place);
    }
  }
  return found;
}

}  // namespace earmark::data
