// Makes the query sets of Tables 1 and 2: excerpts of random tracks at random places, each distorted in every condition
// of protocol.h. Room responses, noises and the speech behind the babble are the test's own.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "data/audio_files.h"
#include "data/noise.h"
#include "data/rir.h"
#include "experiments/protocol.h"
#include "experiments/query_set.h"

namespace earmark::experiments {

struct QueryOptions {
  int excerpts = 200;   ///< Queries in each condition.
  double length_s = 5;  ///< Shorter queries are their beginnings.
  std::uint64_t seed = 2022;
  int rooms = 4;  ///< Simulated rooms for each RT60; every excerpt is heard in one of them.
  int babble_speakers = 6;
  std::filesystem::path speech;  ///< Speech for babble; empty: synthetic voices.
  double silence_mean_square =
      1e-4;  ///< Excerpts that are no louder, as a whole or in their first second, are redrawn.
  int sample_rate = 16000;
  bool progress = false;
};

/// How often the collection repeats itself: shares of the excerpts, by query length.
struct RepeatShare {
  double length_s = 0;
  double same = 0;     ///< With a place that correlates above kSameSound: nobody could tell which was played.
  double similar = 0;  ///< Above kSimilarSound.
};

/// Writes <folder>/<id>.wav for every excerpt and condition, queries.csv and repeats.json, and returns the set. The
/// result depends on the tracks and the options only, not on the number of threads. Throws Error where no track is long
/// and loud enough.
QuerySet make_queries(const std::filesystem::path& folder, const std::vector<data::AudioFile>& tracks,
                      const QueryOptions& options);
/// The same, but kept from before where `folder` holds a whole set of the same tracks (by name and size) and options.
/// `reused` is set accordingly.
QuerySet prepare_queries(const std::filesystem::path& folder, const std::vector<data::AudioFile>& tracks,
                         const QueryOptions& options, bool& reused);

/// Of a set that make_queries wrote; empty for sets from elsewhere.
std::vector<RepeatShare> read_repeats(const std::filesystem::path& folder);

}  // namespace earmark::experiments
