#include "experiments/ablations.h"

#include <algorithm>
#include <cmath>
#include <iterator>

#include "experiments/answer_cells.h"
#include "experiments/test_database.h"
#include "kernels/atomic_file.h"
#include "kernels/error.h"
#include "search/query.h"
#include "train/data_sources.h"
#include "train/run.h"

namespace earmark::experiments {
namespace {

namespace fs = std::filesystem;
constexpr const char* kTraining = "training";
constexpr const char* kSearch = "search";
constexpr const char* kUnchanged = "nothing";

// The assignments of "a.b=c & d.e=f".
std::vector<std::string> assignments(const std::string& variation) {
  std::vector<std::string> out;
  for (std::size_t begin = 0; begin < variation.size();) {
    const std::size_t end = std::min(variation.find(" & ", begin), variation.size());
    out.push_back(variation.substr(begin, end - begin));
    begin = end + 3;
  }
  return out;
}

AblationRun plan_run(const AblationRequest& request, const std::string& variation, std::uint64_t seed) {
  std::vector<std::string> overrides = request.overrides;
  const std::vector<std::string> changes = assignments(variation);
  overrides.insert(overrides.end(), changes.begin(), changes.end());
  overrides.push_back(str("train.seed=", seed));
  train::Config config = train::Config::load(request.config, overrides);
  AblationRun run{variation, seed, train::read_train_options(config), {}};
  run.config = config.resolved();  // without what is not of the training
  config.skip("reproduce");
  config.finish();
  train::check_train_options(config, run.options);
  return run;
}

// From the newest checkpoint where there is one; false where it was stopped.
bool train_model(const AblationRun& run, const fs::path& folder, const AblationRequest& request,
                 const std::atomic<bool>& stop, const Say& say) {
  const bool begun = fs::exists(folder / "config.yaml");
  train::RunFolder place = begun ? train::RunFolder::open(folder) : train::RunFolder::create(folder, run.config);
  if (begun) {
    place.claim();
  }
  const train::TrainingData data = train::open_training_data(run.options, say);
  place.write_skipped(data.skipped);
  return !train::run_training(run.options, data, place, stop, request.device, request.progress).interrupted;
}

// Everything but the trainings: one object for all of them, so that all are asked the same queries.
class Ablation {
 public:
  Ablation(const ReproduceOptions& options, const AblationRequest& request, const Say& say)
      : options_(options), request_(request), say_(say) {
    if (options_.precisions.empty()) {
      options_.precisions.push_back(search::Precision::fp32);
    }
    results_.seeds = options.ablations.seeds.size();
  }

  // The unchanged encoder is searched in all ways, the others in the first.
  void search(const AblationRun& run, const fs::path& folder) {
    const bool unchanged = run.variation.empty();
    const fs::path model_file = folder / "model.safetensors";
    const nn::Fingerprinter fingerprinter(nn::load_model(model_file), request_.device);
    const FeatureOptions& features = fingerprinter.model().features;
    const std::string hash = nn::model_hash(fingerprinter.model()).substr(0, 8);
    std::vector<int> hops = {features.hop_frames};
    for (const double hop_s : unchanged ? options_.ablations.hops_s : std::vector<double>{}) {
      const int frames = frames_of(hop_s, features);
      if (std::find(hops.begin(), hops.end(), frames) == hops.end()) {
        hops.push_back(frames);
      }
    }
    for (const int hop : hops) {
      const fs::path index = request_.out / str("index-", hash, '-', hop);
      index_database(index, database_sources(options_.database), model_file, fingerprinter, hop, request_.progress,
                     say_);
      const search::IndexStore store = search::IndexStore::open(index);
      open_set(store);
      const bool own_hop = hop == features.hop_frames;
      const std::vector<Evaluation> evaluations = evaluate_all(store, fingerprinter, unchanged && own_hop);
      if (own_hop) {
        add_own_hop(run, folder, evaluations);
      } else {
        add(kSearch, str("hop ", fingerprinter.hop_seconds(hop), " s"), run, folder, evaluations.front(), 0);
      }
    }
  }

  const AblationResults& results() const { return results_; }

 private:
  static int frames_of(double hop_s, const FeatureOptions& features) {
    const double frames = hop_s * features.sample_rate / features.hop;
    const auto whole = static_cast<int>(std::lround(frames));
    check(whole >= 1 && std::abs(frames - whole) < 1e-6, "reproduce.ablations.hops_s: ", hop_s,
          " s is not a whole number of frames");
    return whole;
  }

  // The queries with noise + reverb; made from the first index, and the same for all that follow.
  void open_set(const search::IndexStore& store) {
    if (!set_.queries.empty()) {
      return;
    }
    QueryOptions making = options_.queries;
    making.progress = request_.progress;
    const QuerySet all = open_queries(request_.queries, request_.out / "queries", making, store, say_);
    set_ = queries_with(all, data::DistortionKind::noise_reverb);
    check(!set_.queries.empty(), set_.folder.string(), ": no queries with noise + reverb");
    EvaluationOptions& evaluation = options_.evaluation;
    evaluation.lengths_s = usable_lengths(set_, evaluation.lengths_s);
    check(!evaluation.lengths_s.empty(), "no query is as long as the shortest of reproduce.lengths_s");
    evaluation.cells = request_.out / "cells";
    evaluation.progress = request_.progress;
    evaluation.query_hop_s = 0;
    describe(store);
  }

  void describe(const search::IndexStore& store) {
    double hours = 0;
    for (const search::Track& track : store.tracks()) {
      hours += track.duration_s / 3600;
    }
    results_.lengths_s = options_.evaluation.lengths_s;
    results_.place_lengths_s = usable_lengths(set_, options_.place_lengths_s);
    Results lengths;  // the tables' own rule
    lengths.evaluation.lengths_s = results_.lengths_s;
    lengths.track_lengths_s = usable_lengths(set_, options_.track_lengths_s);
    results_.headline_s = results_.lengths_s[headline_length(lengths)];
    results_.setting =
        str("Database: ", store.tracks().size(), " tracks, ", fixed(hours, 1), " h. Queries: ",
            request_.queries.empty() ? str(options_.queries.excerpts, " random excerpts, seed ", options_.queries.seed)
                                     : request_.queries.string(),
            ", each with noise + reverb at four ratios.");
  }

  // By the first precision alone and exactly, or by all and by LSH as well.
  std::vector<Evaluation> evaluate_all(const search::IndexStore& store, const nn::Fingerprinter& fingerprinter,
                                       bool all_ways) {
    std::vector<search::IndexStore> stores;
    const std::size_t count = all_ways ? options_.precisions.size() : 1;
    for (std::size_t i = 0; i < count; ++i) {
      stores.push_back(stored_as(store, options_.precisions[i], request_.out, request_.device));
    }
    std::vector<Evaluation> out;
    EvaluationOptions evaluation = options_.evaluation;
    for (std::size_t i = 0; i < count; ++i) {
      evaluation.lsh = options_.evaluation.lsh && all_ways && i == 0;
      out.push_back(evaluate(set_, fingerprinter, {&stores[i]}, evaluation).front());
    }
    int cells = 0;
    int searched = 0;
    for (const Evaluation& one : out) {
      cells += one.cells;
      searched += one.searched;
    }
    say_(str("search: ", searched, " cells searched, ", cells - searched, " were there"));
    return out;
  }

  void add_own_hop(const AblationRun& run, const fs::path& folder, const std::vector<Evaluation>& evaluations) {
    const bool unchanged = run.variation.empty();
    add(kTraining, unchanged ? kUnchanged : run.variation, run, folder, evaluations.front(), 0);
    for (std::size_t s = 1; unchanged && s < evaluations.front().systems.size(); ++s) {
      add(kSearch, evaluations.front().systems[s].name, run, folder, evaluations.front(), s);
    }
    for (std::size_t i = 1; i < evaluations.size(); ++i) {
      add(kSearch, std::string(search::name_of(options_.precisions[i])), run, folder, evaluations[i], 0);
    }
  }

  void add(const std::string& group, const std::string& label, const AblationRun& run, const fs::path& folder,
           const Evaluation& evaluation, std::size_t system) {
    AblationMeasured one = measured(set_, evaluation, system);
    one.seed = run.seed;
    one.run = folder.lexically_relative(request_.out).string();
    results_.row(group, label).by_seed.push_back(std::move(one));
  }

  ReproduceOptions options_;
  const AblationRequest& request_;
  const Say& say_;
  QuerySet set_;
  AblationResults results_;
};

// Rows in the order of the table: all of the training first.
AblationResults sorted(AblationResults results) {
  std::stable_partition(results.rows.begin(), results.rows.end(),
                        [](const AblationRow& row) { return row.group == kTraining; });
  return results;
}

}  // namespace

fs::path AblationRun::folder() const {
  return fs::path("runs") / str("seed-", seed, '-', short_hash(config).substr(0, 12));
}

std::vector<AblationRun> plan_runs(const AblationOptions& options, const AblationRequest& request, std::uint64_t seed) {
  std::vector<AblationRun> out = {plan_run(request, "", seed)};
  for (const std::string& variation : options.variations) {
    out.push_back(plan_run(request, variation, seed));
  }
  return out;
}

std::optional<std::string> ablate(const ReproduceOptions& options, const AblationRequest& request,
                                  const std::atomic<bool>& stop, const Say& say) {
  const std::vector<std::uint64_t>& seeds = options.ablations.seeds;
  std::vector<AblationRun> runs;  // a wrong variation is told before the first training
  for (const std::uint64_t seed : seeds) {
    const std::vector<AblationRun> more = plan_runs(options.ablations, request, seed);
    std::move(more.begin(), more.end(), std::back_inserter(runs));
  }
  database_sources(options.database);
  Ablation ablation(options, request, say);
  for (std::size_t i = 0; i < runs.size(); ++i) {
    const fs::path folder = request.out / runs[i].folder();
    const bool trained = fs::exists(folder / "model.safetensors");
    say(str("run ", i + 1, " of ", runs.size(), ": ", runs[i].variation.empty() ? "as configured" : runs[i].variation,
            ", seed ", runs[i].seed, trained ? ": was there" : ""));
    if ((!trained && !train_model(runs[i], folder, request, stop, say)) || stop) {
      return std::nullopt;
    }
    ablation.search(runs[i], folder);
    if (stop) {
      return std::nullopt;
    }
    // After every seed there is a table to look at.
    if ((i + 1) % (runs.size() / seeds.size()) == 0) {
      const AblationResults results = sorted(ablation.results());
      write_file_atomically(request.out / "ablations.md", std::string_view(ablations_markdown(results)));
      write_file_atomically(request.out / "ablations.json", std::string_view(ablations_json(results)));
    }
  }
  return ablations_markdown(sorted(ablation.results()));
}

}  // namespace earmark::experiments
