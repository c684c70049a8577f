// Hashes, the exact scan, sequence scores and votes.
#include <algorithm>

#include "kernels/gather.h"
#include "kernels/gathered_topk.h"
#include "kernels/hash.h"
#include "kernels/inner_product.h"
#include "kernels/probe.h"
#include "kernels/score.h"
#include "kernels/vote.h"
#include "tests/bench/cuda_benchmark.h"
#include "tests/op_cases.h"

namespace earmark::testing {
namespace {

constexpr std::int64_t kDimension = 128;

/// `rows` fingerprints on the GPU, of which a few thousand differ.
Tensor fingerprints(std::int64_t rows) {
  const std::int64_t different = std::min<std::int64_t>(rows, 2048);
  return gpu_normal({rows / different, different, kDimension}).reshape({rows, kDimension});
}

kernels::StoredRows stored_as(const Tensor& rows, DType dtype) {
  if (dtype == DType::f32) {
    return {rows, {}};
  }
  const Tensor host = rows.to(Device{});
  const kernels::StoredRows narrow{Tensor(rows.shape(), dtype), dtype == DType::i8 ? Tensor({rows.dim(0)}) : Tensor()};
  kernels::narrow_rows(host, narrow);
  return {narrow.rows.to(kGpu), narrow.scales ? narrow.scales.to(kGpu) : Tensor()};
}

KernelCase scan_case(const BenchmarkSizes& s, std::int64_t queries, DType dtype) {
  const auto rows = static_cast<double>(s.rows);
  return {str("scan/", name_of(dtype), "_", queries, "_queries"),
          rows * kDimension * static_cast<double>(size_of(dtype)), 2 * rows * kDimension * static_cast<double>(queries),
          [=]() -> std::function<void()> {
            const kernels::InnerProductTopK args{.queries = gpu_normal({queries, kDimension}, 1),
                                                 .stored = stored_as(fingerprints(s.rows), dtype),
                                                 .scores = gpu_empty({queries, 20}),
                                                 .indices = Tensor({queries, 20}, DType::i64, kGpu)};
            return [args] {
              kernels::topk_begin(args);
              kernels::inner_product_topk(args);
            };
          }};
}

KernelCase hash_case(const BenchmarkSizes& s) {
  const std::int64_t points = s.rows / 16;
  const auto count = static_cast<double>(points);
  constexpr int kTables = 50;
  return {"hash/50_tables", count * (4 * kDimension + 4 * kTables), count * 3 * kTables * 7 * kDimension,
          [=]() -> std::function<void()> {
            const auto family =
                std::make_shared<kernels::HashFamily>(kernels::make_hash_family(kDimension, kTables, 18, 1, 5));
            const Tensor from = fingerprints(points);
            const Tensor buckets({points, kTables}, DType::i32, kGpu);
            return [=] { kernels::cross_polytope_hash({from, family.get(), buckets, 0}); };
          }};
}

/// f(0), f(1), ... on the GPU, i32.
template <class F>
Tensor counted(std::int64_t count, const F& f) {
  const Tensor out({count}, DType::i32);
  for (std::int64_t i = 0; i < count; ++i) {
    out.mutable_data<std::int32_t>()[i] = static_cast<std::int32_t>(f(i));
  }
  return out.to(kGpu);
}

KernelCase probe_case() {
  constexpr std::int64_t kQueries = 50;
  constexpr std::int64_t kProbes = 400;
  return {"probe/400_of_50_tables", 4.0 * kQueries * (kDimension + 2 * kProbes), 0, []() -> std::function<void()> {
            const auto family =
                std::make_shared<kernels::HashFamily>(kernels::make_hash_family(kDimension, 50, 18, 1, 5));
            const Tensor queries = gpu_normal({kQueries, kDimension}, 1);
            const Tensor tables({kQueries, kProbes}, DType::i32, kGpu);
            const Tensor buckets = empty_like(tables);
            return [=] { kernels::probe_sequence({queries, family.get(), tables, buckets}); };
          }};
}

Tensor integers(std::int64_t count, std::int64_t first, std::int64_t step) {
  const Tensor out({count}, DType::i64);
  for (std::int64_t i = 0; i < count; ++i) {
    out.mutable_data<std::int64_t>()[i] = first + i * step;
  }
  return out.to(kGpu);
}

/// 50 queries, 400 probes each, of 50 tables whose buckets hold 20 rows: 8,000 entries, of which 1,000 are kept.
KernelCase gather_case(const BenchmarkSizes& s) {
  constexpr std::int64_t kQueries = 50;
  constexpr std::int64_t kProbes = 400;
  static constexpr std::int64_t kTables = 50;
  static constexpr std::int64_t kOfBucket = 20;
  constexpr double kEntries = static_cast<double>(kProbes * kOfBucket);
  const std::int64_t buckets = std::max<std::int64_t>(64, s.rows / kOfBucket / 64 * 64);
  return {"gather/400_probes", kQueries * (4 * kEntries + 96.0 * kProbes + 8 * 1000), 0,
          [=]() -> std::function<void()> {
            const auto tables = std::make_shared<kernels::BucketTables>();
            tables->rows = buckets * kOfBucket;
            tables->largest_bucket = kOfBucket;
            const Tensor before = counted(buckets / 64, [](std::int64_t i) { return i * 64; });
            const Tensor offsets = counted(buckets + 1, [](std::int64_t i) { return i * kOfBucket; });
            const Tensor all = Tensor::full({buckets / 64}, -1, DType::i64, kGpu);
            for (std::int64_t t = 0; t < kTables; ++t) {
              const std::int64_t rows = tables->rows;
              tables->tables.push_back(
                  {all, before, offsets, counted(rows, [=](std::int64_t i) { return (i * 7919 + t * 131) % rows; })});
            }
            const kernels::GatherCandidates args{
                tables.get(),
                counted(kQueries * kProbes, [](std::int64_t i) { return i % kTables; }).reshape({kQueries, kProbes}),
                counted(kQueries * kProbes, [=](std::int64_t i) { return i * 6151 % buckets; })
                    .reshape({kQueries, kProbes}),
                8000,
                1000,
                Tensor({kQueries, 1000}, DType::i64, kGpu),
                Tensor({kQueries, 2}, DType::i64, kGpu)};
            return [args, tables] { kernels::gather_candidates(args); };
          }};
}

/// 50 queries of 1,000 candidates each, anywhere among the rows.
KernelCase gathered_topk_case(const BenchmarkSizes& s) {
  constexpr std::int64_t kQueries = 50;
  const std::int64_t candidates = std::min<std::int64_t>(1000, s.rows);
  const double products = static_cast<double>(kQueries * candidates);
  return {"gathered_topk/50_queries", products * (8 + 4 * kDimension), 2 * products * kDimension,
          [=]() -> std::function<void()> {
            const Tensor ranges({kQueries, 2}, DType::i64);
            for (std::int64_t q = 0; q < 2 * kQueries; ++q) {
              ranges.mutable_data<std::int64_t>()[q] = (q + 1) / 2 * candidates;
            }
            const Tensor list({kQueries * candidates}, DType::i64);
            for (std::int64_t i = 0; i < list.numel(); ++i) {
              list.mutable_data<std::int64_t>()[i] = i % candidates * (s.rows / candidates);
            }
            const kernels::GatheredTopK args{.queries = gpu_normal({kQueries, kDimension}, 1),
                                             .stored = {fingerprints(s.rows), {}},
                                             .candidates = list.to(kGpu),
                                             .ranges = ranges.to(kGpu),
                                             .scores = gpu_empty({kQueries, 20}),
                                             .indices = Tensor({kQueries, 20}, DType::i64, kGpu)};
            return [args] {
              kernels::topk_begin({args.queries, {}, 0, args.scores, args.indices});
              kernels::gathered_topk(args);
            };
          }};
}

/// A thousand candidates of a query of 50 fingerprints.
KernelCase score_case(const BenchmarkSizes& s) {
  const std::int64_t candidates = s.rows / 1024;
  constexpr std::int64_t kQueries = 50;
  const double products = static_cast<double>(candidates) * kQueries * kDimension;
  return {"score/50_rows", 4 * products, 2 * products, [=]() -> std::function<void()> {
            const Tensor none = integers(candidates, 0, 0);
            const kernels::SequenceScore args{.queries = gpu_normal({kQueries, kDimension}, 1),
                                              .stored = {fingerprints(s.rows), {}},
                                              .query_begins = none,
                                              .query_ends = integers(candidates, kQueries, 0),
                                              .starts = integers(candidates, 0, 1000),
                                              .begins = none,
                                              .ends = integers(candidates, s.rows, 0),
                                              .scores = gpu_empty({candidates})};
            return [args] { kernels::sequence_score(args); };
          }};
}

/// What 50 queries of 20 neighbours each propose, and its two copies back to the host.
KernelCase vote_case(const BenchmarkSizes& s) {
  constexpr std::int64_t kHits = 1000;
  return {"vote/1000_hits", 16.0 * kHits, 2.0 * kHits * kHits, [=]() -> std::function<void()> {
            const kernels::OffsetVote args{.hits = integers(kHits, 1, s.rows / kHits - 1).reshape({50, 20}),
                                           .similarities = gpu_normal({50, 20}),
                                           .queries = integers(2, 0, 50).reshape({1, 2}),
                                           .track_rows = integers(65, 0, s.rows / 64),
                                           .ratio = 1,
                                           .counts = Tensor({1}, DType::i64, kGpu),
                                           .tracks = Tensor({kHits}, DType::i64, kGpu),
                                           .starts = Tensor({kHits}, DType::i64, kGpu),
                                           .votes = Tensor({kHits}, DType::i32, kGpu),
                                           .sums = gpu_empty({kHits})};
            return [args] { kernels::offset_vote(args); };
          }};
}

}  // namespace

std::vector<KernelCase> search_kernel_cases(const BenchmarkSizes& s) {
  return {scan_case(s, 1, DType::f32),
          scan_case(s, 32, DType::f32),
          scan_case(s, 32, DType::f16),
          scan_case(s, 32, DType::i8),
          hash_case(s),
          probe_case(),
          gather_case(s),
          gathered_topk_case(s),
          score_case(s),
          vote_case(s)};
}

}  // namespace earmark::testing
