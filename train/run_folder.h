// The folder of one run:
//   lock                        held by whoever is training
//   config.yaml                 the resolved configuration
//   skipped.txt                 sound files that were left out or are damaged, with the reasons; absent if none
//   log.csv                     one line per step, flushed as it happens
//   events.out.tfevents.*       scalars for TensorBoard
//   checkpoints/step-00000500/  model.safetensors, optimizer.safetensors, state.json; appears whole or not at all
//   best.safetensors            the model that validated best
//   model.safetensors           the model at the end
#pragma once

#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/file_lock.h"
#include "nn/model.h"
#include "train/adam.h"

namespace earmark::train {

/// What a checkpoint knows beside weights and moments.
struct RunState {
  std::int64_t step = 0;       ///< Steps done.
  double elapsed_seconds = 0;  ///< Of training, restarts included.
  double best_hit_rate = -1;   ///< Of best.safetensors; -1: none yet.
  std::int64_t best_step = 0;
  std::uint64_t data_identity = 0;  ///< TrainingData::identity.
  std::uint64_t log_bytes = 0;      ///< How far the logs had come: what is behind is cut off on resuming.
  std::uint64_t events_bytes = 0;
};

/// A text or binary log that is appended to and can go on from an earlier length.
class AppendedFile {
 public:
  /// Opens `path` and cuts it to `keep` bytes. Throws Error where the file is shorter or cannot be written.
  AppendedFile(std::filesystem::path path, std::uint64_t keep);
  ~AppendedFile();
  AppendedFile(const AppendedFile&) = delete;
  AppendedFile& operator=(const AppendedFile&) = delete;
  /// Throws Error (full disk).
  void append(std::string_view bytes);
  std::uint64_t size() const { return size_; }

 private:
  std::filesystem::path path_;
  std::FILE* file_ = nullptr;
  std::uint64_t size_ = 0;
};

class RunFolder {
 public:
  /// Throws Error when `path` already holds a run, or cannot be made or written to.
  static void check_free(const std::filesystem::path& path);
  /// A new run, claimed. Throws Error when `path` already holds one.
  static RunFolder create(const std::filesystem::path& path, const std::string& config);
  /// An existing one. Throws Error when there is none.
  static RunFolder open(const std::filesystem::path& path);
  /// Takes the right to train in it, for as long as a copy of this lives. Throws Error while another process has it.
  void claim();

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path config() const { return path_ / "config.yaml"; }
  std::filesystem::path log() const { return path_ / "log.csv"; }
  std::filesystem::path events() const { return path_ / "events.out.tfevents.0000000001.earmark"; }
  std::filesystem::path best() const { return path_ / "best.safetensors"; }
  std::filesystem::path model() const { return path_ / "model.safetensors"; }
  std::filesystem::path skipped() const { return path_ / "skipped.txt"; }
  void write_config(const std::string& config) const;
  /// One line each; none: no such file.
  void write_skipped(const std::vector<std::string>& lines) const;

  /// Writes checkpoints/step-N (a folder renamed when complete) with an Adam's state() and removes all but the last
  /// `keep`.
  void save_checkpoint(const nn::Model& model, const nn::SafetensorsFile& optimizer, const RunState& state,
                       int keep) const;
  /// The newest complete checkpoint, if any.
  std::optional<std::filesystem::path> latest_checkpoint() const;
  /// Throws Error naming the file where a part is missing or damaged.
  static RunState load_checkpoint(const std::filesystem::path& checkpoint, const nn::Model& model, Adam& adam);

 private:
  explicit RunFolder(std::filesystem::path path) : path_(std::move(path)) {}
  void remove_old_checkpoints(int keep) const;

  std::filesystem::path path_;
  std::shared_ptr<FileLock> lock_;
};

}  // namespace earmark::train
