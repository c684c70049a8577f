// Right or wrong: compares answers with the truth, at the level of the file and of the place in it, and says where a
// wrong place sounds the same as the right one.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "experiments/evaluate.h"
#include "experiments/query_set.h"
#include "experiments/rate.h"

namespace earmark::experiments {

/// Of one answer.
struct Verdict {
  bool asked = false;       ///< The query is long enough for this length.
  bool file = false;        ///< Audio level: the right file.
  bool place = false;       ///< Segment level: the right file, and at most 50 ms off (inclusive).
  bool same_sound = false;  ///< Or a place where the clean sound equals the query's.
  /// How far off the place is; infinite in another file.
  double off_s = std::numeric_limits<double>::infinity();
};

/// [system][length][query]
using Verdicts = std::vector<std::vector<std::vector<Verdict>>>;

/// The sound file of a track, or nothing where it is not at hand: then only the equivalents that the query set names
/// are known.
using FindTrack = std::function<std::optional<std::filesystem::path>(const std::string& track)>;

/// Comparing the sound of places takes a while: what is found out about a track is kept in `folder` (empty: nowhere),
/// and asked there first as long as the track's file is the same.
Verdicts judge(const QuerySet& set, const Evaluation& evaluation, const FindTrack& find_track, bool progress = false,
               const std::filesystem::path& folder = {});

/// What counts as a hit.
enum class Level : std::uint8_t { file, place, same_sound, within_100_ms, within_500_ms };
/// Whether an answer does.
bool is_hit(const Verdict& verdict, Level level);
/// Hits among the queries that `wanted` picks.
Rate hit_rate(const QuerySet& set, const std::vector<Verdict>& verdicts, Level level,
              const std::function<bool(const Query&)>& wanted);

}  // namespace earmark::experiments
