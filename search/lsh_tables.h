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

  bool is_occupied(std::int32_t number) const { return ((occupied[word_of(number)] >> bit_of(number)) & 1U) != 0; }
  std::span<const std::uint32_t> bucket(std::int32_t number) const {
    if (!is_occupied(number)) {
      return {};
    }
    const std::size_t at = position_of(number);
    return entries.subspan(offsets[at], offsets[at + 1] - offsets[at]);
  }

  /// Ask for what is_occupied() reads, then for what bucket() reads of an occupied one.
  void fetch_word(std::int32_t number) const {
    __builtin_prefetch(&occupied[word_of(number)]);
    __builtin_prefetch(&before[word_of(number)]);
  }
  void fetch_offset(std::int32_t number) const { __builtin_prefetch(&offsets[position_of(number)]); }

 private:
  static std::size_t word_of(std::int32_t number) { return static_cast<std::size_t>(number) / 64; }
  static unsigned bit_of(std::int32_t number) { return static_cast<unsigned>(number) % 64; }
  /// In `offsets`, of an occupied bucket.
  std::size_t position_of(std::int32_t number) const {
    const std::uint64_t below = occupied[word_of(number)] & ((std::uint64_t{1} << bit_of(number)) - 1);
    return before[word_of(number)] + static_cast<std::size_t>(__builtin_popcountll(below));
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
inline LshOptions with_bits(LshOptions options, std::int64_t rows) {
  options.bits = options.bits == 0 ? lsh_bits(rows) : options.bits;
  return options;
}
inline std::size_t words_of(int bits) { return bits > 6 ? std::size_t{1} << (static_cast<unsigned>(bits) - 6U) : 1; }

}  // namespace earmark::search
