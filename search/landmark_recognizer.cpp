// Recordings are found by landmarks: audfprint's way, in an index of them.
#include "search/landmark_matcher.h"
#include "search/landmark_stretches.h"
#include "search/recognizer.h"

namespace earmark::search {
namespace {

class LandmarkRecognizer : public Recognizer {
 public:
  LandmarkRecognizer(const IndexStore& store, const MatcherOptions& options, const StretchOptions& stretch)
      : matcher_(store, options), stretch_(stretch) {}

  std::vector<std::vector<Match>> match(std::span<const std::span<const float>> recordings) const override {
    std::vector<std::vector<Match>> matches;
    for (const std::span<const float> pcm : recordings) {
      matches.push_back(matcher_.match(query_landmarks(pcm, matcher_.options())));
    }
    return matches;
  }

  std::vector<Stretch> stretches(std::span<const float> pcm) const override {
    return find_landmark_stretches(matcher_, pcm, stretch_);
  }

  double follow(data::AudioStream& stream, const Report& begun, const Report& ended) const override {
    LandmarkStretchFinder finder(matcher_, stretch_, begun, ended);
    std::vector<float> piece(LandmarkOptions::kSampleRate);
    std::size_t read = 0;
    for (std::size_t got = stream.read_some(piece); got > 0; got = stream.read_some(piece)) {
      read += got;
      finder.push(std::span(piece).first(got));
    }
    finder.finish();
    return static_cast<double>(read) / LandmarkOptions::kSampleRate;
  }

 private:
  LandmarkMatcher matcher_;
  StretchOptions stretch_;
};

}  // namespace

std::unique_ptr<Recognizer> recognize_by_landmarks(const IndexStore& store, const MatcherOptions& options,
                                                   const StretchOptions& stretch) {
  return std::make_unique<LandmarkRecognizer>(store, options, stretch);
}

}  // namespace earmark::search
