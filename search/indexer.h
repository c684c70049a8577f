// From audio files to fingerprints in an index: files are hashed, decoded and embedded in parallel and written by one
// thread. What cannot be read is skipped and reported; what is there already is recognised by its content.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "kernels/tensor.h"
#include "search/index_writer.h"

namespace earmark::search {

/// Mono samples at the index's rate to fingerprints (n, d) f32, one per database hop. Called from several threads.
using Embedder = std::function<Tensor(std::span<const float> pcm)>;

struct AudioSource {
  std::filesystem::path folder;  // absolute
  std::string path;              // relative to it: the name of the track
};

/// Files, and the audio files of folders, below the folder they were found in. A file's own folder is its parent.
/// Throws Error on a path that does not exist.
std::vector<AudioSource> find_sources(const std::vector<std::filesystem::path>& paths);

struct IndexReport {
  struct Skipped {
    std::string path;
    std::string reason;
  };
  int added = 0;
  int unchanged = 0;  // already there
  int renamed = 0;    // already there under a name that no longer exists
  int replaced = 0;   // the same name with other content
  std::vector<Skipped> skipped;
  double audio_seconds = 0;
  double wall_seconds = 0;
};

struct IndexerOptions {
  double commit_every_s = 20;  // seconds between commits: what a crash loses at most
  int queue = 8;               // decoded files waiting at most
  bool progress = false;
};

IndexReport add_audio(IndexWriter& writer, const std::vector<AudioSource>& sources, const Embedder& embedder,
                      const IndexerOptions& options = {});

}  // namespace earmark::search
