#include "kernels/dtype.h"

#include <array>

namespace earmark {
namespace {

struct TypeRow {
  std::size_t bytes;
  std::string_view name;
};
constexpr std::array<TypeRow, 9> kTypeRows{
    {{4, "f32"}, {8, "f64"}, {2, "bf16"}, {2, "f16"}, {1, "i8"}, {1, "u8"}, {2, "i16"}, {4, "i32"}, {8, "i64"}}};

}  // namespace

std::size_t size_of(DType dtype) { return kTypeRows.at(static_cast<std::size_t>(dtype)).bytes; }
std::string_view name_of(DType dtype) { return kTypeRows.at(static_cast<std::size_t>(dtype)).name; }

}  // namespace earmark
