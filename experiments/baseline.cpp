#include "experiments/baseline.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <mutex>
#include <optional>
#include <set>

#include "data/decode.h"
#include "data/progress.h"
#include "experiments/answer_cells.h"
#include "experiments/clock.h"
#include "experiments/query_groups.h"
#include "kernels/error.h"
#include "kernels/parallel.h"
#include "search/index_writer.h"
#include "search/landmark_rows.h"
#include "search/query.h"
#include "search/recognizer.h"

namespace earmark::experiments {
namespace {

namespace fs = std::filesystem;

class Baseline {
 public:
  Baseline(const search::IndexStore& store, const QuerySet& set, const BaselineOptions& options)
      : store_(store), set_(set), options_(options), contents_(contents_key(store)) {}

  // Everything that the answers depend on.
  std::string key(const QueryGroup& group) const {
    std::string out = str("landmarks, version 1; ", to_text(store_.format().landmarks.value()), "; database ",
                          contents_, "; lengths");
    for (const double length_s : options_.lengths_s) {
      out += str(' ', length_s);
    }
    if (store_.calibration()) {
      out += "; calibration " + to_json(*store_.calibration());
    }
    return out + "; queries " + queries_key(set_, group);
  }

  AnswerCell search(const QueryGroup& group, data::Progress& progress) {
    if (!recognizer_) {
      recognizer_ = search::make_recognizer(store_, {}, {}, 0);
    }
    AnswerCell cell(options_.lengths_s.size(), group.queries.size());
    const double begun = now_s();
    std::mutex mutex;
    parallel_for(static_cast<std::int64_t>(group.queries.size()), [&](std::int64_t i) {
      const auto at = static_cast<std::size_t>(i);
      const std::vector<Answer> answers = ask(set_.queries[group.queries[at]]);
      const std::scoped_lock lock(mutex);
      for (std::size_t length = 0; length < answers.size(); ++length) {
        cell.answers[kScored][length][at] = answers[length];
      }
      progress.add();
    });
    cell.search_s = now_s() - begun;
    return cell;
  }

 private:
  /// By length; no answer to one that the query has not.
  std::vector<Answer> ask(const Query& query) const {
    const int rate = store_.format().sample_rate;
    const fs::path file = set_.folder / query.path;
    const std::vector<float> pcm = data::decode_audio(file, rate);
    check(!pcm.empty(), file.string(), ": no sound");
    std::vector<Answer> answers;
    for (const double length_s : options_.lengths_s) {
      if (has_length(query, length_s)) {
        const auto samples = std::min(pcm.size(), static_cast<std::size_t>(std::llround(length_s * rate)));
        const std::span<const float> beginning = std::span(pcm).first(samples);
        answers.push_back(answer_of(recognizer_->match({&beginning, 1}).front()));
      } else {
        answers.emplace_back();
      }
    }
    return answers;
  }

  const search::IndexStore& store_;
  const QuerySet& set_;
  const BaselineOptions& options_;
  std::string contents_;
  std::unique_ptr<search::Recognizer> recognizer_;  // only where something is to be searched
};

// The tracks of another index, as files to index.
std::vector<search::AudioSource> sources_of(const search::IndexStore& store) {
  std::vector<search::AudioSource> out;
  for (const search::Track& track : store.tracks()) {
    out.push_back({fs::path(track.folder) / track.path, track.folder, track.path, track.title, track.artist});
  }
  return out;
}

// All have the same tracks to find: what an earlier run left of others goes.
void remove_others(search::IndexWriter& writer, const std::vector<search::AudioSource>& sources) {
  std::set<fs::path> wanted;
  for (const search::AudioSource& source : sources) {
    wanted.insert(source.file);
  }
  std::vector<std::int64_t> others;
  for (const search::Track& track : writer.tracks()) {
    if (!wanted.contains(fs::path(track.folder) / track.path)) {
      others.push_back(track.id);
    }
  }
  if (!others.empty()) {
    writer.remove(others);
  }
}

search::IndexReport index_tracks(search::IndexWriter& writer, const search::IndexStore& store,
                                 const search::Embedder& embedder, bool progress) {
  const std::vector<search::AudioSource> sources = sources_of(store);
  search::IndexerOptions indexing;
  indexing.progress = progress;
  const search::IndexReport report = search::add_audio(writer, sources, embedder, indexing);
  remove_others(writer, sources);
  return report;
}

/// Asking a query at one length stands for its share of all lengths' sound.
double share_of_longest(const std::vector<double>& lengths_s) {
  double sum = 0;
  for (const double length_s : lengths_s) {
    sum += length_s;
  }
  return lengths_s.back() / sum;
}

}  // namespace

search::IndexReport index_landmarks(const fs::path& folder, const std::string& setting, const search::IndexStore& store,
                                    bool progress) {
  const search::LandmarkOptions options = search::landmark_setting(setting);
  fs::create_directories(folder.parent_path());
  search::IndexWriter writer = search::IndexWriter::create(folder, {}, search::landmark_format(options));
  return index_tracks(
      writer, store, [&](std::span<const float> pcm) { return search::rows_of(search::landmarks(pcm, options)); },
      progress);
}

search::IndexReport index_model(const fs::path& folder, const fs::path& model_file,
                                const nn::Fingerprinter& fingerprinter, int hop_frames, const search::IndexStore& store,
                                bool progress) {
  fs::create_directories(folder.parent_path());
  search::IndexWriter writer = search::IndexWriter::create(
      folder, model_file,
      search::format_of(fingerprinter.model(), hop_frames, search::Precision::fp32, search::ScaleMode::row));
  return index_tracks(
      writer, store, [&](std::span<const float> pcm) { return fingerprinter.fingerprints(pcm, hop_frames); }, progress);
}

SystemAnswers answers_of_baseline(const std::string& name, const search::IndexStore& store, const QuerySet& set,
                                  const BaselineOptions& options, BaselineCells& cells) {
  SystemAnswers out{name, "", "", {}, {}};
  out.places.assign(options.lengths_s.size(), std::vector<Answer>(set.queries.size()));
  Baseline baseline(store, set, options);
  data::Progress progress("searching", static_cast<std::int64_t>(set.queries.size()), "queries", options.progress);
  double seconds = 0;
  for (const QueryGroup& group : groups_of(set)) {
    const std::string key = baseline.key(group);
    const fs::path file = cell_file(options.cells, group.label + ".landmarks", key);
    std::optional<AnswerCell> cell;
    if (!options.cells.empty()) {
      cell = read_cell(file, key, options.lengths_s.size(), group.queries.size());
    }
    ++cells.all;
    if (cell) {
      progress.add(static_cast<std::int64_t>(group.queries.size()));
    } else {
      ++cells.searched;
      cell = baseline.search(group, progress);
      if (!options.cells.empty()) {
        write_cell(file, key, *cell);
      }
    }
    for (std::size_t length = 0; length < options.lengths_s.size(); ++length) {
      for (std::size_t i = 0; i < group.queries.size(); ++i) {
        out.places[length][group.queries[i]] = cell->answers[kScored][length][i];
      }
    }
    seconds += cell->search_s;
  }
  const auto n = static_cast<double>(std::max<std::size_t>(1, set.queries.size()));
  out.seconds = seconds * share_of_longest(options.lengths_s) / n;
  out.bytes_per_hour = bytes_per_hour(store);
  return out;
}

std::vector<SystemAnswers> answers_of_model(const std::string& name, const search::IndexStore& store,
                                            const nn::Fingerprinter& fingerprinter, const QuerySet& set,
                                            EvaluationOptions options, BaselineCells& cells) {
  options.lsh = false;
  options.query_hop_s = 0;
  options.sequence = has_sequence_search(fingerprinter.model());
  Evaluation evaluation = evaluate(set, fingerprinter, {&store}, options).front();
  cells = {evaluation.cells, evaluation.searched};
  std::vector<SystemAnswers> out;
  for (SystemAnswers& system : evaluation.systems) {
    if (system.ranking != "vote") {
      system.name = system.ranking == "sequence" ? by_sequence(name) : name;
      system.method.clear();
      system.ranking.clear();
      out.push_back(std::move(system));
    }
  }
  return out;
}

bool has_sequence_search(const nn::Model& model) { return model.options.type == "nafp"; }

std::string by_sequence(const std::string& name) { return name + ", sequence search"; }

}  // namespace earmark::experiments
