#include "train/data_sources.h"

#include <algorithm>
#include <cmath>

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

std::vector<data::AudioFile> list_music(const DataOptions& options) {
  std::vector<data::AudioFile> files = data::list_audio_files(options.music);
  if (!options.fma.empty()) {
    const std::vector<data::AudioFile> fma =
        data::list_fma(options.fma, {.subset = options.fma_subset, .split = options.fma_split});
    files.insert(files.end(), fma.begin(), fma.end());
  }
  return files;
}

void report_skipped(const std::vector<data::SkippedFile>& skipped, const std::string& what, const Report& report) {
  for (std::size_t i = 0; i < std::min(skipped.size(), kReasonsShown); ++i) {
    report(str(what, " ", data::printable(skipped[i].path.string()), ": ", skipped[i].reason));
  }
  if (skipped.size() > kReasonsShown) {
    report(str("... and ", skipped.size() - kReasonsShown, " more ", what));
  }
}

data::PcmStore prepare(const DataOptions& options, const std::vector<data::AudioFile>& files,
                       const FeatureOptions& features, const Report& report) {
  fs::create_directories(options.store);
  data::PcmStore store = data::PcmStore::prepare(options.store, files,
                                                 {.sample_rate = features.sample_rate,
                                                  .channel = options.channel,
                                                  .peak_normalize = options.peak_normalize,
                                                  .minimum_samples = features.segment_samples()});
  report_skipped(store.skipped(), "skipped", report);
  report_skipped(store.damaged(), "damaged, but used:", report);
  return store;
}

/// Draws `count` of the files by the hash of their names; both parts keep their order.
std::vector<data::AudioFile> hold_out(std::vector<data::AudioFile>& files, std::size_t count, std::uint64_t seed) {
  std::vector<std::uint64_t> ranks;
  ranks.reserve(files.size());
  for (const data::AudioFile& file : files) {
    ranks.push_back(hash_text(0xcbf29ce484222325U ^ (seed * 0x9e3779b97f4a7c15U), file.name));
  }
  std::vector<std::uint64_t> sorted = ranks;
  std::sort(sorted.begin(), sorted.end());
  const std::uint64_t limit = count == 0 ? 0 : sorted.at(count - 1);
  std::vector<data::AudioFile> held;
  std::vector<data::AudioFile> kept;
  for (std::size_t i = 0; i < files.size(); ++i) {
    (count > 0 && ranks[i] <= limit ? held : kept).push_back(files[i]);
  }
  files = kept;
  return held;
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

std::shared_ptr<data::NoiseBank> make_noise(const TrainOptions& options, const Report& report) {
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
        bank->add_colored(known, 30, ++seed);
      }
    }
  }
  for (const std::string& skipped : bank->skipped()) {
    report("skipped noise " + skipped);
  }
  return bank;
}

data::RirBank make_rooms(const TrainOptions& options) {
  data::RirBank bank;
  const int rate = options.features.sample_rate;
  if (options.data.rooms > 0) {
    bank = data::simulate_rooms(options.data.rooms, options.seed, options.data.room_range, rate);
  }
  for (const fs::path& path : options.data.rirs) {
    bank.add_folder(path, rate);
  }
  return bank;
}

std::uint64_t identity_of(const data::PcmStore& store) {
  std::uint64_t hash = 0xcbf29ce484222325U;
  for (std::int64_t i = 0; i < store.size(); ++i) {
    hash = hash_text(hash, str(store.file(i).name, '\n', store.track(i).size(), '\n'));
  }
  return hash;
}

double hours(const data::PcmStore& store) {
  return static_cast<double>(store.total_samples()) / store.sample_rate() / 3600;
}

}  // namespace

TrainingData open_training_data(const TrainOptions& options, const Report& report) {
  std::vector<data::AudioFile> files = list_music(options.data);
  check(!files.empty(), "data.music: no sound files found");
  const ValidationOptions& validation = options.validation;
  const bool validates = validation.interval > 0 && validation.tracks > 0;
  std::vector<data::AudioFile> held;
  if (validates && validation.music.empty()) {
    held = hold_out(files, std::min(static_cast<std::size_t>(validation.tracks), files.size() / 4), options.seed);
  } else if (validates) {
    held = data::list_audio_files(validation.music);
  }
  auto store = std::make_shared<data::PcmStore>(prepare(options.data, files, options.features, report));
  check(store->size() > 0, "data.music: none of ", files.size(), " files can be used");
  const std::shared_ptr<data::NoiseBank> noise = make_noise(options, report);
  const data::RirBank rooms = make_rooms(options);
  TrainingData out;
  out.identity = identity_of(*store);
  out.training = std::make_shared<data::PairSampler>(store, noise, rooms, options.features, options.pairs);
  report(str("training on ", store->size(), " tracks, ", hours(*store), " h; ", noise->size(), " noises, ",
             rooms.size(), " rooms"));
  if (!held.empty()) {
    const auto part =
        beginnings(prepare(options.data, held, options.features, report), validation.seconds, validation.tracks);
    data::PairOptions pairs = options.pairs;
    pairs.pairs = validation.queries;
    pairs.draws = data::PairOptions::Draws::uniform_time;
    out.validation = std::make_shared<data::PairSampler>(part, noise, rooms, options.features, pairs);
    report(str("validating on ", part->size(), " held-out tracks, ", hours(*part), " h"));
  }
  return out;
}

}  // namespace earmark::train
