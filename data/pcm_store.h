// Decoded music on disk: 16-bit mono samples of many files in one memory-mapped file, so that training never decodes.
// A folder holds `samples.s16` (append only) and `index.jsonl` (one line per file, written after its samples). Killed
// at any moment, the store keeps all files whose line is complete; building again continues from there.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "data/audio_files.h"
#include "data/decode.h"

namespace earmark::data {

struct PcmStoreOptions {
  int sample_rate = 16000;
  Channel channel = Channel::mean;
  bool peak_normalize = false;
  std::int64_t minimum_samples = 15360;  ///< Shorter files are skipped.
  double silence_mean_square = 1e-7;     ///< Files with no second louder than this are skipped as silent.
  bool show_progress = true;
};

/// A read-only view of some files of a store, in the order they were asked for.
class PcmStore {
 public:
  /// Decodes what is not there yet (new, or changed in size or time since), on all threads, and returns a view of
  /// `files` without the skipped ones. Throws Error when the folder cannot be written or another process is building.
  static PcmStore prepare(const std::filesystem::path& folder, std::span<const AudioFile> files,
                          const PcmStoreOptions& options = {});
  /// Everything in a store that was built before. Throws Error when there is none or it is damaged.
  static PcmStore open(const std::filesystem::path& folder);
  /// In memory, for tests and generated music.
  static PcmStore in_memory(std::vector<std::vector<std::int16_t>> tracks, int sample_rate = 16000);

  std::int64_t size() const { return static_cast<std::int64_t>(tracks_.size()); }
  std::span<const std::int16_t> track(std::int64_t i) const { return tracks_.at(static_cast<std::size_t>(i)).samples; }
  const AudioFile& file(std::int64_t i) const { return tracks_.at(static_cast<std::size_t>(i)).file; }
  /// Files left out, with the reason: corrupt, too short, silent. Damaged but usable files are in damaged().
  const std::vector<SkippedFile>& skipped() const { return skipped_; }
  const std::vector<SkippedFile>& damaged() const { return damaged_; }
  int sample_rate() const { return sample_rate_; }
  std::int64_t total_samples() const { return total_samples_; }

 private:
  struct Track {
    AudioFile file;
    std::span<const std::int16_t> samples;
  };
  PcmStore() = default;
  void add(AudioFile file, std::span<const std::int16_t> samples);

  std::vector<Track> tracks_;
  std::vector<SkippedFile> skipped_;
  std::vector<SkippedFile> damaged_;
  int sample_rate_ = 16000;
  std::int64_t total_samples_ = 0;
  std::shared_ptr<const void> memory_;
};

}  // namespace earmark::data
