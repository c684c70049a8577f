#include "kernels/gather.h"

#include <algorithm>
#include <bit>
#include <limits>
#include <span>
#include <vector>

#include "kernels/error.h"
#include "kernels/parallel.h"
#include "kernels/row_counts.h"

namespace earmark::kernels::cpu {
namespace {

template <class Unsigned, class Signed>
std::span<const Unsigned> numbers(const Tensor& t) {
  return {reinterpret_cast<const Unsigned*>(t.data<Signed>()), static_cast<std::size_t>(t.numel())};
}

/// The rows of bucket `number`. Throws Error where the table has no such bucket.
std::span<const std::uint32_t> bucket_of(const BucketTable& table, std::int32_t number) {
  const auto occupied = numbers<std::uint64_t, std::int64_t>(table.occupied);
  const auto word = static_cast<std::size_t>(number) / 64;
  const auto bit = static_cast<unsigned>(number) % 64;
  check(number >= 0 && word < occupied.size(), "gather: bucket ", number, " of ", 64 * occupied.size());
  if (((occupied[word] >> bit) & 1U) == 0) {
    return {};
  }
  const auto below = occupied[word] & ((std::uint64_t{1} << bit) - 1);
  const auto before = numbers<std::uint32_t, std::int32_t>(table.before);
  const auto offsets = numbers<std::uint32_t, std::int32_t>(table.offsets);
  const std::size_t at = before[word] + static_cast<std::size_t>(std::popcount(below));
  return numbers<std::uint32_t, std::int32_t>(table.entries).subspan(offsets[at], offsets[at + 1] - offsets[at]);
}

}  // namespace

void gather_candidates(const GatherCandidates& args) {
  constexpr std::int64_t kMostPerTask = 32;
  const std::int64_t queries = args.probe_tables.dim(0);
  const std::int64_t probes = args.probe_tables.dim(1);
  const std::int64_t capacity = args.candidates.dim(1);
  const auto most =
      args.max_entries > 0 ? static_cast<std::size_t>(args.max_entries) : std::numeric_limits<std::size_t>::max();
  parallel_ranges(queries, even_grain(queries, kMostPerTask), [&](std::int64_t begin, std::int64_t end) {
    RowCounts found(args.tables->rows);
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int32_t* table = args.probe_tables.data<std::int32_t>() + i * probes;
      const std::int32_t* bucket = args.probe_buckets.data<std::int32_t>() + i * probes;
      for (std::int64_t p = 0; p < probes && table[p] >= 0 && found.entries() < most; ++p) {
        found.add(bucket_of(args.tables->tables.at(static_cast<std::size_t>(table[p])), bucket[p]));
      }
      const std::vector<std::int64_t>& rows = found.take(static_cast<std::size_t>(args.max_candidates));
      std::int64_t* range = args.ranges.mutable_data<std::int64_t>() + 2 * i;
      range[0] = i * capacity;
      range[1] = range[0] + static_cast<std::int64_t>(rows.size());
      std::copy(rows.begin(), rows.end(), args.candidates.mutable_data<std::int64_t>() + range[0]);
    }
  });
}

}  // namespace earmark::kernels::cpu
