#include "data/pcm_index.h"

#include <algorithm>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "kernels/error.h"

namespace earmark::data {
namespace {

using Json = nlohmann::json;

// File names are bytes, JSON is UTF-8: each byte travels as the code point of its number.
std::string bytes_to_utf8(const std::string& bytes) {
  std::string out;
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x80) {
      out += c;
    } else {
      out += static_cast<char>(0xC0U | (byte >> 6U));
      out += static_cast<char>(0x80U | (byte & 0x3FU));
    }
  }
  return out;
}

std::string utf8_to_bytes(const std::string& text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if (byte >= 0xC0 && i + 1 < text.size()) {
      out += static_cast<char>((byte & 3U) << 6U | (static_cast<unsigned char>(text[++i]) & 0x3FU));
    } else {
      out += text[i];
    }
  }
  return out;
}

PcmEntry parse_entry(const Json& json) {
  PcmEntry entry;
  entry.path = utf8_to_bytes(json.at("path").get<std::string>());
  entry.bytes = json.at("bytes").get<std::uint64_t>();
  entry.modified_ns = json.at("modified_ns").get<std::int64_t>();
  entry.offset = json.at("offset").get<std::uint64_t>();
  entry.samples = json.at("samples").get<std::uint64_t>();
  entry.loudest = json.at("loudest").get<double>();
  entry.title = utf8_to_bytes(json.at("title").get<std::string>());
  entry.artist = utf8_to_bytes(json.at("artist").get<std::string>());
  entry.problem = utf8_to_bytes(json.at("problem").get<std::string>());
  return entry;
}

bool add_line(const std::string& line, bool first, PcmIndex& index) {
  try {
    const Json json = Json::parse(line);
    if (first) {
      index.sample_rate = json.at("sample_rate").get<int>();
      index.channel = json.at("channel").get<std::string>() == "left" ? Channel::left : Channel::mean;
      index.peak_normalize = json.at("peak_normalize").get<bool>();
      return json.at("earmark_pcm").get<int>() == 1;
    }
    PcmEntry entry = parse_entry(json);
    index.end = std::max(index.end, entry.offset + entry.samples);
    index.entries.insert_or_assign(entry.path, entry);
    return true;
  } catch (const Json::exception&) {
    return false;
  }
}

}  // namespace

std::string header_line(const PcmIndex& index) {
  const Json json = {{"earmark_pcm", 1},
                     {"sample_rate", index.sample_rate},
                     {"channel", index.channel == Channel::left ? "left" : "mean"},
                     {"peak_normalize", index.peak_normalize}};
  return json.dump() + "\n";
}

std::string entry_line(const PcmEntry& entry) {
  const Json json = {{"path", bytes_to_utf8(entry.path)},
                     {"bytes", entry.bytes},
                     {"modified_ns", entry.modified_ns},
                     {"offset", entry.offset},
                     {"samples", entry.samples},
                     {"loudest", entry.loudest},
                     {"title", bytes_to_utf8(entry.title)},
                     {"artist", bytes_to_utf8(entry.artist)},
                     {"problem", bytes_to_utf8(entry.problem)}};
  return json.dump() + "\n";
}

std::optional<PcmIndex> read_pcm_index(const std::filesystem::path& journal) {
  std::ifstream in(journal, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  PcmIndex index;
  bool first = true;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = text.find('\n', begin);
    if (end == std::string::npos || !add_line(text.substr(begin, end - begin), first, index)) {
      break;
    }
    first = false;
    begin = end + 1;
    index.good_bytes = begin;
  }
  return first ? std::nullopt : std::optional(std::move(index));
}

}  // namespace earmark::data
