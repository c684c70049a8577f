// `bench landmark`: landmarks against audfprint itself, indexing and searching, both given the same samples.
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>
#include <ostream>
#include <utility>

#include "data/decode.h"
#include "experiments/bench_search.h"
#include "experiments/clock.h"
#include "experiments/peer_process.h"
#include "kernels/error.h"
#include "kernels/parallel.h"
#include "kernels/random.h"
#include "search/indexer.h"
#include "search/landmark_alignment.h"

namespace earmark::experiments {
namespace {

namespace fs = std::filesystem;
using search::Landmark;
using search::LandmarkOptions;

constexpr int kRate = LandmarkOptions::kSampleRate;

/// A track or a query: its samples, and the same in a file for the peer.
struct Sound {
  std::vector<float> pcm;
  fs::path file;
  double seconds() const { return static_cast<double>(pcm.size()) / kRate; }
};

/// Sounds in a folder that is gone at the end.
class Sounds {
 public:
  Sounds() : folder_(fs::temp_directory_path() / str("earmark-bench-landmark-", ::getpid())) {
    fs::create_directories(folder_);
  }
  ~Sounds() {
    std::error_code ignored;
    fs::remove_all(folder_, ignored);
  }
  Sounds(const Sounds&) = delete;
  Sounds& operator=(const Sounds&) = delete;

  Sound add(std::vector<float> pcm) {
    Sound sound{std::move(pcm), folder_ / (std::to_string(count_++) + ".raw")};
    std::ofstream out(sound.file, std::ios::binary);
    out.write(reinterpret_cast<const char*>(sound.pcm.data()),
              static_cast<std::streamsize>(sound.pcm.size() * sizeof(float)));
    check(out.flush().good(), sound.file.string(), ": cannot be written");
    return sound;
  }

 private:
  fs::path folder_;
  int count_ = 0;
};

std::vector<Sound> decode_tracks(const LandmarkBenchOptions& options, Sounds& sounds) {
  std::vector<Sound> tracks;
  double minutes = 0;
  for (const search::AudioSource& source : search::find_sources({options.music})) {
    if (options.minutes > 0 && minutes >= options.minutes) {
      break;
    }
    tracks.push_back(sounds.add(data::decode_audio(source.file, kRate)));
    minutes += tracks.back().seconds() / 60;
  }
  check(!tracks.empty(), options.music.string(), ": no sound files");
  return tracks;
}

/// Random parts of the tracks, with noise 10 dB below.
std::vector<Sound> noisy_parts(const LandmarkBenchOptions& options, const std::vector<Sound>& tracks, Sounds& sounds) {
  RandomStream random(1, 0x6c616e64);
  std::vector<Sound> queries;
  const auto length = static_cast<std::size_t>(options.seconds * kRate);
  for (int i = 0; i < options.queries; ++i) {
    const std::vector<float>& pcm = tracks[random.below(tracks.size())].pcm;
    const std::size_t begin = random.below(std::max<std::size_t>(1, pcm.size() - std::min(pcm.size(), length)));
    std::vector<float> part(pcm.begin() + static_cast<std::ptrdiff_t>(begin),
                            pcm.begin() + static_cast<std::ptrdiff_t>(std::min(pcm.size(), begin + length)));
    double square = 0;
    for (const float x : part) {
      square += static_cast<double>(x) * static_cast<double>(x);
    }
    const double level = std::sqrt(0.1 * square / static_cast<double>(std::max<std::size_t>(1, part.size())));
    for (float& x : part) {
      x += static_cast<float>(level * random.normal());
    }
    queries.push_back(sounds.add(std::move(part)));
  }
  return queries;
}

struct Figures {
  std::vector<double> times_real_time;  // indexing on one core
  std::vector<double> analysis_ms;      // of a query
  std::vector<double> look_up_ms;
  std::int64_t landmarks = 0;
  double query_ms() const { return median(analysis_ms) + median(look_up_ms); }
};

double seconds_of(const std::vector<Sound>& tracks) {
  double sum = 0;
  for (const Sound& track : tracks) {
    sum += track.seconds();
  }
  return sum;
}

void run_ours(const LandmarkOptions& options, const std::vector<Sound>& tracks, const std::vector<Sound>& queries,
              Figures& figures) {
  std::vector<std::vector<Landmark>> landmarks;
  landmarks.reserve(tracks.size());
  std::vector<std::span<const Landmark>> spans;
  std::optional<SerialScope> one_core(std::in_place);
  // A fraction of a second's work that waited for the peer's many: its memory and caches are woken up first.
  for (const Sound& track : tracks) {
    search::landmarks(track.pcm, options);
  }
  const double begun = now_s();
  for (const Sound& track : tracks) {
    landmarks.push_back(search::landmarks(track.pcm, options));
  }
  spans.assign(landmarks.begin(), landmarks.end());
  const search::LandmarkTable table(options, spans);
  figures.times_real_time.push_back(seconds_of(tracks) / (now_s() - begun));
  one_core.reset();
  figures.landmarks = 0;
  for (const std::vector<Landmark>& of_track : landmarks) {
    figures.landmarks += static_cast<std::int64_t>(of_track.size());
  }
  for (const Sound& query : queries) {
    const double asked = now_s();
    const std::vector<Landmark> found = search::query_landmarks(query.pcm, options);
    const double analysed = now_s();
    static_cast<void>(search::align_landmarks(table, options, found));
    figures.analysis_ms.push_back(1e3 * (analysed - asked));
    figures.look_up_ms.push_back(1e3 * (now_s() - analysed));
  }
}

nlohmann::json ask(PeerProcess& peer, const std::string& line) {
  peer.write_line(line);
  return nlohmann::json::parse(peer.read_line());
}

void run_peer(PeerProcess& peer, const std::vector<Sound>& tracks, const std::vector<Sound>& queries,
              Figures& figures) {
  ask(peer, "new");
  double seconds = 0;
  figures.landmarks = 0;
  for (const Sound& track : tracks) {
    const nlohmann::json answer = ask(peer, "index " + track.file.string());
    seconds += answer.at("seconds").get<double>();
    figures.landmarks += answer.at("landmarks").get<std::int64_t>();
  }
  figures.times_real_time.push_back(seconds_of(tracks) / seconds);
  for (const Sound& query : queries) {
    const nlohmann::json answer = ask(peer, "query " + query.file.string());
    figures.analysis_ms.push_back(1e3 * answer.at("analysis").get<double>());
    figures.look_up_ms.push_back(1e3 * answer.at("look_up").get<double>());
  }
}

std::vector<std::string> peer_command(const LandmarkBenchOptions& options, const LandmarkOptions& landmarks) {
  std::vector<std::string> words = {options.python, (options.peers / "audfprint_landmarks.py").string(),
                                    "--density",    str(landmarks.peaks.density),
                                    "--fan-out",    str(landmarks.fan_out),
                                    "--peaks",      str(landmarks.peaks.peaks_per_frame),
                                    "--shifts",     str(landmarks.query_shifts),
                                    "--bucket",     str(landmarks.bucket),
                                    "--min-count",  str(landmarks.min_count)};
  if (!options.original.empty()) {
    words.insert(words.end(), {"--original", options.original});
  }
  return words;
}

void describe(std::ostream& log, const std::string& name, const Figures& figures) {
  log << name << ": " << figures.landmarks << " landmarks at " << median(figures.times_real_time)
      << " x real time on one core; a query " << median(figures.analysis_ms) << " + " << median(figures.look_up_ms)
      << " ms (analysis + look-up)\n";
}

}  // namespace

BenchResult bench_landmark(const LandmarkBenchOptions& options, std::ostream& log) {
  const LandmarkOptions landmarks = search::landmark_setting(options.setting);
  Sounds sounds;
  const std::vector<Sound> tracks = decode_tracks(options, sounds);
  const std::vector<Sound> queries = noisy_parts(options, tracks, sounds);
  log << "landmark, " << options.setting << ": " << std::lround(seconds_of(tracks)) << " s of music, " << queries.size()
      << " queries of " << options.seconds << " s, decoded beforehand\n";
  std::optional<PeerProcess> peer;
  std::string name = "none";
  if (!options.python.empty()) {
    peer.emplace(peer_command(options, landmarks));
    name = nlohmann::json::parse(peer->read_line()).at("peer").get<std::string>();
  }
  Figures ours;
  Figures theirs;
  for (int i = 0; i < options.repetitions; ++i) {
    run_ours(landmarks, tracks, queries, ours);
    if (peer) {
      run_peer(*peer, tracks, queries, theirs);
    }
    log << "repetition " << i + 1 << ": ours " << ours.times_real_time.back()
        << (peer ? str(", peer ", theirs.times_real_time.back()) : "") << " x real time\n";
  }
  describe(log, "ours", ours);
  if (!peer) {
    return {"landmark", median(ours.times_real_time), "x real time on one core", name, 0};
  }
  describe(log, name, theirs);
  log << "a query: " << ours.query_ms() << " ms, " << theirs.query_ms() / ours.query_ms() << " times faster\n";
  return {"landmark", median(ours.times_real_time), "x real time on one core", name,
          median(ours.times_real_time) / median(theirs.times_real_time)};
}

}  // namespace earmark::experiments
