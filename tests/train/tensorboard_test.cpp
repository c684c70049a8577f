#include "train/tensorboard.h"

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "tests/train/event_file.h"

namespace earmark::train {
namespace {

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
  const std::vector<Field> event = parse_fields(tensorboard_scalar_event(12.5, 300, "train/loss", 0.25F));
  ASSERT_EQ(event.size(), 3U);
  EXPECT_EQ(event[0].number, 1U);
  EXPECT_EQ(as<double>(event[0].bytes), 12.5);
  EXPECT_EQ(event[1].number, 2U);
  EXPECT_EQ(event[1].integer, 300U);
  EXPECT_EQ(event[2].number, 5U);
  const std::vector<Field> summary = parse_fields(event[2].bytes);
  ASSERT_EQ(summary.size(), 1U);
  const std::vector<Field> value = parse_fields(summary[0].bytes);
  ASSERT_EQ(value.size(), 2U);
  EXPECT_EQ(value[0].bytes, "train/loss");
  EXPECT_EQ(value[1].number, 2U);
  EXPECT_EQ(as<float>(value[1].bytes), 0.25F);
}

TEST(TensorBoard, FilesBeginWithTheVersion) {
  const std::vector<Field> event = parse_fields(tensorboard_version_event(1));
  ASSERT_EQ(event.size(), 2U);
  EXPECT_EQ(event[1].number, 3U);
  EXPECT_EQ(event[1].bytes, "brain.Event:2");
}

}  // namespace
}  // namespace earmark::train
