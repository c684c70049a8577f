// From audio files to fingerprints in an index: files are hashed, decoded and embedded in parallel and written by one
// thread. What cannot be read is skipped and reported; what is there already is recognised by its content.
#pragma once

#include <atomic>
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
  std::filesystem::path file;  // to open it
  std::string folder;          // absolute
  std::string path;            // relative to it: the name of the track
  std::string title;           // where a catalogue knows them; else the file's own tags are used
  std::string artist;
};

/// Sound files, those in folders and those named in lists (data/audio_files.h), below the folder they were found in;
/// for a file that is its parent. Throws Error on a path that does not exist.
std::vector<AudioSource> find_sources(const std::vector<std::filesystem::path>& inputs);

/// Nothing in `pcm` (±1: full scale) is louder than -80 dB: there is nothing to recognise.
bool is_silent(std::span<const float> pcm);

/// xxh3-128 of a file's bytes, hexadecimal. Throws Error where it cannot be read.
std::string content_hash(const std::filesystem::path& file);

struct IndexReport {
  struct Skipped {
    std::string path;
    std::string reason;
  };
  int added = 0;
  int unchanged = 0;   // already there
  int renamed = 0;     // already there under a name that no longer exists
  int replaced = 0;    // the same name with other content
  int duplicates = 0;  // of those that were skipped: the same content is there under another name
  std::vector<Skipped> skipped;
  std::vector<Skipped> damaged;  // added as far as they could be decoded
  double audio_seconds = 0;
  double wall_seconds = 0;
  bool interrupted = false;  // not all files were looked at
};

struct IndexerOptions {
  double commit_every_s = 20;  // seconds between commits: what a crash loses at most
  int window = 8;              // files being worked on or waiting at most
  bool progress = false;
  const std::atomic<bool>* stop = nullptr;  // ends early, with what is done committed, when it is set
};

IndexReport add_audio(IndexWriter& writer, const std::vector<AudioSource>& sources, const Embedder& embedder,
                      const IndexerOptions& options = {});

}  // namespace earmark::search
