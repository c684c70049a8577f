#include "experiments/other_systems.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <set>
#include <utility>

#include "experiments/baseline.h"
#include "experiments/known_answers.h"
#include "kernels/error.h"

namespace earmark::experiments {
namespace {

namespace fs = std::filesystem;
std::string landmark_name(const std::string& setting) { return "landmarks (audfprint), " + setting; }

void say_what_was_done(const std::string& name, const search::IndexReport& report, const BaselineCells& cells,
                       const Say& say) {
  say(str(name, ": ", report.added, " tracks added, ", report.unchanged, " were there, ", report.skipped.size(),
          " skipped; ", cells.searched, " cells searched, ", cells.all - cells.searched, " were there"));
}

// A folder's name of any text, short and readable; different texts may share it.
std::string plain(const std::string& name) {
  std::string out;
  for (const char c : name.substr(0, 40)) {
    const bool kept = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-';
    out += kept ? c : '_';
  }
  return out;
}

void add_landmarks(const std::string& setting, const fs::path& out, const search::IndexStore& store,
                   const QuerySet& set, const EvaluationOptions& options, Evaluation& evaluation, const Say& say) {
  const BaselineOptions baseline{options.lengths_s, options.cells, options.progress};
  const fs::path folder = out / ("index-landmarks-" + setting);
  const search::IndexReport report = index_landmarks(folder, setting, store, options.progress);
  BaselineCells cells;
  evaluation.systems.push_back(
      answers_of_baseline(landmark_name(setting), search::IndexStore::open(folder), set, baseline, cells));
  say_what_was_done("landmarks, " + setting, report, cells, say);
}

// Whole frames of the model, at least one.
int frames_of(double hop_s, const FeatureOptions& features) {
  const double frame_s = static_cast<double>(features.hop) / features.sample_rate;
  return std::max(1, static_cast<int>(std::lround(hop_s / frame_s)));
}

void add_model(const train::NamedPath& model, double hop_s, const fs::path& out, const search::IndexStore& store,
               Device device, const QuerySet& set, const EvaluationOptions& options, Evaluation& evaluation,
               const Say& say) {
  const nn::Fingerprinter fingerprinter(nn::load_model(model.path), device);
  const int hop_frames = frames_of(hop_s > 0 ? hop_s : store.format().hop_seconds(), fingerprinter.model().features);
  const std::string hash = nn::model_hash(fingerprinter.model()).substr(0, 8);
  const fs::path folder = out / str("index-", plain(model.name), '-', hash, "-every-", hop_frames);
  const search::IndexReport report =
      index_model(folder, model.path, fingerprinter, hop_frames, store, options.progress);
  BaselineCells cells;
  std::vector<SystemAnswers> answers = answers_of_model(
      model.name, search::IndexStore::open(folder, {.device = device}), fingerprinter, set, options, cells);
  std::move(answers.begin(), answers.end(), std::back_inserter(evaluation.systems));
  say_what_was_done(model.name, report, cells, say);
}

// Answers that do not fit the queries are no reason to stop: a configuration brings them, whatever it is used for.
void add_answers(const train::NamedPath& file, const QuerySet& set, Evaluation& evaluation, const Say& say) {
  SystemAnswers system{file.name, "", "", {}, {}};
  if (!holds_known_answers(file.path)) {
    // Another program was asked the queries as they are: its answers count at the full length.
    system.places.resize(evaluation.lengths_s.size());
    system.places.back() = read_answers(file.path, set);
    evaluation.systems.push_back(std::move(system));
    return;
  }
  FittedAnswers known = fit(read_known_answers(file.path), set, evaluation.lengths_s);
  if (!known.left_out.empty()) {
    evaluation.left_out.push_back(
        str(file.name, ": no row from the answers in ", file.path.filename().string(), ": ", known.left_out));
    say(evaluation.left_out.back());
    return;
  }
  system.name += " (earlier)";
  system.earlier = true;
  system.places = std::move(known.places);
  evaluation.systems.push_back(std::move(system));
  say(file.name + ": answers from earlier, to the same queries");
}

}  // namespace

void check_other_systems(const OtherSystems& others) {
  std::set<std::string> taken = {"ours", "exact, scored", "exact, vote", "LSH, scored", "LSH, vote", "paper"};
  const auto take = [&](const std::string& name) {
    check(taken.insert(name).second, "there are two rows called '", name, "': give one another name");
  };
  for (const std::string& setting : others.landmarks) {
    take(landmark_name(setting));
  }
  for (const train::NamedPath& model : others.models) {
    take(model.name);
    if (has_sequence_search(nn::load_model(model.path))) {
      take(by_sequence(model.name));
    }
  }
  for (const train::NamedPath& answers : others.answers) {
    take(answers.name);
    if (holds_known_answers(answers.path)) {
      read_known_answers(answers.path);
    }
  }
}

void add_other_systems(const OtherSystems& others, const fs::path& out, const search::IndexStore& store, Device device,
                       const QuerySet& set, const EvaluationOptions& options, Evaluation& evaluation, const Say& say) {
  for (const train::NamedPath& model : others.models) {
    add_model(model, others.models_hop_s, out, store, device, set, options, evaluation, say);
  }
  for (const std::string& setting : others.landmarks) {
    add_landmarks(setting, out, store, set, options, evaluation, say);
  }
  for (const train::NamedPath& answers : others.answers) {
    add_answers(answers, set, evaluation, say);
  }
}

}  // namespace earmark::experiments
