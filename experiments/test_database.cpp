#include "experiments/test_database.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <memory>

#include "data/fma.h"
#include "kernels/error.h"
#include "search/index_writer.h"
#include "search/query.h"

namespace earmark::experiments {

namespace fs = std::filesystem;

std::vector<search::AudioSource> database_sources(const MusicToSearch& music) {
  check(!music.folder.empty() || !music.fma.empty(),
        "reproduce: no music to search in: set reproduce.database or reproduce.fma, or give --index");
  std::vector<search::AudioSource> out;
  if (!music.folder.empty()) {
    out = search::find_sources({music.folder});
    check(!out.empty(), music.folder.string(), ": no sound files found");
  } else {
    const fs::path root = fs::weakly_canonical(music.fma);
    for (const data::AudioFile& file : data::list_fma(root, {music.fma_subset, music.fma_split})) {
      out.push_back(
          {file.path, root.string(), file.path.lexically_relative(root).generic_string(), file.title, file.artist});
    }
    check(!out.empty(), root.string(), ": no sound files of fma_", music.fma_subset, "'s split '", music.fma_split,
          "' found");
  }
  return out;
}

void index_database(const fs::path& folder, const std::vector<search::AudioSource>& sources, const fs::path& model_file,
                    const nn::Fingerprinter& fingerprinter, int hop_frames, bool progress, const Say& say) {
  fs::create_directories(folder.parent_path());
  search::IndexWriter writer = search::IndexWriter::create(
      folder, model_file,
      search::format_of(fingerprinter.model(), hop_frames, search::Precision::fp32, search::ScaleMode::row));
  const auto embedder = [&](std::span<const float> pcm) { return fingerprinter.fingerprints(pcm, hop_frames); };
  search::IndexerOptions indexing;
  indexing.progress = progress;
  const search::IndexReport report = search::add_audio(writer, sources, embedder, indexing);
  say(str("index: ", report.added, " tracks added, ", report.unchanged, " were there, ", report.skipped.size(),
          " skipped"));
}

std::vector<data::AudioFile> tracks_of(const search::IndexStore& store) {
  std::vector<data::AudioFile> out;
  for (const search::Track& track : store.tracks()) {
    data::AudioFile file;
    file.path = fs::path(track.folder) / track.path;
    file.name = track.path;
    out.push_back(std::move(file));
  }
  return out;
}

QuerySet open_queries(const fs::path& given, const fs::path& folder, const QueryOptions& options,
                      const search::IndexStore& store, const Say& say) {
  QuerySet set;
  if (given.empty()) {
    int kept = 0;
    set = make_queries(folder, tracks_of(store), options, &kept);
    say(str("queries: ", options.excerpts - kept, " excerpts made, ", kept, " were there"));
  } else {
    set = read_query_set(given);
  }
  check(!set.queries.empty(), set.folder.string(), ": queries.csv has no queries");
  return set;
}

FindTrack track_finder(const search::IndexStore& store) {
  auto files = std::make_shared<std::map<std::string, fs::path>>();
  for (const search::Track& track : store.tracks()) {
    files->emplace(track.path, fs::path(track.folder) / track.path);
  }
  return [files](const std::string& track) -> std::optional<fs::path> {
    const auto found = files->find(track);
    return found != files->end() && fs::exists(found->second) ? std::optional(found->second) : std::nullopt;
  };
}

std::vector<double> usable_lengths(const QuerySet& set, const std::vector<double>& wanted) {
  std::vector<double> out;
  std::copy_if(wanted.begin(), wanted.end(), std::back_inserter(out), [&](double length) {
    return std::any_of(set.queries.begin(), set.queries.end(), [&](const Query& q) { return has_length(q, length); });
  });
  return out;
}

}  // namespace earmark::experiments
