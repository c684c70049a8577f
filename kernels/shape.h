// The extents of a tensor, outermost first. At most six axes, held inline.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <iosfwd>
#include <span>

namespace earmark {

class Shape {
 public:
  static constexpr std::size_t kMaxRank = 6;
  static constexpr std::int64_t kMostElements = std::int64_t{1} << 56;  ///< So that counts of bytes never overflow.

  Shape() = default;  ///< Rank 0: a scalar, one element.
  Shape(std::initializer_list<std::int64_t> dims) : Shape(std::span(dims.begin(), dims.size())) {}
  /// Throws Error on more than kMaxRank axes, a negative extent, or more than kMostElements elements.
  explicit Shape(std::span<const std::int64_t> dims);

  std::size_t rank() const { return rank_; }
  /// Extent of axis `i`; negative counts from the end. Throws Error when out of range.
  std::int64_t operator[](int i) const;
  std::int64_t numel() const;
  std::span<const std::int64_t> dims() const { return {dims_.data(), rank_}; }
  /// The same shape with axis 0 replaced.
  Shape with_leading(std::int64_t extent) const;

  bool operator==(const Shape& other) const;

 private:
  std::array<std::int64_t, kMaxRank> dims_{};
  std::size_t rank_ = 0;
};

/// "(64, 32, 48, 16)".
std::ostream& operator<<(std::ostream& out, const Shape& shape);

}  // namespace earmark
