// What becomes of the files that an index is given, one after the other: this is the same however they were prepared.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <utility>

#include "search/index_writer.h"
#include "search/indexer.h"
#include "search/prepared_audio.h"

namespace earmark::search {

/// Decides what becomes of prepared files, in the order of their sources: added, replaced, renamed, left out.
class AudioAdder {
 public:
  /// Takes a track that is new, with what was prepared of it; track `replaced` goes for it, 0: none.
  using Take = std::function<void(std::int64_t replaced, Track track, const PreparedAudio& prepared)>;
  AudioAdder(IndexWriter& writer, Take take);

  /// Of all tracks that were there.
  std::set<std::string> known_contents() const;
  void add(const AudioSource& source, const PreparedAudio& prepared);

  IndexReport report;

 private:
  void note_known(const AudioSource& source, Track& present);

  IndexWriter& writer_;
  Take take_;
  std::map<std::string, Track> by_content_;
  std::map<std::pair<std::string, std::string>, std::int64_t> by_path_;  // id; 0: added just now
};

}  // namespace earmark::search
