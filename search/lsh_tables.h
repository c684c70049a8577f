// The hash tables of LshIndex, in memory and as a file. For lsh.cpp and lsh_tables.cpp.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <vector>

#include "search/lsh.h"

namespace earmark::search {

/// One table: bit b of `occupied` says whether bucket b holds rows. The occupied buckets are numbered in order;
/// `before[w]` of them lie before word w. Occupied bucket i holds entries [offsets[i], offsets[i + 1]).
struct CompactTable {
  std::span<const std::uint64_t> occupied;
  std::span<const std::uint32_t> before;
  std::span<const std::uint32_t> offsets;
  std::span<const std::uint32_t> entries;

  std::span<const std::uint32_t> bucket(std::int32_t number) const {
    const auto word = static_cast<std::size_t>(number) / 64;
    const auto bit = static_cast<unsigned>(number) % 64;
    if (((occupied[word] >> bit) & 1U) == 0) {
      return {};
    }
    const auto below = occupied[word] & ((std::uint64_t{1} << bit) - 1);
    const std::size_t at = before[word] + static_cast<std::size_t>(__builtin_popcountll(below));
    return entries.subspan(offsets[at], offsets[at + 1] - offsets[at]);
  }
};

struct LshIndex::Tables {
  LshOptions options;
  kernels::HashFamily family;
  std::int64_t rows = 0;
  std::vector<CompactTable> tables;
  std::size_t bytes = 0;
  std::shared_ptr<const void> owner;  // of the memory behind the spans
};

/// Words of a table's `occupied`.
inline std::size_t words_of(int bits) { return bits > 6 ? std::size_t{1} << (static_cast<unsigned>(bits) - 6U) : 1; }

}  // namespace earmark::search
