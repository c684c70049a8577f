#include "experiments/choices.h"

#include <algorithm>
#include <optional>

#include "experiments/answer_cells.h"
#include "experiments/asked.h"
#include "experiments/judge.h"
#include "kernels/error.h"
#include "search/index_writer.h"

namespace earmark::experiments {
namespace {

// One for each method that was evaluated.
std::vector<Choice> choices_of(const QuerySet& set, const Evaluation& evaluation, const search::IndexStore& store,
                               double query_hop_s) {
  const Verdicts verdicts = judge(set, evaluation, [](const std::string&) { return std::nullopt; });
  std::vector<Choice> out;
  for (std::size_t s = 0; s < evaluation.systems.size(); ++s) {
    const SystemAnswers& system = evaluation.systems[s];
    if (system.ranking != "scored") {
      continue;
    }
    Choice choice{std::string(search::name_of(store.format().precision)),
                  query_hop_s,
                  system.method,
                  evaluation.lengths_s,
                  {},
                  0,
                  0};
    for (const std::vector<Verdict>& of_length : verdicts[s]) {
      choice.rates.push_back(hit_rate(set, of_length, Level::place, [](const Query&) { return true; }));
    }
    choice.ms_per_query = 1e3 * system.seconds;
    choice.bytes_per_hour = system.bytes_per_hour;
    out.push_back(std::move(choice));
  }
  return out;
}

}  // namespace

search::IndexStore stored_as(const search::IndexStore& store, search::Precision precision,
                             const std::filesystem::path& folder, Device device) {
  const search::IndexFormat& own = store.format();
  if (own.precision == precision) {
    return search::IndexStore::open(store.folder(), {.device = device});
  }
  check(own.precision < precision, store.folder().string(), ": is stored as ", search::name_of(own.precision),
        "; a copy of it as ", search::name_of(precision), " would be no more precise");
  search::IndexFormat format = own;
  format.precision = precision;
  format.scale = search::ScaleMode::row;
  const std::string content = str(store.content_key());
  const std::filesystem::path copy =
      folder / str("index-", short_hash(content).substr(0, 8), '-', search::name_of(precision));
  std::filesystem::create_directories(folder);
  search::IndexWriter::create(copy, store.model_file(), format).merge(store);
  return search::IndexStore::open(copy, {.device = device});
}

std::vector<Choice> compare_choices(const QuerySet& set, const nn::Fingerprinter& fingerprinter,
                                    const std::vector<const search::IndexStore*>& stores,
                                    const std::vector<double>& query_hops_s, const EvaluationOptions& options) {
  const QuerySet noisy = queries_with(set, data::DistortionKind::noise_reverb);
  std::vector<Choice> out;
  if (noisy.queries.empty() || stores.size() * query_hops_s.size() < 2) {
    return out;
  }
  EvaluationOptions with_hop = options;
  for (const double hop_s : query_hops_s) {
    with_hop.query_hop_s = hop_s;
    const std::vector<Evaluation> evaluations = evaluate(noisy, fingerprinter, stores, with_hop);
    for (std::size_t i = 0; i < stores.size(); ++i) {
      const std::vector<Choice> more = choices_of(noisy, evaluations[i], *stores[i], hop_s);
      out.insert(out.end(), more.begin(), more.end());
    }
  }
  return out;
}

}  // namespace earmark::experiments
