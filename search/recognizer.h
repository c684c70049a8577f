// What finds recordings in one kind of index: by fingerprints of a model, or by landmarks. A method is a plug: `index`,
// `search` and whatever else answers queries see this alone.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "data/decode.h"
#include "search/index_store.h"
#include "search/matcher.h"
#include "search/stretches.h"

namespace earmark::search {

/// Mono samples at the index's rate. Safe to use from several threads.
class Recognizer {
 public:
  using Report = StretchFinder::Report;
  virtual ~Recognizer() = default;

  /// Matches of each recording as a whole, best first.
  virtual std::vector<std::vector<Match>> match(std::span<const std::span<const float>> recordings) const = 0;
  /// The stretches of a long recording that are in the index, by their begin.
  virtual std::vector<Stretch> stretches(std::span<const float> pcm) const = 0;
  /// Follows a stream to its end: `begun` hears of a stretch as soon as it is recognised, `ended` when it is over; both
  /// may be empty. Returns the seconds of sound read.
  virtual double follow(data::AudioStream& stream, const Report& begun, const Report& ended) const = 0;
};

/// The recognizer for what the store holds. `query_hop_s` 0: the index's hop; throws Error where it does not divide
/// that, and on anything else that fits no such index. The store must outlive it.
std::unique_ptr<Recognizer> make_recognizer(const IndexStore& store, const MatcherOptions& options,
                                            const StretchOptions& stretch, double query_hop_s);

/// By fingerprints (fingerprint_recognizer.cpp) and by landmarks (landmark_recognizer.cpp).
std::unique_ptr<Recognizer> recognize_by_fingerprints(const IndexStore& store, MatcherOptions options,
                                                      const StretchOptions& stretch, double query_hop_s);
std::unique_ptr<Recognizer> recognize_by_landmarks(const IndexStore& store, const MatcherOptions& options,
                                                   const StretchOptions& stretch);

}  // namespace earmark::search
