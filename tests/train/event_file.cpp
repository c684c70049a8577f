#include "tests/train/event_file.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

#include "tests/program.h"
#include "train/tensorboard.h"

namespace earmark::train {

namespace {

std::uint64_t take_varint(std::string_view& in) {
  std::uint64_t value = 0;
  for (unsigned shift = 0;; shift += 7) {
    const auto byte = static_cast<unsigned char>(in.at(0));
    in.remove_prefix(1);
    value |= std::uint64_t{byte & 0x7fU} << shift;
    if (byte < 0x80) {
      return value;
    }
  }
}

template <class T>
T take(std::string_view& in) {
  T value{};
  std::memcpy(&value, in.substr(0, sizeof(T)).data(), std::min(sizeof(T), in.size()));
  in.remove_prefix(std::min(sizeof(T), in.size()));
  return value;
}

/// The payload of the first record; empty, and `in` too, after a failure.
std::string_view take_record(std::string_view& in) {
  const std::string_view frame = in.substr(0, 8);
  const auto length = take<std::uint64_t>(in);
  const auto length_sum = take<std::uint32_t>(in);
  EXPECT_EQ(length_sum, masked_crc32c(frame));
  if (in.size() < length + 4) {
    ADD_FAILURE() << "a record of " << length << " bytes is cut short";
    in = {};
    return {};
  }
  const std::string_view payload = in.substr(0, length);
  in.remove_prefix(length);
  EXPECT_EQ(take<std::uint32_t>(in), masked_crc32c(payload));
  return payload;
}

}  // namespace

std::vector<Field> parse_fields(std::string_view in) {
  std::vector<Field> fields;
  while (!in.empty()) {
    const std::uint64_t key = take_varint(in);
    Field field{static_cast<unsigned>(key >> 3U), 0, ""};
    std::size_t length = 0;
    switch (key & 7U) {
      case 0:
        field.integer = take_varint(in);
        break;
      case 1:
        length = 8;
        break;
      case 5:
        length = 4;
        break;
      default:
        length = take_varint(in);
    }
    field.bytes = std::string(in.substr(0, length));
    EXPECT_EQ(field.bytes.size(), length);
    in.remove_prefix(length);
    fields.push_back(field);
  }
  return fields;
}

std::vector<Scalar> read_event_file(const std::filesystem::path& path) {
  const std::string file = testing::bytes_of(path);
  std::string_view rest = file;
  EXPECT_EQ(parse_fields(take_record(rest)).at(1).bytes, "brain.Event:2");
  std::vector<Scalar> scalars;
  while (!rest.empty()) {
    Scalar scalar;
    for (const Field& field : parse_fields(take_record(rest))) {
      if (field.number == 2) {
        scalar.step = static_cast<std::int64_t>(field.integer);
      } else if (field.number == 5) {
        const std::vector<Field> value = parse_fields(parse_fields(field.bytes).at(0).bytes);
        scalar.tag = value.at(0).bytes;
        std::string_view number = value.at(1).bytes;
        scalar.value = take<float>(number);
      }
    }
    scalars.push_back(scalar);
  }
  return scalars;
}

}  // namespace earmark::train
