#include "search/database.h"

#include <algorithm>
#include <utility>

#include "kernels/error.h"

namespace earmark::search {
namespace {

/// Position of the last element whose `first` is not above `row`.
template <class Ranges>
std::size_t position_of(const Ranges& ranges, std::int64_t row) {
  const auto after = std::upper_bound(ranges.begin(), ranges.end(), row,
                                      [](std::int64_t value, const auto& range) { return value < range.first; });
  return static_cast<std::size_t>(after - ranges.begin()) - 1;
}

std::int64_t check_blocks(const std::vector<Block>& blocks, std::int64_t dimension) {
  std::int64_t rows = 0;
  for (const Block& block : blocks) {
    kernels::check_stored_rows(block.stored);
    check(block.stored.rows.dim(1) == dimension, "fingerprints of dimension ", block.stored.rows.dim(1),
          " in an index of dimension ", dimension);
    check(block.first == rows && block.stored.rows.dim(0) > 0, "block at row ", block.first, ", expected ", rows);
    rows += block.stored.rows.dim(0);
  }
  return rows;
}

}  // namespace

Database::Database(std::int64_t dimension, std::vector<Block> blocks, std::vector<TrackRows> tracks)
    : dimension_(dimension),
      rows_(check_blocks(blocks, dimension)),
      blocks_(std::move(blocks)),
      tracks_(std::move(tracks)),
      track_rows_({static_cast<std::int64_t>(tracks_.size()) + 1}, DType::i64) {
  std::int64_t row = 0;
  std::int64_t* bounds = track_rows_.mutable_data<std::int64_t>();
  for (const TrackRows& track : tracks_) {
    check(track.first == row && track.count > 0, "track ", track.track_id, " begins at row ", track.first,
          ", expected ", row);
    check(track.first + track.count <= rows_ && block_of(track.first) == block_of(track.first + track.count - 1),
          "track ", track.track_id, " does not lie inside one block");
    *bounds++ = row;
    row += track.count;
  }
  *bounds = row;
  check(row == rows_, "tracks cover ", row, " of ", rows_, " fingerprints");
}

std::size_t Database::track_of(std::int64_t row) const {
  check(row >= 0 && row < rows_, "row ", row, " of ", rows_);
  return position_of(tracks_, row);
}

std::size_t Database::block_of(std::int64_t row) const {
  check(row >= 0 && row < rows_, "row ", row, " of ", rows_);
  return position_of(blocks_, row);
}

Tensor Database::widened(std::int64_t begin, std::int64_t end) const {
  check(0 <= begin && begin <= end && end <= rows_, "rows ", begin, " to ", end, " of ", rows_);
  Tensor out({end - begin, dimension_});
  for (std::int64_t row = begin; row < end;) {
    const Block& block = blocks_[block_of(row)];
    const std::int64_t until = std::min(end, block.first + block.stored.rows.dim(0));
    kernels::widen_rows(block.stored, row - block.first, until - block.first, out.slice(row - begin, until - begin));
    row = until;
  }
  return out;
}

}  // namespace earmark::search
