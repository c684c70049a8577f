#include "data/pcm_store.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <mutex>
#include <set>
#include <utility>

#include "data/pcm_index.h"
#include "data/progress.h"
#include "data/wav.h"
#include "kernels/atomic_file.h"
#include "kernels/error.h"
#include "kernels/file_lock.h"
#include "kernels/life_signs.h"
#include "kernels/parallel.h"

namespace earmark::data {
namespace {

namespace fs = std::filesystem;

fs::path samples_path(const fs::path& folder) { return folder / "samples.s16"; }
fs::path journal_path(const fs::path& folder) { return folder / "index.jsonl"; }

std::string key_of(const fs::path& path) { return fs::absolute(path).lexically_normal().string(); }

/// Size and time of a file; bytes 0 when it cannot be had.
PcmEntry identity_of(const fs::path& path) {
  PcmEntry entry;
  entry.path = key_of(path);
  struct stat status {};
  if (::stat(path.c_str(), &status) == 0) {
    entry.bytes = static_cast<std::uint64_t>(status.st_size);
    entry.modified_ns = static_cast<std::int64_t>(status.st_mtim.tv_sec) * 1000000000 + status.st_mtim.tv_nsec;
  }
  return entry;
}

double loudest_second(std::span<const float> samples, int rate) {
  double loudest = 0;
  const auto second = static_cast<std::size_t>(rate);
  for (std::size_t begin = 0; begin < samples.size(); begin += second) {
    const auto part = samples.subspan(begin, std::min(second, samples.size() - begin));
    double sum = 0;
    for (const float x : part) {
      sum += static_cast<double>(x) * static_cast<double>(x);
    }
    loudest = std::max(loudest, sum / static_cast<double>(part.size()));
  }
  return loudest;
}

/// A descriptor that closes itself.
class File {
 public:
  File(const fs::path& path, int flags) : path_(path), descriptor_(::open(path.c_str(), flags | O_CLOEXEC, 0644)) {
    check(descriptor_ >= 0, "cannot open ", path.string(), ": ", std::strerror(errno));
  }
  ~File() { ::close(descriptor_); }
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  int descriptor() const { return descriptor_; }
  void write_at(std::uint64_t offset, std::span<const std::byte> bytes) const {
    while (!bytes.empty()) {
      const ssize_t count = ::pwrite(descriptor_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
      if (count < 0 && errno == EINTR) {
        continue;
      }
      check(count > 0, "cannot write ", path_.string(), ": ", std::strerror(count < 0 ? errno : ENOSPC));
      offset += static_cast<std::uint64_t>(count);
      bytes = bytes.subspan(static_cast<std::size_t>(count));
    }
  }
  void flush() const {
    check(::fdatasync(descriptor_) == 0, "cannot write ", path_.string(), ": ", std::strerror(errno));
  }
  void truncate(std::uint64_t bytes) const {
    check(::ftruncate(descriptor_, static_cast<off_t>(bytes)) == 0, "cannot write ", path_.string(), ": ",
          std::strerror(errno));
  }

 private:
  fs::path path_;
  int descriptor_;
};

std::uint64_t stored_samples(const fs::path& folder) {
  std::error_code error;
  const std::uintmax_t bytes = fs::file_size(samples_path(folder), error);
  return error ? 0 : static_cast<std::uint64_t>(bytes) / sizeof(std::int16_t);
}

// Samples were lost (the file was cut): entries that point beyond its end go, from the journal too, so that nothing
// written there later is taken for them.
void drop_lost_entries(const fs::path& folder, PcmIndex& index) {
  const std::uint64_t stored = stored_samples(folder);
  if (index.end <= stored) {
    return;
  }
  std::erase_if(index.entries, [=](const auto& item) { return item.second.offset + item.second.samples > stored; });
  std::string journal = header_line(index);
  index.end = 0;
  for (const auto& [path, entry] : index.entries) {
    index.end = std::max(index.end, entry.offset + entry.samples);
    journal += entry_line(entry);
  }
  index.good_bytes = journal.size();
  write_file_atomically(journal_path(folder), journal);
}

/// Appends decoded files: samples first, flushed, then their lines in the journal, flushed. The caller holds the lock.
class StoreWriter {
 public:
  StoreWriter(const fs::path& folder, PcmIndex& index)
      : index_(index),
        samples_(samples_path(folder), O_RDWR | O_CREAT),
        journal_(journal_path(folder), O_RDWR | O_CREAT) {
    samples_.truncate(index.end * sizeof(std::int16_t));
    journal_.truncate(index.good_bytes);
    if (index.good_bytes == 0) {
      append(header_line(index));
    }
  }

  void add(PcmEntry entry, std::span<const std::int16_t> samples) {
    const std::scoped_lock lock(mutex_);
    entry.offset = index_.end;
    entry.samples = samples.size();
    samples_.write_at(index_.end * sizeof(std::int16_t), std::as_bytes(samples));
    index_.end += samples.size();
    pending_.push_back(std::move(entry));
    constexpr auto kInterval = std::chrono::seconds(1);
    if (std::chrono::steady_clock::now() - committed_ > kInterval) {
      commit_locked();
    }
  }

  void commit() {
    const std::scoped_lock lock(mutex_);
    commit_locked();
  }

 private:
  void append(const std::string& text) {
    journal_.write_at(index_.good_bytes, std::as_bytes(std::span(text)));
    index_.good_bytes += text.size();
  }

  void commit_locked() {
    if (!pending_.empty()) {
      samples_.flush();
      std::string lines;
      for (PcmEntry& entry : pending_) {
        lines += entry_line(entry);
        index_.entries.insert_or_assign(entry.path, std::move(entry));
      }
      pending_.clear();
      append(lines);
      journal_.flush();
    }
    committed_ = std::chrono::steady_clock::now();
  }

  PcmIndex& index_;
  File samples_;
  File journal_;
  std::mutex mutex_;
  std::vector<PcmEntry> pending_;
  std::chrono::steady_clock::time_point committed_ = std::chrono::steady_clock::now();
};

void decode_into(StoreWriter& writer, const AudioFile& file, const PcmStoreOptions& options) {
  PcmEntry entry = identity_of(file.path);
  std::vector<std::int16_t> pcm;
  try {
    const DecodedAudio audio = decode_file(
        file.path,
        {.sample_rate = options.sample_rate, .channel = options.channel, .peak_normalize = options.peak_normalize});
    entry.loudest = loudest_second(audio.samples, options.sample_rate);
    entry.title = audio.tags.title;
    entry.artist = audio.tags.artist;
    entry.problem = audio.problem;
    pcm.resize(audio.samples.size());
    std::transform(audio.samples.begin(), audio.samples.end(), pcm.begin(), to_int16);
  } catch (const Error& error) {
    entry.problem = error.what();
  }
  writer.add(std::move(entry), pcm);
}

bool is_current(const PcmIndex& index, const AudioFile& file, std::uint64_t stored) {
  const PcmEntry now = identity_of(file.path);
  const auto found = index.entries.find(now.path);
  return found != index.entries.end() && found->second.bytes == now.bytes &&
         found->second.modified_ns == now.modified_ns && found->second.offset + found->second.samples <= stored;
}

PcmIndex index_for(const fs::path& folder, const PcmStoreOptions& options) {
  std::error_code error;
  fs::create_directories(folder, error);
  check(fs::is_directory(folder), "cannot make folder ", folder.string(), ": ", error.message());
  const auto index = read_pcm_index(journal_path(folder));
  if (!index) {
    PcmIndex fresh;
    fresh.sample_rate = options.sample_rate;
    fresh.channel = options.channel;
    fresh.peak_normalize = options.peak_normalize;
    return fresh;
  }
  check(index->sample_rate == options.sample_rate && index->channel == options.channel &&
            index->peak_normalize == options.peak_normalize,
        folder.string(), ": holds samples decoded with other options (", index->sample_rate, " Hz, channel ",
        index->channel == Channel::left ? "left" : "mean", "): use another folder, or delete this one");
  return *index;
}

/// A file to decode.
struct Task {
  const AudioFile* file;
  std::uint64_t bytes;
};

// Largest first, so that no thread is left alone with a long file at the end.
std::vector<Task> missing_files(const fs::path& folder, const PcmIndex& index, std::span<const AudioFile> files) {
  std::vector<Task> missing;
  std::set<std::string> seen;
  const std::uint64_t stored = stored_samples(folder);
  for (const AudioFile& file : files) {
    show_life();
    if (!is_current(index, file, stored) && seen.insert(key_of(file.path)).second) {
      missing.push_back({&file, identity_of(file.path).bytes});
    }
  }
  std::stable_sort(missing.begin(), missing.end(), [](const Task& a, const Task& b) { return a.bytes > b.bytes; });
  return missing;
}

// Progress is counted in bytes: files differ in length too much to foretell anything by their number.
void decode_all(StoreWriter& writer, std::span<const Task> tasks, const PcmStoreOptions& options) {
  constexpr std::uint64_t kUnit = 1 << 20;
  std::uint64_t total = 0;
  for (const Task& task : tasks) {
    total += task.bytes;
  }
  Progress progress(str("decoding ", tasks.size(), tasks.size() == 1 ? " file" : " files"),
                    static_cast<std::int64_t>(total / kUnit + 1), "MB", options.show_progress);
  std::atomic<std::uint64_t> done{0};
  parallel_for(static_cast<std::int64_t>(tasks.size()), [&](std::int64_t i) {
    const Task& task = tasks[static_cast<std::size_t>(i)];
    decode_into(writer, *task.file, options);
    progress.set(static_cast<std::int64_t>((done += task.bytes) / kUnit));
  });
  progress.set(static_cast<std::int64_t>(total / kUnit + 1));
}

PcmIndex index_with_all(const fs::path& folder, std::span<const AudioFile> files, const PcmStoreOptions& options) {
  PcmIndex index = index_for(folder, options);
  if (missing_files(folder, index, files).empty()) {
    return index;
  }
  const FileLock lock(folder / "lock",
                      [&] { fail(folder.string(), ": another process is adding to this store of samples"); });
  index = index_for(folder, options);  // another process may have added since
  drop_lost_entries(folder, index);
  const auto missing = missing_files(folder, index, files);
  StoreWriter writer(folder, index);
  decode_all(writer, missing, options);
  writer.commit();
  return index;
}

/// The whole file of samples, mapped read-only.
std::shared_ptr<const std::int16_t> map_samples(const fs::path& folder, std::uint64_t samples) {
  if (samples == 0) {
    return nullptr;
  }
  const File file(samples_path(folder), O_RDONLY);
  const std::size_t bytes = samples * sizeof(std::int16_t);
  check(stored_samples(folder) >= samples, samples_path(folder).string(), ": shorter than its index says: damaged");
  void* memory = ::mmap(nullptr, bytes, PROT_READ, MAP_SHARED, file.descriptor(), 0);
  check(memory != MAP_FAILED, "cannot map ", samples_path(folder).string(), ": ", std::strerror(errno));
  return {static_cast<const std::int16_t*>(memory),
          [bytes](const std::int16_t* p) { ::munmap(const_cast<std::int16_t*>(p), bytes); }};  // NOLINT
}

/// Why an entry is not used; empty when it is.
std::string reason_to_skip(const PcmEntry& entry, const PcmStoreOptions& options) {
  if (entry.samples == 0) {
    return entry.problem.empty() ? "no sound in it" : entry.problem;
  }
  if (static_cast<std::int64_t>(entry.samples) < options.minimum_samples) {
    return str("too short: ", static_cast<double>(entry.samples) / options.sample_rate, " s, needed ",
               static_cast<double>(options.minimum_samples) / options.sample_rate, " s");
  }
  return entry.loudest <= options.silence_mean_square ? "silent" : "";
}

}  // namespace

void PcmStore::add(AudioFile file, std::span<const std::int16_t> samples) {
  total_samples_ += static_cast<std::int64_t>(samples.size());
  tracks_.push_back({std::move(file), samples});
}

PcmStore PcmStore::prepare(const fs::path& folder, std::span<const AudioFile> files, const PcmStoreOptions& options) {
  const PcmIndex index = index_with_all(folder, files, options);
  PcmStore store;
  store.sample_rate_ = index.sample_rate;
  const auto samples = map_samples(folder, index.end);
  store.memory_ = samples;
  for (const AudioFile& file : files) {
    const PcmEntry& entry = index.entries.at(key_of(file.path));
    const std::string reason = reason_to_skip(entry, options);
    if (!reason.empty()) {
      store.skipped_.push_back({file.path, reason});
      continue;
    }
    if (!entry.problem.empty()) {
      store.damaged_.push_back({file.path, entry.problem});
    }
    AudioFile named = file;
    named.title = file.title.empty() ? entry.title : file.title;
    named.artist = file.artist.empty() ? entry.artist : file.artist;
    store.add(std::move(named), {samples.get() + entry.offset, entry.samples});
  }
  return store;
}

PcmStore PcmStore::open(const fs::path& folder) {
  const auto index = read_pcm_index(journal_path(folder));
  check(index.has_value(), folder.string(), ": not a store of samples");
  PcmStore store;
  store.sample_rate_ = index->sample_rate;
  const auto samples = map_samples(folder, index->end);
  store.memory_ = samples;
  for (const auto& [path, entry] : index->entries) {
    if (entry.samples == 0) {
      store.skipped_.push_back({path, entry.problem});
      continue;
    }
    AudioFile file{.path = path, .name = fs::path(path).filename().string()};
    file.title = entry.title;
    file.artist = entry.artist;
    store.add(std::move(file), {samples.get() + entry.offset, entry.samples});
  }
  return store;
}

PcmStore PcmStore::in_memory(std::vector<std::vector<std::int16_t>> tracks, int sample_rate) {
  const auto owned = std::make_shared<const std::vector<std::vector<std::int16_t>>>(std::move(tracks));
  PcmStore store;
  store.sample_rate_ = sample_rate;
  store.memory_ = owned;
  for (std::size_t i = 0; i < owned->size(); ++i) {
    const std::string name = "track " + std::to_string(i);
    store.add({.path = name, .name = name}, (*owned)[i]);
  }
  return store;
}

}  // namespace earmark::data
