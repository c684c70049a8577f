#include "train/data_sources.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

#include "data/audio_files.h"
#include "data/fma.h"
#include "data/pcm_store.h"
#include "data/rir.h"
#include "kernels/error.h"
#include "kernels/random.h"

namespace earmark::train {

namespace fs = std::filesystem;
using Report = std::function<void(const std::string&)>;

namespace {

constexpr std::size_t kReasonsShown = 5;

std::uint64_t hash_text(std::uint64_t hash, const std::string& text) {
  for (const char c : text) {
    hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3U;
  }
  return hash;
}

/// Tells of the first files that are not used as they should be, and collects the lines of all.
struct Complaints {
  const Report& report;
  std::vector<std::string> lines;

  void add(const std::vector<data::SkippedFile>& files, const std::string& what) {
    for (std::size_t i = 0; i < files.size(); ++i) {
      const std::string path = data::printable(files[i].path.string());
      const std::string& reason = files[i].reason;
      const std::string prefix = path + ": ";
      lines.push_back(
          str(what, " ", path, ": ",
              data::printable_sentence(reason.starts_with(prefix) ? reason.substr(prefix.size()) : reason)));
      if (i < kReasonsShown) {
        report(lines.back());
      }
    }
    if (files.size() > kReasonsShown) {
      report(str("... and ", files.size() - kReasonsShown, " more ", what, " (all are listed in skipped.txt)"));
    }
  }
  /// Of each of what a run mixes in: "skipped noise hum.wav: silent".
  void add(const std::vector<std::string>& sentences, const std::string& what) {
    for (const std::string& sentence : sentences) {
      lines.push_back(str(what, " ", sentence));
      report(lines.back());
    }
  }
};

std::vector<data::AudioFile> list_music(const DataOptions& options, Complaints& complaints) {
  std::vector<data::AudioFile> files = data::list_audio_files(options.music);
  if (!options.fma.empty()) {
    std::vector<data::SkippedFile> missing;
    const std::vector<data::AudioFile> fma =
        data::list_fma(options.fma, {.subset = options.fma_subset, .split = options.fma_split}, &missing);
    files.insert(files.end(), fma.begin(), fma.end());
    complaints.add(missing, "skipped");
  }
  return files;
}

/// "data.music (/music, /more), data.fma (/fma)": what a message blames.
std::string sources_of(const DataOptions& options) {
  std::string folders;
  for (const fs::path& path : options.music) {
    folders += (folders.empty() ? "" : ", ") + data::printable(path.string());
  }
  const std::string music = folders.empty() ? "" : "data.music (" + folders + ")";
  const std::string fma = options.fma.empty() ? "" : "data.fma (" + data::printable(options.fma.string()) + ")";
  return music + (music.empty() || fma.empty() ? "" : ", ") + fma;
}

data::PcmStore prepare(const TrainOptions& options, const std::vector<data::AudioFile>& files, bool show_progress) {
  fs::create_directories(options.data.store);
  return data::PcmStore::prepare(options.data.store, files,
                                 {.sample_rate = options.features.sample_rate,
                                  .channel = options.data.channel,
                                  .peak_normalize = options.data.peak_normalize,
                                  .minimum_samples = options.features.segment_samples(),
                                  .show_progress = show_progress});
}

data::PcmStore prepare_and_report(const TrainOptions& options, const std::vector<data::AudioFile>& files,
                                  Complaints& complaints) {
  data::PcmStore store = prepare(options, files, true);
  complaints.add(store.skipped(), "skipped");
  complaints.add(store.damaged(), "damaged, but used:");
  return store;
}

struct Parts {
  std::vector<data::AudioFile> training;
  std::vector<data::AudioFile> held_out;
};

/// Holds out the tracks whose names hash lowest, among those of at least `validation.seconds`: new files do not move
/// old ones between the parts. A quarter of all at most.
Parts hold_out(const data::PcmStore& store, const ValidationOptions& validation, std::uint64_t seed) {
  const auto shortest = static_cast<std::size_t>(validation.seconds * store.sample_rate());
  std::vector<std::pair<std::uint64_t, std::int64_t>> ranks;
  for (std::int64_t i = 0; i < store.size(); ++i) {
    if (store.track(i).size() >= shortest) {
      const std::uint64_t start = 0xcbf29ce484222325U ^ (seed * 0x9e3779b97f4a7c15U);
      ranks.emplace_back(hash_text(start, store.file(i).name), i);
    }
  }
  std::sort(ranks.begin(), ranks.end());
  const auto quarter = static_cast<std::size_t>(store.size() / 4);
  ranks.resize(std::min({static_cast<std::size_t>(validation.tracks), ranks.size(), quarter}));
  std::vector<bool> held(static_cast<std::size_t>(store.size()), false);
  for (const auto& rank : ranks) {
    held[static_cast<std::size_t>(rank.second)] = true;
  }
  Parts parts;
  for (std::int64_t i = 0; i < store.size(); ++i) {
    (held[static_cast<std::size_t>(i)] ? parts.held_out : parts.training).push_back(store.file(i));
  }
  return parts;
}

/// The first seconds of each track, in memory: few tracks, read again and again.
std::shared_ptr<const data::PcmStore> beginnings(const data::PcmStore& store, double seconds, int tracks) {
  const auto longest = static_cast<std::size_t>(std::llround(seconds * store.sample_rate()));
  std::vector<std::vector<std::int16_t>> cut;
  for (std::int64_t i = 0; i < std::min<std::int64_t>(store.size(), tracks); ++i) {
    const std::span<const std::int16_t> track = store.track(i);
    const auto part = track.first(std::min(longest, track.size()));
    cut.emplace_back(part.begin(), part.end());
  }
  return std::make_shared<data::PcmStore>(data::PcmStore::in_memory(std::move(cut), store.sample_rate()));
}

std::shared_ptr<data::NoiseBank> make_noise(const TrainOptions& options, Complaints& complaints) {
  auto bank = std::make_shared<data::NoiseBank>();
  const int rate = options.features.sample_rate;
  for (const fs::path& path : options.data.noise) {
    bank->add_recordings(path, rate);
  }
  std::uint64_t seed = options.seed;
  for (const fs::path& path : options.data.speech) {
    bank->add_babble(path, options.data.babble_speakers, 8, 30, ++seed, rate);
  }
  for (const std::string& color : options.data.colored_noise) {
    for (const data::NoiseColor known : {data::NoiseColor::white, data::NoiseColor::pink, data::NoiseColor::brown}) {
      if (color == data::name_of(known)) {
        bank->add_colored(known, 30, ++seed, rate);
      }
    }
  }
  complaints.add(bank->skipped(), "skipped noise");
  return bank;
}

data::RirBank make_rooms(const TrainOptions& options, Complaints& complaints) {
  data::RirBank bank;
  const int rate = options.features.sample_rate;
  if (options.data.rooms > 0) {
    bank = data::simulate_rooms(options.data.rooms, options.seed, options.data.room_range, rate);
  }
  for (const fs::path& path : options.data.rirs) {
    bank.add_folder(path, rate);
  }
  complaints.add(bank.skipped(), "skipped room response");
  return bank;
}

std::uint64_t identity_of(const data::PcmStore& store) {
  std::uint64_t hash = 0xcbf29ce484222325U;
  for (std::int64_t i = 0; i < store.size(); ++i) {
    hash = hash_text(hash, str(store.file(i).name, '\n', store.track(i).size(), '\n'));
  }
  return hash;
}

/// "10.9 h"
std::string hours(const data::PcmStore& store) {
  const double value = static_cast<double>(store.total_samples()) / store.sample_rate() / 3600;
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), value < 1 ? "%.2f h" : "%.1f h", value);
  return text.data();
}

}  // namespace

TrainingData open_training_data(const TrainOptions& options, const Report& report) {
  Complaints complaints{report, {}};
  const std::vector<data::AudioFile> files = list_music(options.data, complaints);
  check(!files.empty(), sources_of(options.data), ": no sound files found");
  const ValidationOptions& validation = options.validation;
  const bool validates = validation.interval > 0 && validation.tracks > 0;
  auto store = std::make_shared<data::PcmStore>(prepare_and_report(options, files, complaints));
  check(store->size() > 0, sources_of(options.data), ": none of ", files.size(), " files can be used");
  std::shared_ptr<const data::PcmStore> held;
  if (validates && !validation.music.empty()) {
    const data::PcmStore other = prepare_and_report(options, data::list_audio_files(validation.music), complaints);
    held = beginnings(other, validation.seconds, validation.tracks);
  } else if (validates) {
    const Parts parts = hold_out(*store, validation, options.seed);
    held = beginnings(prepare(options, parts.held_out, false), validation.seconds, validation.tracks);
    *store = prepare(options, parts.training, false);
  }
  const std::shared_ptr<data::NoiseBank> noise = make_noise(options, complaints);
  const data::RirBank rooms = make_rooms(options, complaints);
  TrainingData out;
  out.identity = identity_of(*store);
  out.skipped = std::move(complaints.lines);
  out.training = std::make_shared<data::PairSampler>(store, noise, rooms, options.features, options.pairs);
  report(str("training on ", store->size(), " tracks, ", hours(*store), "; ", noise->size(), " noises, ", rooms.size(),
             " rooms"));
  if (held && held->size() > 0) {
    data::PairOptions pairs = options.pairs;
    pairs.pairs = validation.queries;
    pairs.draws = data::PairOptions::Draws::uniform_time;
    // Queries are sound that was heard; nobody hears masks.
    pairs.augment.time_masks = pairs.augment.frequency_masks = pairs.augment.cutouts = 0;
    out.validation = std::make_shared<data::PairSampler>(held, noise, rooms, options.features, pairs);
    report(str("validating on ", held->size(), " held-out tracks, ", hours(*held)));
  } else if (validates) {
    report("no validation: too little music to hold tracks out");
  }
  return out;
}

}  // namespace earmark::train
