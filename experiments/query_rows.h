// The fingerprints of many queries, a batch at a time and only when asked for. Shorter queries are the beginnings of
// the longest, so most fingerprints serve all lengths.
#pragma once

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "experiments/query_set.h"
#include "nn/fingerprinter.h"

namespace earmark::experiments {

/// Fingerprints of consecutive queries, one behind another.
struct QueryBatch {
  std::size_t first = 0;  ///< Position of the first query among all.
  Tensor rows;            ///< (n, D) f32
  /// [query][length]: rows [begin, end); nothing where the query is shorter.
  std::vector<std::vector<std::optional<std::pair<std::int64_t, std::int64_t>>>> ranges;
};

class QueryRows {
 public:
  /// `queries` are positions in `set`; `hop_frames` is between fingerprints. All arguments must outlive the object.
  QueryRows(const QuerySet& set, const std::vector<std::size_t>& queries, const nn::Fingerprinter& fingerprinter,
            int hop_frames, const std::vector<double>& lengths_s, int batch);

  std::size_t batches() const { return batches_.size(); }
  /// Decoded and embedded at the first call, on all threads. Throws Error where a query cannot be read.
  const QueryBatch& batch(std::size_t number);
  /// That took so long until now.
  double seconds() const { return seconds_; }

 private:
  const QuerySet& set_;
  const std::vector<std::size_t>& queries_;
  const nn::Fingerprinter& fingerprinter_;
  int hop_frames_;
  const std::vector<double>& lengths_s_;
  std::size_t size_;
  std::vector<std::optional<QueryBatch>> batches_;
  double seconds_ = 0;
};

}  // namespace earmark::experiments
