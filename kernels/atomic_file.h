// Files appear whole or not at all: written under a temporary name in the same folder, flushed to the disk, renamed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string_view>

namespace earmark {

/// A file being written. Until commit() the target is untouched; without commit() the temporary is removed.
class AtomicFile {
 public:
  /// Creates the temporary beside `target`. Throws Error (no such folder, read-only folder, ...).
  explicit AtomicFile(std::filesystem::path target);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  /// Appends. Throws Error naming the target on a full disk or an I/O error.
  void write(std::span<const std::byte> bytes);
  void write(std::string_view text);
  /// Overwrites bytes already written at `offset` (a header that is known last).
  void write_at(std::uint64_t offset, std::span<const std::byte> bytes);
  std::uint64_t size() const { return size_; }
  /// Flushes file and folder to the disk and puts the file in place of the target.
  void commit();

 private:
  std::filesystem::path target_;
  std::filesystem::path temporary_;
  int descriptor_ = -1;
  std::uint64_t size_ = 0;
};

/// Gives a file of the same folder another name, durably. Throws Error.
void rename_durably(const std::filesystem::path& from, const std::filesystem::path& to);

/// Whether this is the name of a temporary: one without a process was left behind when that was killed.
bool is_unfinished_file(const std::filesystem::path& path);
/// Removes what killed processes left behind in `folder`. For whoever has the right to change it.
void remove_unfinished_files(const std::filesystem::path& folder);

/// Replaces `path` by a file with these contents. Throws Error.
void write_file_atomically(const std::filesystem::path& path, std::span<const std::byte> bytes);
void write_file_atomically(const std::filesystem::path& path, std::string_view text);
/// Replaces `path` by what `write` writes; when `write` throws, `path` is untouched and the exception passes on.
void write_file_atomically(const std::filesystem::path& path, const std::function<void(AtomicFile&)>& write);

}  // namespace earmark
