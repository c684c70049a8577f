// Products of bf16 tiles, summed in float: the matrix unit of processors that have one (Intel AMX, from Sapphire Rapids
// on: 1024 multiply-adds a cycle, where two pipes of AVX-512 do 32), plain loops elsewhere. A tile is 16 rows of 64
// bytes: 16 x 32 bf16 times 32 x 16 bf16, whose rows k and k + 1 are interleaved, gives 16 x 16 floats.
#pragma once

#include <cstdint>

namespace earmark::kernels::cpu {

/// A bf16 number's bits.
using Bf16Bits = std::uint16_t;

inline constexpr std::int64_t kTileSide = 16;           // rows and columns of a tile of sums
inline constexpr std::int64_t kTileDepth = 32;          // products for each of them
inline constexpr std::int64_t kTileElements = 16 * 32;  // of an operand's tile

/// Whether this processor has the unit and the system lets this process use it.
bool has_tile_unit();

/// Sets this thread's unit up for tiles of full size, while it lives. Nothing without a unit.
class TileScope {
 public:
  TileScope();
  ~TileScope();
  TileScope(const TileScope&) = delete;
  TileScope& operator=(const TileScope&) = delete;
};

/// out[r][c] = or += sum over chunks j and k < 32 of source[r * row_step + chunks[j] + k] * panel[j][k][c], for 16 or
/// 32 rows and 16 or 32 columns.
struct TileRows {
  const Bf16Bits* source;
  std::int64_t row_step;
  const std::int64_t* chunks;
  std::int64_t count;     // of chunks
  const Bf16Bits* panel;  // [chunk][column tile][k / 2][column][k % 2]
  int row_tiles;          // 1 or 2
  int column_tiles;       // 1 or 2
  bool accumulate;        // add to what `out` holds
  float* out;             // [16 * row_tiles][16 * column_tiles]
};
void multiply_tile_rows(const TileRows& t);

/// out[i][j] (16 x 16) += sum over samples s and k < 32 * chunks of a[i][s * a_sample + r * a_row + k] *
/// b[j][s * b_sample + k / 2 * b_row + 2 * c + k % 2], r and c being the row and the column: two tiles of rows, one or
/// two of columns.
struct TileSums {
  const Bf16Bits* a[2];
  std::int64_t a_row;
  std::int64_t a_sample;
  const Bf16Bits* b[2];
  std::int64_t b_row;
  std::int64_t b_sample;
  std::int64_t samples;
  std::int64_t chunks;
  int column_tiles;  // 1 or 2
  float* out[2][2];
};
void add_tile_sums(const TileSums& t);

}  // namespace earmark::kernels::cpu
