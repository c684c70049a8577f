#include "search/database.h"

#include <algorithm>
#include <limits>
#include <mutex>
#include <utility>

#include "kernels/device_choice.h"
#include "kernels/error.h"
#include "search/landmark_rows.h"

namespace earmark::search {
namespace {

/// Position of the last element whose `first` is not above `row`.
template <class Ranges>
std::size_t position_of(const Ranges& ranges, std::int64_t row) {
  const auto after = std::upper_bound(ranges.begin(), ranges.end(), row,
                                      [](std::int64_t value, const auto& range) { return value < range.first; });
  return static_cast<std::size_t>(after - ranges.begin()) - 1;
}

/// A share of the budget is left to the part that is being scanned, where not all rows fit in.
constexpr std::size_t kPartShare = 8;

std::size_t block_bytes(const Block& block) {
  return static_cast<std::size_t>(block.stored.rows.dim(0)) * block.stored.bytes_per_row();
}

std::int64_t check_blocks(const std::vector<Block>& blocks, std::int64_t dimension) {
  std::int64_t rows = 0;
  for (const Block& block : blocks) {
    check_rows(block.stored);
    check(block.stored.rows.dim(1) == dimension, "fingerprints of dimension ", block.stored.rows.dim(1),
          " in an index of dimension ", dimension);
    check(block.first == rows && block.stored.rows.dim(0) > 0, "block at row ", block.first, ", expected ", rows);
    rows += block.stored.rows.dim(0);
  }
  return rows;
}

}  // namespace

struct Database::Bytes {
  std::mutex mutex;
  bool asked = false;
  std::shared_ptr<const std::vector<kernels::ByteRows>> of_blocks;
};

void check_rows(const kernels::StoredRows& stored) {
  if (!are_landmarks(stored.rows)) {
    kernels::check_stored_rows(stored);
  }
}

Database::Database(std::int64_t dimension, std::vector<Block> blocks, std::vector<TrackRows> tracks)
    : dimension_(dimension),
      rows_(check_blocks(blocks, dimension)),
      blocks_(std::move(blocks)),
      tracks_(std::move(tracks)),
      track_rows_({static_cast<std::int64_t>(tracks_.size()) + 1}, DType::i64),
      bytes_(std::make_shared<Bytes>()) {
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

Database Database::on(Device device, std::size_t budget) const {
  check(device_.backend == Backend::cpu, "a database that is on ", device_, " already");
  Database out = *this;
  if (device.backend == Backend::cpu || rows_ == 0) {
    return out;
  }
  std::size_t all = 0;
  std::size_t widest = 1;
  for (const Block& block : blocks_) {
    all += block_bytes(block);
    widest = std::max(widest, block.stored.bytes_per_row());
  }
  const std::size_t part = budget / kPartShare;
  std::size_t left = all <= budget ? budget : budget - part;
  out.device_ = device;
  out.bytes_ = nullptr;
  out.part_rows_ = std::max<std::int64_t>(1, static_cast<std::int64_t>(part / widest));
  out.track_rows_ = track_rows_.to(device);
  out.blocks_.clear();
  for (const Block& block : blocks_) {
    const std::int64_t rows = block.stored.rows.dim(0);
    const std::int64_t resident = rows_within(block, left);
    if (resident > 0) {
      out.blocks_.push_back({block.stored.slice(0, resident).to(device), block.first});
      left -= block_bytes(out.blocks_.back());
    }
    if (resident < rows) {
      out.blocks_.push_back({block.stored.slice(resident, rows), block.first + resident});
    }
  }
  return out;
}

std::int64_t Database::rows_within(const Block& block, std::size_t bytes) const {
  const std::int64_t rows = block.stored.rows.dim(0);
  const auto fit = static_cast<std::int64_t>(bytes / block.stored.bytes_per_row());
  if (fit >= rows) {
    return rows;
  }
  const TrackRows& cut = tracks_[position_of(tracks_, block.first + fit)];
  return cut.first - block.first;
}

std::shared_ptr<const std::vector<kernels::ByteRows>> Database::bytes_for_scan() const {
  if (bytes_ == nullptr || !kernels::byte_rows_are_fast()) {
    return nullptr;
  }
  const std::scoped_lock lock(bytes_->mutex);
  if (std::exchange(bytes_->asked, true) && bytes_->of_blocks == nullptr) {
    auto fresh = std::make_shared<std::vector<kernels::ByteRows>>();
    for (const Block& block : blocks_) {
      fresh->push_back(kernels::make_byte_rows(block.stored));
    }
    bytes_->of_blocks = fresh;
  }
  return bytes_->of_blocks;
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
  const Tensor out({end - begin, dimension_}, DType::f32, device_);
  for (std::int64_t row = begin; row < end;) {
    const Block& block = blocks_[block_of(row)];
    const std::int64_t until = std::min(end, block.first + block.stored.rows.dim(0));
    const Tensor to = out.slice(row - begin, until - begin);
    if (block.stored.rows.device() == device_) {
      kernels::widen_rows(block.stored, row - block.first, until - block.first, to);
    } else {
      const Tensor here(to.shape());
      kernels::widen_rows(block.stored, row - block.first, until - block.first, here);
      to.copy_from(here);
    }
    row = until;
  }
  return out;
}

Tensor Database::stored_rows(const TrackRows& track) const {
  const Block& block = blocks_[block_of(track.first)];
  return block.stored.rows.slice(track.first - block.first, track.first - block.first + track.count);
}

std::int64_t first_row_of_share(const Database& database, int i, int size) {
  check(size >= 1 && i >= 0 && i <= size, "share ", i, " of ", size);
  const std::vector<TrackRows>& tracks = database.tracks();
  const std::int64_t least = database.rows() / size * i + database.rows() % size * i / size;
  const auto first = std::ranges::lower_bound(tracks, least, {}, &TrackRows::first);
  return first == tracks.end() ? database.rows() : first->first;
}

std::size_t row_budget(Device device) {
  constexpr std::size_t kReserve = std::size_t{4} << 30U;  // the encoder's activations, lists of neighbours
  if (device.backend == Backend::cpu) {
    return std::numeric_limits<std::size_t>::max();
  }
  const std::size_t free = free_memory(device);
  return free - std::min(free / 2, kReserve);
}

}  // namespace earmark::search
