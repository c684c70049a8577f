#include "experiments/query_maker.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <map>
#include <optional>

#include "data/decode.h"
#include "data/distort.h"
#include "data/progress.h"
#include "data/room.h"
#include "data/wav.h"
#include "experiments/query_noise.h"
#include "experiments/repeats.h"
#include "kernels/atomic_file.h"
#include "kernels/error.h"
#include "kernels/parallel.h"
#include "kernels/random.h"

namespace earmark::experiments {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kTrackStream = 0x747261636b;
constexpr std::uint64_t kPlaceStream = 0x706c616365;
constexpr std::uint64_t kNoiseStream = 0x6e6f697365;
constexpr int kRounds = 50;  // Tracks tried for one excerpt.
constexpr int kPlaces = 50;  // Places tried in one track.

double mean_square(std::span<const float> samples) {
  double energy = 0;
  for (const float sample : samples) {
    energy += static_cast<double>(sample) * static_cast<double>(sample);
  }
  return energy / static_cast<double>(samples.size());
}

// An excerpt in every condition; empty until it is made.
using Excerpt = std::vector<Query>;

std::string four_digits(int number) {
  std::array<char, 16> text{};
  std::snprintf(text.data(), text.size(), "%04d", number);
  return text.data();
}

// What an excerpt that is made leaves until all of them are.
fs::path excerpt_file(const fs::path& folder, int number) {
  return folder / "excerpts" / (four_digits(number) + ".csv");
}

class Maker {
 public:
  Maker(const fs::path& folder, const std::vector<data::AudioFile>& tracks, const QueryOptions& options)
      : folder_(folder),
        tracks_(tracks),
        options_(options),
        noise_({options.speech, options.babble_speakers, options.seed, options.sample_rate}),
        conditions_(protocol_conditions()) {
    for (const double rt60 : kRt60sS) {
      std::vector<data::Rir>& rooms = rooms_[rt60];
      for (int room = 0; room < options.rooms; ++room) {
        const auto seed =
            (options.seed << 20U) + static_cast<std::uint64_t>(rt60 * 1e4) + static_cast<std::uint64_t>(room);
        rooms.push_back(data::simulate_room({rt60, paper_drr_db(rt60), seed, options.sample_rate}));
      }
    }
  }

  // Fills `excerpts` where they are missing.
  void run(std::vector<Excerpt>& excerpts) {
    data::Progress progress("making queries", options_.excerpts, "excerpts", options_.progress);
    progress.set(std::count_if(excerpts.begin(), excerpts.end(), [](const Excerpt& e) { return !e.empty(); }));
    for (int round = 0; round < kRounds; ++round) {
      const std::map<std::size_t, std::vector<int>> by_track = draw_tracks(excerpts, round);
      if (by_track.empty()) {
        return;
      }
      const std::vector<std::pair<std::size_t, std::vector<int>>> work(by_track.begin(), by_track.end());
      parallel_for(static_cast<std::int64_t>(work.size()), [&](std::int64_t i) {
        const auto& [track, numbers] = work[static_cast<std::size_t>(i)];
        make_from(tracks_[track], numbers, round, excerpts, progress);
      });
    }
    fail("making queries: after ", kRounds, " tries there are places where no excerpt of ", options_.length_s,
         " s is loud enough; ", tracks_.size(), " tracks are there");
  }

 private:
  // Every excerpt that is still missing tries another track.
  std::map<std::size_t, std::vector<int>> draw_tracks(const std::vector<Excerpt>& excerpts, int round) const {
    std::map<std::size_t, std::vector<int>> out;
    for (int i = 0; i < options_.excerpts; ++i) {
      if (excerpts[static_cast<std::size_t>(i)].empty()) {
        RandomStream random(options_.seed, kTrackStream + static_cast<std::uint64_t>(round),
                            static_cast<std::uint64_t>(i));
        out[random.below(tracks_.size())].push_back(i);
      }
    }
    return out;
  }

  void make_from(const data::AudioFile& track, const std::vector<int>& numbers, int round,
                 std::vector<Excerpt>& excerpts, data::Progress& progress) const {
    std::vector<float> pcm;
    try {
      pcm = data::decode_audio(track.path, options_.sample_rate);
    } catch (const Error&) {
      return;  // Not a track that could be indexed either; its excerpts try another.
    }
    std::optional<RepeatFinder> repeats;
    for (const int number : numbers) {
      RandomStream random(options_.seed, kPlaceStream + static_cast<std::uint64_t>(round),
                          static_cast<std::uint64_t>(number));
      const std::optional<std::int64_t> start = draw_place(pcm, random);
      if (!start) {
        continue;
      }
      if (!repeats) {
        repeats.emplace(pcm, options_.sample_rate);
      }
      excerpts[static_cast<std::size_t>(number)] = make(track, pcm, *start, number, *repeats);
      progress.add();
    }
  }

  std::optional<std::int64_t> draw_place(const std::vector<float>& pcm, RandomStream& random) const {
    const std::int64_t length = samples();
    const auto size = static_cast<std::int64_t>(pcm.size());
    const auto second = static_cast<std::size_t>(std::min<std::int64_t>(length, 96 * options_.sample_rate / 100));
    for (int i = 0; i < kPlaces && size >= length; ++i) {
      const auto start = static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(size - length + 1)));
      const auto excerpt = std::span(pcm).subspan(static_cast<std::size_t>(start), static_cast<std::size_t>(length));
      if (mean_square(excerpt) > options_.silence_mean_square &&
          mean_square(excerpt.first(second)) > options_.silence_mean_square) {
        return start;
      }
    }
    return {};
  }

  // Whose repeats are looked for: the paper's, and that of a longer excerpt itself, whose equivalents must be its own.
  std::vector<double> repeat_lengths() const {
    std::vector<double> out;
    std::copy_if(kLengthsS.begin(), kLengthsS.end(), std::back_inserter(out),
                 [&](double length_s) { return length_s <= options_.length_s; });
    if (options_.length_s > kLengthsS.back()) {
      out.push_back(options_.length_s);
    }
    return out;
  }

  std::int64_t samples() const { return std::llround(options_.length_s * options_.sample_rate); }

  Excerpt make(const data::AudioFile& track, const std::vector<float>& pcm, std::int64_t start, int number,
               const RepeatFinder& finder) const {
    Excerpt out;
    const double start_s = static_cast<double>(start) / options_.sample_rate;
    std::vector<Equivalent> places;
    std::vector<Repeat> repeats;
    for (const double length_s : repeat_lengths()) {
      places = finder.repeats(start_s, length_s, kSimilarSound);
      repeats.push_back({length_s, places.empty() ? 0 : places.front().correlation});
    }
    for (const Condition& condition : conditions_) {
      Query query{four_digits(number) + '-' + condition.label(),
                  "",
                  track.name,
                  start_s,
                  options_.length_s,
                  condition.name(),
                  condition.snr_db,
                  condition.rt60_s,
                  "",
                  places,
                  repeats};
      query.path = query.id + ".wav";
      const std::vector<float> sound = distorted(pcm, start, number, condition, query.noise_kind);
      data::write_wav(folder_ / query.path, sound, options_.sample_rate);
      out.push_back(std::move(query));
    }
    write_queries(excerpt_file(folder_, number), out);
    return out;
  }

  // The excerpt after a second of what was played before it, in a room with noise.
  std::vector<float> distorted(const std::vector<float>& pcm, std::int64_t start, int number,
                               const Condition& condition, std::string& noise_kind) const {
    data::DistortWindow window;
    window.segment = samples();
    std::vector<float> music(static_cast<std::size_t>(window.total()), 0.0F);
    for (std::int64_t i = std::max<std::int64_t>(0, window.context - start); i < window.total(); ++i) {
      music[static_cast<std::size_t>(i)] = pcm[static_cast<std::size_t>(start - window.context + i)];
    }
    // The same noise and room for all conditions of an excerpt: rows of a table differ by what they say alone.
    RandomStream random(options_.seed, kNoiseStream, static_cast<std::uint64_t>(number));
    const std::size_t room = random.below(static_cast<std::uint64_t>(options_.rooms));
    std::vector<float> noise;
    if (data::has_noise(condition.kind)) {
      noise.assign(music.size(), 0.0F);
      noise_kind = noise_.add(noise, random);
    }
    data::Distortion distortion{condition.kind, condition.snr_db.value_or(0), nullptr, nullptr};
    if (data::has_reverb(condition.kind)) {
      distortion.rir = &rooms_.at(condition.rt60_s.value_or(kTableRt60S)).at(room);
    }
    std::vector<float> out(static_cast<std::size_t>(window.kept()));
    data::distort(music, noise, distortion, window, out);
    keep_below_full_scale(out);
    return out;
  }

  static void keep_below_full_scale(std::vector<float>& sound) {
    float peak = 0;
    for (const float sample : sound) {
      peak = std::max(peak, std::abs(sample));
    }
    if (peak > 0.95F) {
      for (float& sample : sound) {
        sample *= 0.95F / peak;
      }
    }
  }

  const fs::path& folder_;
  const std::vector<data::AudioFile>& tracks_;
  const QueryOptions& options_;
  QueryNoise noise_;
  std::vector<Condition> conditions_;
  std::map<double, std::vector<data::Rir>> rooms_;
};

// Everything a set depends on, as text.
std::string inputs_of(const std::vector<data::AudioFile>& tracks, const QueryOptions& options) {
  std::string out = str("version 2, ", options.excerpts, " excerpts of ", options.length_s, " s, seed ", options.seed,
                        ", ", options.rooms, " rooms, ", options.babble_speakers, " speakers of ",
                        options.speech.string(), ", silence ", options.silence_mean_square, ", ", options.sample_rate,
                        " Hz", options.length_s > kLengthsS.back() ? ", repeats of the whole" : "", "\n");
  for (const data::AudioFile& track : tracks) {
    std::error_code error;
    out += str(track.name, '\t', fs::file_size(track.path, error), '\n');
  }
  return out;
}

std::string read_text(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

// A folder for the excerpts; nothing of a set with other inputs may be taken for one of this.
void open_folder(const fs::path& folder, const std::string& inputs) {
  std::error_code error;
  if (read_text(folder / "inputs.txt") != inputs) {
    for (const char* name : {"inputs.txt", "queries.csv", "excerpts"}) {
      fs::remove_all(folder / name, error);
      check(!error, (folder / name).string(), ": cannot be removed: ", error.message());
    }
  }
  fs::create_directories(folder / "excerpts", error);
  check(!error, folder.string(), ": cannot make the folder: ", error.message());
  write_file_atomically(folder / "inputs.txt", std::string_view(inputs));
}

// What a making that was cut off has left; the number of excerpts.
int read_excerpts(const fs::path& folder, std::vector<Excerpt>& excerpts) {
  int found = 0;
  for (std::size_t i = 0; i < excerpts.size(); ++i) {
    const fs::path file = excerpt_file(folder, static_cast<int>(i));
    if (fs::exists(file)) {
      excerpts[i] = read_queries(file);
      ++found;
    }
  }
  return found;
}

}  // namespace

QuerySet make_queries(const fs::path& folder, const std::vector<data::AudioFile>& tracks, const QueryOptions& options,
                      int* kept) {
  check(!tracks.empty(), "making queries: there are no tracks");
  check(options.excerpts > 0 && options.rooms > 0, "making queries: expected at least one excerpt and one room");
  const std::string inputs = inputs_of(tracks, options);
  if (read_text(folder / "inputs.txt") == inputs && fs::exists(folder / "queries.csv")) {
    if (kept != nullptr) {
      *kept = options.excerpts;
    }
    return read_query_set(folder);
  }
  open_folder(folder, inputs);
  std::vector<Excerpt> excerpts(static_cast<std::size_t>(options.excerpts));
  const int found = read_excerpts(folder, excerpts);
  Maker(folder, tracks, options).run(excerpts);
  QuerySet set{folder, {}};
  for (const Excerpt& excerpt : excerpts) {
    set.queries.insert(set.queries.end(), excerpt.begin(), excerpt.end());
  }
  write_query_set(set);
  fs::remove_all(folder / "excerpts");
  if (kept != nullptr) {
    *kept = found;
  }
  return set;
}

}  // namespace earmark::experiments
