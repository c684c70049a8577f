#include "kernels/cpu/tile_unit.h"

#include <algorithm>
#include <array>
#include <bit>

#if defined(__x86_64__) && defined(__linux__)
#include <cpuid.h>
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>
#define EARMARK_TILE_TARGET __attribute__((target("amx-tile,amx-bf16")))
#endif

namespace earmark::kernels::cpu {
namespace {

float widened(Bf16Bits bits) { return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16U); }

void plain_rows(const TileRows& t) {
  const std::int64_t columns = t.column_tiles * kTileSide;
  if (!t.accumulate) {
    std::fill_n(t.out, t.row_tiles * kTileSide * columns, 0.0F);
  }
  for (std::int64_t r = 0; r < t.row_tiles * kTileSide; ++r) {
    for (std::int64_t j = 0; j < t.count; ++j) {
      const Bf16Bits* from = t.source + r * t.row_step + t.chunks[j];
      for (std::int64_t k = 0; k < kTileDepth; ++k) {
        const float x = widened(from[k]);
        for (std::int64_t c = 0; c < columns; ++c) {
          const std::int64_t tile = j * t.column_tiles + c / kTileSide;
          const std::int64_t at = (k / 2 * kTileSide + c % kTileSide) * 2 + k % 2;
          t.out[r * columns + c] += x * widened(t.panel[tile * kTileElements + at]);
        }
      }
    }
  }
}

void plain_sums(const TileSums& t, const Bf16Bits* a, const Bf16Bits* b, float* out) {
  for (std::int64_t s = 0; s < t.samples; ++s) {
    for (std::int64_t k = 0; k < t.chunks * kTileDepth; ++k) {
      for (std::int64_t r = 0; r < kTileSide; ++r) {
        const float x = widened(a[s * t.a_sample + r * t.a_row + k]);
        for (std::int64_t c = 0; c < kTileSide; ++c) {
          out[r * kTileSide + c] += x * widened(b[s * t.b_sample + k / 2 * t.b_row + 2 * c + k % 2]);
        }
      }
    }
  }
}

#if defined(EARMARK_TILE_TARGET)

/// Asks the system for the tile registers' state (Linux hands it out on demand only).
bool ask_for_unit() {
  constexpr long kRequestPermission = 0x1023;
  constexpr long kTileData = 18;
  unsigned eax = 0;
  unsigned ebx = 0;
  unsigned ecx = 0;
  unsigned edx = 0;
  if (__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) == 0) {
    return false;
  }
  constexpr unsigned kBf16 = 1U << 22U;
  constexpr unsigned kTiles = 1U << 24U;
  return (edx & kBf16) != 0 && (edx & kTiles) != 0 && ::syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

/// What LDTILECFG reads: 16 rows of 64 bytes in each of eight registers.
struct alignas(64) TileConfiguration {
  std::uint8_t palette = 1;
  std::uint8_t start_row = 0;
  std::array<std::uint8_t, 14> reserved{};
  std::array<std::uint16_t, 16> bytes{64, 64, 64, 64, 64, 64, 64, 64};
  std::array<std::uint8_t, 16> rows{16, 16, 16, 16, 16, 16, 16, 16};
};
static_assert(sizeof(TileConfiguration) == 64);

EARMARK_TILE_TARGET void load_configuration() {
  static constexpr TileConfiguration kFullTiles;
  _tile_loadconfig(&kFullTiles);
}

EARMARK_TILE_TARGET void release_tiles() { _tile_release(); }

EARMARK_TILE_TARGET void unit_rows_2x2(const TileRows& t) {
  const std::int64_t step = t.row_step * 2;
  if (t.accumulate) {
    _tile_loadd(0, t.out, 128);
    _tile_loadd(1, t.out + kTileSide, 128);
    _tile_loadd(2, t.out + 2 * kTileSide * kTileSide, 128);
    _tile_loadd(3, t.out + 2 * kTileSide * kTileSide + kTileSide, 128);
  } else {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
  }
  for (std::int64_t j = 0; j < t.count; ++j) {
    const Bf16Bits* a = t.source + t.chunks[j];
    const Bf16Bits* b = t.panel + j * 2 * kTileElements;
    _tile_loadd(4, a, step);
    _tile_loadd(6, b, 64);
    _tile_loadd(7, b + kTileElements, 64);
    _tile_loadd(5, a + kTileSide * t.row_step, step);
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
  _tile_stored(0, t.out, 128);
  _tile_stored(1, t.out + kTileSide, 128);
  _tile_stored(2, t.out + 2 * kTileSide * kTileSide, 128);
  _tile_stored(3, t.out + 2 * kTileSide * kTileSide + kTileSide, 128);
}

EARMARK_TILE_TARGET void unit_rows_1x2(const TileRows& t) {
  if (t.accumulate) {
    _tile_loadd(0, t.out, 128);
    _tile_loadd(1, t.out + kTileSide, 128);
  } else {
    _tile_zero(0);
    _tile_zero(1);
  }
  for (std::int64_t j = 0; j < t.count; ++j) {
    const Bf16Bits* b = t.panel + j * 2 * kTileElements;
    _tile_loadd(4, t.source + t.chunks[j], t.row_step * 2);
    _tile_loadd(6, b, 64);
    _tile_loadd(7, b + kTileElements, 64);
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
  }
  _tile_stored(0, t.out, 128);
  _tile_stored(1, t.out + kTileSide, 128);
}

EARMARK_TILE_TARGET void unit_rows_2x1(const TileRows& t) {
  const std::int64_t step = t.row_step * 2;
  if (t.accumulate) {
    _tile_loadd(0, t.out, 64);
    _tile_loadd(2, t.out + kTileSide * kTileSide, 64);
  } else {
    _tile_zero(0);
    _tile_zero(2);
  }
  for (std::int64_t j = 0; j < t.count; ++j) {
    const Bf16Bits* a = t.source + t.chunks[j];
    _tile_loadd(4, a, step);
    _tile_loadd(6, t.panel + j * kTileElements, 64);
    _tile_loadd(5, a + kTileSide * t.row_step, step);
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(2, 5, 6);
  }
  _tile_stored(0, t.out, 64);
  _tile_stored(2, t.out + kTileSide * kTileSide, 64);
}

EARMARK_TILE_TARGET void unit_rows_1x1(const TileRows& t) {
  if (t.accumulate) {
    _tile_loadd(0, t.out, 64);
  } else {
    _tile_zero(0);
  }
  for (std::int64_t j = 0; j < t.count; ++j) {
    _tile_loadd(4, t.source + t.chunks[j], t.row_step * 2);
    _tile_loadd(6, t.panel + j * kTileElements, 64);
    _tile_dpbf16ps(0, 4, 6);
  }
  _tile_stored(0, t.out, 64);
}

void unit_rows(const TileRows& t) {
  if (t.row_tiles == 2) {
    t.column_tiles == 2 ? unit_rows_2x2(t) : unit_rows_2x1(t);
  } else {
    t.column_tiles == 2 ? unit_rows_1x2(t) : unit_rows_1x1(t);
  }
}

EARMARK_TILE_TARGET void unit_sums_2x2(const TileSums& t) {
  _tile_loadd(0, t.out[0][0], 64);
  _tile_loadd(1, t.out[0][1], 64);
  _tile_loadd(2, t.out[1][0], 64);
  _tile_loadd(3, t.out[1][1], 64);
  for (std::int64_t s = 0; s < t.samples; ++s) {
    for (std::int64_t j = 0; j < t.chunks; ++j) {
      const std::int64_t a = s * t.a_sample + j * kTileDepth;
      const std::int64_t b = s * t.b_sample + j * kTileDepth / 2 * t.b_row;
      _tile_loadd(4, t.a[0] + a, t.a_row * 2);
      _tile_loadd(6, t.b[0] + b, t.b_row * 2);
      _tile_loadd(7, t.b[1] + b, t.b_row * 2);
      _tile_loadd(5, t.a[1] + a, t.a_row * 2);
      _tile_dpbf16ps(0, 4, 6);
      _tile_dpbf16ps(1, 4, 7);
      _tile_dpbf16ps(2, 5, 6);
      _tile_dpbf16ps(3, 5, 7);
    }
  }
  _tile_stored(0, t.out[0][0], 64);
  _tile_stored(1, t.out[0][1], 64);
  _tile_stored(2, t.out[1][0], 64);
  _tile_stored(3, t.out[1][1], 64);
}

EARMARK_TILE_TARGET void unit_sums_2x1(const TileSums& t) {
  _tile_loadd(0, t.out[0][0], 64);
  _tile_loadd(2, t.out[1][0], 64);
  for (std::int64_t s = 0; s < t.samples; ++s) {
    for (std::int64_t j = 0; j < t.chunks; ++j) {
      const std::int64_t a = s * t.a_sample + j * kTileDepth;
      _tile_loadd(4, t.a[0] + a, t.a_row * 2);
      _tile_loadd(6, t.b[0] + s * t.b_sample + j * kTileDepth / 2 * t.b_row, t.b_row * 2);
      _tile_loadd(5, t.a[1] + a, t.a_row * 2);
      _tile_dpbf16ps(0, 4, 6);
      _tile_dpbf16ps(2, 5, 6);
    }
  }
  _tile_stored(0, t.out[0][0], 64);
  _tile_stored(2, t.out[1][0], 64);
}

#else

bool ask_for_unit() { return false; }
void load_configuration() {}
void release_tiles() {}
void unit_rows(const TileRows& t) { plain_rows(t); }
void unit_sums_2x2(const TileSums&) {}
void unit_sums_2x1(const TileSums&) {}

#endif

}  // namespace

bool has_tile_unit() {
  static const bool has = ask_for_unit();
  return has;
}

TileScope::TileScope() {
  if (has_tile_unit()) {
    load_configuration();
  }
}

TileScope::~TileScope() {
  if (has_tile_unit()) {
    release_tiles();
  }
}

void multiply_tile_rows(const TileRows& t) { has_tile_unit() ? unit_rows(t) : plain_rows(t); }

void add_tile_sums(const TileSums& t) {
  if (has_tile_unit()) {
    t.column_tiles == 2 ? unit_sums_2x2(t) : unit_sums_2x1(t);
    return;
  }
  for (std::size_t i = 0; i < 2; ++i) {
    for (std::size_t j = 0; j < static_cast<std::size_t>(t.column_tiles); ++j) {
      plain_sums(t, t.a[i], t.b[j], t.out[i][j]);
    }
  }
}

}  // namespace earmark::kernels::cpu
