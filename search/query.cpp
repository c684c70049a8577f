#include "search/query.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "data/audio_files.h"
#include "data/decode.h"
#include "kernels/device_failure.h"
#include "kernels/error.h"
#include "kernels/parallel.h"
#include "kernels/trace.h"
#include "search/indexer.h"

namespace earmark::search {

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

nn::Model load_model_of(const std::filesystem::path& index, const IndexFormat& format) {
  const std::filesystem::path file = index / "model.safetensors";
  nn::Model model = nn::load_model(file);
  const std::string hash = nn::model_hash(model);
  check(hash == format.model_hash, data::printable(file.string()),
        ": not the model that the fingerprints were made with (", hash, ", expected ", format.model_hash, ")");
  return model;
}

nn::Fingerprinter load_fingerprinter(const std::filesystem::path& index, const IndexFormat& format, Device device) {
  return nn::Fingerprinter(load_model_of(index, format), device);
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

Searcher::Searcher(const IndexStore& store, const MatcherOptions& options, QueryOptions query, double query_hop_s)
    : store_(store), query_(query), recognizer_(make_recognizer(store, options, query.stretch, query_hop_s)) {}

bool Searcher::look_at(std::span<const float> pcm, Answer& answer) const {
  answer.length_s = static_cast<double>(pcm.size()) / store_.format().sample_rate;
  if (pcm.empty()) {
    answer.error = "the query is empty";
    return false;
  }
  answer.whole = answer.length_s <= query_.whole_s;
  if (is_silent(pcm)) {
    answer.note = "silent: nothing to recognise";
    return false;
  }
  if (static_cast<std::int64_t>(pcm.size()) < store_.format().segment_samples) {
    answer.note = str("shorter than one fingerprint (", store_.format().segment_seconds(),
                      " s): filled up with silence, so the answer is less certain");
  }
  return true;
}

void Searcher::search_for(std::span<const float> pcm, Answer& answer) const {
  try {
    if (answer.whole) {
      answer.matches = recognizer_->match({&pcm, 1}).front();
    } else {
      answer.stretches = recognizer_->stretches(pcm);
    }
  } catch (const DeviceFailure&) {  // no query can be answered any more
    throw;
  } catch (const Error& error) {
    answer.error = error.what();
  }
}

void Searcher::search_for_all(const std::vector<Recording*>& short_ones) const {
  try {
    std::vector<std::span<const float>> waveforms;
    waveforms.reserve(short_ones.size());
    for (const Recording* recording : short_ones) {
      waveforms.emplace_back(recording->samples);
    }
    const std::vector<std::vector<Match>> matches = recognizer_->match(waveforms);
    for (std::size_t i = 0; i < short_ones.size(); ++i) {
      short_ones[i]->answer.matches = matches[i];
    }
  } catch (const DeviceFailure&) {
    throw;
  } catch (const Error&) {  // one of them is bad, or they are too many together: each by itself says which
    for (Recording* recording : short_ones) {
      search_for(recording->samples, recording->answer);
    }
  }
}

Searcher::Recording Searcher::open(const std::filesystem::path& file) const {
  const TraceRange range("decode");
  Recording recording;
  Answer& answer = recording.answer;
  try {
    data::DecodedAudio audio = data::decode_file(file, {store_.format().sample_rate, data::Channel::mean, false});
    recording.searched_for = look_at(audio.samples, answer);
    recording.samples = std::move(audio.samples);
    if (!audio.problem.empty()) {
      answer.note += (answer.note.empty() ? "" : "; ") + audio.problem;
    }
  } catch (const Error& error) {
    answer.error = error.what();
  }
  answer.path = file.string();
  return recording;
}

Answer Searcher::answer(std::span<const float> pcm) const {
  Answer answer;
  if (look_at(pcm, answer)) {
    search_for(pcm, answer);
  }
  return answer;
}

Answer Searcher::answer(const std::filesystem::path& file) const {
  return answer(std::span<const std::filesystem::path>(&file, 1)).front();
}

std::vector<Answer> Searcher::answer(std::span<const std::filesystem::path> files) const {
  std::vector<Recording> recordings;
  recordings.reserve(files.size());
  std::vector<Recording*> short_ones;
  for (const std::filesystem::path& file : files) {
    Recording& recording = recordings.emplace_back(open(file));
    if (recording.searched_for && recording.answer.whole) {
      short_ones.push_back(&recording);
    } else if (recording.searched_for) {
      search_for(recording.samples, recording.answer);
    }
  }
  if (!short_ones.empty()) {
    search_for_all(short_ones);
  }
  std::vector<Answer> answers;
  answers.reserve(files.size());
  for (Recording& recording : recordings) {
    answers.push_back(std::move(recording.answer));
  }
  return answers;
}

std::size_t Searcher::files_at_once(std::size_t files) const {
  constexpr std::size_t kMost = 64;
  const auto threads = static_cast<std::size_t>(num_threads());
  const bool on_cpu = store_.device().backend == Backend::cpu;
  return on_cpu ? 1 : std::clamp<std::size_t>((files + threads - 1) / threads, 1, kMost);
}

}  // namespace earmark::search
