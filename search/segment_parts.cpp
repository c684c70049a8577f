#include "search/segment_parts.h"

#include <system_error>
#include <utility>

#include "kernels/error.h"
#include "search/segment_rows.h"

namespace earmark::search {

std::filesystem::path part_path(const std::filesystem::path& index, const std::string& name, std::int64_t part) {
  return index / "segments" / str(name, "-", part, ".part");
}

SegmentParts::SegmentParts(std::filesystem::path index, IndexFormat format, std::string name)
    : index_(std::move(index)), format_(std::move(format)), name_(std::move(name)) {}

SegmentParts::~SegmentParts() {
  for (std::size_t part = 0; part < written_.size(); ++part) {
    std::error_code ignored;  // the next writer tries again
    std::filesystem::remove(part_path(index_, name_, static_cast<std::int64_t>(part)), ignored);
  }
}

SegmentParts::Place SegmentParts::add(const Tensor& rows) {
  const Place place{static_cast<std::int64_t>(written_.size()), pending_rows_};
  pending_.push_back(rows);
  pending_rows_ += rows.dim(0);
  if (pending_rows_ >= kSegmentRows) {
    finish();
  }
  return place;
}

void SegmentParts::finish() {
  if (pending_.empty()) {
    return;
  }
  const Tensor all = fresh_rows(format_, pending_rows_);
  std::int64_t row = 0;
  for (const Tensor& rows : pending_) {
    all.slice(row, row + rows.dim(0)).copy_from(rows);
    row += rows.dim(0);
  }
  const auto part = static_cast<std::int64_t>(written_.size());
  written_.push_back(write_segment(part_path(index_, name_, part), as_stored(format_, all)));
  pending_.clear();
  pending_rows_ = 0;
}

}  // namespace earmark::search
