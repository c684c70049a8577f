// What a search runs over: stored fingerprints, in memory or mapped from files, and which rows belong to which track.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "kernels/inner_product.h"

namespace earmark::search {

/// Throws Error unless these are fingerprints (kernels::check_stored_rows) or landmarks (landmark_rows.h).
void check_rows(const kernels::StoredRows& stored);

/// Consecutive rows of the database; row 0 of the block is row `first` of the whole.
struct Block {
  kernels::StoredRows stored;  // (n, d)
  std::int64_t first = 0;
};

/// Rows [first, first + count) are one track, inside one block.
struct TrackRows {
  std::int64_t track_id = 0;
  std::int64_t first = 0;
  std::int64_t count = 0;
};

class Database {
 public:
  Database() = default;
  /// Throws Error unless blocks and tracks cover the same rows 0, 1, ... without gap, and no track straddles a block.
  Database(std::int64_t dimension, std::vector<Block> blocks, std::vector<TrackRows> tracks);

  /// The same rows, to be searched on `device`. `budget` bytes of them, whole tracks from the first on, are copied
  /// there once; those that do not fit in stay where they are, and a scan copies them part by part. This database is
  /// on the CPU.
  Database on(Device device, std::size_t budget) const;
  /// Where it is searched.
  Device device() const { return device_; }
  /// Rows that a scan copies at once from blocks that are not on the device.
  std::int64_t part_rows() const { return part_rows_; }

  std::int64_t rows() const { return rows_; }
  std::int64_t dimension() const { return dimension_; }
  const std::vector<Block>& blocks() const { return blocks_; }
  const std::vector<TrackRows>& tracks() const { return tracks_; }
  /// The bytes of every block, for an exact scan's first look; none where they are no gain. A scan that is not the
  /// first makes them, a quarter of the rows' memory: who asks once only would wait longer for them than he gains. They
  /// are shared by copies of this database. Safe to call from several threads.
  std::shared_ptr<const std::vector<kernels::ByteRows>> bytes_for_scan() const;
  /// Position in tracks() of the track that holds `row`.
  std::size_t track_of(std::int64_t row) const;
  /// Position in blocks() of the block that holds `row`.
  std::size_t block_of(std::int64_t row) const;
  /// First row of every track, and the number of rows at the end: (tracks + 1) i64, on the device.
  const Tensor& track_rows() const { return track_rows_; }
  /// Rows [begin, end) of fingerprints as f32 (end - begin, d), copied, on the device.
  Tensor widened(std::int64_t begin, std::int64_t end) const;
  /// The rows of a track as they are stored, sharing memory; without their scales.
  Tensor stored_rows(const TrackRows& track) const;

 private:
  /// How many of the block's rows, whole tracks from the first on, take no more than `bytes`.
  std::int64_t rows_within(const Block& block, std::size_t bytes) const;

  std::int64_t dimension_ = 0;
  std::int64_t rows_ = 0;
  std::vector<Block> blocks_;
  std::vector<TrackRows> tracks_;
  Tensor track_rows_;
  Device device_;
  std::int64_t part_rows_ = 0;
  struct Bytes;
  std::shared_ptr<Bytes> bytes_;
};

/// Of `size` shares of the database's rows, about alike, the first row of share `i`, where a track begins; share `size`
/// begins behind the last row. Shares may be empty.
std::int64_t first_row_of_share(const Database& database, int i, int size);

/// What Database::on() can take of a device's memory as it is now: all that is free, but for what searching needs. The
/// CPU takes everything.
std::size_t row_budget(Device device);

}  // namespace earmark::search
