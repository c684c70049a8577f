// How often each row was found by one query, on the host: what gather_candidates (kernels/gather.h) means, and what the
// CPU's search does bucket by bucket, without a list of probes in between.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <span>
#include <utility>
#include <vector>

namespace earmark::kernels {

/// The rows in the probed buckets of one query, each once, ascending. Counts in how many buckets a row was found: near
/// rows are found again and again, so that where there are too many, the count chooses well.
class RowCounts {
 public:
  /// For rows [0, rows).
  explicit RowCounts(std::int64_t rows) : counts_(static_cast<std::size_t>(rows), 0) {}

  void add(std::span<const std::uint32_t> bucket) {
    entries_ += bucket.size();
    std::size_t end = found_.size();
    found_.resize(end + bucket.size());
    for (const std::uint32_t row : bucket) {  // without branches: new rows come in no order
      std::uint8_t& count = counts_[row];
      found_[end] = row;
      end += static_cast<std::size_t>(count == 0);
      count = static_cast<std::uint8_t>(count + static_cast<int>(count < 255));
    }
    found_.resize(end);
  }
  /// Bucket entries looked at since the last call of take().
  std::size_t entries() const { return entries_; }
  /// At most `limit` (0: all) of the rows added since the last call; of the last count that fits, the lower rows.
  const std::vector<std::int64_t>& take(std::size_t limit) {
    std::array<std::size_t, 256> rows_with{};
    for (const std::uint32_t row : found_) {
      ++rows_with[counts_[row]];
    }
    std::size_t least = 1;
    std::size_t room = found_.size();  // for rows with the least count
    if (limit > 0 && found_.size() > limit) {
      std::size_t above = 0;
      least = 255;
      for (; above + rows_with[least] < limit; --least) {
        above += rows_with[least];
      }
      room = limit - above;
    }
    rows_.clear();
    for_each_found([&](std::uint32_t row, std::size_t count) {
      if (count > least || (count == least && room > 0)) {
        room -= count == least ? 1 : 0;
        rows_.push_back(row);
      }
    });
    found_.clear();
    entries_ = 0;
    return rows_;
  }

 private:
  /// Calls f(row, count) in ascending order and forgets the counts. Many rows are found faster by looking at all.
  template <class F>
  void for_each_found(F&& f) {
    constexpr std::size_t kDense = 64;
    if (found_.size() * kDense < counts_.size()) {
      std::sort(found_.begin(), found_.end());
      for (const std::uint32_t row : found_) {
        f(row, std::exchange(counts_[row], 0));
      }
      return;
    }
    for (std::size_t begin = 0; begin < counts_.size(); begin += 8) {
      const std::size_t end = std::min(counts_.size(), begin + 8);
      std::uint64_t eight = 0;
      std::memcpy(&eight, counts_.data() + begin, end - begin);
      for (std::size_t row = begin; eight != 0 && row < end; ++row) {
        if (counts_[row] != 0) {
          f(static_cast<std::uint32_t>(row), std::exchange(counts_[row], 0));
        }
      }
    }
  }

  std::vector<std::uint8_t> counts_;
  std::vector<std::uint32_t> found_;
  std::vector<std::int64_t> rows_;
  std::size_t entries_ = 0;
};

}  // namespace earmark::kernels
