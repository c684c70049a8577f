// One pass over the bytes of all rows. For each query it keeps the k best products that are sure to be reached;
// whatever may exceed the worst of those is written down. What is left at the end is looked at once more, with the
// limit that all rows together have.
#include "kernels/byte_rows.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <numeric>
#include <utility>

#include "kernels/cpu/byte_products.h"
#include "kernels/cpu/lanes.h"
#include "kernels/inner_product.h"
#include "kernels/parallel.h"

namespace earmark::kernels::cpu {
namespace {

constexpr int kQueryLane = kLanes<float>;
constexpr int kQueryVectors = 3;
constexpr int kByteRows = kVectorRegisters == 32 ? 8 : 4;
constexpr std::int64_t kRowsPerByteScan = 8192;
constexpr float kNothing = -std::numeric_limits<float>::infinity();

/// Up to kQueryVectors * kQueryLane queries as bytes, four elements of all of them side by side.
struct BytePanel {
  std::int64_t first_query = 0;
  int queries = 0;
  int vectors = 0;
  std::vector<Ints> elements;                     // (d / 4, vectors): bytes + 128
  Floats scales[kQueryVectors] = {};              // query ≈ scale * bytes
  Floats per_kept_length[kQueryVectors] = {};     // how far a product can be from that of the bytes, for each of the
  Floats per_missing_length[kQueryVectors] = {};  // row's two lengths
};

void pack_query(const ByteRows& bytes, std::int64_t query, std::int64_t dimension, int at, BytePanel& panel) {
  const std::int64_t d = bytes.bytes.dim(1);
  const std::int8_t* from = bytes.bytes.data<std::int8_t>() + query * d;
  const float* facts = bytes.facts.data<float>() + query * 4;
  const int vector = at / kQueryLane;
  const int lane = at % kQueryLane;
  for (std::int64_t j = 0; j < d; j += 4) {
    std::int32_t four = 0;
    std::memcpy(&four, from + j, sizeof four);
    panel.elements[static_cast<std::size_t>(j / 4 * panel.vectors + vector)][lane] = four ^ kUnsignedBytes;
  }
  const ByteBound bound = bound_of(facts, dimension);
  panel.scales[vector][lane] = bound.scale;
  panel.per_kept_length[vector][lane] = bound.per_kept_length;
  panel.per_missing_length[vector][lane] = bound.per_missing_length;
}

std::vector<BytePanel> pack_byte_queries(const ByteRows& bytes, std::int64_t dimension) {
  const std::int64_t m = bytes.bytes.dim(0);
  std::vector<BytePanel> panels;
  for (std::int64_t first = 0; first < m; first += kQueryVectors * kQueryLane) {
    BytePanel panel;
    panel.first_query = first;
    panel.queries = static_cast<int>(std::min<std::int64_t>(m - first, kQueryVectors * kQueryLane));
    panel.vectors = (panel.queries + kQueryLane - 1) / kQueryLane;
    panel.elements.assign(static_cast<std::size_t>(bytes.bytes.dim(1) / 4 * panel.vectors), Ints{});
    for (int q = 0; q < panel.queries; ++q) {
      pack_query(bytes, first + q, dimension, q, panel);
    }
    panels.push_back(std::move(panel));
  }
  return panels;
}

/// A row that a query may want.
struct Possible {
  std::int64_t row;
  std::int64_t query;
  float most;  // what its product cannot exceed
};

/// What a query's product must exceed, as far as any thread knows: only ever raised.
class Limits {
 public:
  explicit Limits(const std::vector<float>& from) : limits_(from.size()) {
    std::copy(from.begin(), from.end(), limits_.begin());
  }
  float of(std::int64_t query) const {
    return limits_[static_cast<std::size_t>(query)].load(std::memory_order_relaxed);
  }
  void raise(std::int64_t query, float limit) {
    std::atomic<float>& now = limits_[static_cast<std::size_t>(query)];
    float before = now.load(std::memory_order_relaxed);
    while (before < limit && !now.compare_exchange_weak(before, limit, std::memory_order_relaxed)) {
    }
  }

 private:
  std::vector<std::atomic<float>> limits_;
};

/// What one range of rows has for the queries of all panels.
struct Found {
  std::vector<Possible> possible;
  std::vector<float> sure;  // (m, k) descending: scores that as many rows are sure to reach
  bool everything = false;  // too many to write down: any row is possible
};

/// One panel's way through a range.
class PanelScan {
 public:
  PanelScan(const BytePanel& panel, std::int64_t k, const Limits& limits, Found& found)
      : panel_(panel), k_(k), found_(found) {
    for (int lane = 0; lane < panel.vectors * kQueryLane; ++lane) {  // lanes without a query want nothing
      limits_[lane / kQueryLane][lane % kQueryLane] =
          lane < panel.queries ? limits.of(panel.first_query + lane) : std::numeric_limits<float>::infinity();
    }
  }

  void offer(int vector, Ints sums, const float* facts, std::int64_t row) {
    const Floats near = __builtin_convertvector(sums, Floats) * panel_.scales[vector] * broadcast(facts[0]);
    const Floats off =
        panel_.per_kept_length[vector] * broadcast(facts[1]) + panel_.per_missing_length[vector] * broadcast(facts[2]);
    const Floats most = near + off;
    if (!any_greater(most, limits_[vector])) [[likely]] {
      return;
    }
    const auto over = most > limits_[vector];
    for (int lane = 0; lane < kQueryLane; ++lane) {
      if (over[lane] != 0) {
        add(vector * kQueryLane + lane, most[lane], near[lane] - off[lane], row);
      }
    }
  }
  void publish(Limits& limits) const {
    for (int lane = 0; lane < panel_.queries; ++lane) {
      limits.raise(panel_.first_query + lane, limits_[lane / kQueryLane][lane % kQueryLane]);
    }
  }

 private:
  void add(int lane, float most, float least, std::int64_t row) {
    const std::int64_t query = panel_.first_query + lane;
    found_.possible.push_back({row, query, most});
    float* sure = found_.sure.data() + query * k_;
    if (!(least > sure[k_ - 1])) {
      return;
    }
    std::int64_t at = k_ - 1;
    for (; at > 0 && sure[at - 1] < least; --at) {
      sure[at] = sure[at - 1];
    }
    sure[at] = least;
    // A row that only reaches the limit still comes before those behind it.
    const float limit = std::nextafter(sure[k_ - 1], kNothing);
    const float before = limits_[lane / kQueryLane][lane % kQueryLane];
    limits_[lane / kQueryLane][lane % kQueryLane] = std::max(before, limit);
  }

  const BytePanel& panel_;
  std::int64_t k_;
  Found& found_;
  Floats limits_[kQueryVectors] = {};
};

template <int Rows, int Vectors>
void scan_byte_tile(const std::int8_t* rows, std::int64_t d, const float* facts, const BytePanel& panel,
                    std::int64_t row, PanelScan& scan) {
  Ints sums[Rows][Vectors];
#pragma GCC unroll 8
  for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v) {
      sums[r][v] = broadcast(sum_begin(facts + r * 4));
    }
  }
  const Ints* elements = panel.elements.data();
  for (std::int64_t j = 0; j < d; j += 4, elements += Vectors) {
#pragma GCC unroll 8
    for (int r = 0; r < Rows; ++r) {
      std::int32_t four = 0;
      std::memcpy(&four, rows + r * d + j, sizeof four);
      const Ints bytes = broadcast(four);
#pragma GCC unroll 4
      for (int v = 0; v < Vectors; ++v) {
        sums[r][v] = add_byte_products(sums[r][v], elements[v], bytes);
      }
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v) {
      scan.offer(v, sums[r][v], facts + r * 4, row + r);
    }
  }
}

template <int Vectors>
void scan_byte_rows(const std::int8_t* rows, int count, std::int64_t d, const float* facts, const BytePanel& panel,
                    std::int64_t row, PanelScan& scan) {
  if (count == kByteRows) {
    return scan_byte_tile<kByteRows, Vectors>(rows, d, facts, panel, row, scan);
  }
  for (int r = 0; r < count; ++r) {
    scan_byte_tile<1, Vectors>(rows + r * d, d, facts + r * 4, panel, row + r, scan);
  }
}

void scan_bytes_of(const std::int8_t* rows, int count, std::int64_t d, const float* facts, const BytePanel& panel,
                   std::int64_t row, PanelScan& scan) {
  static_assert(kQueryVectors == 3);
  switch (panel.vectors) {
    case 1:
      return scan_byte_rows<1>(rows, count, d, facts, panel, row, scan);
    case 2:
      return scan_byte_rows<2>(rows, count, d, facts, panel, row, scan);
    default:
      return scan_byte_rows<3>(rows, count, d, facts, panel, row, scan);
  }
}

/// Rows [begin, end).
Found scan_range(const ByteScan& args, const std::vector<BytePanel>& panels, Limits& limits, std::int64_t begin,
                 std::int64_t end) {
  constexpr std::int64_t kTilesFetchedAhead = 8;
  constexpr std::size_t kMostPossiblePerRow = 4;
  const std::int64_t d = args.rows.bytes.dim(1);
  const std::int8_t* bytes = args.rows.bytes.data<std::int8_t>();
  const float* facts = args.rows.facts.data<float>();
  Found found;
  found.sure.assign(static_cast<std::size_t>(args.queries.dim(0) * args.k), kNothing);
  std::vector<PanelScan> scans;
  scans.reserve(panels.size());
  for (const BytePanel& panel : panels) {
    scans.emplace_back(panel, args.k, limits, found);
  }
  for (std::int64_t row = begin; row < end; row += kByteRows) {
    const int count = static_cast<int>(std::min<std::int64_t>(kByteRows, end - row));
    const std::int64_t ahead = std::min(row + kTilesFetchedAhead * kByteRows, args.rows.bytes.dim(0) - kByteRows);
    for (std::int64_t byte = 0; ahead > row && byte < kByteRows * d; byte += 64) {
      __builtin_prefetch(bytes + ahead * d + byte);
    }
    for (std::size_t p = 0; p < panels.size(); ++p) {
      scan_bytes_of(bytes + row * d, count, d, facts + row * 4, panels[p], row, scans[p]);
    }
    if (found.possible.size() > kMostPossiblePerRow * kRowsPerByteScan) {
      found.possible.clear();
      found.everything = true;
      break;
    }
  }
  for (const PanelScan& scan : scans) {
    scan.publish(limits);
  }
  return found;
}

/// What a product must exceed to be among the k best: by what all ranges are sure of.
std::vector<float> last_limits(const ByteScan& args, const std::vector<Found>& ranges) {
  std::vector<float> limits = args.limits;
  std::vector<float> sure;
  for (std::int64_t q = 0; q < args.queries.dim(0); ++q) {
    sure.clear();
    for (const Found& range : ranges) {
      sure.insert(sure.end(), range.sure.begin() + q * args.k, range.sure.begin() + (q + 1) * args.k);
    }
    std::nth_element(sure.begin(), sure.begin() + (args.k - 1), sure.end(), std::greater<>());
    float& limit = limits[static_cast<std::size_t>(q)];
    limit = std::max(limit, std::nextafter(sure[static_cast<std::size_t>(args.k - 1)], kNothing));
  }
  return limits;
}

std::vector<std::int64_t> all_rows(std::int64_t begin, std::int64_t end) {
  std::vector<std::int64_t> rows(static_cast<std::size_t>(end - begin));
  std::iota(rows.begin(), rows.end(), begin);
  return rows;
}

/// Ascending, each once.
std::vector<std::int64_t> rows_above(const std::vector<Possible>& possible, const std::vector<float>& limits) {
  std::vector<std::int64_t> rows;
  for (const Possible& one : possible) {
    if (one.most > limits[static_cast<std::size_t>(one.query)] && (rows.empty() || rows.back() != one.row)) {
      rows.push_back(one.row);
    }
  }
  std::ranges::sort(rows);
  rows.erase(std::unique(rows.begin(), rows.end()), rows.end());
  return rows;
}

}  // namespace

std::vector<std::int64_t> scan_bytes(const ByteScan& args) {
  const std::int64_t n = args.rows.bytes.dim(0);
  if (n == 0) {
    return {};
  }
  const ByteRows queries = make_byte_rows({args.queries, {}});
  for (std::int64_t q = 0; q < args.queries.dim(0); ++q) {
    if (!is_known(queries.facts.data<float>() + q * 4)) {
      return all_rows(0, n);
    }
  }
  const std::vector<BytePanel> panels = pack_byte_queries(queries, args.queries.dim(1));
  Limits limits(args.limits);
  std::vector<Found> ranges(static_cast<std::size_t>((n + kRowsPerByteScan - 1) / kRowsPerByteScan));
  parallel_ranges(n, kRowsPerByteScan, [&](std::int64_t begin, std::int64_t end) {
    ranges[static_cast<std::size_t>(begin / kRowsPerByteScan)] = scan_range(args, panels, limits, begin, end);
  });
  std::vector<std::int64_t> rows;
  const std::vector<float> last = last_limits(args, ranges);
  for (std::size_t i = 0; i < ranges.size(); ++i) {
    const std::int64_t begin = static_cast<std::int64_t>(i) * kRowsPerByteScan;
    const std::vector<std::int64_t> of_range = ranges[i].everything
                                                   ? all_rows(begin, std::min(n, begin + kRowsPerByteScan))
                                                   : rows_above(ranges[i].possible, last);
    rows.insert(rows.end(), of_range.begin(), of_range.end());
  }
  return rows;
}

}  // namespace earmark::kernels::cpu
