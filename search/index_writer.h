// Changes an index. One writer at a time: the lock file is held from open to destruction, and a second process waits.
// A change is committed by writing new segment files, making them durable, and then one SQLite transaction that names
// them; files that no transaction names (a crash came between) are removed by the next writer.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "kernels/tensor.h"
#include "search/index_store.h"
#include "search/landmark_excerpts.h"
#include "search/segment_file.h"

namespace earmark::search {

/// Called once when another process holds the lock, before waiting for it.
using WaitMessage = std::function<void(const std::string&)>;

struct MergeReport {
  int added = 0;
  int present = 0;                     // the same content was there already
  std::vector<std::string> conflicts;  // left out: the same folder and path with other content
};

class IndexWriter {
 public:
  /// Makes a new index, or opens the one that is there if it has the same format and model. Throws Error on a
  /// mismatch, and on a folder with other things in it. No model file is looked at for an index of landmarks.
  static IndexWriter create(const std::filesystem::path& folder, const std::filesystem::path& model_file,
                            const IndexFormat& format, const WaitMessage& waiting = {});
  /// Opens an existing index for writing.
  static IndexWriter open(const std::filesystem::path& folder, const WaitMessage& waiting = {});
  ~IndexWriter();
  IndexWriter(IndexWriter&&) noexcept;
  IndexWriter& operator=(IndexWriter&&) noexcept;

  const IndexFormat& format() const;
  const std::filesystem::path& folder() const;
  std::vector<Track> tracks() const;  ///< What is committed.

  /// Excerpts of a new track (landmark_excerpts.h), each as bytes_of() gives it; none of fingerprints.
  using Excerpts = std::vector<std::string>;
  /// Adds a track with its fingerprints (n, d) f32 unit rows, or landmarks (landmark_rows.h); visible after commit().
  /// Id and rows are assigned here.
  void add(Track track, const Tensor& fingerprints, Excerpts excerpts = {});
  /// The same, and track `id` goes in the same transaction: a file whose content has changed.
  void replace(std::int64_t id, Track track, const Tensor& fingerprints, Excerpts excerpts = {});
  /// A track whose rows another process has written; `replaces` goes in the same transaction, 0: none.
  struct Written {
    Track track;
    std::int64_t replaces = 0;
    Excerpts excerpts{};
  };
  /// Takes over a segment file of this format in the index's folder of segments, with the tracks in it, whose
  /// `first_row` counts from its beginning; rows of none of them are left out. Visible after commit().
  void adopt(const std::filesystem::path& file, const SegmentInfo& info, std::vector<Written> tracks);
  /// Removes tracks and rewrites the segments that held them; committed when it returns.
  void remove(const std::vector<std::int64_t>& ids);
  /// Another path for the same content; committed when it returns.
  void rename(std::int64_t id, const std::string& folder, const std::string& path);
  /// Copies all tracks of another index of the same model and hop, or the same landmarks; committed when it returns.
  MergeReport merge(const IndexStore& other);
  void set_calibration(const Calibration& calibration);
  /// What is committed, in an order that depends on the tracks alone (catalogue.h).
  std::vector<LandmarkExcerpt> excerpts() const;
  /// Makes everything added so far durable and visible; where nothing was added, only segments are joined that are
  /// many.
  void commit();

 private:
  struct State;
  explicit IndexWriter(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace earmark::search
