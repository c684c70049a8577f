#include "experiments/judge.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <map>
#include <tuple>

#include "data/csv.h"
#include "data/decode.h"
#include "data/progress.h"
#include "experiments/answer_cells.h"
#include "experiments/protocol.h"
#include "experiments/repeats.h"
#include "kernels/atomic_file.h"
#include "kernels/error.h"
#include "kernels/parallel.h"

namespace earmark::experiments {
namespace {

constexpr double kRounding = 1e-9;  // "Inclusive" must not depend on how 0.05 is rounded.

bool is_near(double a_s, double b_s) { return std::abs(a_s - b_s) <= kToleranceS + kRounding; }

// Answers with the right file at a place that may sound the same, by true start, found start and length. Many systems
// answer alike: each is compared once.
using DoubtKey = std::tuple<double, double, double>;
using TrackDoubts = std::map<DoubtKey, std::vector<Verdict*>>;
using Doubts = std::map<std::string, TrackDoubts>;
// Whether they sound the same, as far as it is known.
using Known = std::map<DoubtKey, bool>;

bool named_equivalent(const Query& query, double found_s) {
  return std::any_of(query.equivalents.begin(), query.equivalents.end(), [&](const Equivalent& place) {
    return place.correlation > kSameSound && is_near(place.start_s, found_s);
  });
}

const Answer& file_answer(const SystemAnswers& system, std::size_t length, std::size_t query) {
  return (system.files.empty() ? system.places : system.files)[length][query];
}

void judge_one(const Query& query, const Answer& file, const Answer& place, double length_s, Verdict& verdict,
               Doubts& doubts) {
  verdict.asked = has_length(query, length_s);
  if (!verdict.asked) {
    return;
  }
  verdict.file = file.track == query.track;
  const bool right = place.track == query.track;
  verdict.place = right && is_near(place.start_s, query.start_s);
  verdict.off_s = right ? std::abs(place.start_s - query.start_s) : verdict.off_s;
  verdict.same_sound = verdict.place || (right && named_equivalent(query, place.start_s));
  if (right && !verdict.same_sound) {
    // To the millisecond: answers that differ by less are one question.
    const double found_s = std::round(place.start_s * 1000) / 1000;
    doubts[query.track][{query.start_s, found_s, length_s}].push_back(&verdict);
  }
}

// Where it is written down what is known of a track: "start,found,length,same" in each line.
std::filesystem::path known_file(const std::filesystem::path& folder, const std::filesystem::path& track) {
  std::error_code error;
  const std::string file = str(track.string(), '\t', std::filesystem::file_size(track, error), '\t',
                               std::filesystem::last_write_time(track, error).time_since_epoch().count());
  return folder / ("places." + short_hash(file) + ".csv");
}

Known read_known(const std::filesystem::path& file) {
  Known out;
  std::ifstream in(file);
  data::CsvReader reader(in, file.string());
  for (std::vector<std::string> row; in.is_open() && reader.next(row) && row.size() == 4;) {
    out[{parse_number(row[0]), parse_number(row[1]), parse_number(row[2])}] = row[3] == "1";
  }
  return out;
}

void write_known(const std::filesystem::path& file, const Known& known) {
  std::string out;
  for (const auto& [key, same] : known) {
    const auto [start_s, found_s, length_s] = key;
    out +=
        exact_number(start_s) + ',' + exact_number(found_s) + ',' + exact_number(length_s) + (same ? ",1\n" : ",0\n");
  }
  std::filesystem::create_directories(file.parent_path());
  write_file_atomically(file, std::string_view(out));
}

// Fills in what is not known; false where the track cannot be heard: its doubtful answers stay wrong.
bool compare_places(const std::filesystem::path& track, const TrackDoubts& doubts, Known& known) {
  std::vector<float> pcm;
  try {
    pcm = data::decode_audio(track);
  } catch (const Error&) {
    return false;
  }
  if (pcm.size() < 16000) {
    return false;
  }
  const RepeatFinder finder(pcm);
  for (const auto& [key, verdicts] : doubts) {
    if (!known.contains(key)) {
      const auto [start_s, found_s, length_s] = key;
      known[key] = finder.best_correlation(start_s, found_s, length_s, kToleranceS) > kSameSound;
    }
  }
  return true;
}

void settle(const std::filesystem::path& track, const TrackDoubts& doubts, const std::filesystem::path& folder) {
  const std::filesystem::path file = folder.empty() ? folder : known_file(folder, track);
  Known known = read_known(file);
  if (std::any_of(doubts.begin(), doubts.end(), [&](const auto& doubt) { return !known.contains(doubt.first); })) {
    if (!compare_places(track, doubts, known)) {
      return;
    }
    if (!file.empty()) {
      write_known(file, known);
    }
  }
  for (const auto& [key, verdicts] : doubts) {
    for (Verdict* verdict : verdicts) {
      verdict->same_sound = known.at(key);
    }
  }
}

}  // namespace

Verdicts judge(const QuerySet& set, const Evaluation& evaluation, const FindTrack& find_track, bool progress,
               const std::filesystem::path& folder) {
  const std::size_t lengths = evaluation.lengths_s.size();
  Verdicts out(evaluation.systems.size(),
               std::vector<std::vector<Verdict>>(lengths, std::vector<Verdict>(set.queries.size())));
  Doubts doubts;
  for (std::size_t s = 0; s < evaluation.systems.size(); ++s) {
    const SystemAnswers& system = evaluation.systems[s];
    for (std::size_t l = 0; l < lengths; ++l) {
      for (std::size_t q = 0; q < set.queries.size() && !system.places[l].empty(); ++q) {
        judge_one(set.queries[q], file_answer(system, l, q), system.places[l][q], evaluation.lengths_s[l], out[s][l][q],
                  doubts);
      }
    }
  }
  std::vector<std::pair<std::filesystem::path, const TrackDoubts*>> work;
  for (const auto& [track, questions] : doubts) {
    if (const auto file = find_track(track)) {
      work.emplace_back(*file, &questions);
    }
  }
  data::Progress bar("comparing places", static_cast<std::int64_t>(work.size()), "tracks", progress && !work.empty());
  parallel_for(static_cast<std::int64_t>(work.size()), [&](std::int64_t i) {
    settle(work[static_cast<std::size_t>(i)].first, *work[static_cast<std::size_t>(i)].second, folder);
    bar.add();
  });
  return out;
}

bool is_hit(const Verdict& verdict, Level level) {
  switch (level) {
    case Level::file:
      return verdict.file;
    case Level::place:
      return verdict.place;
    case Level::same_sound:
      return verdict.same_sound;
    case Level::within_100_ms:
      return verdict.off_s <= 0.1 + kRounding;
    case Level::within_500_ms:
      return verdict.off_s <= 0.5 + kRounding;
  }
  return false;
}

Rate hit_rate(const QuerySet& set, const std::vector<Verdict>& verdicts, Level level,
              const std::function<bool(const Query&)>& wanted) {
  Rate rate;
  for (std::size_t q = 0; q < set.queries.size(); ++q) {
    if (!verdicts[q].asked || !wanted(set.queries[q])) {
      continue;
    }
    rate.add(is_hit(verdicts[q], level));
  }
  return rate;
}

}  // namespace earmark::experiments
