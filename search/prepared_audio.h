// A file on its way into an index: hashed, decoded and embedded, by any thread.
#pragma once

#include <set>
#include <string>

#include "data/decode.h"
#include "kernels/tensor.h"
#include "search/indexer.h"

namespace earmark::search {

/// What becomes of a file; which of the fields are set says how far it came.
struct PreparedAudio {
  std::string hash;
  std::string problem;  // why it cannot be added
  std::string damage;   // why it is not whole
  Tensor fingerprints;  // empty where the content is known already
  IndexWriter::Excerpts excerpts;
  double seconds = 0;
  data::Tags tags;
};

/// Contents that are `known` (content_hash) are not decoded; `files` are indexed together (wanted_excerpts()). Throws
/// DeviceFailure; what else goes wrong is the file's `problem`.
PreparedAudio prepare_audio(const AudioSource& source, const std::set<std::string>& known, const IndexFormat& format,
                            const Embedder& embedder, std::size_t files);

}  // namespace earmark::search
