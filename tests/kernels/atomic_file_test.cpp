#include "kernels/atomic_file.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <iterator>
#include <stdexcept>
#include <string>

#include "kernels/error.h"
#include "tests/test_support.h"

namespace earmark {
namespace {

using testing::bytes_of;

std::ptrdiff_t files_in(const std::filesystem::path& folder) {
  const std::filesystem::directory_iterator entries(folder);
  return std::distance(begin(entries), end(entries));
}

TEST(AtomicFile, WritesAndReplaces) {
  const testing::TemporaryFolder folder;
  const auto path = folder / "name with 'quotes'\nand lines";
  write_file_atomically(path, "first");
  EXPECT_EQ(bytes_of(path), "first");
  write_file_atomically(path, std::string_view("second, longer"));
  EXPECT_EQ(bytes_of(path), "second, longer");
  EXPECT_EQ(files_in(folder.path()), 1);
}

TEST(AtomicFile, HeadersCanBeFilledInLast) {
  const testing::TemporaryFolder folder;
  write_file_atomically(folder / "file", [](AtomicFile& file) {
    file.write("____body");
    EXPECT_EQ(file.size(), 8U);
    file.write_at(0, std::as_bytes(std::span("head", 4)));
  });
  EXPECT_EQ(bytes_of(folder / "file"), "headbody");
}

TEST(AtomicFile, AFailureLeavesTheOldFileAndNoTemporary) {
  const testing::TemporaryFolder folder;
  write_file_atomically(folder / "file", "old");
  const auto broken = [](AtomicFile& file) {
    file.write("half of the new");
    throw std::runtime_error("stop");
  };
  EXPECT_THROW(write_file_atomically(folder / "file", broken), std::runtime_error);
  EXPECT_EQ(bytes_of(folder / "file"), "old");
  EXPECT_EQ(files_in(folder.path()), 1);
}

TEST(AtomicFile, MissingFoldersAreNamed) {
  const testing::TemporaryFolder folder;
  try {
    write_file_atomically(folder / "missing/file", "text");
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("missing/file"), std::string::npos);
    EXPECT_NE(std::string(error.what()).find("No such file"), std::string::npos);
  }
}

TEST(AtomicFile, ReadOnlyFoldersAreReported) {
  if (::geteuid() == 0) {  // root may write anywhere but into the kernel's own file systems
    EXPECT_THROW(write_file_atomically("/sys/kernel/file", "text"), Error);
    return;
  }
  const testing::TemporaryFolder folder;
  std::filesystem::permissions(folder.path(), std::filesystem::perms::owner_read | std::filesystem::perms::owner_exec);
  EXPECT_THROW(write_file_atomically(folder / "file", "text"), Error);
  std::filesystem::permissions(folder.path(), std::filesystem::perms::owner_all);
}

// A limit on file size stands in for a full disk: the write fails half-way in the same manner.
TEST(AtomicFile, AFullDiskLeavesTheOldFileAndNoTemporary) {
  const testing::TemporaryFolder folder;
  write_file_atomically(folder / "file", "old");
  rlimit before{};
  getrlimit(RLIMIT_FSIZE, &before);
  auto* const handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{4096, before.rlim_max};
  setrlimit(RLIMIT_FSIZE, &small);
  EXPECT_THROW(write_file_atomically(folder / "file", std::string(10000, 'x')), Error);
  setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  EXPECT_EQ(bytes_of(folder / "file"), "old");
  EXPECT_EQ(files_in(folder.path()), 1);
}

TEST(AtomicFile, AnotherNameReplacesWhatHasIt) {
  const testing::TemporaryFolder folder;
  write_file_atomically(folder / "from", "new");
  write_file_atomically(folder / "to", "old");
  rename_durably(folder / "from", folder / "to");
  EXPECT_EQ(bytes_of(folder / "to"), "new");
  EXPECT_EQ(files_in(folder.path()), 1);
  EXPECT_THROW(rename_durably(folder / "from", folder / "to"), Error);
}

}  // namespace
}  // namespace earmark
