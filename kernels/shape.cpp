#include "kernels/shape.h"

#include <algorithm>
#include <ostream>

#include "kernels/error.h"

namespace earmark {

Shape::Shape(std::span<const std::int64_t> dims) : rank_(dims.size()) {
  check(dims.size() <= kMaxRank, "shape: at most ", kMaxRank, " axes, got ", dims.size());
  std::copy(dims.begin(), dims.end(), dims_.begin());
  check(std::all_of(dims.begin(), dims.end(), [](std::int64_t d) { return d >= 0; }),
        "shape: extents must not be negative, got ", *this);
  std::int64_t count = 1;
  bool fits = true;
  for (const std::int64_t d : dims) {  // a zero hides no overflow before it: the products of a slice matter too
    fits = fits && !__builtin_mul_overflow(count, std::max<std::int64_t>(1, d), &count);
  }
  check(fits && count <= kMostElements, "shape ", *this, " has too many elements");
}

std::int64_t Shape::operator[](int i) const {
  const auto axis = i < 0 ? i + static_cast<std::int64_t>(rank_) : i;
  check(axis >= 0 && axis < static_cast<std::int64_t>(rank_), "shape ", *this, " has no axis ", i);
  return dims_.at(static_cast<std::size_t>(axis));
}

std::int64_t Shape::numel() const {
  std::int64_t n = 1;
  for (const std::int64_t d : dims()) {
    n *= d;
  }
  return n;
}

Shape Shape::with_leading(std::int64_t extent) const {
  check(rank_ > 0, "a scalar has no leading axis");
  Shape out = *this;
  out.dims_[0] = extent;
  return out;
}

bool Shape::operator==(const Shape& other) const { return std::ranges::equal(dims(), other.dims()); }

std::ostream& operator<<(std::ostream& out, const Shape& shape) {
  out << '(';
  const char* separator = "";
  for (const std::int64_t d : shape.dims()) {
    out << separator << d;
    separator = ", ";
  }
  return out << ')';
}

}  // namespace earmark
