// The Free Music Archive data set as downloaded (Defferrard et al., ISMIR 2017): folders fma_small, fma_medium,
// fma_large or fma_full with NNN/NNNNNN.mp3, and fma_metadata/tracks.csv beside them.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "data/audio_files.h"

namespace earmark::data {

struct FmaOptions {
  std::string subset = "medium";  ///< small, medium, large (30 s clips) or full (whole tracks).
  std::string split;              ///< training, validation, test; empty: all.
};

/// Tracks of a subset and split that lie under `root` (which holds fma_<subset>/ and, where splits or titles are
/// wanted, fma_metadata/tracks.csv), sorted by track number. Tracks of the catalogue without a file are listed in
/// `missing`. Without tracks.csv: all files of the folder, and an Error if a split is asked for.
std::vector<AudioFile> list_fma(const std::filesystem::path& root, const FmaOptions& options,
                                std::vector<SkippedFile>* missing = nullptr);

/// One row of tracks.csv.
struct FmaTrack {
  int id = 0;
  std::string subset;
  std::string split;
  std::string title;
  std::string artist;
  std::string licence;
};
/// Reads tracks.csv with its three header rows. Throws Error when a needed column is missing.
std::vector<FmaTrack> read_fma_tracks(const std::filesystem::path& tracks_csv);

}  // namespace earmark::data
