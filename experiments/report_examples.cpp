#include "experiments/report_examples.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "data/audio_files.h"
#include "data/decode.h"
#include "experiments/report_sound.h"
#include "kernels/error.h"
#include "search/candidates.h"
#include "search/exact.h"
#include "search/query.h"

namespace earmark::experiments {
namespace {

std::uint8_t step_of(double value, double low, double high) {
  const double share = high > low ? (value - low) / (high - low) : 0;
  return static_cast<std::uint8_t>(std::lround(255 * std::clamp(share, 0.0, 1.0)));
}

// Seconds [start, start + length) of a file, or what there is of them.
std::vector<float> excerpt(const std::filesystem::path& file, double start_s, double length_s, int sample_rate) {
  data::AudioStream stream(file, {.sample_rate = sample_rate});
  auto left = static_cast<std::size_t>(std::llround(std::max(0.0, start_s) * sample_rate));
  std::vector<float> samples(std::size_t{1} << 16U);
  while (left > 0) {
    const std::size_t got = stream.read(std::span(samples).first(std::min(left, samples.size())));
    if (got == 0) {
      return {};
    }
    left -= got;
  }
  samples.resize(static_cast<std::size_t>(std::llround(length_s * sample_rate)));
  samples.resize(stream.read(samples));
  return samples;
}

// "block3.attention2" as it is shown.
std::string shown_module(const std::string& module) {
  std::string out = module;
  const auto replace = [&](const std::string& from, const std::string& to) {
    if (const std::size_t at = out.find(from); at != std::string::npos) {
      out.replace(at, from.size(), to);
    }
  };
  replace("block", "block ");
  replace(".attention1", ", first");
  replace(".attention2", ", second");
  return out;
}

std::string place_text(const std::string& track, double start_s) {
  return data::printable(track) + " at " + fixed(start_s, 2) + " s";
}

std::string condition_text(const Query& query) {
  std::string out = query.condition;
  if (const std::size_t plus = out.find('+'); plus != std::string::npos) {
    out.replace(plus, 1, " + ");
  }
  out += query.snr_db ? str(", ", *query.snr_db, " dB") : "";
  out += query.rt60_s ? str(", RT60 ", *query.rt60_s, " s") : "";
  return out + (query.noise_kind.empty() ? "" : ", " + query.noise_kind);
}

std::string verdict_text(const Verdict& verdict) {
  return verdict.place        ? "found"
         : verdict.same_sound ? "found, at a place that sounds the same"
         : verdict.file       ? "wrong place of the right track"
                              : "wrong track";
}

class ExampleMaker {
 public:
  ExampleMaker(const Results& results, const ExampleSources& sources)
      : results_(results),
        sources_(sources),
        system_(headline_system(results.evaluation)),
        length_(headline_length(results)),
        length_s_(results.evaluation.lengths_s[length_]),
        ratio_(search::query_ratio(sources.store.format(), sources.query_hop_s)) {}

  Example make(std::size_t q) const {
    const Query& query = results_.set.queries[q];
    const Answer& answer = results_.evaluation.systems[system_].places[length_][q];
    const Verdict& verdict = results_.verdicts[system_][length_][q];
    Example out;
    out.right = verdict.same_sound;
    out.title = condition_text(query) + ": " + data::printable(query.track);
    out.verdict = verdict_text(verdict);
    out.text = "Played: " + place_text(query.track, query.start_s) +
               ". Answer: " + (answer.track.empty() ? "none" : place_text(answer.track, answer.start_s)) + ", score " +
               fixed(answer.score, 3) + ". Query " + query.id + ".";
    const std::vector<float> pcm = query_sound(query);
    out.sounds.push_back(heard("the query", pcm));
    add_excerpt(out, "what was played, undistorted", query.track, query.start_s);
    if (!verdict.place && !answer.track.empty()) {
      add_excerpt(out, "what was found", answer.track, answer.start_s);
    }
    add_votes(out, pcm, query, answer);
    return out;
  }

 private:
  int rate() const { return sources_.fingerprinter.model().features.sample_rate; }

  std::vector<float> query_sound(const Query& query) const {
    std::vector<float> pcm = data::decode_audio(results_.set.folder / query.path, rate());
    pcm.resize(std::min(pcm.size(), static_cast<std::size_t>(std::llround(length_s_ * rate()))));
    return pcm;
  }

  // Segments side by side, as many as are whole.
  std::vector<AttentionPicture> attention_of(const Tensor& log_mel) const {
    const nn::Model& model = sources_.fingerprinter.model();
    const std::int64_t count = log_mel.dim(0) / model.features.frames;
    std::vector<AttentionPicture> out;
    if (count > 0) {
      const Tensor segments = segments_of(log_mel, model.features, 0, count, model.features.frames);
      for (const nn::AttentionMaps& maps : model.encoder->attention_maps(segments)) {
        out.push_back(attention_picture(maps, count * model.features.frames));
      }
    }
    return out;
  }

  Heard heard(const std::string& title, const std::vector<float>& pcm) const {
    const nn::Model& model = sources_.fingerprinter.model();
    const Tensor spectrogram = log_mel(pcm, model.features, sources_.fingerprinter.device());
    return {title, sound_uri(pcm, rate()), spectrogram_picture(spectrogram.to(Device{}), model.features.compression),
            attention_of(spectrogram)};
  }

  void add_excerpt(Example& out, const std::string& title, const std::string& track, double start_s) const {
    const auto file = sources_.find_track(track);
    if (!file) {
      return;
    }
    try {
      const std::vector<float> pcm = excerpt(*file, start_s, length_s_, rate());
      if (!pcm.empty()) {
        out.sounds.push_back(heard(title, pcm));
      }
    } catch (const Error&) {
      // The track has gone or is damaged: it cannot be shown, and that is all.
      return;
    }
  }

  void add_votes(Example& out, const std::vector<float>& pcm, const Query& query, const Answer& answer) const {
    const search::IndexStore& store = sources_.store;
    const int hop_frames = search::hop_frames_of(sources_.fingerprinter.model(), store.format()) / ratio_;
    const Tensor rows = sources_.fingerprinter.fingerprints(pcm, hop_frames);
    const search::Neighbours near = search::exact_search(store.database(), rows, sources_.neighbours);
    const search::QueryRange whole{0, rows.dim(0)};
    out.answer_s = answer.start_s;
    out.hop_s = store.format().hop_seconds() / ratio_;
    const std::vector<std::vector<search::Candidate>> proposed =
        search::proposals(store.database(), near, std::span(&whole, 1), ratio_);
    for (const search::Candidate& candidate : proposed.front()) {
      const search::TrackRows& track = store.database().tracks()[candidate.track];
      const std::string& name = store.track(track.track_id).path;
      const double start_s = static_cast<double>(candidate.start - track.first * ratio_) * out.hop_s;
      if (name == answer.track) {
        out.found.push_back({start_s, candidate.votes});
      } else if (name == query.track) {
        out.played.push_back({start_s, candidate.votes});
      }
    }
  }

  const Results& results_;
  const ExampleSources& sources_;
  std::size_t system_;
  std::size_t length_;
  double length_s_;
  int ratio_;
};

nlohmann::json picture_json(const Picture& picture) {
  return {{"rows", picture.rows},
          {"columns", picture.columns},
          {"low", picture.low},
          {"high", picture.high},
          {"values", base64(picture.values)}};
}

nlohmann::json heard_json(const Heard& heard) {
  nlohmann::json attention = nlohmann::json::array();
  for (const AttentionPicture& map : heard.attention) {
    nlohmann::json one = picture_json(map.gain);
    one["name"] = map.module;
    one["covers"] = map.frames;
    attention.push_back(std::move(one));
  }
  return {{"title", heard.title},
          {"sound", heard.sound},
          {"spectrogram", picture_json(heard.spectrogram)},
          {"attention", attention}};
}

nlohmann::json votes_json(const std::vector<PlaceVotes>& places) {
  nlohmann::json out = nlohmann::json::array();
  for (const PlaceVotes& place : places) {
    out.push_back({place.start_s, place.votes});
  }
  return out;
}

}  // namespace

AttentionPicture attention_picture(const nn::AttentionMaps& maps, std::int64_t frames) {
  const Tensor spectral = maps.spectral.to(Device{}).to(DType::f32);
  const Tensor temporal = maps.temporal.to(Device{}).to(DType::f32);
  const std::int64_t channels = spectral.dim(2);
  AttentionPicture out{shown_module(maps.module), {}, frames};
  Picture& picture = out.gain;
  picture.rows = spectral.dim(1);
  picture.columns = spectral.dim(0) * temporal.dim(1);
  std::vector<double> gains;
  for (std::int64_t f = 0; f < picture.rows; ++f) {
    for (std::int64_t column = 0; column < picture.columns; ++column) {
      const std::int64_t n = column / temporal.dim(1);
      const float* row = spectral.data<float>() + (n * picture.rows + f) * channels;
      const float* frame = temporal.data<float>() + column * channels;
      double sum = 0;
      for (std::int64_t c = 0; c < channels; ++c) {
        sum += static_cast<double>(row[c]) * frame[c];
      }
      gains.push_back(sum * maps.scale / static_cast<double>(channels));
    }
  }
  picture.low = *std::min_element(gains.begin(), gains.end());
  picture.high = *std::max_element(gains.begin(), gains.end());
  std::transform(gains.begin(), gains.end(), std::back_inserter(picture.values),
                 [&](double gain) { return step_of(gain, picture.low, picture.high); });
  return out;
}

Picture spectrogram_picture(const Tensor& log_mel, FeatureOptions::Compression compression) {
  const std::span<const float> values = log_mel.values<float>();
  const double db = compression == FeatureOptions::Compression::log_magnitude ? 20 : 1;  // a magnitude's log10
  const auto [lowest, highest] = std::minmax_element(values.begin(), values.end());
  Picture out;
  out.rows = log_mel.dim(1);
  out.columns = log_mel.dim(0);
  out.high = db * *highest;
  out.low = std::max(db * *lowest, out.high - kDepthDb);
  for (std::int64_t band = 0; band < out.rows; ++band) {
    for (std::int64_t frame = 0; frame < out.columns; ++frame) {
      const double value = db * values[static_cast<std::size_t>(frame * out.rows + band)];
      out.values.push_back(step_of(value, out.low, out.high));
    }
  }
  return out;
}

std::vector<Example> make_examples(const Results& results, const std::vector<std::size_t>& queries,
                                   const ExampleSources& sources) {
  std::vector<Example> out;
  out.reserve(queries.size());
  for (const std::size_t q : queries) {
    out.push_back(ExampleMaker(results, sources).make(q));
  }
  return out;
}

std::string examples_json(const std::vector<Example>& examples) {
  nlohmann::json out = nlohmann::json::array();
  for (const Example& example : examples) {
    nlohmann::json sounds = nlohmann::json::array();
    std::transform(example.sounds.begin(), example.sounds.end(), std::back_inserter(sounds), heard_json);
    out.push_back({{"title", example.title},
                   {"verdict", example.verdict},
                   {"text", example.text},
                   {"right", example.right},
                   {"sounds", sounds},
                   {"votes",
                    {{"answer_s", example.answer_s},
                     {"hop_s", example.hop_s},
                     {"found", votes_json(example.found)},
                     {"played", votes_json(example.played)}}}});
  }
  return out.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace earmark::experiments
