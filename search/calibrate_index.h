// "Is in the index" for a whole index, of fingerprints or of landmarks: finds its thresholds and stores them.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "kernels/device.h"
#include "search/calibration.h"
#include "search/index_writer.h"

namespace earmark::search {

struct IndexCalibration {
  Device device{};                                     ///< Where fingerprints are made and searched.
  double false_match_rate = 0.01;                      ///< Allowed.
  std::vector<std::filesystem::path> absent{};         ///< Sound that is certainly not in the index; else its tracks.
  std::function<void(const std::string&)> complain{};  ///< Hears of sound that cannot be used.
};

/// Finds thresholds for what is committed, and stores them. None, and nothing is stored, where there are no tracks, or
/// no excerpts of landmarks. Where tracks are too few to be held out, thresholds of fingerprints are those that
/// composed music asks for, and those of landmarks cautious; the calibration's source says so. Throws Error where
/// `absent` has too little.
std::optional<Calibration> calibrate_index(IndexWriter& writer, const IndexCalibration& options);

bool is_calibrated(const IndexWriter& writer);

}  // namespace earmark::search
