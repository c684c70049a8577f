#include "search/audio_adder.h"

#include <filesystem>
#include <utility>

#include "data/audio_files.h"

namespace earmark::search {

AudioAdder::AudioAdder(IndexWriter& writer, Take take) : writer_(writer), take_(std::move(take)) {
  for (Track& track : writer.tracks()) {
    const std::string hash = track.content_hash;
    by_path_[{track.folder, track.path}] = track.id;
    by_content_.emplace(hash, std::move(track));
  }
}

std::set<std::string> AudioAdder::known_contents() const {
  std::set<std::string> known;
  for (const auto& [hash, track] : by_content_) {
    known.insert(hash);
  }
  return known;
}

void AudioAdder::add(const AudioSource& source, const PreparedAudio& prepared) {
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
    take_(std::exchange(old->second, 0), std::move(track), prepared);
  } else {
    ++report.added;
    by_path_[{source.folder, source.path}] = 0;
    take_(0, std::move(track), prepared);
  }
}

void AudioAdder::note_known(const AudioSource& source, Track& present) {
  if (present.folder == source.folder && present.path == source.path) {
    ++report.unchanged;
  } else if (present.id == 0 || std::filesystem::exists(std::filesystem::path(present.folder) / present.path) ||
             by_path_.contains({source.folder, source.path})) {
    report.skipped.push_back({source.path, "the same content as " + data::printable(present.path)});
    ++report.duplicates;
  } else {
    writer_.rename(present.id, source.folder, source.path);
    present.folder = source.folder;
    present.path = source.path;
    ++report.renamed;
  }
}

}  // namespace earmark::search
