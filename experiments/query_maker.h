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

/// Writes <folder>/<id>.wav for every excerpt and condition and queries.csv, and returns the set, which depends on the
/// tracks and the options only, not on the number of threads. A folder that holds a whole set of the same tracks (by
/// name and size) and options is left as it is; one whose making was cut off is completed. `kept`, where given, is set
/// to the number of excerpts that were there. Throws Error where no track is long and loud enough.
QuerySet make_queries(const std::filesystem::path& folder, const std::vector<data::AudioFile>& tracks,
                      const QueryOptions& options, int* kept = nullptr);

}  // namespace earmark::experiments
