// The SQLite side of an index: format, segments, tracks, calibration. What stands here is what is committed.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "search/index_store.h"
#include "search/landmark_excerpts.h"
#include "search/segment_file.h"
#include "search/sqlite.h"

namespace earmark::search {

struct SegmentEntry {
  std::int64_t id = 0;
  SegmentInfo info;
};

/// A track and where its fingerprints lie; `track.first_row` counts from the beginning of its segment here.
struct TrackEntry {
  Track track;
  std::int64_t segment = 0;
  std::vector<std::string> excerpts{};  // of a new one: landmark_excerpts.h, as bytes_of() gives them
};

class Catalogue {
 public:
  /// Makes a new catalogue file, whole or not at all. Throws Error.
  static void create(const std::filesystem::path& file, const IndexFormat& format);
  /// Throws Error where the file is missing, no catalogue, damaged or of another version.
  Catalogue(const std::filesystem::path& file, Sqlite::Mode mode);

  const IndexFormat& format() const { return format_; }
  std::vector<SegmentEntry> segments();  ///< Ascending by id.
  std::vector<TrackEntry> tracks();      ///< Ascending by segment, then row.
  std::optional<Calibration> calibration();
  /// Of tracks that are there, by number, then the track's content. None where an index has none. Throws Error where
  /// one is damaged.
  std::vector<LandmarkExcerpt> excerpts();
  /// Problems that SQLite itself finds.
  std::vector<std::string> integrity_problems();

  // To be called within a transaction.
  void add_segment(const SegmentEntry& segment);
  void remove_segment(std::int64_t id);
  std::int64_t add_track(const TrackEntry& entry);  ///< With its excerpts. Returns its id.
  /// Forgets excerpts of tracks that are gone, and those that are too many: the first LandmarkExcerpt::kKept stay, in
  /// the order of excerpts(), whatever order the tracks came in.
  void thin_excerpts();
  void move_track(std::int64_t id, std::int64_t segment, std::int64_t first_row);
  void rename_track(std::int64_t id, const std::string& folder, const std::string& path);
  void remove_track(std::int64_t id);
  void set_calibration(const Calibration& calibration);
  /// The id that the next segment will get.
  std::int64_t next_segment_id();

  Sqlite& connection() { return connection_; }

 private:
  std::string value(const std::string& key);
  bool has_excerpts();
  Sqlite connection_;
  IndexFormat format_;
};

std::filesystem::path segment_path(const std::filesystem::path& folder, std::int64_t id);

}  // namespace earmark::search
