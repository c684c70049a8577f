// A database of random unit vectors in which queries with known answers can be planted.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <utility>
#include <vector>

#include "kernels/random.h"
#include "search/database.h"

namespace earmark::search {

inline void normalize_rows(const Tensor& rows) {
  const std::int64_t d = rows.dim(1);
  for (std::int64_t i = 0; i < rows.dim(0); ++i) {
    float* row = rows.mutable_data<float>() + i * d;
    double square = 0;
    for (std::int64_t j = 0; j < d; ++j) {
      square += static_cast<double>(row[j]) * static_cast<double>(row[j]);
    }
    const auto scale = static_cast<float>(1 / std::sqrt(square));
    for (std::int64_t j = 0; j < d; ++j) {
      row[j] *= scale;
    }
  }
}

/// (n, d) unit rows. With `smooth` each row is like the one before, as fingerprints 100 ms apart are.
inline Tensor random_fingerprints(std::int64_t n, std::int64_t d, std::uint64_t seed, double smooth = 0.6) {
  Tensor rows({n, d});
  RandomStream random(seed, 77);
  float* x = rows.mutable_data<float>();
  for (std::int64_t i = 0; i < n * d; ++i) {
    const double before = i >= d ? static_cast<double>(x[i - d]) : 0;
    x[i] = static_cast<float>(smooth * before + std::sqrt(1 - smooth * smooth) * random.normal());
  }
  normalize_rows(rows);
  return rows;
}

/// Rows [begin, end) with noise, unit length again.
inline Tensor noisy(const Tensor& rows, double noise, std::uint64_t seed) {
  const Tensor out = rows.clone();
  RandomStream random(seed, 78);
  const double deviation = noise / std::sqrt(static_cast<double>(rows.dim(1)));
  for (std::int64_t i = 0; i < out.numel(); ++i) {
    out.mutable_data<float>()[i] += static_cast<float>(deviation * random.normal());
  }
  normalize_rows(out);
  return out;
}

/// One f32 block per entry of `tracks_of_block`, each of so many tracks of `rows_of_track` rows; ids count from 1.
inline Database planted_database(const Tensor& rows, std::int64_t rows_of_track,
                                 const std::vector<std::int64_t>& tracks_of_block) {
  std::vector<Block> blocks;
  std::vector<TrackRows> tracks;
  std::int64_t row = 0;
  for (const std::int64_t count : tracks_of_block) {
    blocks.push_back({{rows.slice(row, row + count * rows_of_track), {}}, row});
    for (std::int64_t i = 0; i < count; ++i) {
      tracks.push_back({static_cast<std::int64_t>(tracks.size()) + 1, row, rows_of_track});
      row += rows_of_track;
    }
  }
  return {rows.dim(1), std::move(blocks), std::move(tracks)};
}

}  // namespace earmark::search
