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
#include <memory>
#include <set>
#include <utility>

#include "data/audio_files.h"
#include "data/progress.h"
#include "kernels/error.h"
#include "kernels/life_signs.h"
#include "kernels/parallel.h"
#include "search/audio_adder.h"
#include "search/pipeline.h"

namespace earmark::search {
namespace {

constexpr float kSilence = 1e-4F;  // -80 dB of full scale

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
    show_life();
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
  AudioAdder adder(writer, [&](std::int64_t replaced, Track track, const PreparedAudio& prepared) {
    if (replaced != 0) {
      writer.replace(replaced, std::move(track), prepared.fingerprints, prepared.excerpts);
    } else {
      writer.add(std::move(track), prepared.fingerprints, prepared.excerpts);
    }
  });
  const std::set<std::string> known = adder.known_contents();
  data::Progress progress("indexing", static_cast<std::int64_t>(sources.size()), "files", options.progress);
  Pipeline<PreparedAudio> pipeline(
      sources.size(), static_cast<std::size_t>(std::max(options.window, 2 * num_threads())),
      [&](std::size_t i) { return prepare_audio(sources[i], known, writer.format(), embedder, sources.size()); });
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
