#include "search/calibrate_index.h"

#include <algorithm>
#include <utility>

#include "data/audio_files.h"
#include "data/composer.h"
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

// Tracks below which an index's own are too few to show what one absent query in a hundred reaches: so few have few
// places that votes could disagree on, and no other track to lead over.
constexpr std::size_t kFewTracks = 10;

/// Music that is in no collection.
std::vector<Tensor> composed_music(const nn::Fingerprinter& fingerprinter, int hop_frames) {
  constexpr std::uint64_t kFirstSeed = 0x616273656e74;
  constexpr std::uint64_t kPieces = 10;
  constexpr double kSeconds = 12;
  std::vector<Tensor> pieces;
  for (std::uint64_t piece = 0; piece < kPieces; ++piece) {
    const std::vector<float> pcm =
        data::compose(kFirstSeed + piece, kSeconds, fingerprinter.model().features.sample_rate);
    pieces.push_back(fingerprinter.fingerprints(pcm, hop_frames));
  }
  return pieces;
}

/// At every length of any, the highest threshold that one of them has for it.
Calibration strictest(const std::vector<Calibration>& some, const std::string& source) {
  Calibration out{{}, some.front().false_match_rate, source};
  for (const Calibration& one : some) {
    for (const Calibration::Point& point : one.points) {
      out.points.push_back({point.rows, 0});
    }
  }
  const auto rows_of = [](const Calibration::Point& point) { return point.rows; };
  std::ranges::sort(out.points, {}, rows_of);
  const auto alike = [&](const Calibration::Point& a, const Calibration::Point& b) { return rows_of(a) == rows_of(b); };
  out.points.erase(std::unique(out.points.begin(), out.points.end(), alike), out.points.end());
  for (Calibration::Point& point : out.points) {
    for (const Calibration& one : some) {
      point.threshold = std::max(point.threshold, one.points.empty() ? 0 : one.threshold(point.rows));
    }
  }
  return out;
}

/// What composed music reaches in an index of few tracks, and no less than is asked for where nothing is known.
Calibration of_few_tracks(const IndexStore& store, const nn::Fingerprinter& fingerprinter,
                          const MatcherOptions& matcher, const CalibrateOptions& calibrate) {
  const std::vector<Tensor> absent =
      composed_music(fingerprinter, hop_frames_of(fingerprinter.model(), store.format()));
  return strictest({default_calibration(), calibrate_on_absent(store.database(), matcher, absent, calibrate),
                    calibrate_on_held_out_tracks(store.database(), matcher, calibrate)},
                   str("composed music, since tracks are too few to be held out: ", store.tracks().size()));
}

Calibration of_fingerprints(const IndexWriter& writer, const IndexStore& store, const IndexCalibration& options) {
  CalibrateOptions calibrate;
  calibrate.false_match_rate = options.false_match_rate;
  MatcherOptions matcher;
  matcher.hop_seconds = store.format().hop_seconds();
  const std::size_t tracks = store.tracks().size();
  if (options.absent.empty() && (tracks == 0 || tracks >= kFewTracks)) {
    return calibrate_on_held_out_tracks(store.database(), matcher, calibrate);
  }
  const nn::Fingerprinter fingerprinter = load_fingerprinter(writer.folder(), store.format(), options.device);
  if (options.absent.empty()) {
    return of_few_tracks(store, fingerprinter, matcher, calibrate);
  }
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
