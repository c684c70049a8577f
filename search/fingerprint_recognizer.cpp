// Recordings are found by the fingerprints of the index's model (matcher.h), long ones and streams by stretches.h.
#include <algorithm>
#include <utility>

#include "data/audio_files.h"
#include "kernels/error.h"
#include "nn/fingerprinter.h"
#include "search/query.h"
#include "search/recognizer.h"

namespace earmark::search {
namespace {

MatcherOptions with_ratio(MatcherOptions options, int ratio) {
  options.query_ratio = ratio;
  return options;
}

class FingerprintRecognizer : public Recognizer {
 public:
  FingerprintRecognizer(const IndexStore& store, MatcherOptions options, const StretchOptions& stretch,
                        double query_hop_s)
      : fingerprinter_(load_fingerprinter(store.folder(), store.format(), store.device())),
        hop_frames_(hop_frames_of(fingerprinter_.model(), store.format())),
        matcher_(store, with_ratio(std::move(options), query_ratio(store.format(), query_hop_s))),
        stretch_(stretch) {
    const int ratio = matcher_.options().query_ratio;
    check(hop_frames_ % ratio == 0, "query hop: ", query_hop_s, " s is not a whole number of frames");
    hop_frames_ /= ratio;
    stretch_.hop_seconds = fingerprinter_.hop_seconds(hop_frames_);
    stretch_.segment_seconds = store.format().segment_seconds();
  }

  std::vector<std::vector<Match>> match(std::span<const std::span<const float>> recordings) const override {
    std::vector<QueryRange> queries;
    std::int64_t rows = 0;
    for (const std::span<const float> recording : recordings) {
      const auto samples = static_cast<std::int64_t>(recording.size());
      queries.push_back({rows, rows + fingerprinter_.count(samples, hop_frames_)});
      rows = queries.back().end;
    }
    return matcher_.match(fingerprinter_.fingerprints_of_all(recordings, hop_frames_), queries);
  }

  std::vector<Stretch> stretches(std::span<const float> pcm) const override {
    return find_stretches(matcher_, fingerprinter_.fingerprints(pcm, hop_frames_), stretch_);
  }

  double follow(data::AudioStream& stream, const Report& begun, const Report& ended) const override {
    const FeatureOptions& features = fingerprinter_.model().features;
    const auto hop = static_cast<std::size_t>(hop_frames_) * static_cast<std::size_t>(features.hop);
    const auto segment = static_cast<std::size_t>(features.segment_samples());
    // Context on either side of what is fingerprinted: the same spectrogram as of the whole recording, however it
    // comes.
    const auto margin = static_cast<std::size_t>((features.n_fft / 2 + features.hop - 1) / features.hop * features.hop);
    const std::size_t most_context = (margin + hop - 1) / hop * hop;
    StretchFinder finder(matcher_, stretch_, begun, ended);
    std::vector<float> buffer;
    std::size_t context = 0;  // samples at the front of the buffer whose fingerprints are done
    nn::Fingerprinter::Stream heard;
    const auto push = [&](std::size_t samples, std::size_t rows) {
      const auto first = static_cast<std::int64_t>(context / hop);
      const std::int64_t count = rows > 0
                                     ? static_cast<std::int64_t>(rows)
                                     : fingerprinter_.count(static_cast<std::int64_t>(samples), hop_frames_) - first;
      finder.push(
          fingerprinter_.fingerprints_of_stream(std::span(buffer).first(samples), hop_frames_, first, count, heard));
    };
    std::vector<float> piece(static_cast<std::size_t>(features.sample_rate));
    std::size_t read = 0;
    for (std::size_t got = stream.read_some(piece); got > 0; got = stream.read_some(piece)) {
      read += got;
      buffer.insert(buffer.end(), piece.begin(), piece.begin() + static_cast<std::ptrdiff_t>(got));
      if (buffer.size() < context + segment + hop + margin) {
        continue;
      }
      const std::size_t rows = (buffer.size() - context - segment - margin) / hop;
      push(context + (rows - 1) * hop + segment + margin, rows);
      const std::size_t done = context + rows * hop;
      context = std::min(done, most_context);
      buffer.erase(buffer.begin(), buffer.begin() + static_cast<std::ptrdiff_t>(done - context));
    }
    if (buffer.size() >= context + segment || (read > 0 && read < segment)) {
      push(buffer.size(), 0);
    }
    finder.finish();
    return static_cast<double>(read) / features.sample_rate;
  }

 private:
  nn::Fingerprinter fingerprinter_;
  int hop_frames_;
  Matcher matcher_;
  StretchOptions stretch_;
};

}  // namespace

std::unique_ptr<Recognizer> recognize_by_fingerprints(const IndexStore& store, MatcherOptions options,
                                                      const StretchOptions& stretch, double query_hop_s) {
  return std::make_unique<FingerprintRecognizer>(store, std::move(options), stretch, query_hop_s);
}

std::unique_ptr<Recognizer> make_recognizer(const IndexStore& store, const MatcherOptions& options,
                                            const StretchOptions& stretch, double query_hop_s) {
  if (!store.format().landmarks) {
    return recognize_by_fingerprints(store, options, stretch, query_hop_s);
  }
  check(options.method == Method::exact && query_hop_s <= 0, data::printable(store.folder().string()),
        ": an index of landmarks, which has no fingerprints, no hop between them and no LSH");
  return recognize_by_landmarks(store, options, stretch);
}

}  // namespace earmark::search
