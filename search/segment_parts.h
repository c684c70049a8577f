// What one of several processes writes of an index: segment files under names of its own, which no catalogue knows yet.
// Whoever commits them gives them their names (IndexWriter::adopt); the next writer removes what was left behind.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "search/index_store.h"
#include "search/segment_file.h"

namespace earmark::search {

/// File `part` of those that a process calls `name`.
std::filesystem::path part_path(const std::filesystem::path& index, const std::string& name, std::int64_t part);

class SegmentParts {
 public:
  /// `name` is no other process's, now or earlier.
  SegmentParts(std::filesystem::path index, IndexFormat format, std::string name);
  /// Removes what nobody has adopted.
  ~SegmentParts();
  SegmentParts(const SegmentParts&) = delete;
  SegmentParts& operator=(const SegmentParts&) = delete;

  /// Where rows lie: [first_row, first_row + rows) of a part.
  struct Place {
    std::int64_t part = 0;
    std::int64_t first_row = 0;
  };
  /// Fingerprints (n, d) f32 or landmarks of one track. Throws Error where a part cannot be written.
  Place add(const Tensor& rows);
  /// Writes what is not in a file yet.
  void finish();
  const std::vector<SegmentInfo>& written() const { return written_; }

 private:
  std::filesystem::path index_;
  IndexFormat format_;
  std::string name_;
  std::vector<Tensor> pending_;
  std::int64_t pending_rows_ = 0;
  std::vector<SegmentInfo> written_;
};

}  // namespace earmark::search
