// The scan is a matrix product that is never stored. Queries are packed element by element into panels of up to
// kPanelVectors vectors, so that one element of a stored row is multiplied with a whole panel at once; a tile of
// kScanRows rows keeps its sums in registers. Sums are compared with each query's present k-th best as vectors; hardly
// any row passes, so that keeping the k best costs next to nothing.
#include "kernels/inner_product.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <optional>
#include <tuple>
#include <utility>
#include <vector>

#include "kernels/cpu/lanes.h"
#include "kernels/cpu/stored_row.h"
#include "kernels/parallel.h"

namespace earmark::kernels::cpu {
namespace {

using V = Vec<float>;
constexpr int kLane = kLanes<float>;
constexpr int kPanelVectors = 3;
constexpr int kScanRows = kVectorRegisters == 32 ? 8 : 4;  // 8 × 3 sums of 32 registers, 4 × 3 of 16
constexpr std::int64_t kRowsPerScan = 8192;                // fixed: results do not depend on the thread count
constexpr std::int64_t kListedPerScan = 256;

/// Up to kPanelVectors * kLane queries, transposed: element j of all of them side by side.
struct Panel {
  std::int64_t first_query = 0;
  int queries = 0;
  int vectors = 0;
  std::vector<V> elements;  // (d, vectors)
};

std::vector<Panel> pack_queries(const Tensor& queries) {
  const std::int64_t m = queries.dim(0);
  const std::int64_t d = queries.dim(1);
  std::vector<Panel> panels;
  for (std::int64_t first = 0; first < m; first += kPanelVectors * kLane) {
    Panel panel{first, static_cast<int>(std::min<std::int64_t>(m - first, kPanelVectors * kLane)), 0, {}};
    panel.vectors = (panel.queries + kLane - 1) / kLane;
    panel.elements.assign(static_cast<std::size_t>(d * panel.vectors), V{});
    for (int q = 0; q < panel.queries; ++q) {
      const float* from = queries.data<float>() + (first + q) * d;
      for (std::int64_t j = 0; j < d; ++j) {
        panel.elements[static_cast<std::size_t>(j * panel.vectors + q / kLane)][q % kLane] = from[j];
      }
    }
    panels.push_back(std::move(panel));
  }
  return panels;
}

/// The k best of every query of one panel among the rows seen so far.
class Best {
 public:
  Best(const Panel& panel, std::int64_t k)
      : k_(k),
        limits_(static_cast<std::size_t>(panel.vectors), broadcast(kNone)),
        scores_(static_cast<std::size_t>(panel.queries * k), kNone),
        rows_(scores_.size(), -1) {
    // Lanes without a query never pass.
    for (int q = panel.queries; q < panel.vectors * kLane; ++q) {
      limits_[static_cast<std::size_t>(q / kLane)][q % kLane] = std::numeric_limits<float>::infinity();
    }
  }

  /// Rows come in ascending order, so that of equal scores the lower row stays in front.
  void offer(int vector, V values, std::int64_t row) {
    const V& limits = limits_[static_cast<std::size_t>(vector)];
    if (!any_greater(values, limits)) [[likely]] {
      return;
    }
    const auto over = values > limits;
    for (int lane = 0; lane < kLane; ++lane) {
      if (over[lane] != 0) {
        insert(vector * kLane + lane, values[lane], row);
      }
    }
  }
  void insert(int query, float score, std::int64_t row) {
    float* scores = scores_.data() + query * k_;
    std::int64_t* rows = rows_.data() + query * k_;
    std::int64_t at = k_ - 1;
    for (; at > 0 && scores[at - 1] < score; --at) {
      scores[at] = scores[at - 1];
      rows[at] = rows[at - 1];
    }
    scores[at] = score;
    rows[at] = row;
    limits_[static_cast<std::size_t>(query / kLane)][query % kLane] = scores[k_ - 1];
  }
  float score(int query, std::int64_t rank) const { return scores_[static_cast<std::size_t>(query * k_ + rank)]; }
  std::int64_t row(int query, std::int64_t rank) const { return rows_[static_cast<std::size_t>(query * k_ + rank)]; }

 private:
  static constexpr float kNone = -std::numeric_limits<float>::infinity();
  std::int64_t k_;
  std::vector<V> limits_;
  std::vector<float> scores_;
  std::vector<std::int64_t> rows_;
};

/// sums[r][v] = inner products of `Rows` rows, `d` floats each and side by side, with the panel's queries.
template <int Rows, int Vectors>
inline void multiply_panel(const float* rows, std::int64_t d, const V* panel, V (&sums)[Rows][Vectors]) {
#pragma GCC unroll 8
  for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v) {
      sums[r][v] = V{};
    }
  }
  for (std::int64_t j = 0; j < d; ++j) {
#pragma GCC unroll 8
    for (int r = 0; r < Rows; ++r) {
      const V element = broadcast(rows[r * d + j]);
#pragma GCC unroll 4
      for (int v = 0; v < Vectors; ++v) {
        sums[r][v] += element * panel[j * Vectors + v];
      }
    }
  }
}

template <int Rows, int Vectors>
void scan_tile(const float* rows, std::int64_t d, const float* scales, const Panel& panel, const std::int64_t* numbers,
               Best& best) {
  V sums[Rows][Vectors];
  multiply_panel<Rows, Vectors>(rows, d, panel.elements.data(), sums);
  for (int r = 0; r < Rows; ++r) {
    for (int v = 0; v < Vectors; ++v) {
      best.offer(v, scales != nullptr ? sums[r][v] * scales[r] : sums[r][v], numbers[r]);
    }
  }
}

template <int Vectors>
void scan_rows(const float* rows, int count, std::int64_t d, const float* scales, const Panel& panel,
               const std::int64_t* numbers, Best& best) {
  if (count == kScanRows) {
    return scan_tile<kScanRows, Vectors>(rows, d, scales, panel, numbers, best);
  }
  for (int r = 0; r < count; ++r) {
    scan_tile<1, Vectors>(rows + r * d, d, scales != nullptr ? scales + r : nullptr, panel, numbers + r, best);
  }
}

void scan_panel(const float* rows, int count, std::int64_t d, const float* scales, const Panel& panel,
                const std::int64_t* numbers, Best& best) {
  static_assert(kPanelVectors == 3);
  switch (panel.vectors) {
    case 1:
      return scan_rows<1>(rows, count, d, scales, panel, numbers, best);
    case 2:
      return scan_rows<2>(rows, count, d, scales, panel, numbers, best);
    default:
      return scan_rows<3>(rows, count, d, scales, panel, numbers, best);
  }
}

/// Rows of a tile as float, their scales and numbers; f32 rows side by side are used where they lie, others are widened
/// into a small buffer.
template <class T>
class Tile {
 public:
  Tile(const StoredRows& stored, std::int64_t d)
      : rows_(stored.rows.data<T>()), stored_(stored), d_(d), wide_(static_cast<std::size_t>(kScanRows * d)) {}

  /// Rows [row, row + count).
  void read(std::int64_t row, int count) {
    prefetch(row + kTilesAhead * kScanRows, kScanRows);
    std::iota(numbers, numbers + count, row);
    if constexpr (std::is_same_v<T, float>) {
      rows = rows_ + row * d_;
    } else {
      widen(rows_ + row * d_, count * d_, wide_.data());
      rows = wide_.data();
    }
    read_scales(count);
  }
  /// Rows list[at, at + count).
  void read(const std::vector<std::int64_t>& list, std::size_t at, int count) {
    const std::size_t ahead = std::min(list.size(), at + kTilesAhead * kScanRows);
    for (std::size_t i = ahead; i < std::min(list.size(), ahead + kScanRows); ++i) {
      prefetch(list[i], 1);
    }
    for (int r = 0; r < count; ++r) {
      numbers[r] = list[at + static_cast<std::size_t>(r)];
      widen(rows_ + numbers[r] * d_, d_, wide_.data() + r * d_);
    }
    rows = wide_.data();
    read_scales(count);
  }

  const float* rows = nullptr;
  const float* scales = nullptr;
  std::int64_t numbers[kScanRows] = {};

 private:
  // A tile's rows are read side by side, a few bytes of each in turn: nothing that the processor would foresee.
  static constexpr std::int64_t kTilesAhead = 2;
  void prefetch(std::int64_t row, std::int64_t count) const {
    const auto* from = reinterpret_cast<const char*>(rows_ + row * d_);
    const std::int64_t bytes = std::min<std::int64_t>(count, stored_.rows.dim(0) - row) * d_ * std::int64_t{sizeof(T)};
    for (std::int64_t byte = 0; byte < bytes; byte += 64) {
      __builtin_prefetch(from + byte);
    }
  }
  void read_scales(int count) {
    if constexpr (std::is_same_v<T, std::int8_t>) {
      for (int r = 0; r < count; ++r) {
        scale_buffer_[r] = scale_of(stored_, numbers[r]);
      }
      scales = scale_buffer_;
    }
  }

  const T* rows_;
  const StoredRows& stored_;
  std::int64_t d_;
  std::vector<float> wide_;
  float scale_buffer_[kScanRows] = {};
};

/// The k best of all queries among `count` rows; read(tile, at, n) makes a tile of those from number `at` on.
template <class T, class Read>
std::vector<Best> scan(const InnerProductTopK& args, const std::vector<Panel>& panels, std::int64_t count,
                       const Read& read) {
  const std::int64_t d = args.stored.rows.dim(1);
  std::vector<Best> best;
  best.reserve(panels.size());
  for (const Panel& panel : panels) {
    best.emplace_back(panel, args.scores.dim(1));
  }
  Tile<T> tile(args.stored, d);
  for (std::int64_t at = 0; at < count; at += kScanRows) {
    const int in_tile = static_cast<int>(std::min<std::int64_t>(kScanRows, count - at));
    read(tile, at, in_tile);
    for (std::size_t p = 0; p < panels.size(); ++p) {
      scan_panel(tile.rows, in_tile, d, tile.scales, panels[p], tile.numbers, best[p]);
    }
  }
  return best;
}

/// Merges two descending lists into the one in `args`; of equal scores the one already there stays in front.
void merge(const InnerProductTopK& args, const Panel& panel, const Best& found) {
  const std::int64_t k = args.scores.dim(1);
  std::vector<std::pair<float, std::int64_t>> merged(static_cast<std::size_t>(k));
  for (int q = 0; q < panel.queries; ++q) {
    float* scores = args.scores.mutable_data<float>() + (panel.first_query + q) * k;
    std::int64_t* indices = args.indices.mutable_data<std::int64_t>() + (panel.first_query + q) * k;
    std::int64_t old = 0;
    std::int64_t fresh = 0;
    for (auto& [score, index] : merged) {
      const bool take_fresh = found.row(q, fresh) >= 0 && found.score(q, fresh) > scores[old];
      score = take_fresh ? found.score(q, fresh) : scores[old];
      index = take_fresh ? found.row(q, fresh) + args.first_row : indices[old];
      ++(take_fresh ? fresh : old);
    }
    for (std::int64_t rank = 0; rank < k; ++rank) {
      std::tie(scores[rank], indices[rank]) = merged[static_cast<std::size_t>(rank)];
    }
  }
}

/// The rows that bytes leave; nothing where they leave too many to be worth it.
std::optional<std::vector<std::int64_t>> possible_rows(const InnerProductTopK& args) {
  constexpr std::int64_t kLeastSpared = 3;  // of four rows
  const std::int64_t n = args.stored.rows.dim(0);
  const std::int64_t k = args.scores.dim(1);
  std::vector<float> limits;
  for (std::int64_t q = 0; q < args.queries.dim(0); ++q) {
    limits.push_back(args.scores.data<float>()[(q + 1) * k - 1]);
  }
  std::vector<std::int64_t> rows = scan_bytes({args.queries, args.bytes, k, std::move(limits)});
  if (4 * (n - static_cast<std::int64_t>(rows.size())) < kLeastSpared * n) {
    return {};
  }
  return rows;
}

template <class T>
void topk(const InnerProductTopK& args) {
  const std::vector<Panel> panels = pack_queries(args.queries);
  const std::optional<std::vector<std::int64_t>> list =
      args.bytes ? possible_rows(args) : std::optional<std::vector<std::int64_t>>();
  const std::int64_t count = list ? static_cast<std::int64_t>(list->size()) : args.stored.rows.dim(0);
  const std::int64_t per_task = list ? kListedPerScan : kRowsPerScan;
  std::vector<std::vector<Best>> found(static_cast<std::size_t>((count + per_task - 1) / per_task));
  parallel_ranges(count, per_task, [&](std::int64_t begin, std::int64_t end) {
    found[static_cast<std::size_t>(begin / per_task)] =
        scan<T>(args, panels, end - begin, [&](Tile<T>& tile, std::int64_t at, int in_tile) {
          if (list) {
            tile.read(*list, static_cast<std::size_t>(begin + at), in_tile);
          } else {
            tile.read(begin + at, in_tile);
          }
        });
  });
  for (const std::vector<Best>& task : found) {
    for (std::size_t p = 0; p < panels.size(); ++p) {
      merge(args, panels[p], task[p]);
    }
  }
}

template <class T>
void gathered(const GatheredInnerProduct& args) {
  constexpr std::int64_t kPerTask = 1024;
  constexpr std::int64_t kAhead = 8;  // rows lie anywhere: fetch them before they are needed
  const std::int64_t d = args.queries.dim(1);
  const std::int64_t m = args.queries.dim(0);
  const std::int64_t n = args.stored.rows.dim(0);
  const T* rows = args.stored.rows.data<T>();
  const float* queries = args.queries.data<float>();
  const std::int64_t* indices = args.indices.data<std::int64_t>();
  const std::int64_t* owners = args.owners.data<std::int64_t>();
  float* out = args.out.mutable_data<float>();
  parallel_ranges(args.indices.numel(), kPerTask, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      check(indices[i] >= 0 && indices[i] < n, "gathered inner product: row ", indices[i], " of ", n);
      check(owners[i] >= 0 && owners[i] < m, "gathered inner product: query ", owners[i], " of ", m);
      if (i + kAhead < end) {
        const auto* next =
            reinterpret_cast<const char*>(rows + std::clamp<std::int64_t>(indices[i + kAhead], 0, n) * d);
        for (std::int64_t byte = 0; byte < d * static_cast<std::int64_t>(sizeof(T)); byte += 64) {
          __builtin_prefetch(next + byte);
        }
      }
      out[i] = inner_product(queries + owners[i] * d, rows + indices[i] * d, d) * scale_of(args.stored, indices[i]);
    }
  });
}

}  // namespace

void inner_product_topk(const InnerProductTopK& args) {
  with_row_type(args.stored, [&]<class T>() { topk<T>(args); });
}

void gathered_inner_product(const GatheredInnerProduct& args) {
  with_row_type(args.stored, [&]<class T>() { gathered<T>(args); });
}

void widen_rows(const StoredRows& stored, std::int64_t begin, std::int64_t end, const Tensor& out) {
  const std::int64_t d = stored.rows.dim(1);
  with_row_type(stored, [&]<class T>() {
    for (std::int64_t row = begin; row < end; ++row) {
      const T* from = stored.rows.data<T>() + row * d;
      const float scale = scale_of(stored, row);
      std::transform(from, from + d, out.mutable_data<float>() + (row - begin) * d,
                     [scale](T x) { return static_cast<float>(x) * scale; });
    }
  });
}

}  // namespace earmark::kernels::cpu
