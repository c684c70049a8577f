#include "search/indexer.h"

#include <xxhash.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <map>
#include <memory>
#include <set>
#include <utility>

#include "data/audio_files.h"
#include "data/decode.h"
#include "data/progress.h"
#include "kernels/device_failure.h"
#include "kernels/error.h"
#include "kernels/parallel.h"
#include "search/pipeline.h"

namespace earmark::search {
namespace {

constexpr float kSilence = 1e-4F;  // -80 dB of full scale

/// What a worker makes of a file; which of the fields are set says how far it came.
struct Prepared {
  std::string hash;
  std::string problem;  // why it cannot be added
  std::string damage;   // why it is not whole
  Tensor fingerprints;  // empty where the content is known already
  double seconds = 0;
  data::Tags tags;
};

Prepared prepare(const AudioSource& source, const std::set<std::string>& known, const IndexFormat& format,
                 const Embedder& embedder) {
  Prepared prepared;
  try {
    prepared.hash = content_hash(source.file);
    if (known.contains(prepared.hash)) {
      return prepared;
    }
    data::DecodedAudio audio = data::decode_file(source.file, {format.sample_rate, data::Channel::mean, false});
    prepared.seconds = static_cast<double>(audio.samples.size()) / format.sample_rate;
    prepared.damage = audio.problem;
    prepared.tags = std::move(audio.tags);
    if (static_cast<std::int64_t>(audio.samples.size()) < format.segment_samples) {
      prepared.problem = str("too short: ", prepared.seconds, " s, one fingerprint needs ", format.segment_seconds());
    } else if (is_silent(audio.samples)) {
      prepared.problem = "silent";
    } else {
      prepared.fingerprints = embedder(audio.samples);
      if (prepared.fingerprints.dim(0) == 0) {
        prepared.problem = "nothing in it stands out";
      }
    }
  } catch (const DeviceFailure&) {  // no other file can be added either
    throw;
  } catch (const Error& error) {
    prepared.problem = error.what();
  }
  return prepared;
}

/// Puts prepared files into the index.
class Adder {
 public:
  explicit Adder(IndexWriter& writer) : writer_(writer) {
    for (Track& track : writer.tracks()) {
      const std::string hash = track.content_hash;
      by_path_[{track.folder, track.path}] = track.id;
      by_content_.emplace(hash, std::move(track));
    }
  }

  std::set<std::string> known_contents() const {
    std::set<std::string> known;
    for (const auto& [hash, track] : by_content_) {
      known.insert(hash);
    }
    return known;
  }

  void add(const AudioSource& source, Prepared prepared) {
    if (!prepared.problem.empty()) {
      report.skipped.push_back({source.path, prepared.problem});
      return;
    }
    if (const auto found = by_content_.find(prepared.hash); found != by_content_.end()) {
      return note_known(source, found->second);
    }
    Track track{0,
                source.path,
                source.folder,
                prepared.seconds,
                source.title.empty() ? prepared.tags.title : source.title,
                source.artist.empty() ? prepared.tags.artist : source.artist,
                prepared.hash,
                0,
                0};
    if (!prepared.damage.empty()) {
      report.damaged.push_back({source.path, prepared.damage});
    }
    report.audio_seconds += prepared.seconds;
    by_content_.emplace(prepared.hash, track);
    const auto old = by_path_.find({source.folder, source.path});
    if (old != by_path_.end() && old->second != 0) {
      ++report.replaced;
      writer_.replace(std::exchange(old->second, 0), std::move(track), prepared.fingerprints);
    } else {
      ++report.added;
      by_path_[{source.folder, source.path}] = 0;
      writer_.add(std::move(track), prepared.fingerprints);
    }
  }

  IndexReport report;

 private:
  void note_known(const AudioSource& source, Track& present) {
    if (present.folder == source.folder && present.path == source.path) {
      ++report.unchanged;
    } else if (present.id == 0 || std::filesystem::exists(std::filesystem::path(present.folder) / present.path) ||
               by_path_.contains({source.folder, source.path})) {
      report.skipped.push_back({source.path, "the same content as " + data::printable(present.path)});
    } else {
      writer_.rename(present.id, source.folder, source.path);
      present.folder = source.folder;
      present.path = source.path;
      ++report.renamed;
    }
  }

  IndexWriter& writer_;
  std::map<std::string, Track> by_content_;
  std::map<std::pair<std::string, std::string>, std::int64_t> by_path_;  // id; 0: added just now
};

}  // namespace

std::vector<AudioSource> find_sources(const std::vector<std::filesystem::path>& inputs) {
  std::vector<AudioSource> sources;
  std::set<std::filesystem::path> seen;
  for (const std::filesystem::path& input : inputs) {
    check(std::filesystem::exists(input), data::printable(input.string()), ": no such file or folder");
    const std::filesystem::path whole = std::filesystem::canonical(input);
    const std::filesystem::path folder = std::filesystem::is_directory(whole) ? whole : whole.parent_path();
    for (data::AudioFile& file : data::list_audio_files(whole)) {
      if (seen.insert(file.path.lexically_normal()).second) {
        sources.push_back({file.path, folder.string(), file.name, file.title, file.artist});
      }
    }
  }
  return sources;
}

bool is_silent(std::span<const float> pcm) {
  return std::all_of(pcm.begin(), pcm.end(), [](float x) { return std::abs(x) < kSilence; });
}

std::string content_hash(const std::filesystem::path& file) {
  constexpr std::size_t kChunk = std::size_t{1} << 20U;
  check(!std::filesystem::is_directory(file), data::printable(file.string()), ": is a folder");
  std::ifstream in(file, std::ios::binary);
  check(in.good(), data::printable(file.string()), ": cannot be read: ", std::strerror(errno));
  const std::unique_ptr<XXH3_state_t, XXH_errorcode (*)(XXH3_state_t*)> state(XXH3_createState(), XXH3_freeState);
  XXH3_128bits_reset(state.get());
  std::vector<char> buffer(kChunk);
  while (in.read(buffer.data(), static_cast<std::streamsize>(kChunk)), in.gcount() > 0) {
    XXH3_128bits_update(state.get(), buffer.data(), static_cast<std::size_t>(in.gcount()));
  }
  const XXH128_hash_t hash = XXH3_128bits_digest(state.get());
  std::array<char, 33> text{};
  std::snprintf(text.data(), text.size(), "%016llx%016llx", static_cast<unsigned long long>(hash.high64),
                static_cast<unsigned long long>(hash.low64));
  return text.data();
}

IndexReport add_audio(IndexWriter& writer, const std::vector<AudioSource>& sources, const Embedder& embedder,
                      const IndexerOptions& options) {
  using Clock = std::chrono::steady_clock;
  const auto seconds_since = [](Clock::time_point then) {
    return std::chrono::duration<double>(Clock::now() - then).count();
  };
  const Clock::time_point start = Clock::now();
  Clock::time_point committed = start;
  Adder adder(writer);
  const std::set<std::string> known = adder.known_contents();
  data::Progress progress("indexing", static_cast<std::int64_t>(sources.size()), "files", options.progress);
  Pipeline<Prepared> pipeline(sources.size(), static_cast<std::size_t>(std::max(options.window, 2 * num_threads())),
                              [&](std::size_t i) { return prepare(sources[i], known, writer.format(), embedder); });
  for (const AudioSource& source : sources) {
    adder.report.interrupted = options.stop != nullptr && *options.stop;
    if (adder.report.interrupted) {
      break;
    }
    adder.add(source, pipeline.take());
    progress.note(str(std::lround(adder.report.audio_seconds / std::max(1e-3, seconds_since(start))), " x real time"));
    progress.add();
    if (seconds_since(committed) > options.commit_every_s) {
      writer.commit();
      committed = Clock::now();
    }
  }
  writer.commit();
  adder.report.wall_seconds = seconds_since(start);
  return adder.report;
}

}  // namespace earmark::search
