// From a run-time element type to compiled code.
#pragma once

#include <cstdint>
#include <type_traits>

#include "kernels/dtype.h"
#include "kernels/error.h"

namespace earmark {

/// Calls f.operator()<T>() for the types that kernels compute in: float and double.
template <class F>
auto dispatch_float(DType dtype, F&& f) {
  check(dtype == DType::f32 || dtype == DType::f64, "expected f32 or f64, got ", name_of(dtype));
  return dtype == DType::f32 ? f.template operator()<float>() : f.template operator()<double>();
}

/// Calls f.operator()<T>() for any element type.
template <class F>
void dispatch_real(DType dtype, F&& f) {
  switch (dtype) {
    case DType::f32:
      return f.template operator()<float>();
    case DType::f64:
      return f.template operator()<double>();
    case DType::bf16:
      return f.template operator()<BFloat16>();
    case DType::f16:
      return f.template operator()<Float16>();
    case DType::i8:
      return f.template operator()<std::int8_t>();
    case DType::u8:
      return f.template operator()<std::uint8_t>();
    case DType::i16:
      return f.template operator()<std::int16_t>();
    case DType::i32:
      return f.template operator()<std::int32_t>();
    case DType::i64:
      return f.template operator()<std::int64_t>();
  }
}

/// Calls f.operator()<T>() with an unsigned type of the elements' size: for kernels that move them without reading them
/// as numbers.
template <class F>
void dispatch_size(DType dtype, F&& f) {
  switch (size_of(dtype)) {
    case 1:
      return f.template operator()<std::uint8_t>();
    case 2:
      return f.template operator()<std::uint16_t>();
    case 4:
      return f.template operator()<std::uint32_t>();
    default:
      return f.template operator()<std::uint64_t>();
  }
}

/// Numeric conversion that also knows BFloat16.
template <class To, class From>
To convert(From value) {
  if constexpr (std::is_same_v<To, From>) {
    return value;
  } else if constexpr (std::is_same_v<From, BFloat16>) {
    return static_cast<To>(static_cast<float>(value));
  } else if constexpr (std::is_same_v<To, BFloat16>) {
    return BFloat16(static_cast<float>(value));
  } else {
    return static_cast<To>(value);
  }
}

}  // namespace earmark
