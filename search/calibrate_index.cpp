#include "search/calibrate_index.h"

#include <utility>

#include "data/audio_files.h"
#include "data/decode.h"
#include "kernels/error.h"
#include "search/calibrate.h"
#include "search/catalogue.h"
#include "search/indexer.h"
#include "search/landmark_calibrate.h"
#include "search/query.h"

namespace earmark::search {
namespace {

/// Each file's samples at the index's rate; of those that cannot be used it is said why.
template <class Use>
void each_absent(const IndexCalibration& options, int sample_rate, const Use& use) {
  for (const AudioSource& source : find_sources(options.absent)) {
    try {
      use(data::decode_audio(source.file, sample_rate));
    } catch (const Error& error) {
      if (options.complain) {
        options.complain("skipped " + data::printable(source.path) + ": " + error.what());
      }
    }
  }
}

Calibration of_landmarks(const IndexWriter& writer, const IndexStore& store, const IndexCalibration& options) {
  CalibrateOptions calibrate;
  calibrate.false_match_rate = options.false_match_rate;
  if (options.absent.empty()) {
    return calibrate_landmarks(store, writer.excerpts(), calibrate);
  }
  std::vector<std::vector<Landmark>> absent;
  each_absent(options, store.format().sample_rate, [&](const std::vector<float>& pcm) {
    for (std::vector<Landmark>& excerpt : excerpts_of(pcm, *store.format().landmarks, LandmarkExcerpt::kPerTrack)) {
      absent.push_back(std::move(excerpt));
    }
  });
  return calibrate_landmarks_on_absent(store, absent, calibrate);
}

Calibration of_fingerprints(const IndexWriter& writer, const IndexStore& store, const IndexCalibration& options) {
  CalibrateOptions calibrate;
  calibrate.false_match_rate = options.false_match_rate;
  MatcherOptions matcher;
  matcher.hop_seconds = store.format().hop_seconds();
  if (options.absent.empty()) {
    return calibrate_on_held_out_tracks(store.database(), matcher, calibrate);
  }
  const nn::Fingerprinter fingerprinter = load_fingerprinter(writer.folder(), store.format(), options.device);
  const int hop = hop_frames_of(fingerprinter.model(), store.format());
  std::vector<Tensor> absent;
  each_absent(options, store.format().sample_rate,
              [&](const std::vector<float>& pcm) { absent.push_back(fingerprinter.fingerprints(pcm, hop)); });
  return calibrate_on_absent(store.database(), matcher, absent, calibrate);
}

}  // namespace

std::optional<Calibration> calibrate_index(IndexWriter& writer, const IndexCalibration& options) {
  const IndexStore store = IndexStore::open(writer.folder(), {.verify = false, .device = options.device});
  const Calibration found =
      store.format().landmarks ? of_landmarks(writer, store, options) : of_fingerprints(writer, store, options);
  if (found.points.empty()) {
    check(options.absent.empty(), "too little sound to calibrate on");
    return std::nullopt;
  }
  writer.set_calibration(found);
  return found;
}

bool is_calibrated(const IndexWriter& writer) {
  return Catalogue(writer.folder() / "catalogue.sqlite", Sqlite::Mode::read).calibration().has_value();
}

}  // namespace earmark::search
