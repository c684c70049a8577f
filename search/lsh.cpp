#include "search/lsh.h"

#include <algorithm>
#include <array>
#include <bit>
#include <limits>
#include <utility>

#include "kernels/error.h"
#include "kernels/gather.h"
#include "kernels/gathered_topk.h"
#include "kernels/parallel.h"
#include "kernels/probe.h"
#include "kernels/row_counts.h"
#include "kernels/trace.h"
#include "search/lsh_tables.h"

namespace earmark::search {
namespace {

/// Memory of one built table.
struct TableMemory {
  std::vector<std::uint64_t> occupied;
  std::vector<std::uint32_t> before;
  std::vector<std::uint32_t> offsets;
  std::vector<std::uint32_t> entries;
};

/// The bucket of every row in each of `count` tables from `first` on, hashed on the database's device.
std::vector<std::vector<std::int32_t>> hash_rows(const Database& database, const kernels::HashFamily& family, int first,
                                                 int count) {
  constexpr std::int64_t kChunk = 65536;
  std::vector<std::vector<std::int32_t>> buckets(static_cast<std::size_t>(count));
  for (std::vector<std::int32_t>& of_table : buckets) {
    of_table.resize(static_cast<std::size_t>(database.rows()));
  }
  for (std::int64_t row = 0; row < database.rows(); row += kChunk) {
    const std::int64_t end = std::min(database.rows(), row + kChunk);
    const Tensor hashed({end - row, count}, DType::i32, database.device());
    kernels::cross_polytope_hash({database.widened(row, end), &family, hashed, first});
    const Tensor codes = hashed.to(Device{});
    parallel_for(count, [&](std::int64_t table) {
      const std::int32_t* from = codes.data<std::int32_t>() + table;
      std::int32_t* to = buckets[static_cast<std::size_t>(table)].data() + row;
      for (std::int64_t i = 0; i < end - row; ++i) {
        to[i] = from[i * count];
      }
    });
  }
  return buckets;
}

/// Sorts rows by bucket, stably, so that rows of a bucket ascend.
TableMemory compact(const std::vector<std::int32_t>& buckets, int bits) {
  TableMemory table;
  std::vector<std::uint32_t> counts(std::max<std::size_t>(64, std::size_t{1} << static_cast<unsigned>(bits)), 0);
  for (const std::int32_t bucket : buckets) {
    ++counts[static_cast<std::size_t>(bucket)];
  }
  table.occupied.assign(words_of(bits), 0);
  table.before.assign(words_of(bits), 0);
  std::uint32_t position = 0;
  for (std::size_t bucket = 0; bucket < counts.size(); ++bucket) {
    if (bucket % 64 == 0) {
      table.before[bucket / 64] = static_cast<std::uint32_t>(table.offsets.size());
    }
    if (counts[bucket] > 0) {
      table.occupied[bucket / 64] |= std::uint64_t{1} << (bucket % 64);
      table.offsets.push_back(position);
      position += std::exchange(counts[bucket], position);
    }
  }
  table.offsets.push_back(position);
  table.entries.resize(buckets.size());
  for (std::size_t row = 0; row < buckets.size(); ++row) {
    table.entries[counts[static_cast<std::size_t>(buckets[row])]++] = static_cast<std::uint32_t>(row);
  }
  return table;
}

/// One query's probes, the most promising first; a negative table ends them.
struct Probes {
  const std::int32_t* tables;
  const std::int32_t* buckets;
  std::int64_t count;
};

/// Adds their rows until `most` entries were looked at. Every step to a bucket is a read of memory that nobody expects,
/// so that a step is made for many probes before the next one: they wait together.
void add_buckets(const std::vector<CompactTable>& tables, const Probes& probes, std::size_t most,
                 kernels::RowCounts& rows) {
  constexpr std::int64_t kTogether = 64;
  std::array<std::span<const std::uint32_t>, kTogether> found;
  std::array<std::int64_t, kTogether> occupied{};
  for (std::int64_t begin = 0; begin < probes.count; begin += kTogether) {
    const std::int64_t end = std::min(probes.count, begin + kTogether);
    const auto table = [&](std::int64_t p) -> const CompactTable& {
      return tables[static_cast<std::size_t>(probes.tables[p])];
    };
    std::int64_t last = begin;
    for (; last < end && probes.tables[last] >= 0; ++last) {
      table(last).fetch_word(probes.buckets[last]);
    }
    std::size_t count = 0;
    for (std::int64_t p = begin; p < last; ++p) {
      if (table(p).is_occupied(probes.buckets[p])) {
        table(p).fetch_offset(probes.buckets[p]);
        occupied[count++] = p;
      }
    }
    for (std::size_t i = 0; i < count; ++i) {
      found[i] = table(occupied[i]).bucket(probes.buckets[occupied[i]]);
      __builtin_prefetch(found[i].data());
    }
    for (std::size_t i = 0; i < count; ++i) {
      if (rows.entries() >= most) {
        return;
      }
      rows.add(found[i]);
    }
    if (last < end) {
      return;
    }
  }
}

/// Queries, what they are to be compared with and what was found so far, all on one device.
struct Comparison {
  Tensor queries;     // (m, d) f32
  Tensor candidates;  // of all queries, as kernels::GatheredTopK takes them
  Tensor ranges;      // (m, 2) i64
  Neighbours best;    // (m, k)

  Comparison to(Device device) const {
    return {queries.to(device),
            candidates.to(device),
            ranges.to(device),
            {best.indices.to(device), best.scores.to(device)}};
  }
};

/// Compares with all blocks, each where its rows are; blocks on the device come first.
void compare(const Database& database, Comparison& args) {
  const TraceRange range("compare candidates");
  const auto bytes = database.bytes_for_scan();
  for (std::size_t i = 0; i < database.blocks().size(); ++i) {
    const Block& block = database.blocks()[i];
    const Device device = block.stored.rows.device();
    if (args.queries.device() != device) {
      args = args.to(device);
    }
    kernels::gathered_topk({args.queries, block.stored, block.first, args.candidates, args.ranges, args.best.scores,
                            args.best.indices, bytes ? bytes->at(i) : kernels::ByteRows()});
  }
}

}  // namespace

int lsh_bits(std::int64_t rows) {
  constexpr int kFewest = 8;
  constexpr int kMost = 18;
  return std::clamp(static_cast<int>(std::bit_width(static_cast<std::uint64_t>(rows))) - 2, kFewest, kMost);
}

LshIndex LshIndex::build(const Database& database, const LshOptions& given) {
  const TraceRange range("hash tables");
  constexpr int kTablesAtOnce = 8;  // their buckets are held in memory together
  check(database.rows() < std::numeric_limits<std::uint32_t>::max(), "LSH: ", database.rows(),
        " fingerprints are more than its tables can number");
  const LshOptions options = with_bits(given, database.rows());
  auto tables = std::make_shared<Tables>();
  tables->options = options;
  tables->family =
      kernels::make_hash_family(database.dimension(), options.tables, options.bits, options.rotations, options.seed);
  tables->rows = database.rows();
  auto memory = std::make_shared<std::vector<TableMemory>>(static_cast<std::size_t>(options.tables));
  const int group = std::max(kTablesAtOnce, num_threads());
  for (int first = 0; first < options.tables; first += group) {
    const int count = std::min(group, options.tables - first);
    const std::vector<std::vector<std::int32_t>> buckets = hash_rows(database, tables->family, first, count);
    parallel_for(count, [&](std::int64_t t) {
      (*memory)[static_cast<std::size_t>(first + t)] = compact(buckets[static_cast<std::size_t>(t)], options.bits);
    });
  }
  for (const TableMemory& table : *memory) {
    tables->tables.push_back({table.occupied, table.before, table.offsets, table.entries});
    tables->bytes +=
        table.occupied.size() * 8 + (table.before.size() + table.offsets.size() + table.entries.size()) * 4;
  }
  tables->owner = memory;
  LshIndex index;
  index.tables_ = tables;
  return index;
}

LshIndex LshIndex::on(Device device, std::size_t budget) const {
  LshIndex index = *this;
  index.resident_ = nullptr;
  if (device.backend == Backend::cpu || tables_->bytes > budget) {
    return index;
  }
  const auto copied = [device]<class Signed>(Signed, const auto& numbers) {
    const Tensor out({static_cast<std::int64_t>(numbers.size())}, dtype_of<Signed>, device);
    // A view that is only read from.
    out.copy_from(Tensor(out.shape(), out.dtype(), const_cast<void*>(static_cast<const void*>(numbers.data())),
                         nullptr));  // NOLINT(cppcoreguidelines-pro-type-const-cast)
    return out;
  };
  auto resident = std::make_shared<kernels::BucketTables>();
  resident->rows = tables_->rows;
  for (const CompactTable& t : tables_->tables) {
    resident->tables.push_back({copied(std::int64_t{}, t.occupied), copied(std::int32_t{}, t.before),
                                copied(std::int32_t{}, t.offsets), copied(std::int32_t{}, t.entries)});
    for (std::size_t i = 0; i + 1 < t.offsets.size(); ++i) {
      resident->largest_bucket = std::max<std::int64_t>(resident->largest_bucket, t.offsets[i + 1] - t.offsets[i]);
    }
  }
  index.resident_ = resident;
  return index;
}

bool LshIndex::gathers_on(Device device) const {
  return resident_ != nullptr && !resident_->tables.empty() && resident_->tables.front().entries.device() == device;
}

LshIndex::Candidates LshIndex::candidates(const Tensor& queries) const {
  const TraceRange range("hash candidates");
  const LshOptions& options = tables_->options;
  const std::int64_t m = queries.dim(0);
  const std::int64_t probes = std::max(options.probes, options.tables);
  const Device device = queries.device();

  const kernels::ProbeSequence sequence{queries, &tables_->family, Tensor({m, probes}, DType::i32, device),
                                        Tensor({m, probes}, DType::i32, device)};
  kernels::probe_sequence(sequence);
  if (!gathers_on(device)) {
    return look_up(sequence.tables.to(Device{}), sequence.buckets.to(Device{}));
  }
  const std::int64_t max_entries = std::max(0, options.max_entries);
  const std::int64_t max_candidates = std::max(0, options.max_candidates);
  const std::int64_t capacity = kernels::most_candidates(*resident_, probes, max_entries, max_candidates);
  const kernels::GatherCandidates args{resident_.get(),
                                       sequence.tables,
                                       sequence.buckets,
                                       max_entries,
                                       max_candidates,
                                       Tensor::full({m, capacity}, -1, DType::i64, device),  // copied whole to the host
                                       Tensor({m, 2}, DType::i64, device)};
  kernels::gather_candidates(args);
  return {args.candidates, args.ranges};
}

LshIndex::Candidates LshIndex::look_up(const Tensor& probe_tables, const Tensor& probe_buckets) const {
  constexpr std::int64_t kMostPerTask = 32;
  const Tables& t = *tables_;
  const std::int64_t m = probe_tables.dim(0);
  const std::int64_t probes = probe_tables.dim(1);
  const auto most = static_cast<std::size_t>(t.options.max_entries > 0 ? t.options.max_entries : INT32_MAX);
  std::vector<std::vector<std::int64_t>> found(static_cast<std::size_t>(m));
  parallel_ranges(m, even_grain(m, kMostPerTask), [&](std::int64_t begin, std::int64_t end) {
    kernels::RowCounts rows(t.rows);
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int32_t* table = probe_tables.data<std::int32_t>() + i * probes;
      const std::int32_t* bucket = probe_buckets.data<std::int32_t>() + i * probes;
      add_buckets(t.tables, {table, bucket, probes}, most, rows);
      found[static_cast<std::size_t>(i)] = rows.take(static_cast<std::size_t>(std::max(0, t.options.max_candidates)));
    }
  });
  const Tensor ranges({m, 2}, DType::i64);
  std::int64_t total = 0;
  for (std::int64_t i = 0; i < m; ++i) {
    std::int64_t* range = ranges.mutable_data<std::int64_t>() + 2 * i;
    range[0] = total;
    range[1] = total += static_cast<std::int64_t>(found[static_cast<std::size_t>(i)].size());
  }
  const Tensor rows({total}, DType::i64);
  parallel_for(m, [&](std::int64_t i) {
    const std::vector<std::int64_t>& of_query = found[static_cast<std::size_t>(i)];
    std::copy(of_query.begin(), of_query.end(), rows.mutable_data<std::int64_t>() + ranges.data<std::int64_t>()[2 * i]);
  });
  return {rows, ranges};
}

std::int64_t LshIndex::queries_at_once(Device device) const {
  constexpr std::int64_t kOnHost = 256;
  constexpr std::int64_t kOnDevice = 4096;
  constexpr std::int64_t kMostNumbers = 1 << 25;  // 256 MB of candidates
  if (!gathers_on(device)) {
    return kOnHost;
  }
  const LshOptions& options = tables_->options;
  const std::int64_t capacity =
      kernels::most_candidates(*resident_, std::max(options.probes, options.tables), std::max(0, options.max_entries),
                               std::max(0, options.max_candidates));
  return std::clamp<std::int64_t>(kMostNumbers / std::max<std::int64_t>(1, capacity), 1, kOnDevice);
}

Neighbours LshIndex::search(const Database& database, const Tensor& queries, int k, double* candidates) const {
  const TraceRange range("hash search");
  check(database.rows() == tables_->rows && database.dimension() == queries.dim(1), "LSH tables of ", tables_->rows,
        " fingerprints do not belong to this database");
  const Device device = database.device();
  const std::int64_t m = queries.dim(0);
  const Neighbours found{Tensor({m, k}, DType::i64, device), Tensor({m, k}, DType::f32, device)};
  kernels::topk_begin({queries, {}, 0, found.scores, found.indices});
  const Tensor ranges({m, 2}, DType::i64, device);
  const std::int64_t step = queries_at_once(device);
  for (std::int64_t begin = 0; begin < m; begin += step) {
    const std::int64_t end = std::min(m, begin + step);
    const Tensor batch = queries.slice(begin, end).to(device);
    const Candidates of_batch = this->candidates(batch);
    ranges.slice(begin, end).copy_from(of_batch.ranges);
    const Neighbours best{found.indices.slice(begin, end), found.scores.slice(begin, end)};
    Comparison comparison{batch, of_batch.rows.to(device), of_batch.ranges.to(device), best};
    compare(database, comparison);
    if (comparison.queries.device() != device) {
      best.indices.copy_from(comparison.best.indices);
      best.scores.copy_from(comparison.best.scores);
    }
  }
  if (candidates != nullptr) {
    const Tensor all = ranges.to(Device{});
    double compared = 0;
    for (std::int64_t i = 0; i < m; ++i) {
      compared += static_cast<double>(all.data<std::int64_t>()[2 * i + 1] - all.data<std::int64_t>()[2 * i]);
    }
    *candidates = m > 0 ? compared / static_cast<double>(m) : 0;
  }
  return {found.indices.to(Device{}), found.scores.to(Device{})};
}

std::span<const std::uint32_t> LshIndex::bucket(int table, std::int32_t number) const {
  check(table >= 0 && table < tables_->options.tables && number >= 0 && (number >> tables_->options.bits) == 0,
        "bucket ", number, " of table ", table);
  return tables_->tables[static_cast<std::size_t>(table)].bucket(number);
}

const LshOptions& LshIndex::options() const { return tables_->options; }
const kernels::HashFamily& LshIndex::family() const { return tables_->family; }
std::size_t LshIndex::bytes() const { return tables_->bytes; }

}  // namespace earmark::search
