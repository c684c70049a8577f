// The section `reproduce` of a configuration: each key with its default, range and meaning.
#include <algorithm>
#include <cmath>
#include <utility>

#include "experiments/reproduce.h"
#include "kernels/error.h"
#include "search/landmarks.h"

namespace earmark::experiments {
namespace {

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

void read_database(train::Section& section, MusicToSearch& music) {
  section.read_path("database", music.folder, "Music to search in, never trained on; --index stands for it.");
  section.read_path("fma", music.fma,
                    "The same from FMA as downloaded: the folder that holds fma_<subset> and fma_metadata.");
  const auto by_themselves = [](const std::vector<std::string>& names) {
    std::vector<std::pair<std::string, std::string>> out;
    out.reserve(names.size());
    for (const std::string& name : names) {
      out.emplace_back(name, name);
    }
    return out;
  };
  section.read_choice("fma_subset", music.fma_subset, by_themselves({"small", "medium", "large", "full"}), "Of FMA.");
  section.read_choice("fma_split", music.fma_split, by_themselves({"", "training", "validation", "test"}),
                      "Of FMA; empty: all of it.");
  if (!music.folder.empty() && !music.fma.empty()) {
    section.reject("fma", "database is set too: one of them is searched");
  }
}

void read_ablations(train::Section section, AblationOptions& options) {
  section.read("variations", options.variations,
               "Changes of this configuration, each an encoder of its own: key=value, several parted by ' & '.");
  std::vector<double> seeds;
  constexpr double kLargest = 9007199254740992.0;
  section.read("seeds", seeds, {0, kLargest}, "", "Of the trainings, as train.seed: every variation with each.");
  for (const double seed : seeds) {
    if (seed != std::floor(seed)) {
      section.reject("seeds", "expected whole numbers");
    }
    options.seeds.push_back(static_cast<std::uint64_t>(seed));
  }
  section.read("hops_s", options.hops_s, {0.001, 60}, "s",
               "Between fingerprints of index and queries: the unchanged encoder with each.");
  if (!options.variations.empty() && options.seeds.empty()) {
    section.reject("variations", "there are no seeds to train them with");
  }
}

// The queries are as long as the longest; shorter ones are their beginnings.
void read_lengths(train::Section& section, ReproduceOptions& options) {
  std::vector<double>& all = options.evaluation.lengths_s;
  options.place_lengths_s = all;
  constexpr train::Range kLengths{0.1, 3600};
  section.read("lengths_s", options.place_lengths_s, kLengths, "s",
               "Of Table 1's queries; the longest of these and Table 2's is what is made.");
  section.read("track_lengths_s", options.track_lengths_s, kLengths, "s",
               "Of Table 2's queries; its headline is 5 s, where that is among them, else the longest. Empty: the "
               "headline alone, of Table 1's.");
  if (options.place_lengths_s.empty()) {
    section.reject("lengths_s", "expected at least one length");
  }
  all = options.place_lengths_s;
  all.insert(all.end(), options.track_lengths_s.begin(), options.track_lengths_s.end());
  std::sort(all.begin(), all.end());
  all.erase(std::unique(all.begin(), all.end()), all.end());
  options.queries.length_s = all.back();
}

}  // namespace

ReproduceOptions read_reproduce_options(train::Config& config) {
  ReproduceOptions options;
  QueryOptions& queries = options.queries;
  EvaluationOptions& evaluation = options.evaluation;
  search::LshOptions& lsh = evaluation.lsh_options;
  train::Section section = config.section("reproduce");
  read_database(section, options.database);
  section.read_path("speech", queries.speech, "Speech for the queries' babble, never trained on; empty: synthetic.");
  section.read("excerpts", queries.excerpts, {1, 1e6}, "queries", "Queries in each condition.");
  section.read("seed", queries.seed, {0, 9007199254740992.0}, "", "Of the queries.");
  section.read("rooms", queries.rooms, {1, 1000}, "rooms", "Simulated rooms for each RT60.");
  section.read("babble_speakers", queries.babble_speakers, {1, 64}, "voices", "Voices in babble.");
  section.read("silence_mean_square", queries.silence_mean_square, {0, 1}, "", "Quieter excerpts are drawn again.");
  read_lengths(section, options);
  section.read("query_hops_s", options.query_hops_s, {0.001, 60}, "s",
               "Between query fingerprints; empty: as in the index. The tables are made with the first, and others are "
               "compared with it.");
  read_precisions(section, options.precisions);
  section.read("neighbours", evaluation.neighbours, {1, 1000}, "", "Nearest fingerprints of each query fingerprint.");
  section.read("lsh", evaluation.lsh, "Search by LSH as well as exactly.");
  section.read("lsh_tables", lsh.tables, {1, 1000}, "tables", "Hash tables.");
  section.read("lsh_bits", lsh.bits, {0, 30}, "bits", "Of a hash; 0: by the number of fingerprints.");
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
  section.read_named_paths("models", options.models,
                           "Other models that answer the queries as well, each a row under its name, as --compare.");
  section.read("models_hop_s", options.models_hop_s, {0, 60}, "s",
               "Between those models' fingerprints, as near as their frames allow; 0: as in our index.");
  section.read_named_paths("answers", options.answers,
                           "Other systems' answers, each a row under its name, as --peer-results.");
  section.read("report_examples", options.report_examples, {0, 100}, "queries",
               "To look at and listen to in report.html: a third that were found, and the worst failures.");
  read_ablations(section.section("ablations"), options.ablations);
  for (const char* foreign : {"train", "data", "features", "encoder", "pairs", "validation"}) {
    config.skip(foreign);
  }
  return options;
}

}  // namespace earmark::experiments
