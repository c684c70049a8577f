#include "nn/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <numeric>

#include "kernels/error.h"
#include "kernels/random.h"
#include "tests/test_support.h"

namespace earmark::nn {
namespace {

using earmark::testing::bytes_of;
using earmark::testing::TemporaryFolder;
using ::testing::HasSubstr;

void write_bytes(const std::filesystem::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

std::string with_header(const std::string& header, std::size_t data_bytes) {
  std::string out;
  for (unsigned i = 0; i < 8; ++i) {
    out += static_cast<char>((header.size() >> (8 * i)) & 0xffU);
  }
  return out + header + std::string(data_bytes, '\1');
}

std::string read_error(const std::filesystem::path& path) {
  return testing::error_of([&] { read_safetensors(path); });
}

SafetensorsFile example() {
  SafetensorsFile file;
  file.metadata = {{"format", "pt"}, {"note", "quotes \" and \n lines, über"}};
  file.tensors.emplace_back("a.weight", Tensor::from<float>({2, 3}, std::vector<float>{1, 2, 3, 4, 5, -6.5F}));
  file.tensors.emplace_back("bytes", Tensor::from<std::uint8_t>({3}, std::vector<std::uint8_t>{1, 2, 255}));
  file.tensors.emplace_back("scalar", Tensor::from<double>({}, std::vector<double>{0.1}));
  file.tensors.emplace_back("empty", Tensor({0, 4}));
  file.tensors.emplace_back("index", Tensor::from<std::int64_t>({2}, std::vector<std::int64_t>{-1, 1LL << 40}));
  file.tensors.emplace_back("half", Tensor({5}, DType::f16));
  file.tensors.emplace_back("brain", Tensor({1, 1, 1, 1, 1, 2}, DType::bf16));
  file.tensors[5].second.fill(0);
  file.tensors[6].second.fill(0);
  return file;
}

TEST(Safetensors, WhatIsWrittenIsRead) {
  const TemporaryFolder folder;
  const SafetensorsFile file = example();
  write_safetensors(folder / "x.safetensors", file);
  const SafetensorsFile back = read_safetensors(folder / "x.safetensors");
  EXPECT_EQ(back.metadata, file.metadata);
  ASSERT_EQ(back.tensors.size(), file.tensors.size());
  for (const auto& [name, tensor] : file.tensors) {
    const Tensor& read = back.at(name);
    EXPECT_EQ(read.shape(), tensor.shape()) << name;
    EXPECT_EQ(read.dtype(), tensor.dtype()) << name;
    EXPECT_TRUE(std::equal(tensor.raw(), tensor.raw() + tensor.bytes(), read.raw())) << name;
  }
  EXPECT_THROW(static_cast<void>(back.at("b.weight")), Error);
}

TEST(Safetensors, TheHeaderIsAsTheFormatSays) {
  const TemporaryFolder folder;
  SafetensorsFile file;
  file.tensors.emplace_back("x", Tensor::from<float>({1}, std::vector<float>{1}));
  write_safetensors(folder / "x", file);
  const std::string bytes = bytes_of(folder / "x");
  const auto length = static_cast<std::size_t>(static_cast<unsigned char>(bytes[0]));
  EXPECT_EQ((8 + length) % 8, 0U);
  EXPECT_EQ(bytes.size(), 8 + length + 4);
  EXPECT_THAT(bytes.substr(8, length), HasSubstr(R"({"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})"));
}

TEST(Safetensors, ReadsWhatOthersWriteUnaligned) {
  const TemporaryFolder folder;
  write_bytes(folder / "x", with_header(R"({"b":{"shape":[1],"dtype":"F32","data_offsets":[1,5]},)"
                                        R"("a":{"shape":[1],"dtype":"U8","data_offsets":[0,1]}})",
                                        5));
  const SafetensorsFile file = read_safetensors(folder / "x");
  EXPECT_EQ(file.tensors.front().first, "a");
  EXPECT_EQ(file.at("b").numel(), 1);
}

TEST(Safetensors, EveryTruncationIsAnErrorThatNamesTheFile) {
  const TemporaryFolder folder;
  write_safetensors(folder / "whole", example());
  const std::string whole = bytes_of(folder / "whole");
  for (std::size_t length = 0; length < whole.size(); length += 1 + length / 16) {
    write_bytes(folder / "cut", whole.substr(0, length));
    EXPECT_THAT(read_error(folder / "cut"), HasSubstr((folder / "cut").string())) << length;
  }
  write_bytes(folder / "long", whole + "x");
  EXPECT_THAT(read_error(folder / "long"), HasSubstr("bytes"));
}

TEST(Safetensors, RandomDamageNeverDoesWorseThanAnError) {
  const TemporaryFolder folder;
  write_safetensors(folder / "whole", example());
  const std::string whole = bytes_of(folder / "whole");
  RandomStream random(1);
  int errors = 0;
  for (int trial = 0; trial < 300; ++trial) {
    std::string damaged = whole;
    damaged[random.below(damaged.size())] = static_cast<char>(random.below(256));
    write_bytes(folder / "x", damaged);
    errors += read_error(folder / "x") == "no error" ? 0 : 1;
  }
  EXPECT_GT(errors, 50);
}

TEST(Safetensors, DamagedHeadersAreExplained) {
  const TemporaryFolder folder;
  const auto error_for = [&](const std::string& header, std::size_t data_bytes) {
    write_bytes(folder / "x", with_header(header, data_bytes));
    return read_error(folder / "x");
  };
  const std::string f32 = R"("shape":[2],"dtype":"F32")";
  EXPECT_THAT(error_for("{", 0), HasSubstr("JSON"));
  EXPECT_THAT(error_for("[]", 0), HasSubstr("JSON"));
  EXPECT_THAT(error_for(R"({"a":{)" + f32 + R"(,"data_offsets":[0,4]}})", 4), HasSubstr("8 bytes"));
  EXPECT_THAT(error_for(R"({"a":{)" + f32 + R"(,"data_offsets":[8,0]}})", 8), HasSubstr("offsets"));
  EXPECT_THAT(error_for(R"({"a":{)" + f32 + R"(,"data_offsets":[-8,0]}})", 8), HasSubstr("lacks"));
  EXPECT_THAT(error_for(R"({"a":{)" + f32 + R"(,"data_offsets":[4,12]}})", 12), HasSubstr("begins at byte 4"));
  EXPECT_THAT(
      error_for(R"({"a":{)" + f32 + R"(,"data_offsets":[0,8]},"b":{)" + f32 + R"(,"data_offsets":[4,12]}})", 12),
      HasSubstr("begins at byte 4"));
  EXPECT_THAT(error_for(R"({"a":{)" + f32 + R"(,"data_offsets":[0,8]}})", 7), HasSubstr("expected"));
  EXPECT_THAT(error_for(R"({"a":{"shape":[2],"dtype":"F8_E4M3","data_offsets":[0,2]}})", 2), HasSubstr("F8_E4M3"));
  EXPECT_THAT(error_for(R"({"a":{"shape":[4294967296,4294967296],"dtype":"F32","data_offsets":[0,0]}})", 0),
              HasSubstr("larger than the file"));
  EXPECT_THAT(error_for(R"({"a":{"shape":[1,1,1,1,1,1,1],"dtype":"U8","data_offsets":[0,1]}})", 1), HasSubstr("axes"));
  EXPECT_THAT(error_for(R"({"a":3})", 0), HasSubstr("lacks"));
  EXPECT_THAT(error_for(R"({"__metadata__":{"a":1}})", 0), HasSubstr("metadata"));
  write_bytes(folder / "x", std::string(8, '\xff'));
  EXPECT_THAT(read_error(folder / "x"), HasSubstr("header of"));
}

TEST(Safetensors, MissingFilesAndFoldersAreErrors) {
  const TemporaryFolder folder;
  EXPECT_THAT(read_error(folder / "none"), HasSubstr("none"));
  EXPECT_THAT(read_error(folder.path()), HasSubstr("cannot be read"));
  EXPECT_THROW(write_safetensors(folder / "no" / "such" / "x", example()), Error);
}

TEST(Safetensors, ANameUsedTwiceIsRefused) {
  const TemporaryFolder folder;
  SafetensorsFile file;
  file.tensors.emplace_back("x", Tensor({1}));
  file.tensors.emplace_back("x", Tensor({1}));
  EXPECT_THROW(write_safetensors(folder / "x", file), Error);
}

}  // namespace
}  // namespace earmark::nn
