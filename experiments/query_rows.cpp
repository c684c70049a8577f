#include "experiments/query_rows.h"

#include <algorithm>
#include <cmath>

#include "data/decode.h"
#include "experiments/clock.h"
#include "kernels/error.h"
#include "kernels/parallel.h"

namespace earmark::experiments {
namespace {

// One query. A beginning's fingerprints are those of the whole, except where its last window would reach beyond its
// end, or where a recording's maximum counts: then the beginning is fingerprinted by itself.
struct OneQuery {
  std::vector<float> pcm;
  std::vector<std::size_t> parts;                                            // samples of each, from the beginning
  std::vector<std::optional<std::pair<std::size_t, std::int64_t>>> lengths;  // for each length: part, and rows of it
};

std::vector<float> sound_of(const Query& query, const std::filesystem::path& file, int sample_rate) {
  std::vector<float> pcm = data::decode_audio(file, sample_rate);
  check(!pcm.empty(), file.string(), ": no sound");
  if (query.length_s > 0) {
    pcm.resize(std::min(pcm.size(), static_cast<std::size_t>(std::llround(query.length_s * sample_rate))));
  }
  return pcm;
}

OneQuery prepare(const Query& query, const std::filesystem::path& file, const nn::Fingerprinter& fingerprinter,
                 int hop_frames, const std::vector<double>& lengths_s) {
  const FeatureOptions& features = fingerprinter.model().features;
  OneQuery out{sound_of(query, file, features.sample_rate), {}, {}};
  out.parts.push_back(out.pcm.size());
  for (const double length_s : lengths_s) {
    if (!has_length(query, length_s)) {
      out.lengths.emplace_back();
      continue;
    }
    const auto samples = std::min(static_cast<std::int64_t>(std::llround(length_s * features.sample_rate)),
                                  static_cast<std::int64_t>(out.pcm.size()));
    const std::int64_t rows = fingerprinter.count(samples, hop_frames);
    const std::int64_t last_frame = (rows - 1) * hop_frames + features.frames - 1;
    const bool cut_window = last_frame * features.hop + features.n_fft / 2 > samples;
    const bool relative = features.normalization == FeatureOptions::Normalization::batch_maximum;
    if ((cut_window || relative) && samples < static_cast<std::int64_t>(out.pcm.size())) {
      out.parts.push_back(static_cast<std::size_t>(samples));
      out.lengths.emplace_back(std::pair(out.parts.size() - 1, rows));
    } else {
      out.lengths.emplace_back(std::pair(std::size_t{0}, rows));
    }
  }
  return out;
}

QueryBatch fingerprint(const std::vector<OneQuery>& queries, std::size_t first, const nn::Fingerprinter& fingerprinter,
                       int hop_frames) {
  QueryBatch batch;
  batch.first = first;
  std::vector<std::span<const float>> waveforms;
  std::int64_t count = 0;
  for (const OneQuery& query : queries) {
    std::vector<std::int64_t> begins;
    for (const std::size_t samples : query.parts) {
      waveforms.push_back(std::span(query.pcm).first(samples));
      begins.push_back(count);
      count += fingerprinter.count(static_cast<std::int64_t>(samples), hop_frames);
    }
    auto& ranges = batch.ranges.emplace_back();
    for (const auto& length : query.lengths) {
      ranges.emplace_back();
      if (length) {
        ranges.back() = {begins[length->first], begins[length->first] + length->second};
      }
    }
  }
  batch.rows = fingerprinter.fingerprints_of_all(waveforms, hop_frames);
  return batch;
}

}  // namespace

QueryRows::QueryRows(const QuerySet& set, const std::vector<std::size_t>& queries,
                     const nn::Fingerprinter& fingerprinter, int hop_frames, const std::vector<double>& lengths_s,
                     int batch)
    : set_(set),
      queries_(queries),
      fingerprinter_(fingerprinter),
      hop_frames_(hop_frames),
      lengths_s_(lengths_s),
      size_(static_cast<std::size_t>(batch)),
      batches_((queries.size() + size_ - 1) / size_) {}

const QueryBatch& QueryRows::batch(std::size_t number) {
  std::optional<QueryBatch>& batch = batches_[number];
  if (!batch) {
    const double begun = now_s();
    const std::size_t first = number * size_;
    std::vector<OneQuery> queries(std::min(size_, queries_.size() - first));
    parallel_for(static_cast<std::int64_t>(queries.size()), [&](std::int64_t i) {
      const Query& query = set_.queries[queries_[first + static_cast<std::size_t>(i)]];
      queries[static_cast<std::size_t>(i)] =
          prepare(query, set_.folder / query.path, fingerprinter_, hop_frames_, lengths_s_);
    });
    batch = fingerprint(queries, first, fingerprinter_, hop_frames_);
    seconds_ += now_s() - begun;
  }
  return *batch;
}

}  // namespace earmark::experiments
