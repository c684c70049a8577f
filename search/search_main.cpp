// search INDEX FILE... | --list CSV --out TSV | --monitor FILE|-: finds recordings in an index.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <exception>
#include <filesystem>
#include <iostream>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include "data/audio_files.h"
#include "data/decode.h"
#include "kernels/atomic_file.h"
#include "kernels/error.h"
#include "kernels/parallel.h"
#include "search/index_store.h"
#include "search/monitor.h"
#include "search/query.h"
#include "search/query_list.h"
#include "search/report.h"

namespace fs = std::filesystem;
using namespace earmark;          // NOLINT(google-build-using-namespace): a program, not a header.
using namespace earmark::search;  // NOLINT(google-build-using-namespace)

namespace {

struct Arguments {
  std::string index;
  std::vector<std::string> files;
  std::string list;
  std::string out;
  std::string monitor;
  std::string method = "exact";
  std::string ranking = "scored";
  std::optional<double> threshold;
  int top = 1;
  int neighbours = 5;
  double query_hop_s = 0;
  double window_s = 5;
  double whole_s = 15;
  int tables = 50;
  int bits = 18;
  int rotations = 1;
  int probes = 400;
  int candidates = 1000;
  int entries = 8000;
  int threads = 0;
  bool json = false;
  bool tsv = false;
  bool raw = false;
  bool ends = false;
  bool trust = false;

  Form form() const { return json ? Form::json : tsv ? Form::tsv : Form::text; }
};

MatcherOptions matcher_options(const Arguments& arguments) {
  MatcherOptions options;
  options.method = parse_method(arguments.method);
  options.ranking = parse_ranking(arguments.ranking);
  options.neighbours = arguments.neighbours;
  options.top = arguments.top;
  options.threshold = arguments.threshold;
  options.lsh = {arguments.tables,     arguments.bits,   arguments.rotations, arguments.probes, 1,
                 arguments.candidates, arguments.entries};
  return options;
}

/// Exit code 1 only where no query could be answered.
int search_files(const Searcher& searcher, const Arguments& arguments) {
  std::cout << header_of(arguments.form());
  std::size_t failed = 0;
  for (const std::string& file : arguments.files) {
    const Answer answer = searcher.answer(fs::path(file));
    if (!answer.error.empty()) {
      ++failed;
      std::cerr << "search: " << data::printable(answer.error) << '\n';
    }
    write_answer(std::cout, arguments.form(), answer);
    std::cout.flush();
  }
  return failed == arguments.files.size() ? 1 : 0;
}

int search_list(const Searcher& searcher, const Arguments& arguments) {
  const std::vector<ListedQuery> queries = read_query_list(arguments.list);
  std::ostringstream rows;
  answer_query_list(searcher, queries, rows, !arguments.out.empty(),
                    [](const std::string& message) { std::cerr << "search: " << data::printable(message) << '\n'; });
  if (arguments.out.empty()) {
    std::cout << rows.str();
  } else {
    write_file_atomically(arguments.out, std::string_view(rows.view()));
  }
  return 0;
}

data::AudioStream open_stream(const Arguments& arguments, int sample_rate) {
  const data::DecodeOptions options{sample_rate, data::Channel::mean, false};
  if (arguments.monitor != "-") {
    return data::AudioStream(arguments.monitor, options);
  }
  return arguments.raw ? data::AudioStream::raw_s16le(STDIN_FILENO, sample_rate, options)
                       : data::AudioStream(STDIN_FILENO, "standard input", options);
}

int monitor_stream(const Searcher& searcher, const Arguments& arguments, int sample_rate) {
  data::AudioStream stream = open_stream(arguments, sample_rate);
  std::cout << header_of(arguments.form()) << std::flush;
  const auto report = [&](bool ended) {
    return [&, ended](const Stretch& stretch) {
      write_stretch(std::cout, arguments.form(), stretch, ended);
      std::cout.flush();
    };
  };
  // A TSV row has both ends, so it is written when the stretch is over.
  const bool at_end = arguments.ends || arguments.tsv;
  monitor(searcher, stream, at_end ? StretchFinder::Report() : report(false),
          at_end ? report(true) : StretchFinder::Report());
  if (!stream.problem().empty()) {
    std::cerr << "search: " << data::printable(stream.problem()) << '\n';
  }
  return 0;
}

void add_search_options(CLI::App& app, Arguments& arguments) {
  app.add_option("--method", arguments.method, "How nearest fingerprints are found")
      ->check(CLI::IsMember({"exact", "lsh"}))
      ->capture_default_str();
  app.add_option("--ranking", arguments.ranking, "How they become an answer")
      ->check(CLI::IsMember({"scored", "vote", "vote-track"}))
      ->capture_default_str();
  app.add_option("--top", arguments.top, "Tracks shown per query")->check(CLI::Range(1, 1000))->capture_default_str();
  app.add_option("--threshold", arguments.threshold,
                 "Confidence above which an answer is a match (default: calibrated)");
  app.add_option("--query-hop", arguments.query_hop_s,
                 "Seconds between the query's fingerprints: 0.05 finds a little "
                 "more at twice the cost (default: the index's)");
  app.add_option("--neighbours", arguments.neighbours, "Nearest fingerprints per query fingerprint")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  app.add_option("--whole", arguments.whole_s, "Longer queries (seconds) are searched piece by piece")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--window", arguments.window_s, "Length of such a piece, seconds")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--lsh-tables", arguments.tables, "Hash tables")->capture_default_str();
  app.add_option("--lsh-bits", arguments.bits, "Bits of a bucket number")->capture_default_str();
  app.add_option("--lsh-rotations", arguments.rotations, "Rounds of the pseudo-rotation")->capture_default_str();
  app.add_option("--lsh-probes", arguments.probes, "Buckets looked into per fingerprint")->capture_default_str();
  app.add_option("--lsh-candidates", arguments.candidates,
                 "Fingerprints compared per fingerprint; 0: all that are found")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_option("--lsh-entries", arguments.entries, "Bucket entries looked at per fingerprint at most; 0: no limit")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_flag("--trust", arguments.trust, "Do not compare the index's checksums first");
}

int run(int argc, char** argv) {
  Arguments arguments;
  CLI::App app("Finds recordings in an index of music.");
  app.add_option("INDEX", arguments.index, "Folder of the index")->required();
  app.add_option("FILE", arguments.files, "Recordings to find");
  CLI::Option* list = app.add_option("--list", arguments.list, "CSV with at least the columns query_id,path");
  app.add_option("--out", arguments.out, "TSV for the answers of --list (default: standard output)")->needs(list);
  CLI::Option* monitor =
      app.add_option("--monitor", arguments.monitor, "Follow a long recording, or standard input (-)");
  app.add_flag("--raw", arguments.raw, "Standard input is raw 16-bit mono samples at 16 kHz")->needs(monitor);
  app.add_flag("--ends", arguments.ends, "Report when a stretch is over, with both ends, not when it begins")
      ->needs(monitor);
  CLI::Option* json = app.add_flag("--json", arguments.json, "One JSON object per line");
  app.add_flag("--tsv", arguments.tsv, "Tab-separated values")->excludes(json);
  app.add_option("--threads", arguments.threads, "Threads (default: all processors)")->check(CLI::PositiveNumber);
  add_search_options(app, arguments);
  try {
    app.parse(argc, argv);
    const int kinds = (arguments.files.empty() ? 0 : 1) + (list->count() > 0 ? 1 : 0) + (monitor->count() > 0 ? 1 : 0);
    if (kinds != 1) {
      throw CLI::ValidationError("give either FILEs, --list or --monitor");
    }
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  if (arguments.threads > 0) {
    set_num_threads(arguments.threads);
  }
  const IndexStore store = IndexStore::open(arguments.index, {!arguments.trust});
  QueryOptions query;
  query.whole_s = arguments.whole_s;
  query.stretch.window_s = arguments.window_s;
  const Searcher searcher(store, matcher_options(arguments), query, arguments.query_hop_s);
  if (list->count() > 0) {
    return search_list(searcher, arguments);
  }
  return monitor->count() > 0 ? monitor_stream(searcher, arguments, store.format().sample_rate)
                              : search_files(searcher, arguments);
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const std::exception& error) {
    std::cerr << "search: " << error.what() << '\n';
    return 1;
  }
}
