// Queries that a report shows: which ones, how they sound and look, what the encoder finds salient in them, and how the
// votes fell.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "experiments/judge.h"
#include "experiments/tables.h"
#include "nn/fingerprinter.h"
#include "search/index_store.h"

namespace earmark::experiments {

/// Values from `low` to `high` in 255 equal steps, rows from the lowest band up.
struct Picture {
  std::int64_t rows = 0;
  std::int64_t columns = 0;
  double low = 0;
  double high = 0;
  std::vector<std::uint8_t> values;  ///< (rows, columns)
};

/// What one attention module lets through: the mean gain over its channels, segments side by side.
struct AttentionPicture {
  std::string module;  ///< "block 3, second"
  Picture gain;
  std::int64_t frames = 0;  ///< Of the spectrogram, from its beginning, that it covers.
};

/// A stretch of sound.
struct Heard {
  std::string title;    ///< "the query"
  std::string sound;    ///< data: URI
  Picture spectrogram;  ///< Log-mel, dB.
  std::vector<AttentionPicture> attention;
};

/// How often a place in a track was proposed as the query's beginning.
struct PlaceVotes {
  double start_s = 0;
  int votes = 0;
};

struct Example {
  std::string title;
  std::string verdict;
  std::string text;
  bool right = false;
  std::vector<Heard> sounds;
  double answer_s = 0;             ///< Where the answer has the query begin in its track.
  double hop_s = 0;                ///< Between places that can be proposed.
  std::vector<PlaceVotes> found;   ///< In the answer's track.
  std::vector<PlaceVotes> played;  ///< In the query's track where that is another.
};

/// Which queries to show, positions in the set; judged by the headline system at the headline length. A third are
/// right although their condition is the hardest; the rest are wrong although theirs is the easiest: first those that
/// name another track, the most certain first. Each track is shown once at most in either part.
std::vector<std::size_t> choose_examples(const Results& results, int count);

/// What examples are made from. All references must outlive the call.
struct ExampleSources {
  const nn::Fingerprinter& fingerprinter;
  const search::IndexStore& store;
  FindTrack find_track;
  int neighbours = 5;
  double query_hop_s = 0;  ///< 0: as in the database.
};

/// In the order given. A sound that is not at hand is left out. Throws Error where a query cannot be read.
std::vector<Example> make_examples(const Results& results, const std::vector<std::size_t>& queries,
                                   const ExampleSources& sources);

/// A spectrogram (frames, bands) as `compression` has it, in dB: the highest 80 of them, or as many as there are.
Picture spectrogram_picture(const Tensor& log_mel, FeatureOptions::Compression compression);

/// The mean over channels of what a module lets through, segments (N, ...) side by side.
AttentionPicture attention_picture(const nn::AttentionMaps& maps, std::int64_t frames);

/// As the page's script reads them, a JSON array.
std::string examples_json(const std::vector<Example>& examples);

}  // namespace earmark::experiments
