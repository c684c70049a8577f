// How often each row was found by one query, on the host: what gather_candidates (kernels/gather.h) means, and what the
// CPU's search does bucket by bucket, without a list of probes in between.
#pragma once

#if defined(__AVX512BW__)
#include <immintrin.h>
#endif

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

namespace earmark::kernels {

/// The rows in the probed buckets of one query, each once, ascending. Counts in how many buckets a row was found: near
/// rows are found again and again, so that where there are too many, the count chooses well.
class RowCounts {
 public:
  /// For rows [0, rows).
  explicit RowCounts(std::int64_t rows)
      : rows_(static_cast<std::size_t>(rows)), dense_(rows <= kMostDense), counts_((rows_ + 63) / 64 * 64, 0) {}

  void add(std::span<const std::uint32_t> bucket) {
    entries_ += bucket.size();
    if (dense_) {
      for (const std::uint32_t row : bucket) {
        std::uint8_t& count = counts_[row];
        count = static_cast<std::uint8_t>(count + static_cast<int>(count < 255));
      }
      return;
    }
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
    taken_.clear();
    std::uint8_t least = 1;
    std::size_t room = rows_;  // for rows with the least count
    if (limit > 0 && rows_with(1) > limit) {
      std::size_t above = rows_with(2);
      while (above >= limit) {
        above = rows_with(++least + 1);
      }
      room = limit - above;
    }
    if (dense_) {
      take_dense(least, room);
    } else {
      take_found(least, room);
    }
    entries_ = 0;
    return taken_;
  }

 private:
  // As many rows are looked at whole, many at once, in less time than a list of those found takes.
  static constexpr std::int64_t kMostDense = std::int64_t{1} << 19;
  static constexpr std::size_t kAtOnce = 64;

  /// Bit i says whether row begin + i was found at least `least` times.
  std::uint64_t at_least(std::size_t begin, std::uint8_t least) const {
    const std::uint8_t* counts = counts_.data() + begin;
#if defined(__AVX512BW__)
    return _mm512_cmpge_epu8_mask(_mm512_loadu_si512(counts), _mm512_set1_epi8(static_cast<char>(least)));
#else
    std::uint64_t mask = 0;
    for (std::size_t eight = 0; eight < kAtOnce; eight += 8) {
      std::uint64_t any = 0;
      std::memcpy(&any, counts + eight, sizeof any);
      for (std::size_t i = eight; any != 0 && i < eight + 8; ++i) {
        mask |= static_cast<std::uint64_t>(counts[i] >= least) << i;
      }
    }
    return mask;
#endif
  }
  /// How many rows were found at least `least` times; none where that is more often than is counted.
  std::size_t rows_with(int least) const {
    if (least > 255) {
      return 0;
    }
    const auto at_least_so_often = static_cast<std::uint8_t>(least);
    if (!dense_) {
      return static_cast<std::size_t>(std::count_if(
          found_.begin(), found_.end(), [&](std::uint32_t row) { return counts_[row] >= at_least_so_often; }));
    }
    std::size_t rows = 0;
    for (std::size_t begin = 0; begin < counts_.size(); begin += kAtOnce) {
      rows += static_cast<std::size_t>(std::popcount(at_least(begin, at_least_so_often)));
    }
    return rows;
  }

  void take_dense(std::uint8_t least, std::size_t room) {
    for (std::size_t begin = 0; begin < counts_.size(); begin += kAtOnce) {
      for (std::uint64_t left = at_least(begin, least); left != 0; left &= left - 1) {
        take_row(begin + static_cast<std::size_t>(std::countr_zero(left)), least, room);
      }
    }
    std::ranges::fill(counts_, std::uint8_t{0});
  }
  void take_found(std::uint8_t least, std::size_t room) {
    std::ranges::sort(found_);
    for (const std::uint32_t row : found_) {
      if (counts_[row] >= least) {
        take_row(row, least, room);
      }
      counts_[row] = 0;
    }
    found_.clear();
  }
  /// Of a row that was found often enough.
  void take_row(std::size_t row, std::uint8_t least, std::size_t& room) {
    if (counts_[row] > least) {
      taken_.push_back(static_cast<std::int64_t>(row));
    } else if (room > 0) {
      --room;
      taken_.push_back(static_cast<std::int64_t>(row));
    }
  }

  std::size_t rows_;
  bool dense_;
  std::vector<std::uint8_t> counts_;  // filled up to whole steps
  std::vector<std::uint32_t> found_;  // where they are not looked at whole
  std::vector<std::int64_t> taken_;
  std::size_t entries_ = 0;
};

}  // namespace earmark::kernels
