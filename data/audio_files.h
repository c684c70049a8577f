// Finds the sound files of folders and lists, in an order that does not depend on the file system.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

namespace earmark::data {

struct AudioFile {
  std::filesystem::path path;  ///< To open it.
  std::string name;            ///< Path relative to the folder or list it came from ('/' between parts).
  std::string title{};         ///< Known from a catalogue (FMA); otherwise empty.
  std::string artist{};
  std::string licence{};
  std::string split{};  ///< "training", "validation", "test" or empty.
};

/// A file that was left out, and why.
struct SkippedFile {
  std::filesystem::path path;
  std::string reason;
};

/// Each input is a sound file, a folder (searched recursively, sorted by path; files with a sound file's extension, and
/// files without any extension whose contents are sound), or a list (.txt, .lst, .list, .m3u, .m3u8: one path per
/// line, relative to the list; '#' begins a comment line; entries separated by NUL bytes where there are any). Files
/// named twice are given once. Throws Error when an input does not exist.
std::vector<AudioFile> list_audio_files(std::span<const std::filesystem::path> inputs);
std::vector<AudioFile> list_audio_files(const std::filesystem::path& input);

/// The name has an extension of a sound file (".mp3", ".ogg", ... in any case).
bool has_audio_extension(const std::filesystem::path& path);
/// A name (a path, an identifier) as text that is safe to print and stands for no other name: UTF-8; backslashes
/// (\x5c), control characters and bytes that are not UTF-8 as \xNN.
std::string printable(const std::string& name);
/// The name that printable() shows so; text that it never makes stays as it is where it is no \xNN.
std::string from_printable(const std::string& text);
/// A sentence that is safe to print: the same, but for the backslashes of names in it, which are printable already.
std::string printable_sentence(const std::string& sentence);

}  // namespace earmark::data
