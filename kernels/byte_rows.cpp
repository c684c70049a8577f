#include "kernels/byte_rows.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include "kernels/inner_product.h"
#include "kernels/parallel.h"

namespace earmark::kernels {
namespace {

constexpr std::int64_t kFacts = 4;
constexpr std::int64_t kBytesTogether = 4;  // that one instruction multiplies and adds up
constexpr std::int64_t kRowsAtOnce = 1024;
// Lengths are rounded up by more than what computing them can lose.
constexpr double kRoundedUp = 1 + 1e-6;

float length_of(double square) { return static_cast<float>(std::sqrt(square) * kRoundedUp); }

/// A row that is not finite, or so long that products may not be, can have any product at all.
void set_facts(float scale, float kept, float left, std::int64_t sum, float* facts) {
  constexpr float kLongest = 1e15F;
  const bool known = std::isfinite(scale) && kept <= kLongest && left <= kLongest;
  facts[0] = known ? scale : 0;
  facts[1] = known ? kept : 0;
  facts[2] = known ? left : std::numeric_limits<float>::max();
  facts[3] = static_cast<float>(sum);
}

void to_bytes(const float* row, std::int64_t d, std::int8_t* bytes, float* facts) {
  float largest = 0;
  bool finite = true;
  for (std::int64_t j = 0; j < d; ++j) {
    largest = std::max(largest, std::abs(row[j]));
    finite = finite && std::isfinite(row[j]);
  }
  const float scale = finite ? largest / 127 : std::numeric_limits<float>::infinity();
  const float inverse = scale >= std::numeric_limits<float>::min() ? 1 / scale : 0;
  double kept_square = 0;
  double left_square = 0;
  std::int64_t sum = 0;
  for (std::int64_t j = 0; j < d && finite; ++j) {
    bytes[j] = static_cast<std::int8_t>(std::lrint(std::clamp(row[j] * inverse, -127.0F, 127.0F)));
    const double kept = static_cast<double>(scale) * bytes[j];
    kept_square += kept * kept;
    left_square += (row[j] - kept) * (row[j] - kept);
    sum += bytes[j];
  }
  set_facts(scale, length_of(kept_square), length_of(left_square), sum, facts);
}

void facts_of_bytes(const std::int8_t* bytes, std::int64_t d, float scale, float* facts) {
  double square = 0;
  std::int64_t sum = 0;
  for (std::int64_t j = 0; j < d; ++j) {
    square += static_cast<double>(bytes[j]) * bytes[j];
    sum += bytes[j];
  }
  set_facts(scale, std::abs(scale) * length_of(square), 0, sum, facts);
}

}  // namespace

ByteRows ByteRows::slice(std::int64_t begin, std::int64_t end) const {
  return {bytes.slice(begin, end), facts.slice(begin, end)};
}

bool byte_rows_are_fast() {
#if defined(__AVX512VNNI__) || defined(__AVXVNNI__)
  return true;
#else
  return false;
#endif
}

ByteRows make_byte_rows(const StoredRows& stored) {
  check_stored_rows(stored);
  const std::int64_t n = stored.rows.dim(0);
  const std::int64_t d = stored.rows.dim(1);
  const std::int64_t wide = (d + kBytesTogether - 1) / kBytesTogether * kBytesTogether;
  const bool as_they_are = stored.rows.dtype() == DType::i8 && wide == d;
  const ByteRows out{as_they_are ? stored.rows : Tensor::zeros({n, wide}, DType::i8), Tensor({n, kFacts})};
  parallel_ranges(n, kRowsAtOnce, [&](std::int64_t begin, std::int64_t end) {
    const Tensor floats({as_they_are ? 0 : end - begin, d});
    if (!as_they_are) {
      widen_rows(stored, begin, end, floats);
    }
    for (std::int64_t row = begin; row < end; ++row) {
      float* facts = out.facts.mutable_data<float>() + row * kFacts;
      if (as_they_are) {
        const float* scales = stored.scales.data<float>();
        facts_of_bytes(out.bytes.data<std::int8_t>() + row * d, d, scales[stored.scales.numel() == 1 ? 0 : row], facts);
      } else {
        to_bytes(floats.data<float>() + (row - begin) * d, d, out.bytes.mutable_data<std::int8_t>() + row * wide,
                 facts);
      }
    }
  });
  return out;
}

}  // namespace earmark::kernels
