#include "search/index_writer.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>
#include <map>
#include <set>
#include <utility>

#include "data/audio_files.h"
#include "kernels/atomic_file.h"
#include "kernels/error.h"
#include "kernels/file_lock.h"
#include "search/catalogue.h"
#include "search/landmark_rows.h"
#include "search/segment_rows.h"

namespace earmark::search {
namespace {

constexpr std::int64_t kSmallSegmentRows = 32768;  // segments below are joined when there are more than
constexpr std::size_t kSmallSegments = 16;         // this many of them

std::unique_ptr<FileLock> lock_folder(const std::filesystem::path& folder, const WaitMessage& waiting) {
  return std::make_unique<FileLock>(folder / "lock", [&] {
    if (waiting) {
      waiting("another process is changing " + data::printable(folder.string()) + "; waiting until it is done");
    }
  });
}

/// A folder that is empty, or holds only what a creation that was cut off leaves behind.
void check_can_become_index(const std::filesystem::path& folder) {
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    check(name == "lock" || name == "segments" || name == "model.safetensors" || name.starts_with("catalogue.sqlite") ||
              is_unfinished_file(entry.path()),
          data::printable(folder.string()), ": neither an index nor an empty folder (it holds '", data::printable(name),
          "')");
  }
}

void make_folder(const std::filesystem::path& folder) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  check(!error && std::filesystem::is_directory(folder), data::printable(folder.string()),
        ": the folder cannot be made: ", error ? error.message() : "a file is in its place");
}

void copy_durably(const std::filesystem::path& from, const std::filesystem::path& to) {
  std::ifstream in(from, std::ios::binary);
  check(in.good(), data::printable(from.string()), ": cannot be read: ", std::strerror(errno));
  const std::string bytes((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  write_file_atomically(to, std::string_view(bytes));
}

std::string kind_of(const IndexFormat& format) {
  return format.landmarks ? "landmarks (" + to_text(*format.landmarks) + ")" : "fingerprints";
}

void check_same_format(const IndexFormat& wanted, const IndexFormat& present, const std::string& name) {
  check(kind_of(wanted) == kind_of(present), name, ": an index of ", kind_of(present), ", not of ", kind_of(wanted));
  check(wanted.model_hash == present.model_hash, name, ": made with another model (", present.model_hash,
        ", this one is ", wanted.model_hash, "); fingerprints of different models cannot be compared");
  check(wanted.hop_samples == present.hop_samples && wanted.sample_rate == present.sample_rate, name,
        ": has a fingerprint every ", present.hop_seconds(), " s, not every ", wanted.hop_seconds(), " s");
  check(wanted.dimension == present.dimension && wanted.segment_samples == present.segment_samples, name,
        ": its fingerprints have another dimension or length");
}

/// Rows [begin, end) of a segment, copied, as they were given.
Tensor taken_from(const kernels::StoredRows& segment, std::int64_t begin, std::int64_t end) {
  if (are_landmarks(segment.rows)) {
    return segment.rows.slice(begin, end).clone();
  }
  Tensor rows({end - begin, segment.rows.dim(1)});
  kernels::widen_rows(segment, begin, end, rows);
  return rows;
}

/// A copy of the rows of `tracks` alone, as they are stored. Their first rows become those of the copy.
kernels::StoredRows taken_out(const kernels::StoredRows& segment, std::vector<IndexWriter::Written>& tracks) {
  std::int64_t rows = 0;
  for (const IndexWriter::Written& written : tracks) {
    rows += written.track.rows;
  }
  const bool scaled_by_row = segment.scales && segment.scales.numel() == segment.rows.dim(0);
  const kernels::StoredRows out{Tensor({rows, segment.rows.dim(1)}, segment.rows.dtype()),
                                scaled_by_row ? Tensor({rows}) : segment.scales};
  std::int64_t row = 0;
  for (IndexWriter::Written& written : tracks) {
    Track& track = written.track;
    const std::int64_t from = std::exchange(track.first_row, row);
    out.rows.slice(row, row + track.rows).copy_from(segment.rows.slice(from, from + track.rows));
    if (scaled_by_row) {
      out.scales.slice(row, row + track.rows).copy_from(segment.scales.slice(from, from + track.rows));
    }
    row += track.rows;
  }
  return out;
}

/// Those that another index keeps, by the ids of its tracks, each track's by their number.
std::map<std::int64_t, IndexWriter::Excerpts> excerpts_of_tracks(const IndexStore& store) {
  std::map<std::int64_t, IndexWriter::Excerpts> out;
  if (store.format().landmarks) {
    for (const LandmarkExcerpt& excerpt :
         Catalogue(store.folder() / "catalogue.sqlite", Sqlite::Mode::read).excerpts()) {
      out[excerpt.track_id].push_back(bytes_of(excerpt.landmarks));
    }
  }
  return out;
}

using PathKey = std::pair<std::string, std::string>;

}  // namespace

struct IndexWriter::State {
  /// Fingerprints that are not in a segment file yet: of a new track, or of one that moves (track.id != 0).
  struct Pending {
    Track track;
    Tensor rows;
    Excerpts excerpts;
  };

  State(const std::filesystem::path& index, std::unique_ptr<FileLock> held)
      : folder(index), lock(std::move(held)), catalogue(index / "catalogue.sqlite", Sqlite::Mode::write) {
    next_segment = catalogue.next_segment_id();
    remove_orphans();
    for (const TrackEntry& entry : catalogue.tracks()) {
      contents.insert(entry.track.content_hash);
      paths.insert({entry.track.folder, entry.track.path});
    }
  }

  void remove_orphans() const;
  void check_new(const Track& track) const;
  void append(Track track, const Tensor& rows, Excerpts excerpts);
  void flush();
  void forget(const std::vector<std::int64_t>& ids);
  void rewrite(const std::set<std::int64_t>& segments);
  void join_small_segments();
  void write_transaction(const std::set<std::int64_t>& old_segments);

  std::filesystem::path folder;
  std::unique_ptr<FileLock> lock;
  Catalogue catalogue;
  std::int64_t next_segment = 1;
  std::vector<Pending> pending;
  std::int64_t pending_rows = 0;
  std::vector<SegmentEntry> written;  // durable, but not in the catalogue yet
  std::vector<TrackEntry> entries;    // tracks of those
  std::set<std::int64_t> leaving;     // tracks that the next transaction removes
  std::set<std::string> contents;
  std::set<PathKey> paths;
};

void IndexWriter::State::remove_orphans() const {
  remove_unfinished_files(folder);
  make_folder(folder / "segments");
  std::set<std::filesystem::path> known;
  for (const SegmentEntry& segment : Catalogue(folder / "catalogue.sqlite", Sqlite::Mode::read).segments()) {
    known.insert(segment_path(folder, segment.id));
  }
  for (const auto& entry : std::filesystem::directory_iterator(folder / "segments")) {
    if (!known.contains(entry.path())) {
      std::filesystem::remove(entry.path());
    }
  }
}

void IndexWriter::State::check_new(const Track& track) const {
  const std::string name = data::printable(track.path);
  check(!contents.contains(track.content_hash), name, ": the same content is in the index already");
  check(!paths.contains({track.folder, track.path}), name, ": this path is in the index already");
}

void IndexWriter::State::append(Track track, const Tensor& rows, Excerpts excerpts) {
  const IndexFormat& format = catalogue.format();
  check(rows.shape().rank() == 2 && rows.dim(1) == format.dimension && rows.dim(0) > 0, "fingerprints ", rows.shape(),
        " for an index of dimension ", format.dimension);
  check(are_landmarks(rows) == format.landmarks.has_value(), "rows of ", name_of(rows.dtype()), " for an index of ",
        kind_of(format));
  track.rows = rows.dim(0);
  pending.push_back({std::move(track), rows, std::move(excerpts)});
  pending_rows += rows.dim(0);
  if (pending_rows >= kSegmentRows) {
    flush();
  }
}

/// Writes what is pending as one segment file.
void IndexWriter::State::flush() {
  if (pending.empty()) {
    return;
  }
  const Tensor rows = fresh_rows(catalogue.format(), pending_rows);
  std::int64_t row = 0;
  for (Pending& p : pending) {
    rows.slice(row, row + p.track.rows).copy_from(p.rows);
    p.track.first_row = row;
    row += p.track.rows;
  }
  written.push_back(
      {next_segment, write_segment(segment_path(folder, next_segment), as_stored(catalogue.format(), rows))});
  for (Pending& p : pending) {
    entries.push_back({std::move(p.track), next_segment, std::move(p.excerpts)});
  }
  ++next_segment;
  pending.clear();
  pending_rows = 0;
}

/// The one place where the state of an index changes.
void IndexWriter::State::write_transaction(const std::set<std::int64_t>& old_segments) {
  Transaction transaction(catalogue.connection());
  for (const std::int64_t id : leaving) {
    catalogue.remove_track(id);
  }
  for (const SegmentEntry& segment : written) {
    catalogue.add_segment(segment);
  }
  for (const TrackEntry& entry : entries) {
    if (entry.track.id == 0) {
      catalogue.add_track(entry);
    } else {
      catalogue.move_track(entry.track.id, entry.segment, entry.track.first_row);
    }
  }
  for (const std::int64_t id : old_segments) {
    catalogue.remove_segment(id);
  }
  catalogue.thin_excerpts();
  transaction.commit();
  written.clear();
  entries.clear();
  leaving.clear();
  for (const std::int64_t id : old_segments) {
    std::error_code ignored;  // the next writer tries again
    std::filesystem::remove(segment_path(folder, id), ignored);
  }
}

/// Marks tracks that leave with the next commit.
void IndexWriter::State::forget(const std::vector<std::int64_t>& ids) {
  const std::set<std::int64_t> wanted(ids.begin(), ids.end());
  std::vector<Track> found;
  for (TrackEntry& entry : catalogue.tracks()) {
    if (wanted.contains(entry.track.id)) {
      found.push_back(std::move(entry.track));
    }
  }
  check(found.size() == wanted.size(), data::printable(folder.string()), ": ", wanted.size() - found.size(),
        " of the tracks to remove are not in the index");
  for (const Track& track : found) {
    leaving.insert(track.id);
    contents.erase(track.content_hash);
    paths.erase({track.folder, track.path});
  }
}

/// Commits, and copies the tracks of `segments`, but for those that leave, into new segments.
void IndexWriter::State::rewrite(const std::set<std::int64_t>& segments) {
  std::map<std::int64_t, kernels::StoredRows> mapped;
  for (const SegmentEntry& segment : catalogue.segments()) {
    if (segments.contains(segment.id)) {
      mapped[segment.id] = map_segment(segment_path(folder, segment.id), segment.info, true);
    }
  }
  for (const TrackEntry& entry : catalogue.tracks()) {
    if (segments.contains(entry.segment) && !leaving.contains(entry.track.id)) {
      const std::int64_t first = entry.track.first_row;
      append(entry.track, taken_from(mapped.at(entry.segment), first, first + entry.track.rows), {});
    }
  }
  flush();
  write_transaction(segments);
}

/// Many small additions would leave many small files.
void IndexWriter::State::join_small_segments() {
  std::set<std::int64_t> small;
  for (const SegmentEntry& segment : catalogue.segments()) {
    if (segment.info.rows < kSmallSegmentRows) {
      small.insert(segment.id);
    }
  }
  if (small.size() > kSmallSegments) {
    rewrite(small);
  }
}

IndexWriter::IndexWriter(std::unique_ptr<State> state) : state_(std::move(state)) {}
IndexWriter::~IndexWriter() = default;
IndexWriter::IndexWriter(IndexWriter&&) noexcept = default;
IndexWriter& IndexWriter::operator=(IndexWriter&&) noexcept = default;

IndexWriter IndexWriter::create(const std::filesystem::path& folder, const std::filesystem::path& model_file,
                                const IndexFormat& format, const WaitMessage& waiting) {
  make_folder(folder);
  if (!std::filesystem::exists(folder / "catalogue.sqlite")) {
    check_can_become_index(folder);
  }
  auto lock = lock_folder(folder, waiting);
  const std::filesystem::path catalogue = folder / "catalogue.sqlite";
  if (!std::filesystem::exists(catalogue)) {
    if (!format.landmarks) {
      copy_durably(model_file, folder / "model.safetensors");
    }
    make_folder(folder / "segments");
    Catalogue::create(catalogue, format);
  }
  auto state = std::make_unique<State>(folder, std::move(lock));
  const std::string name = data::printable(folder.string());
  check_same_format(format, state->catalogue.format(), name);
  check(format.landmarks || format.precision == state->catalogue.format().precision, name, ": stores fingerprints as ",
        name_of(state->catalogue.format().precision), ", not ", name_of(format.precision));
  return IndexWriter(std::move(state));
}

IndexWriter IndexWriter::open(const std::filesystem::path& folder, const WaitMessage& waiting) {
  check(std::filesystem::exists(folder / "catalogue.sqlite"), data::printable(folder.string()),
        ": not an index (it holds no catalogue.sqlite)");
  auto lock = lock_folder(folder, waiting);
  return IndexWriter(std::make_unique<State>(folder, std::move(lock)));
}

const IndexFormat& IndexWriter::format() const { return state_->catalogue.format(); }
const std::filesystem::path& IndexWriter::folder() const { return state_->folder; }

std::vector<Track> IndexWriter::tracks() const {
  std::vector<Track> tracks;
  for (TrackEntry& entry : state_->catalogue.tracks()) {
    tracks.push_back(std::move(entry.track));
  }
  return tracks;
}

void IndexWriter::add(Track track, const Tensor& fingerprints, Excerpts excerpts) {
  state_->check_new(track);
  track.id = 0;
  const std::string content = track.content_hash;
  const PathKey path{track.folder, track.path};
  state_->append(std::move(track), fingerprints, std::move(excerpts));
  state_->contents.insert(content);
  state_->paths.insert(path);
}

void IndexWriter::adopt(const std::filesystem::path& file, const SegmentInfo& info, std::vector<Written> tracks) {
  State& s = *state_;
  s.flush();
  std::int64_t rows = 0;
  for (Written& written : tracks) {
    if (written.replaces != 0) {
      s.forget({written.replaces});
    }
    Track& track = written.track;
    s.check_new(track);
    track.id = 0;
    s.contents.insert(track.content_hash);
    s.paths.insert({track.folder, track.path});
    rows += track.rows;
  }
  const std::filesystem::path place = segment_path(s.folder, s.next_segment);
  SegmentInfo adopted = info;
  const bool whole = rows == info.rows;
  const kernels::StoredRows mapped = map_segment(file, info, !whole);  // complains about another file
  if (whole) {
    rename_durably(file, place);
  } else {
    adopted = write_segment(place, taken_out(mapped, tracks));
  }
  s.written.push_back({s.next_segment, adopted});
  for (Written& written : tracks) {
    s.entries.push_back({std::move(written.track), s.next_segment, std::move(written.excerpts)});
  }
  ++s.next_segment;
}

void IndexWriter::replace(std::int64_t id, Track track, const Tensor& fingerprints, Excerpts excerpts) {
  state_->forget({id});
  add(std::move(track), fingerprints, std::move(excerpts));
}

void IndexWriter::remove(const std::vector<std::int64_t>& ids) {
  state_->forget(ids);
  commit();
}

void IndexWriter::rename(std::int64_t id, const std::string& folder, const std::string& path) {
  Transaction transaction(state_->catalogue.connection());
  state_->catalogue.rename_track(id, folder, path);
  transaction.commit();
  state_->paths.insert({folder, path});
}

MergeReport IndexWriter::merge(const IndexStore& other) {
  check_same_format(other.format(), format(), data::printable(folder().string()));
  std::map<std::int64_t, Excerpts> excerpts = excerpts_of_tracks(other);
  MergeReport report;
  for (const Track& track : other.tracks()) {
    if (state_->contents.contains(track.content_hash)) {
      ++report.present;
    } else if (state_->paths.contains({track.folder, track.path})) {
      report.conflicts.push_back(track.path);
    } else {
      const TrackRows rows{track.id, track.first_row, track.rows};
      add(track,
          other.format().landmarks ? other.database().stored_rows(rows)
                                   : other.database().widened(track.first_row, track.first_row + track.rows),
          std::move(excerpts[track.id]));
      ++report.added;
    }
  }
  commit();
  return report;
}

void IndexWriter::set_calibration(const Calibration& calibration) {
  Transaction transaction(state_->catalogue.connection());
  state_->catalogue.set_calibration(calibration);
  transaction.commit();
}

std::vector<LandmarkExcerpt> IndexWriter::excerpts() const { return state_->catalogue.excerpts(); }

void IndexWriter::commit() {
  State& s = *state_;
  if (!s.pending.empty() || !s.written.empty() || !s.leaving.empty()) {
    std::set<std::int64_t> segments;
    for (const TrackEntry& entry : s.catalogue.tracks()) {
      if (s.leaving.contains(entry.track.id)) {
        segments.insert(entry.segment);
      }
    }
    s.rewrite(segments);
  }
  s.join_small_segments();  // also those that a writer which was killed has left
}

}  // namespace earmark::search
