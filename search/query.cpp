#include "search/query.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "data/audio_files.h"
#include "data/decode.h"
#include "kernels/error.h"
#include "search/indexer.h"

namespace earmark::search {
namespace {

MatcherOptions with_ratio(MatcherOptions options, int ratio) {
  options.query_ratio = ratio;
  return options;
}

}  // namespace

IndexFormat format_of(const nn::Model& model, int hop_frames, Precision precision, ScaleMode scale) {
  const FeatureOptions& features = model.features;
  const int frames = hop_frames > 0 ? hop_frames : features.hop_frames;
  return {nn::model_hash(model),
          model.options.embedding,
          features.sample_rate,
          frames * features.hop,
          static_cast<int>(features.segment_samples()),
          precision,
          scale};
}

nn::Fingerprinter load_fingerprinter(const std::filesystem::path& index, const IndexFormat& format) {
  const std::filesystem::path file = index / "model.safetensors";
  nn::Model model = nn::load_model(file);
  const std::string hash = nn::model_hash(model);
  check(hash == format.model_hash, data::printable(file.string()),
        ": not the model that the fingerprints were made with (", hash, ", expected ", format.model_hash, ")");
  return nn::Fingerprinter(std::move(model));
}

int hop_frames_of(const nn::Model& model, const IndexFormat& format) {
  check(format.hop_samples % model.features.hop == 0, "the index's hop of ", format.hop_samples,
        " samples is not a multiple of the model's frames");
  return format.hop_samples / model.features.hop;
}

int query_ratio(const IndexFormat& format, double query_hop_s) {
  if (query_hop_s <= 0) {
    return 1;
  }
  const double ratio = format.hop_seconds() / query_hop_s;
  const auto whole = static_cast<int>(std::lround(ratio));
  check(whole >= 1 && std::abs(ratio - whole) < 1e-6, "query hop: ", query_hop_s, " s does not divide the index's ",
        format.hop_seconds(), " s");
  return whole;
}

Searcher::Searcher(const IndexStore& store, MatcherOptions options, QueryOptions query, double query_hop_s)
    : store_(store),
      fingerprinter_(load_fingerprinter(store.folder(), store.format())),
      hop_frames_(hop_frames_of(fingerprinter_.model(), store.format())),
      query_(query),
      matcher_(store, with_ratio(std::move(options), query_ratio(store.format(), query_hop_s))) {
  const int ratio = matcher_.options().query_ratio;
  check(hop_frames_ % ratio == 0, "query hop: ", query_hop_s, " s is not a whole number of frames");
  hop_frames_ /= ratio;
}

StretchOptions Searcher::stretch_options() const {
  StretchOptions stretch = query_.stretch;
  stretch.hop_seconds = fingerprinter_.hop_seconds(hop_frames_);
  stretch.segment_seconds = store_.format().segment_seconds();
  return stretch;
}

Answer Searcher::answer(std::span<const float> pcm) const {
  Answer answer;
  answer.length_s = static_cast<double>(pcm.size()) / store_.format().sample_rate;
  try {
    check(!pcm.empty(), "the query is empty");
    answer.whole = answer.length_s <= query_.whole_s;
    if (is_silent(pcm)) {
      answer.note = "silent: nothing to recognise";
      return answer;
    }
    if (static_cast<std::int64_t>(pcm.size()) < store_.format().segment_samples) {
      answer.note = str("shorter than one fingerprint (", store_.format().segment_seconds(),
                        " s): filled up with silence, so the answer is less certain");
    }
    const Tensor fingerprints = fingerprinter_.fingerprints(pcm, hop_frames_);
    if (answer.whole) {
      answer.matches = matcher_.match(fingerprints);
    } else {
      answer.stretches = find_stretches(matcher_, fingerprints, stretch_options());
    }
  } catch (const Error& error) {
    answer.error = error.what();
  }
  return answer;
}

Answer Searcher::answer(const std::filesystem::path& file) const {
  Answer answer;
  try {
    const data::DecodedAudio audio = data::decode_file(file, {store_.format().sample_rate, data::Channel::mean, false});
    answer = this->answer(std::span<const float>(audio.samples));
    if (!audio.problem.empty()) {
      answer.note += (answer.note.empty() ? "" : "; ") + audio.problem;
    }
  } catch (const Error& error) {
    answer.error = error.what();
  }
  answer.path = file.string();
  return answer;
}

}  // namespace earmark::search
