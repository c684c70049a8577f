#include "search/index_store.h"

#include <xxhash.h>

#include <algorithm>
#include <map>
#include <utility>

#include "data/audio_files.h"
#include "kernels/error.h"
#include "nn/model.h"
#include "search/catalogue.h"

namespace earmark::search {
namespace {

/// Changes when the rows or their order do: over ids and checksums of the segments.
std::uint64_t key_of(const std::vector<SegmentEntry>& segments) {
  std::uint64_t key = 0;
  for (const SegmentEntry& segment : segments) {
    const std::uint64_t words[2] = {static_cast<std::uint64_t>(segment.id), segment.info.hash};
    key = XXH3_64bits_withSeed(static_cast<const void*>(words), sizeof words, key);
  }
  return key;
}

void check_is_index(const std::filesystem::path& folder) {
  const std::string name = data::printable(folder.string());
  check(std::filesystem::exists(folder), name, ": no such folder");
  check(std::filesystem::is_directory(folder), name, ": expected the folder of an index, this is a file");
  check(std::filesystem::exists(folder / "catalogue.sqlite"), name, ": not an index (it holds no catalogue.sqlite)");
}

/// Appends `action`'s complaint, if it has one.
template <class F>
void collect(std::vector<std::string>& problems, F&& action) {
  try {
    action();
  } catch (const std::exception& error) {
    problems.emplace_back(error.what());
  }
}

}  // namespace

IndexStore IndexStore::open(const std::filesystem::path& folder, const OpenOptions& options) {
  check_is_index(folder);
  IndexStore store;
  store.folder_ = folder;
  Catalogue catalogue(folder / "catalogue.sqlite", Sqlite::Mode::read);
  store.format_ = catalogue.format();
  store.device_ = store.format_.landmarks ? Device{} : options.device;  // landmarks are looked up, not compared
  // A writer removes old segment files only after its transaction, which waits for this one: what is read here exists
  // until it is mapped, and a mapping outlives the name of its file.
  Transaction transaction(catalogue.connection(), "DEFERRED");
  const std::vector<SegmentEntry> segments = catalogue.segments();
  std::vector<Block> blocks;
  std::map<std::int64_t, std::int64_t> first_rows;
  std::int64_t rows = 0;
  for (const SegmentEntry& segment : segments) {
    blocks.push_back({map_segment(segment_path(folder, segment.id), segment.info, options.verify), rows});
    first_rows[segment.id] = rows;
    rows += segment.info.rows;
    store.segment_bytes_ += segment.info.bytes;
  }
  std::vector<TrackRows> ranges;
  for (TrackEntry& entry : catalogue.tracks()) {
    const auto first = first_rows.find(entry.segment);
    check(first != first_rows.end(), catalogue.connection().name(), ": track ", entry.track.id,
          " lies in a segment that does not exist");
    entry.track.first_row += first->second;
    ranges.push_back({entry.track.id, entry.track.first_row, entry.track.rows});
    store.tracks_.push_back(std::move(entry.track));
  }
  store.calibration_ = catalogue.calibration();
  store.content_key_ = key_of(segments);
  try {
    store.database_ = Database(store.format_.dimension, std::move(blocks), std::move(ranges));
  } catch (const Error& error) {
    fail(catalogue.connection().name(), ": the catalogue does not fit its segments: ", error.what());
  }
  if (store.device_.backend != Backend::cpu) {
    store.database_ = store.database_.on(store.device_, options.device_budget.value_or(row_budget(store.device_)));
  }
  return store;
}

const Track& IndexStore::track(std::int64_t id) const {
  const auto found = std::find_if(tracks_.begin(), tracks_.end(), [id](const Track& t) { return t.id == id; });
  check(found != tracks_.end(), data::printable(folder_.string()), ": no track has the number ", id);
  return *found;
}

LshIndex IndexStore::lsh(const LshOptions& options) const {
  check(!format_.landmarks, data::printable(folder_.string()), ": an index of landmarks has no fingerprints to hash");
  const std::filesystem::path file = folder_ / "lsh.cache";
  if (std::filesystem::exists(file)) {
    try {
      return LshIndex::load(file, options, content_key_);
    } catch (const Error&) {
      // Stale or damaged: made again below.
    }
  }
  LshIndex index = LshIndex::build(database_, options);
  try {
    index.save(file, content_key_);
  } catch (const Error&) {
    // A folder that cannot be written to only costs time.
  }
  return index;
}

std::vector<std::string> verify_index(const std::filesystem::path& folder) {
  std::vector<std::string> problems;
  collect(problems, [&] { check_is_index(folder); });
  if (!problems.empty()) {
    return problems;
  }
  std::string expected_hash;
  bool has_model = std::filesystem::exists(folder / "model.safetensors");  // as far as that is known
  collect(problems, [&] {
    Catalogue catalogue(folder / "catalogue.sqlite", Sqlite::Mode::read);
    const Transaction transaction(catalogue.connection(), "DEFERRED");  // as in open()
    expected_hash = catalogue.format().model_hash;
    has_model = !catalogue.format().landmarks;
    for (std::string& problem : catalogue.integrity_problems()) {
      problems.push_back(std::move(problem));
    }
    for (const SegmentEntry& segment : catalogue.segments()) {
      collect(problems, [&] { map_segment(segment_path(folder, segment.id), segment.info, true); });
    }
    collect(problems, [&] { static_cast<void>(catalogue.excerpts()); });
  });
  if (problems.empty()) {
    collect(problems, [&] { IndexStore::open(folder, {false}); });
  }
  if (!has_model) {
    return problems;
  }
  collect(problems, [&] {
    const std::filesystem::path file = folder / "model.safetensors";
    const std::string hash = nn::model_hash(nn::load_model(file));
    check(expected_hash.empty() || hash == expected_hash, data::printable(file.string()),
          ": not the model that the fingerprints were made with (", hash, ", expected ", expected_hash, ")");
  });
  return problems;
}

std::string_view name_of(Precision precision) {
  switch (precision) {
    case Precision::fp16:
      return "fp16";
    case Precision::int8:
      return "int8";
    default:
      return "fp32";
  }
}

Precision parse_precision(std::string_view text) {
  for (const Precision precision : {Precision::fp32, Precision::fp16, Precision::int8}) {
    if (text == name_of(precision)) {
      return precision;
    }
  }
  fail("precision: expected fp32, fp16 or int8, got '", text, "'");
}

}  // namespace earmark::search
