// The journal of a PCM store: one JSON object per line, appended when a file's samples are safely on disk. Internal to
// data/pcm_store.cpp.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>

#include "data/pcm_store.h"

namespace earmark::data {

/// What the store knows about one file.
struct PcmEntry {
  std::string path;
  std::uint64_t bytes = 0;  ///< Size and time of the file when it was decoded: changed means stale.
  std::int64_t modified_ns = 0;
  std::uint64_t offset = 0;  ///< First sample in samples.s16.
  std::uint64_t samples = 0;
  double loudest = 0;  ///< Largest mean square over a second.
  std::string title;
  std::string artist;
  std::string problem;  ///< Damaged but usable, or, with no samples, the reason it could not be decoded.
};

struct PcmIndex {
  int sample_rate = 16000;
  Channel channel = Channel::mean;
  bool peak_normalize = false;
  std::map<std::string, PcmEntry> entries;  // by path; later lines replace earlier ones
  std::uint64_t good_bytes = 0;             // of the journal: what follows is an interrupted write
  std::uint64_t end = 0;                    // first sample behind all entries
};

/// Reads a journal up to its end or the first damaged line; nothing when there is no file or no complete header.
std::optional<PcmIndex> read_pcm_index(const std::filesystem::path& journal);
std::string header_line(const PcmIndex& index);
std::string entry_line(const PcmEntry& entry);

}  // namespace earmark::data
