#include "train/tensorboard.h"

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

namespace earmark::train {
namespace {

/// A reader of protobuf's wire format, independent of the writer.
struct Field {
  unsigned number = 0;
  std::uint64_t integer = 0;
  std::string bytes;
};

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

std::vector<Field> parse(std::string_view in) {
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

template <class T>
T as(const std::string& bytes) {
  T value{};
  EXPECT_EQ(bytes.size(), sizeof(T));
  std::memcpy(&value, bytes.data(), sizeof(T));
  return value;
}

TEST(TensorBoard, ChecksumsAreCastagnolis) {
  EXPECT_EQ(crc32c("123456789"), 0xe3069283U);
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8a9136aaU);
  EXPECT_EQ(crc32c(""), 0U);
}

TEST(TensorBoard, RecordsFrameTheirPayload) {
  const std::string record = tensorboard_record("payload");
  ASSERT_EQ(record.size(), 8U + 4 + 7 + 4);
  EXPECT_EQ(as<std::uint64_t>(record.substr(0, 8)), 7U);
  EXPECT_EQ(as<std::uint32_t>(record.substr(8, 4)), masked_crc32c(record.substr(0, 8)));
  EXPECT_EQ(record.substr(12, 7), "payload");
  EXPECT_EQ(as<std::uint32_t>(record.substr(19, 4)), masked_crc32c("payload"));
}

TEST(TensorBoard, ScalarsReadBack) {
  const std::vector<Field> event = parse(tensorboard_scalar_event(12.5, 300, "train/loss", 0.25F));
  ASSERT_EQ(event.size(), 3U);
  EXPECT_EQ(event[0].number, 1U);
  EXPECT_EQ(as<double>(event[0].bytes), 12.5);
  EXPECT_EQ(event[1].number, 2U);
  EXPECT_EQ(event[1].integer, 300U);
  EXPECT_EQ(event[2].number, 5U);
  const std::vector<Field> summary = parse(event[2].bytes);
  ASSERT_EQ(summary.size(), 1U);
  const std::vector<Field> value = parse(summary[0].bytes);
  ASSERT_EQ(value.size(), 2U);
  EXPECT_EQ(value[0].bytes, "train/loss");
  EXPECT_EQ(value[1].number, 2U);
  EXPECT_EQ(as<float>(value[1].bytes), 0.25F);
}

TEST(TensorBoard, FilesBeginWithTheVersion) {
  const std::vector<Field> event = parse(tensorboard_version_event(1));
  ASSERT_EQ(event.size(), 2U);
  EXPECT_EQ(event[1].number, 3U);
  EXPECT_EQ(event[1].bytes, "brain.Event:2");
}

}  // namespace
}  // namespace earmark::train
