#include "search/monitor.h"

#include <algorithm>
#include <vector>

namespace earmark::search {

double monitor(const Searcher& searcher, data::AudioStream& stream, const StretchFinder::Report& begun,
               const StretchFinder::Report& ended) {
  const FeatureOptions& features = searcher.fingerprinter().model().features;
  const auto hop = static_cast<std::size_t>(searcher.hop_frames()) * static_cast<std::size_t>(features.hop);
  const auto segment = static_cast<std::size_t>(features.segment_samples());
  // Half a window of context on either side of what is fingerprinted: the same spectrogram as of the whole recording.
  const auto margin = static_cast<std::size_t>((features.n_fft / 2 + features.hop - 1) / features.hop * features.hop);
  StretchFinder finder(searcher.matcher(), searcher.stretch_options(), begun, ended);
  std::vector<float> buffer;
  std::vector<float> piece(static_cast<std::size_t>(features.sample_rate));
  std::size_t read = 0;
  for (std::size_t got = stream.read_some(piece); got > 0; got = stream.read_some(piece)) {
    read += got;
    buffer.insert(buffer.end(), piece.begin(), piece.begin() + static_cast<std::ptrdiff_t>(got));
    if (buffer.size() < segment + hop + margin) {
      continue;
    }
    const std::size_t rows = (buffer.size() - segment - margin) / hop;
    const std::span<const float> whole(buffer.data(), (rows - 1) * hop + segment);
    finder.push(searcher.fingerprinter().fingerprints(whole, searcher.hop_frames()));
    buffer.erase(buffer.begin(), buffer.begin() + static_cast<std::ptrdiff_t>(rows * hop));
  }
  if (buffer.size() >= segment || (read > 0 && read < segment)) {
    finder.push(searcher.fingerprinter().fingerprints(buffer, searcher.hop_frames()));
  }
  finder.finish();
  return static_cast<double>(read) / features.sample_rate;
}

}  // namespace earmark::search
