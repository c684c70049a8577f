#include "search/monitor.h"

#include <algorithm>
#include <vector>

namespace earmark::search {

double monitor(const Searcher& searcher, data::AudioStream& stream, const StretchFinder::Report& begun,
               const StretchFinder::Report& ended) {
  const FeatureOptions& features = searcher.fingerprinter().model().features;
  const auto hop = static_cast<std::size_t>(searcher.hop_frames()) * static_cast<std::size_t>(features.hop);
  const auto segment = static_cast<std::size_t>(features.segment_samples());
  // Context on either side of what is fingerprinted: the same spectrogram as of the whole recording, however it comes.
  const auto margin = static_cast<std::size_t>((features.n_fft / 2 + features.hop - 1) / features.hop * features.hop);
  const std::size_t most_context = (margin + hop - 1) / hop * hop;
  StretchFinder finder(searcher.matcher(), searcher.stretch_options(), begun, ended);
  std::vector<float> buffer;
  std::size_t context = 0;  // samples at the front of the buffer whose fingerprints are done
  const auto push = [&](std::size_t samples, std::size_t rows) {
    const Tensor all = searcher.fingerprinter().fingerprints(std::span(buffer).first(samples), searcher.hop_frames());
    const auto first = static_cast<std::int64_t>(context / hop);
    finder.push(all.slice(first, rows == 0 ? all.dim(0) : first + static_cast<std::int64_t>(rows)));
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

}  // namespace earmark::search
