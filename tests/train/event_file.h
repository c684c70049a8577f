// A reader of TensorBoard's event files, independent of the writer.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace earmark::train {

/// One field of a protocol buffer.
struct Field {
  unsigned number = 0;
  std::uint64_t integer = 0;  ///< Of a varint.
  std::string bytes;          ///< Of everything else.
};
std::vector<Field> parse_fields(std::string_view in);

struct Scalar {
  std::int64_t step = 0;
  std::string tag;
  float value = 0;
};
/// The scalars of a file in their order. Fails the test where the file does not begin with its version, a record is cut
/// short or a checksum is wrong.
std::vector<Scalar> read_event_file(const std::filesystem::path& path);

}  // namespace earmark::train
