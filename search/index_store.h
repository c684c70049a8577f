// An index on disk: a folder with
//   model.safetensors   the encoder whose fingerprints these are; not there where it is one of landmarks
//   catalogue.sqlite    tracks, segments, calibration, excerpts of landmarks; the only place that says what is
//   committed segments/*.ear      fingerprints or landmarks, memory-mapped, with checksums (segment_file.h) lsh.cache
//   hash tables of the present content; rebuilt when missing or stale lock                held by whoever is writing
// IndexStore is a consistent view of the last committed state; IndexWriter (index_writer.h) changes it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "search/calibration.h"
#include "search/database.h"
#include "search/landmarks.h"
#include "search/lsh.h"

namespace earmark::search {

enum class Precision { fp32, fp16, int8 };
enum class ScaleMode { row, global };  ///< int8: one scale per fingerprint, or one per segment file.

/// What all fingerprints of one index have in common. Another model or hop is another index. An index of landmarks has
/// options instead of a model, and its rows are landmarks (landmark_rows.h).
struct IndexFormat {
  std::string model_hash;
  std::int64_t dimension = 128;
  int sample_rate = 16000;
  int hop_samples = 1600;       // between fingerprints
  int segment_samples = 15360;  // audio that one fingerprint covers
  Precision precision = Precision::fp32;
  ScaleMode scale = ScaleMode::row;
  std::optional<LandmarkOptions> landmarks{};

  double hop_seconds() const { return static_cast<double>(hop_samples) / sample_rate; }
  double segment_seconds() const { return static_cast<double>(segment_samples) / sample_rate; }
};

/// One entry of the catalogue. Paths are bytes, whatever their encoding.
struct Track {
  std::int64_t id = 0;
  std::string path;    // relative to the folder that was indexed
  std::string folder;  // that folder, absolute
  double duration_s = 0;
  std::string title;
  std::string artist;
  std::string content_hash;    // xxh3-128 of the file's bytes, hexadecimal
  std::int64_t first_row = 0;  // fingerprints [first_row, first_row + rows) of the database
  std::int64_t rows = 0;
};

struct OpenOptions {
  bool verify = true;  // compare every segment's checksum: reads all fingerprints once
  Device device{};     // where the fingerprints are searched
  /// Bytes of fingerprints that are kept on a GPU (Database::on); none given: as many as its free memory holds.
  std::optional<std::size_t> device_budget{};
};

class IndexStore {
 public:
  /// Opens for reading, never writing into the folder. Throws Error where it is no index, or is damaged.
  static IndexStore open(const std::filesystem::path& folder, const OpenOptions& options = {});

  const std::filesystem::path& folder() const { return folder_; }
  std::filesystem::path model_file() const { return folder_ / "model.safetensors"; }
  const IndexFormat& format() const { return format_; }
  const std::vector<Track>& tracks() const { return tracks_; }  ///< In the order of their rows.
  const Database& database() const { return database_; }
  /// As asked for at opening; the CPU for landmarks.
  Device device() const { return device_; }

  const Track& track(std::int64_t id) const;  ///< Throws Error where there is none.
  /// Thresholds for "is in the index"; empty where never calibrated.
  const std::optional<Calibration>& calibration() const { return calibration_; }
  /// Changes whenever the rows do.
  std::uint64_t content_key() const { return content_key_; }
  /// Hash tables over this content: from the cache where it is valid, else built, and cached where the folder can be
  /// written to.
  LshIndex lsh(const LshOptions& options = {}) const;
  std::uint64_t segment_bytes() const { return segment_bytes_; }

 private:
  IndexStore() = default;
  std::filesystem::path folder_;
  IndexFormat format_;
  std::vector<Track> tracks_;
  Database database_;
  std::optional<Calibration> calibration_;
  std::uint64_t content_key_ = 0;
  std::uint64_t segment_bytes_ = 0;
  Device device_;
};

/// Everything wrong with an index, one sentence each; empty where it is sound. Never throws for damage.
std::vector<std::string> verify_index(const std::filesystem::path& folder);

std::string_view name_of(Precision precision);
Precision parse_precision(std::string_view text);  ///< "fp32", "fp16", "int8"; throws Error on anything else.

}  // namespace earmark::search
