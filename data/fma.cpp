#include "data/fma.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <fstream>
#include <string_view>

#include "data/csv.h"
#include "kernels/error.h"

namespace earmark::data {
namespace {

namespace fs = std::filesystem;

constexpr std::array<std::string_view, 4> kSubsets = {"small", "medium", "large", "full"};

// Rank of a subset; tracks without one belong to the full set only.
std::size_t rank_of(const std::string& subset) {
  const auto found = std::find(kSubsets.begin(), kSubsets.end(), subset);
  return found == kSubsets.end() ? kSubsets.size() - 1 : static_cast<std::size_t>(found - kSubsets.begin());
}

/// Column numbers of what is read.
struct Columns {
  std::size_t subset, split, title, artist, licence;
};

Columns find_columns(const std::vector<std::string>& groups, const std::vector<std::string>& names,
                     const std::string& file) {
  const auto find = [&](const std::string& group, const std::string& name) {
    for (std::size_t i = 0; i < std::min(groups.size(), names.size()); ++i) {
      if (groups[i] == group && names[i] == name) {
        return i;
      }
    }
    fail(file, ": no column ", group, " / ", name, ": not FMA's tracks.csv");
  };
  return {find("set", "subset"), find("set", "split"), find("track", "title"), find("artist", "name"),
          find("track", "license")};
}

std::string file_name_of(int id) {
  std::string digits = std::to_string(id);
  digits.insert(0, digits.size() < 6 ? 6 - digits.size() : 0, '0');
  return digits.substr(0, digits.size() - 3) + "/" + digits + ".mp3";
}

fs::path music_folder(const fs::path& root, const std::string& subset) {
  const fs::path folder = root / ("fma_" + subset);
  check(fs::is_directory(folder), folder.string(), ": no such folder: expected FMA as downloaded and unpacked");
  return folder;
}

}  // namespace

std::vector<FmaTrack> read_fma_tracks(const fs::path& tracks_csv) {
  std::ifstream in(tracks_csv, std::ios::binary);
  check(in.good(), tracks_csv.string(), ": cannot be read");
  CsvReader reader(in, tracks_csv.string());
  std::vector<std::string> groups;
  std::vector<std::string> names;
  std::vector<std::string> row;
  const bool complete = reader.next(groups) && reader.next(names) && reader.next(row);
  check(complete, tracks_csv.string(), ": expected three header rows");
  const Columns columns = find_columns(groups, names, tracks_csv.string());
  std::vector<FmaTrack> tracks;
  while (reader.next(row)) {
    if (row.size() == 1 && row[0].empty()) {
      continue;
    }
    check(row.size() == names.size(), tracks_csv.string(), ": line ", reader.line(), ": expected ", names.size(),
          " fields, got ", row.size());
    FmaTrack track;
    const auto parsed = std::from_chars(row[0].data(), row[0].data() + row[0].size(), track.id);
    check(parsed.ec == std::errc() && track.id >= 0, tracks_csv.string(), ": line ", reader.line(),
          ": expected a track number, got '", row[0], "'");
    track.subset = row[columns.subset];
    track.split = row[columns.split];
    track.title = row[columns.title];
    track.artist = row[columns.artist];
    track.licence = row[columns.licence];
    tracks.push_back(std::move(track));
  }
  return tracks;
}

std::vector<AudioFile> list_fma(const fs::path& root, const FmaOptions& options, std::vector<SkippedFile>* missing) {
  check(std::find(kSubsets.begin(), kSubsets.end(), options.subset) != kSubsets.end(),
        "FMA subset: expected small, medium, large or full, got '", options.subset, "'");
  const std::array<std::string_view, 4> splits = {"", "training", "validation", "test"};
  check(std::find(splits.begin(), splits.end(), options.split) != splits.end(),
        "FMA split: expected training, validation or test, got '", options.split, "'");
  const fs::path folder = music_folder(root, options.subset);
  const fs::path catalogue = root / "fma_metadata" / "tracks.csv";
  if (!fs::exists(catalogue)) {
    check(options.split.empty(), catalogue.string(), ": no such file: the split '", options.split, "' needs it");
    return list_audio_files(folder);
  }
  std::vector<AudioFile> files;
  std::vector<FmaTrack> tracks = read_fma_tracks(catalogue);
  std::sort(tracks.begin(), tracks.end(), [](const FmaTrack& a, const FmaTrack& b) { return a.id < b.id; });
  for (const FmaTrack& track : tracks) {
    const bool wanted =
        rank_of(track.subset) <= rank_of(options.subset) && (options.split.empty() || track.split == options.split);
    if (!wanted) {
      continue;
    }
    const std::string name = file_name_of(track.id);
    if (fs::is_regular_file(folder / name)) {
      files.push_back({folder / name, name, track.title, track.artist, track.licence, track.split});
    } else if (missing != nullptr) {
      missing->push_back({folder / name, "in tracks.csv, but no such file"});
    }
  }
  return files;
}

}  // namespace earmark::data
