#include "kernels/nt_xent.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/cpu/gemm.h"
#include "kernels/cpu/vector_math.h"
#include "kernels/dispatch_type.h"
#include "kernels/parallel.h"

namespace earmark::kernels::cpu {
namespace {

constexpr std::int64_t kAnchorTile = 32;
constexpr std::int64_t kKeyTile = 256;

/// One tile of similarities over tau, (rows, keys), and who is who in it.
template <class T>
struct SimilarityTile {
  const NtXent& a;
  std::int64_t first_anchor;
  std::int64_t rows;
  std::int64_t first_key;
  std::int64_t keys;
  std::vector<T>& values;

  void compute() const {
    const std::int64_t d = a.anchors.dim(1);
    values.resize(static_cast<std::size_t>(rows * keys));
    multiply<T>({a.anchors.data<T>() + first_anchor * d, d, 1}, {a.keys.data<T>() + first_key * d, 1, d}, values.data(),
                keys, rows, keys, d);
    const T factor = static_cast<T>(1 / a.temperature);
    for (T& value : values) {
      value *= factor;
    }
  }
  T* row(std::int64_t r) const { return values.data() + r * keys; }
  /// Column of anchor r itself, and of its positive; outside [0, keys) when another tile holds it.
  std::int64_t self(std::int64_t r) const { return a.offset + first_anchor + r - first_key; }
  std::int64_t positive(std::int64_t r) const {
    const std::int64_t anchors = a.anchors.dim(0);
    return a.offset + (first_anchor + r + anchors / 2) % anchors - first_key;
  }
  bool holds(std::int64_t column) const { return column >= 0 && column < keys; }
};

/// Running statistics of one anchor over the tiles of keys.
template <class T>
struct AnchorRow {
  T highest = -std::numeric_limits<T>::infinity();  // over every key but itself
  T nearest_other = -std::numeric_limits<T>::infinity();
  T positive = 0;
  double sum = 0;  // of exp(similarity - highest)

  void take(T* values, std::int64_t count, std::int64_t self, std::int64_t positive_column) {
    constexpr T kNever = -std::numeric_limits<T>::infinity();
    if (self >= 0 && self < count) {
      values[self] = kNever;
    }
    T other = kNever;
    for (std::int64_t j = 0; j < count; ++j) {
      other = j != positive_column && values[j] > other ? values[j] : other;
    }
    nearest_other = std::max(nearest_other, other);
    T top = std::max(highest, other);
    if (positive_column >= 0 && positive_column < count) {
      positive = values[positive_column];
      top = std::max(top, positive);
    }
    rescale(top);
    add(values, count, self);
  }

 private:
  void rescale(T top) {
    if (top > highest) {
      sum *= std::exp(static_cast<double>(highest) - static_cast<double>(top));
      highest = top;
    }
  }
  void add(const T* values, std::int64_t count, std::int64_t self) {
    for (std::int64_t j = 0; j < count; ++j) {
      const T e = exponential(values[j] - highest);
      sum += j == self ? 0.0 : static_cast<double>(e);
    }
  }
};

struct Sums {
  double loss = 0;
  std::int64_t correct = 0;
};

/// All keys against one tile of anchors.
template <class T>
Sums forward_tile(const NtXent& a, std::int64_t begin, std::int64_t end) {
  thread_local std::vector<T> scratch;
  std::vector<AnchorRow<T>> rows(static_cast<std::size_t>(end - begin));
  for (std::int64_t key = 0; key < a.keys.dim(0); key += kKeyTile) {
    const SimilarityTile<T> tile{a, begin, end - begin, key, std::min(kKeyTile, a.keys.dim(0) - key), scratch};
    tile.compute();
    for (std::int64_t r = 0; r < tile.rows; ++r) {
      rows[static_cast<std::size_t>(r)].take(tile.row(r), tile.keys, tile.self(r), tile.positive(r));
    }
  }
  Sums sums;
  for (std::int64_t r = 0; r < end - begin; ++r) {
    const AnchorRow<T>& row = rows[static_cast<std::size_t>(r)];
    const double logsumexp = static_cast<double>(row.highest) + std::log(row.sum);
    a.logsumexp.mutable_data<T>()[begin + r] = static_cast<T>(logsumexp);
    sums.loss += logsumexp - static_cast<double>(row.positive);
    sums.correct += row.positive > row.nearest_other ? 1 : 0;
  }
  return sums;
}

template <class T>
void nt_xent_as(const NtXent& a) {
  const std::int64_t anchors = a.anchors.dim(0);
  std::vector<Sums> parts(static_cast<std::size_t>((anchors + kAnchorTile - 1) / kAnchorTile));
  parallel_ranges(anchors, kAnchorTile, [&](std::int64_t begin, std::int64_t end) {
    parts[static_cast<std::size_t>(begin / kAnchorTile)] = forward_tile<T>(a, begin, end);
  });
  Sums total;
  for (const Sums& part : parts) {
    total.loss += part.loss;
    total.correct += part.correct;
  }
  a.loss.fill(total.loss / static_cast<double>(anchors));
  a.top1.fill(static_cast<double>(total.correct) / static_cast<double>(anchors));
}

/// Turns a tile of similarities into d loss / d (inner product): (softmax - one at the positive) * factor.
template <class T>
void to_gradient(const SimilarityTile<T>& tile, T factor) {
  tile.compute();
  const T* logsumexp = tile.a.logsumexp.template data<T>() + tile.first_anchor;
  for (std::int64_t r = 0; r < tile.rows; ++r) {
    T* row = tile.row(r);
    for (std::int64_t j = 0; j < tile.keys; ++j) {
      row[j] = factor * exponential(row[j] - logsumexp[r]);
    }
    if (tile.holds(tile.self(r))) {
      row[tile.self(r)] = 0;
    }
    if (tile.holds(tile.positive(r))) {
      row[tile.positive(r)] -= factor;
    }
  }
}

template <class T>
void nt_xent_backward_as(const NtXentBackward& b) {
  const NtXent& a = b.forward;
  const std::int64_t anchors = a.anchors.dim(0);
  const std::int64_t keys = a.keys.dim(0);
  const std::int64_t d = a.anchors.dim(1);
  const T factor = static_cast<T>(b.dloss.item() / (static_cast<double>(anchors) * a.temperature));
  parallel_ranges(anchors, kAnchorTile, [&](std::int64_t begin, std::int64_t end) {
    thread_local std::vector<T> scratch;
    for (std::int64_t key = 0; key < keys; key += kKeyTile) {
      const SimilarityTile<T> tile{a, begin, end - begin, key, std::min(kKeyTile, keys - key), scratch};
      to_gradient(tile, factor);
      multiply<T>({scratch.data(), tile.keys, 1}, {a.keys.data<T>() + key * d, d, 1},
                  b.danchors.mutable_data<T>() + begin * d, d, tile.rows, d, tile.keys, key > 0);
    }
  });
  parallel_ranges(keys, kAnchorTile, [&](std::int64_t begin, std::int64_t end) {
    thread_local std::vector<T> scratch;
    for (std::int64_t anchor = 0; anchor < anchors; anchor += kKeyTile) {
      const SimilarityTile<T> tile{a, anchor, std::min(kKeyTile, anchors - anchor), begin, end - begin, scratch};
      to_gradient(tile, factor);
      multiply<T>({scratch.data(), 1, tile.keys}, {a.anchors.data<T>() + anchor * d, d, 1},
                  b.dkeys.mutable_data<T>() + begin * d, d, tile.keys, d, tile.rows, anchor > 0);
    }
  });
}

}  // namespace

void nt_xent(const NtXent& a) {
  dispatch_float(a.anchors.dtype(), [&]<class T>() { nt_xent_as<T>(a); });
}

void nt_xent_backward(const NtXentBackward& a) {
  dispatch_float(a.forward.anchors.dtype(), [&]<class T>() { nt_xent_backward_as<T>(a); });
}

}  // namespace earmark::kernels::cpu
