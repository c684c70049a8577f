#include "experiments/reproduce.h"

#include <algorithm>
#include <map>
#include <memory>
#include <sstream>

#include "experiments/baseline.h"
#include "experiments/report.h"
#include "kernels/atomic_file.h"
#include "kernels/error.h"
#include "search/index_writer.h"
#include "search/indexer.h"
#include "search/query.h"

namespace earmark::experiments {
namespace {

namespace fs = std::filesystem;
using Say = std::function<void(const std::string&)>;

// The index of the database; what is in it already is kept, and another model's gets another folder.
fs::path build_index(const ReproduceOptions& options, const ReproduceRequest& request, const nn::Model& model,
                     const Say& say) {
  check(!options.database.empty(), "reproduce: no music to search in: set reproduce.database, or give --index");
  const std::vector<search::AudioSource> sources = search::find_sources({options.database});
  check(!sources.empty(), options.database.string(), ": no sound files found");
  const fs::path folder = request.out / ("index-" + nn::model_hash(model).substr(0, 8));
  const nn::Fingerprinter fingerprinter(model, request.device);
  fs::create_directories(request.out);
  search::IndexWriter writer = search::IndexWriter::create(
      folder, request.model, search::format_of(model, 0, search::Precision::fp32, search::ScaleMode::row));
  const auto embedder = [&](std::span<const float> pcm) { return fingerprinter.fingerprints(pcm); };
  search::IndexerOptions indexing;
  indexing.progress = request.progress;
  const search::IndexReport report = search::add_audio(writer, sources, embedder, indexing);
  say(str("index: ", report.added, " tracks added, ", report.unchanged, " were there, ", report.skipped.size(),
          " skipped"));
  return folder;
}

// What the index can find is what queries are made of.
std::vector<data::AudioFile> tracks_of(const search::IndexStore& store) {
  std::vector<data::AudioFile> out;
  for (const search::Track& track : store.tracks()) {
    data::AudioFile file;
    file.path = fs::path(track.folder) / track.path;
    file.name = track.path;
    out.push_back(std::move(file));
  }
  return out;
}

QuerySet query_set(const ReproduceOptions& options, const ReproduceRequest& request, const search::IndexStore& store,
                   const Say& say) {
  if (!request.queries.empty()) {
    return read_query_set(request.queries);
  }
  QueryOptions making = options.queries;
  making.progress = request.progress;
  int kept = 0;
  QuerySet set = make_queries(request.out / "queries", tracks_of(store), making, &kept);
  say(str("queries: ", making.excerpts - kept, " excerpts made, ", kept, " were there"));
  return set;
}

// The answers of another system count at the full length.
void add_peer(const ReproduceRequest& request, const QuerySet& set, Evaluation& evaluation) {
  if (!request.peer.empty()) {
    SystemAnswers peer{request.peer.stem().string(), "", "", {}, {}};
    peer.places.resize(evaluation.lengths_s.size());
    peer.places.back() = read_answers(request.peer, set);
    evaluation.systems.push_back(std::move(peer));
  }
}

// Systems of another kind that are asked the same.
void add_baselines(const ReproduceOptions& options, const ReproduceRequest& request, const search::IndexStore& store,
                   Results& results, const Say& say) {
  for (const std::string& setting : options.landmarks) {
    const BaselineOptions baseline{results.evaluation.lengths_s, request.out / "cells", request.progress};
    const fs::path folder = request.out / ("index-landmarks-" + setting);
    const search::IndexReport report = index_landmarks(folder, setting, store, request.progress);
    BaselineCells cells;
    results.evaluation.systems.push_back(answers_of_baseline(
        "landmarks (audfprint), " + setting, search::IndexStore::open(folder), results.set, baseline, cells));
    say(str("landmarks, ", setting, ": ", report.added, " tracks added, ", report.unchanged, " were there, ",
            report.skipped.size(), " skipped; ", cells.searched, " cells searched, ", cells.all - cells.searched,
            " were there"));
  }
}

FindTrack track_finder(const search::IndexStore& store) {
  auto files = std::make_shared<std::map<std::string, fs::path>>();
  for (const search::Track& track : store.tracks()) {
    files->emplace(track.path, fs::path(track.folder) / track.path);
  }
  return [files](const std::string& track) -> std::optional<fs::path> {
    const auto found = files->find(track);
    return found != files->end() && fs::exists(found->second) ? std::optional(found->second) : std::nullopt;
  };
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

// Longest length first asked for that any query has: an outside set may be shorter than the configuration's lengths.
std::vector<double> usable_lengths(const QuerySet& set, const std::vector<double>& wanted) {
  std::vector<double> out;
  for (const double length : wanted) {
    if (std::any_of(set.queries.begin(), set.queries.end(), [&](const Query& q) { return has_length(q, length); })) {
      out.push_back(length);
    }
  }
  std::sort(out.begin(), out.end());
  check(!out.empty(), "no query is as long as the shortest of reproduce.lengths");
  return out;
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
          out << evaluation.systems[s].name << '\t' << evaluation.lengths_s[l] << '\t' << results.set.queries[q].id
              << '\t' << data::printable(answers[q].track) << '\t' << answers[q].start_s << '\t' << answers[q].score
              << '\t' << verdict.file << '\t' << verdict.place << '\t' << verdict.same_sound << '\n';
        }
      }
    }
  }
  return out.str();
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
  evaluation.cells = request.out / "cells";
  results.evaluation = evaluate(set, fingerprinter, {all.front()}, evaluation).front();
  const int searched = results.evaluation.searched;
  say(str("search: ", searched, " cells searched, ", results.evaluation.cells - searched, " were there"));
  results.choices = compare_choices(set, fingerprinter, all, options.query_hops_s, evaluation);
  add_baselines(options, request, stores.front(), results, say);
  add_peer(request, set, results.evaluation);
  results.verdicts = judge(set, results.evaluation, track_finder(stores.front()), request.progress, evaluation.cells);
  return results;
}

void read_precisions(train::Section& section, std::vector<search::Precision>& precisions) {
  std::vector<std::string> names;
  section.read("precisions", names,
               "fp32, fp16, int8: how fingerprints are stored; empty: as in the index. The tables are made with the "
               "first, and others are compared with it.");
  for (const std::string& name : names) {
    try {
      precisions.push_back(search::parse_precision(name));
    } catch (const Error& error) {
      section.reject("precisions", error.what());
    }
  }
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

ReproduceOptions read_reproduce_options(train::Config& config) {
  ReproduceOptions options;
  QueryOptions& queries = options.queries;
  EvaluationOptions& evaluation = options.evaluation;
  search::LshOptions& lsh = evaluation.lsh_options;
  train::Section section = config.section("reproduce");
  section.read_path("database", options.database, "Music to search in, never trained on; --index stands for it.");
  section.read_path("speech", queries.speech, "Speech for the queries' babble, never trained on; empty: synthetic.");
  section.read("excerpts", queries.excerpts, {1, 1e6}, "queries", "Queries in each condition.");
  section.read("seed", queries.seed, {0, 9007199254740992.0}, "", "Of the queries.");
  section.read("rooms", queries.rooms, {1, 1000}, "rooms", "Simulated rooms for each RT60.");
  section.read("babble_speakers", queries.babble_speakers, {1, 64}, "voices", "Voices in babble.");
  section.read("silence_mean_square", queries.silence_mean_square, {0, 1}, "", "Quieter excerpts are drawn again.");
  section.read("lengths_s", evaluation.lengths_s, {0.1, 3600}, "s", "Of the queries; the longest is what is made.");
  section.read("query_hops_s", options.query_hops_s, {0.001, 60}, "s",
               "Between query fingerprints; empty: as in the index. The tables are made with the first, and others are "
               "compared with it.");
  read_precisions(section, options.precisions);
  section.read("neighbours", evaluation.neighbours, {1, 1000}, "", "Nearest fingerprints of each query fingerprint.");
  section.read("lsh", evaluation.lsh, "Search by LSH as well as exactly.");
  section.read("lsh_tables", lsh.tables, {1, 1000}, "tables", "Hash tables.");
  section.read("lsh_bits", lsh.bits, {1, 30}, "bits", "Of a hash.");
  section.read("lsh_probes", lsh.probes, {1, 1e6}, "buckets", "Looked into per query fingerprint, over all tables.");
  section.read("lsh_candidates", lsh.max_candidates, {0, 1e6}, "fingerprints",
               "Compared per query fingerprint; of more, those found in the most buckets; 0: all.");
  section.read("landmarks", options.landmarks,
               "Ways to make landmarks (default, dense, best) that answer the queries as well, each a row: audfprint.");
  for (const std::string& setting : options.landmarks) {
    if (const auto& known = search::landmark_settings();
        std::find(known.begin(), known.end(), setting) == known.end()) {
      section.reject("landmarks", "expected default, dense or best, got '" + setting + "'");
    }
  }
  section.read("report_examples", options.report_examples, {0, 100}, "queries",
               "To look at and listen to in report.html: a third that were found, and the worst failures.");
  if (evaluation.lengths_s.empty()) {
    section.reject("lengths_s", "expected at least one length");
  }
  queries.length_s = *std::max_element(evaluation.lengths_s.begin(), evaluation.lengths_s.end());
  for (const char* foreign : {"train", "data", "features", "encoder", "pairs", "validation"}) {
    config.skip(foreign);
  }
  return options;
}

std::string reproduce(const ReproduceOptions& wanted, const ReproduceRequest& request, const Say& say) {
  const nn::Model model = nn::load_model(request.model);
  const fs::path index = request.index.empty() ? build_index(wanted, request, model, say) : request.index;
  const search::IndexStore store = search::IndexStore::open(index);
  const ReproduceOptions options = complete(wanted, store.format());
  std::vector<search::IndexStore> stores;
  for (const search::Precision precision : options.precisions) {
    stores.push_back(stored_as(store, precision, request.out, request.device));
  }
  const QuerySet set = query_set(options, request, store, say);
  check(!set.queries.empty(), set.folder.string(), ": queries.csv has no queries");
  fs::create_directories(request.out);
  const nn::Fingerprinter fingerprinter(model, request.device);
  const Results results = run(options, request, stores, set, fingerprinter, say);
  const std::string markdown = report_markdown(results);
  write_file_atomically(request.out / "answers.tsv", std::string_view(answers_tsv(results)));
  write_file_atomically(request.out / "tables.md", std::string_view(markdown));
  write_file_atomically(request.out / "results.json", std::string_view(results_json(results)));
  const std::string page = report(results, options, request, stores.front(), fingerprinter);
  write_file_atomically(request.out / "report.html", std::string_view(page));
  return markdown;
}

}  // namespace earmark::experiments
