#include "experiments/reproduce.h"

#include <algorithm>
#include <sstream>

#include "experiments/known_answers.h"
#include "experiments/other_systems.h"
#include "experiments/report.h"
#include "experiments/tables.h"
#include "experiments/test_database.h"
#include "kernels/atomic_file.h"
#include "kernels/error.h"
#include "search/query.h"

namespace earmark::experiments {
namespace {

namespace fs = std::filesystem;
// What is in it already is kept, and another model's gets another folder.
fs::path own_index(const ReproduceOptions& options, const ReproduceRequest& request,
                   const nn::Fingerprinter& fingerprinter, const Say& say) {
  const fs::path folder = request.out / ("index-" + nn::model_hash(fingerprinter.model()).substr(0, 8));
  index_database(folder, database_sources(options.database), request.model, fingerprinter, 0, request.progress, say);
  return folder;
}

// Those of the configuration, and those of the command line.
OtherSystems others_of(const ReproduceOptions& options, const ReproduceRequest& request) {
  OtherSystems out{options.landmarks, options.models, options.answers, options.models_hop_s};
  out.answers.insert(out.answers.end(), request.answers.begin(), request.answers.end());
  out.models.insert(out.models.end(), request.compared.begin(), request.compared.end());
  return out;
}

Setting setting_of(const ReproduceOptions& options, const ReproduceRequest& request, const search::IndexStore& store) {
  Setting setting;
  for (const search::Track& track : store.tracks()) {
    setting.hours += track.duration_s / 3600;
  }
  setting.tracks = static_cast<std::int64_t>(store.tracks().size());
  setting.fingerprints = store.database().rows();
  setting.precision = search::name_of(store.format().precision);
  setting.query_hop_s = options.query_hops_s.front();
  setting.database = store.tracks().empty() ? "" : fs::path(store.tracks().front().folder).filename().string();
  setting.model = store.format().model_hash;
  setting.queries = request.queries.empty() ? str(options.queries.excerpts, " random excerpts, seed ",
                                                  options.queries.seed, ", each in every condition")
                                            : fs::weakly_canonical(request.queries).string();
  return setting;
}

std::string answers_tsv(const Results& results) {
  std::ostringstream out;
  out << "search\tlength_s\tquery_id\ttrack\tstart_s\tscore\tfile\tplace\tsame_sound\n";
  const Evaluation& evaluation = results.evaluation;
  for (std::size_t s = 0; s < evaluation.systems.size(); ++s) {
    for (std::size_t l = 0; l < evaluation.lengths_s.size(); ++l) {
      const std::vector<Answer>& answers = evaluation.systems[s].places[l];
      for (std::size_t q = 0; q < answers.size(); ++q) {
        const Verdict& verdict = results.verdicts[s][l][q];
        if (verdict.asked) {
          out << evaluation.systems[s].name << '\t' << evaluation.lengths_s[l] << '\t'
              << data::printable(results.set.queries[q].id) << '\t' << data::printable(answers[q].track) << '\t'
              << answers[q].start_s << '\t' << answers[q].score << '\t' << verdict.file << '\t' << verdict.place << '\t'
              << verdict.same_sound << '\n';
        }
      }
    }
  }
  return out.str();
}

// Those of the compared models, for runs without them.
void keep_answers(const Results& results, const fs::path& folder) {
  for (const SystemAnswers& system : results.evaluation.systems) {
    if (system.method.empty() && !system.earlier) {
      std::string name = system.name;
      std::replace(name.begin(), name.end(), '/', '_');
      fs::create_directories(folder);
      write_known_answers(folder / (name + ".tsv"), results.set, results.evaluation.lengths_s, system.places);
    }
  }
}

Results run(const ReproduceOptions& options, const ReproduceRequest& request,
            const std::vector<search::IndexStore>& stores, const QuerySet& set, const nn::Fingerprinter& fingerprinter,
            const Say& say) {
  std::vector<const search::IndexStore*> all;
  all.reserve(stores.size());
  for (const search::IndexStore& store : stores) {
    all.push_back(&store);
  }
  Results results;
  results.setting = setting_of(options, request, stores.front());
  results.set = set;
  EvaluationOptions evaluation = options.evaluation;
  evaluation.progress = request.progress;
  evaluation.lengths_s = usable_lengths(set, evaluation.lengths_s);
  check(!evaluation.lengths_s.empty(), "no query is as long as the shortest of reproduce.lengths_s");
  results.place_lengths_s = usable_lengths(set, options.place_lengths_s);
  results.track_lengths_s = usable_lengths(set, options.track_lengths_s);
  evaluation.cells = request.out / "cells";
  results.evaluation = evaluate(set, fingerprinter, {all.front()}, evaluation).front();
  const int searched = results.evaluation.searched;
  say(str("search: ", searched, " cells searched, ", results.evaluation.cells - searched, " were there"));
  results.choices = compare_choices(set, fingerprinter, all, options.query_hops_s, evaluation);
  add_other_systems(others_of(options, request), request.out, stores.front(), request.device, set, evaluation,
                    results.evaluation, say);
  results.verdicts = judge(set, results.evaluation, track_finder(stores.front()), request.progress, evaluation.cells);
  return results;
}

// The choices that are left open are the index's own. Throws Error where they do not fit it.
ReproduceOptions complete(ReproduceOptions options, const search::IndexFormat& format) {
  if (options.query_hops_s.empty()) {
    options.query_hops_s.push_back(format.hop_seconds());
  }
  if (options.precisions.empty()) {
    options.precisions.push_back(format.precision);
  }
  for (const double hop_s : options.query_hops_s) {
    search::query_ratio(format, hop_s);
  }
  options.evaluation.query_hop_s = options.query_hops_s.front();
  return options;
}

// The run that the model comes from, where its folder looks like one.
fs::path training_run(const ReproduceRequest& request) {
  const fs::path beside = fs::absolute(request.model).parent_path();
  return request.training_run.empty() && fs::exists(beside / "log.csv") ? beside : request.training_run;
}

std::string report(const Results& results, const ReproduceOptions& options, const ReproduceRequest& request,
                   const search::IndexStore& store, const nn::Fingerprinter& fingerprinter) {
  ReportParts parts;
  parts.training_run = training_run(request);
  parts.configuration = request.configuration;
  parts.chart_library = find_chart_library();
  parts.facts = seed_facts(options.queries.seed, parts.training_run);
  const std::vector<Fact> machine = machine_facts(request.device);
  parts.facts.insert(parts.facts.end(), machine.begin(), machine.end());
  parts.examples = make_examples(
      results, choose_examples(results, options.report_examples),
      {fingerprinter, store, track_finder(store), options.evaluation.neighbours, options.evaluation.query_hop_s});
  return report_html(results, parts);
}

}  // namespace

std::string reproduce(const ReproduceOptions& wanted, const ReproduceRequest& request, const Say& say) {
  check_other_systems(others_of(wanted, request));
  const nn::Fingerprinter fingerprinter(nn::load_model(request.model), request.device);
  const fs::path index = request.index.empty() ? own_index(wanted, request, fingerprinter, say) : request.index;
  const search::IndexStore store = search::IndexStore::open(index);
  const ReproduceOptions options = complete(wanted, store.format());
  std::vector<search::IndexStore> stores;
  for (const search::Precision precision : options.precisions) {
    stores.push_back(stored_as(store, precision, request.out, request.device));
  }
  QueryOptions making = options.queries;
  making.progress = request.progress;
  const QuerySet set = open_queries(request.queries, request.out / "queries", making, store, say);
  fs::create_directories(request.out);
  const Results results = run(options, request, stores, set, fingerprinter, say);
  const std::string markdown = report_markdown(results);
  write_file_atomically(request.out / "answers.tsv", std::string_view(answers_tsv(results)));
  keep_answers(results, request.out / "answers");
  write_file_atomically(request.out / "tables.md", std::string_view(markdown));
  write_file_atomically(request.out / "results.json", std::string_view(results_json(results)));
  const std::string page = report(results, options, request, stores.front(), fingerprinter);
  write_file_atomically(request.out / "report.html", std::string_view(page));
  return markdown;
}

}  // namespace earmark::experiments
