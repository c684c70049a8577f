#include "data/audio_files.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <fstream>
#include <iterator>
#include <set>
#include <string_view>

#include "data/decode.h"
#include "kernels/error.h"
#include "kernels/life_signs.h"

namespace earmark::data {
namespace {

namespace fs = std::filesystem;

constexpr std::array<std::string_view, 36> kAudioExtensions = {
    ".mp3", ".ogg", ".oga",  ".opus", ".flac", ".wav", ".wave", ".w64", ".rf64", ".aif", ".aiff", ".aifc",
    ".m4a", ".m4b", ".mp4",  ".aac",  ".wma",  ".asf", ".ape",  ".wv",  ".mpc",  ".mp2", ".mp1",  ".au",
    ".snd", ".caf", ".webm", ".mka",  ".amr",  ".ac3", ".eac3", ".dts", ".tta",  ".spx", ".ra",   ".3gp"};
constexpr std::array<std::string_view, 5> kListExtensions = {".txt", ".lst", ".list", ".m3u", ".m3u8"};

std::string lower_extension(const fs::path& path) {
  std::string extension = path.extension().string();
  for (char& c : extension) {
    c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
  return extension;
}

template <std::size_t n>
bool contains(const std::array<std::string_view, n>& list, const std::string& text) {
  return std::find(list.begin(), list.end(), text) != list.end();
}

bool contents_are_sound(const fs::path& path) {
  try {
    const AudioStream stream(path);
    return true;
  } catch (const Error&) {
    return false;
  }
}

bool is_wanted(const fs::path& path) {
  return has_audio_extension(path) || (path.extension().empty() && contents_are_sound(path));
}

void add_folder(const fs::path& folder, std::vector<AudioFile>& out) {
  std::vector<AudioFile> found;
  std::error_code error;
  auto entries = fs::recursive_directory_iterator(folder, fs::directory_options::skip_permission_denied, error);
  check(!error, folder.string(), ": ", error.message());
  for (; entries != fs::recursive_directory_iterator(); entries.increment(error)) {
    check(!error, folder.string(), ": ", error.message());
    show_life();
    std::error_code ignored;  // a dangling link is no file
    if (entries->is_regular_file(ignored) && is_wanted(entries->path())) {
      found.push_back({.path = entries->path(), .name = entries->path().lexically_relative(folder).generic_string()});
    }
  }
  std::sort(found.begin(), found.end(), [](const AudioFile& a, const AudioFile& b) { return a.name < b.name; });
  std::move(found.begin(), found.end(), std::back_inserter(out));
}

void add_list(const fs::path& list, std::vector<AudioFile>& out) {
  std::ifstream in(list, std::ios::binary);
  check(in.good(), list.string(), ": cannot be read");
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  const char separator = text.find('\0') != std::string::npos ? '\0' : '\n';
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find(separator, begin), text.size());
    std::string entry = text.substr(begin, end - begin);
    begin = end + 1;
    if (separator == '\n' && !entry.empty() && entry.back() == '\r') {
      entry.pop_back();
    }
    if (!entry.empty() && (separator == '\0' || entry.front() != '#')) {
      out.push_back({.path = list.parent_path() / entry, .name = entry});
    }
  }
}

}  // namespace

bool has_audio_extension(const fs::path& path) { return contains(kAudioExtensions, lower_extension(path)); }

std::vector<AudioFile> list_audio_files(std::span<const fs::path> inputs) {
  std::vector<AudioFile> files;
  for (const fs::path& input : inputs) {
    check(fs::exists(input), printable(input.string()), ": no such file or folder");
    if (fs::is_directory(input)) {
      add_folder(input, files);
    } else if (contains(kListExtensions, lower_extension(input))) {
      add_list(input, files);
    } else {
      files.push_back({.path = input, .name = input.filename().string()});
    }
  }
  std::set<fs::path> seen;
  std::erase_if(files, [&](const AudioFile& f) { return !seen.insert(f.path.lexically_normal()).second; });
  return files;
}

std::vector<AudioFile> list_audio_files(const fs::path& input) { return list_audio_files(std::span(&input, 1)); }

namespace {
// Length of the valid UTF-8 sequence at text[i], or 0 (RFC 3629: no overlong forms, surrogates or values over 10FFFF).
std::size_t utf8_length(const std::string& text, std::size_t i) {
  const auto byte = [&](std::size_t j) { return j < text.size() ? static_cast<unsigned char>(text[j]) : 0U; };
  const auto continues = [&](std::size_t j) { return (byte(j) & 0xC0U) == 0x80U; };
  const unsigned lead = byte(i);
  const unsigned second = byte(i + 1);
  if (lead < 0x80) {
    return 1;
  }
  if (lead >= 0xC2 && lead < 0xE0) {
    return continues(i + 1) ? 2 : 0;
  }
  if (lead >= 0xE0 && lead < 0xF0) {
    const bool valid = !(lead == 0xE0 && second < 0xA0) && !(lead == 0xED && second >= 0xA0);
    return valid && continues(i + 1) && continues(i + 2) ? 3 : 0;
  }
  if (lead >= 0xF0 && lead < 0xF5) {
    const bool valid = !(lead == 0xF0 && second < 0x90) && !(lead == 0xF4 && second >= 0x90);
    return valid && continues(i + 1) && continues(i + 2) && continues(i + 3) ? 4 : 0;
  }
  return 0;
}

constexpr std::string_view kHex = "0123456789abcdef";

std::string escape(const std::string& text, bool backslashes) {
  std::string out;
  for (std::size_t i = 0; i < text.size();) {
    const auto byte = static_cast<unsigned char>(text[i]);
    const std::size_t length = utf8_length(text, i);
    if (length == 0 || byte < 0x20 || byte == 0x7f || (backslashes && byte == '\\')) {
      out += "\\x";
      out += kHex[byte >> 4U];
      out += kHex[byte & 15U];
      ++i;
    } else {
      out.append(text, i, length);
      i += length;
    }
  }
  return out;
}
}  // namespace

std::string printable(const std::string& name) { return escape(name, true); }

std::string printable_sentence(const std::string& sentence) { return escape(sentence, false); }

std::string from_printable(const std::string& text) {
  const auto digit = [&](std::size_t i) { return i < text.size() ? kHex.find(text[i]) : std::string_view::npos; };
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const std::size_t high = text.compare(i, 2, "\\x") == 0 ? digit(i + 2) : std::string_view::npos;
    const std::size_t low = high == std::string_view::npos ? high : digit(i + 3);
    if (low == std::string_view::npos) {
      out += text[i];
    } else {
      out += static_cast<char>(16 * high + low);
      i += 3;
    }
  }
  return out;
}

}  // namespace earmark::data
