#include "search/catalogue.h"

#include <array>
#include <bit>
#include <cstdio>

#include "kernels/error.h"

namespace earmark::search {
namespace {

constexpr std::int64_t kCatalogueVersion = 1;
constexpr std::string_view kLandmarks = "landmarks";

// Paths and tags are BLOBs: they are bytes of any encoding, and must come back as they were.
constexpr std::string_view kSchema = R"sql(
CREATE TABLE format (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE segments (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  rows INTEGER NOT NULL,
  bytes INTEGER NOT NULL,
  hash INTEGER NOT NULL
);
CREATE TABLE tracks (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  path BLOB NOT NULL,
  folder BLOB NOT NULL,
  duration_s REAL NOT NULL,
  title BLOB NOT NULL,
  artist BLOB NOT NULL,
  content_hash TEXT NOT NULL UNIQUE,
  segment INTEGER NOT NULL REFERENCES segments (id),
  first_row INTEGER NOT NULL,
  rows INTEGER NOT NULL,
  UNIQUE (folder, path)
);
)sql";

// Tracks are not referred to: a program that knows no excerpts leaves them behind when it removes a track.
constexpr std::string_view kExcerptSchema = R"sql(
CREATE TABLE IF NOT EXISTS excerpts (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  track INTEGER NOT NULL,
  number INTEGER NOT NULL,
  landmarks BLOB NOT NULL
);
)sql";

void put(Sqlite& connection, const std::string& key, const std::string& value) {
  Statement(connection, "INSERT OR REPLACE INTO format VALUES (?, ?)").bind(1, key).bind(2, value).run();
}

void put(Sqlite& connection, const std::string& key, std::int64_t value) {
  Statement(connection, "INSERT OR REPLACE INTO format VALUES (?, ?)").bind(1, key).bind(2, value).run();
}

}  // namespace

void Catalogue::create(const std::filesystem::path& file, const IndexFormat& format) {
  // Under a temporary name until it is complete: a catalogue that exists is a whole one.
  std::filesystem::path temporary = file;
  temporary += ".new";
  std::filesystem::remove(temporary);
  {
    Sqlite connection(temporary, Sqlite::Mode::create);
    Transaction transaction(connection);
    connection.execute(kSchema);
    put(connection, "version", kCatalogueVersion);
    put(connection, "model_hash", format.model_hash);
    put(connection, "dimension", format.dimension);
    put(connection, "sample_rate", format.sample_rate);
    put(connection, "hop_samples", format.hop_samples);
    put(connection, "segment_samples", format.segment_samples);
    // Programs that know no landmarks know no such precision either, and say so.
    put(connection, "precision", std::string(format.landmarks ? kLandmarks : name_of(format.precision)));
    put(connection, "scale", std::string(format.scale == ScaleMode::row ? "row" : "global"));
    if (format.landmarks) {
      put(connection, std::string(kLandmarks), to_text(*format.landmarks));
    }
    transaction.commit();
  }
  std::filesystem::rename(temporary, file);
}

Catalogue::Catalogue(const std::filesystem::path& file, Sqlite::Mode mode) : connection_(file, mode) {
  const std::string version = value("version");
  check(version == std::to_string(kCatalogueVersion), connection_.name(), ": catalogue of version '", version,
        "', this program reads version ", kCatalogueVersion);
  const auto number = [this](const std::string& key) { return std::stoll(value(key)); };
  try {
    format_.model_hash = value("model_hash");
    format_.dimension = number("dimension");
    format_.sample_rate = static_cast<int>(number("sample_rate"));
    format_.hop_samples = static_cast<int>(number("hop_samples"));
    format_.segment_samples = static_cast<int>(number("segment_samples"));
    if (const std::string precision = value("precision"); precision == kLandmarks) {
      format_.landmarks = landmark_options_from(value(std::string(kLandmarks)));
    } else {
      format_.precision = parse_precision(precision);
    }
    format_.scale = value("scale") == "global" ? ScaleMode::global : ScaleMode::row;
  } catch (const std::logic_error&) {
    fail(connection_.name(), ": the description of the format is damaged");
  }
  check(format_.dimension > 0 && format_.sample_rate > 0 && format_.hop_samples > 0 && format_.segment_samples > 0,
        connection_.name(), ": the description of the format is damaged");
}

std::string Catalogue::value(const std::string& key) {
  Statement statement(connection_, "SELECT value FROM format WHERE key = ?");
  statement.bind(1, key);
  return statement.step() ? statement.text(0) : std::string();
}

std::vector<SegmentEntry> Catalogue::segments() {
  std::vector<SegmentEntry> segments;
  Statement statement(connection_, "SELECT id, rows, bytes, hash FROM segments ORDER BY id");
  while (statement.step()) {
    segments.push_back({statement.integer(0),
                        {statement.integer(1), static_cast<std::uint64_t>(statement.integer(2)),
                         std::bit_cast<std::uint64_t>(statement.integer(3))}});
  }
  return segments;
}

std::vector<TrackEntry> Catalogue::tracks() {
  std::vector<TrackEntry> tracks;
  Statement statement(connection_,
                      "SELECT id, path, folder, duration_s, title, artist, content_hash, first_row, rows, segment "
                      "FROM tracks ORDER BY segment, first_row");
  while (statement.step()) {
    tracks.push_back({{statement.integer(0), statement.text(1), statement.text(2), statement.real(3), statement.text(4),
                       statement.text(5), statement.text(6), statement.integer(7), statement.integer(8)},
                      statement.integer(9)});
  }
  return tracks;
}

std::optional<Calibration> Catalogue::calibration() {
  const std::string json = value("calibration");
  return json.empty() ? std::nullopt : std::optional(calibration_from_json(json));
}

/// An index of fingerprints, or of landmarks before they had excerpts, has no table for them.
bool Catalogue::has_excerpts() {
  Statement statement(connection_, "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'excerpts'");
  return statement.step();
}

std::vector<LandmarkExcerpt> Catalogue::excerpts() {
  std::vector<LandmarkExcerpt> excerpts;
  if (!has_excerpts()) {
    return excerpts;
  }
  Statement statement(connection_,
                      "SELECT track, number, landmarks FROM excerpts JOIN tracks ON tracks.id = track "
                      "ORDER BY number, content_hash");
  while (statement.step()) {
    try {
      excerpts.push_back({statement.integer(0), static_cast<int>(statement.integer(1)), excerpt_in(statement.text(2))});
    } catch (const Error& error) {
      fail(connection_.name(), ": track ", statement.integer(0), ": ", error.what());
    }
  }
  return excerpts;
}

std::vector<std::string> Catalogue::integrity_problems() {
  std::vector<std::string> problems;
  for (const std::string_view pragma : {"PRAGMA integrity_check", "PRAGMA foreign_key_check"}) {
    Statement statement(connection_, pragma);
    while (statement.step()) {
      if (const std::string line = statement.text(0); line != "ok") {
        problems.push_back(connection_.name() + ": " + line);
      }
    }
  }
  return problems;
}

void Catalogue::add_segment(const SegmentEntry& segment) {
  Statement(connection_, "INSERT INTO segments (id, rows, bytes, hash) VALUES (?, ?, ?, ?)")
      .bind(1, segment.id)
      .bind(2, segment.info.rows)
      .bind(3, static_cast<std::int64_t>(segment.info.bytes))
      .bind(4, std::bit_cast<std::int64_t>(segment.info.hash))
      .run();
}

void Catalogue::remove_segment(std::int64_t id) {
  Statement(connection_, "DELETE FROM segments WHERE id = ?").bind(1, id).run();
}

std::int64_t Catalogue::add_track(const TrackEntry& entry) {
  const Track& track = entry.track;
  Statement(connection_,
            "INSERT INTO tracks (path, folder, duration_s, title, artist, content_hash, segment, first_row, rows) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)")
      .bind(1, Blob{track.path})
      .bind(2, Blob{track.folder})
      .bind(3, track.duration_s)
      .bind(4, Blob{track.title})
      .bind(5, Blob{track.artist})
      .bind(6, std::string_view(track.content_hash))
      .bind(7, entry.segment)
      .bind(8, track.first_row)
      .bind(9, track.rows)
      .run();
  const std::int64_t id = connection_.last_insert_id();
  if (!entry.excerpts.empty()) {
    connection_.execute(kExcerptSchema);
  }
  for (std::size_t number = 0; number < entry.excerpts.size(); ++number) {
    Statement(connection_, "INSERT INTO excerpts (track, number, landmarks) VALUES (?, ?, ?)")
        .bind(1, id)
        .bind(2, static_cast<std::int64_t>(number))
        .bind(3, Blob{entry.excerpts[number]})
        .run();
  }
  return id;
}

void Catalogue::thin_excerpts() {
  if (has_excerpts()) {
    Statement(connection_,
              "DELETE FROM excerpts WHERE id NOT IN (SELECT excerpts.id FROM excerpts JOIN tracks ON tracks.id = track "
              "ORDER BY number, content_hash LIMIT ?)")
        .bind(1, std::int64_t{LandmarkExcerpt::kKept})
        .run();
  }
}

void Catalogue::move_track(std::int64_t id, std::int64_t segment, std::int64_t first_row) {
  Statement(connection_, "UPDATE tracks SET segment = ?, first_row = ? WHERE id = ?")
      .bind(1, segment)
      .bind(2, first_row)
      .bind(3, id)
      .run();
}

void Catalogue::rename_track(std::int64_t id, const std::string& folder, const std::string& path) {
  Statement(connection_, "UPDATE tracks SET folder = ?, path = ? WHERE id = ?")
      .bind(1, Blob{folder})
      .bind(2, Blob{path})
      .bind(3, id)
      .run();
}

void Catalogue::remove_track(std::int64_t id) {
  Statement(connection_, "DELETE FROM tracks WHERE id = ?").bind(1, id).run();
}

void Catalogue::set_calibration(const Calibration& calibration) {
  put(connection_, "calibration", to_json(calibration));
}

std::int64_t Catalogue::next_segment_id() {
  Statement statement(connection_, "SELECT seq FROM sqlite_sequence WHERE name = 'segments'");
  return statement.step() ? statement.integer(0) + 1 : 1;
}

std::filesystem::path segment_path(const std::filesystem::path& folder, std::int64_t id) {
  std::array<char, 32> name{};
  std::snprintf(name.data(), name.size(), "%08lld.ear", static_cast<long long>(id));
  return folder / "segments" / name.data();
}

}  // namespace earmark::search
