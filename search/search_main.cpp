// search INDEX FILE... | --list CSV --out TSV | --monitor FILE|-: finds recordings in an index. --list may be answered
// by several processes together (kernels/rank.h).
#include <unistd.h>

#include <filesystem>
#include <iomanip>
#include <iostream>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include "data/audio_files.h"
#include "data/decode.h"
#include "data/program.h"
#include "kernels/atomic_file.h"
#include "kernels/communicator.h"
#include "kernels/error.h"
#include "kernels/rank.h"
#include "kernels/rank_work.h"
#include "search/index_store.h"
#include "search/query.h"
#include "search/query_list.h"
#include "search/rank_exchange.h"
#include "search/report.h"
#include "search/shared_search.h"

namespace fs = std::filesystem;
using namespace earmark;          // NOLINT(google-build-using-namespace): a program, not a header.
using namespace earmark::search;  // NOLINT(google-build-using-namespace)

namespace {

constexpr int kRawRate = 16000;  // of --raw, whatever the index's rate is

struct Arguments {
  std::string index;
  std::vector<std::string> files;
  std::string list;
  std::string out;
  std::string monitor;
  MatcherOptions matcher;
  QueryOptions query;
  double query_hop_s = 0;
  bool json = false;
  bool tsv = false;
  bool raw = false;
  bool ends = false;
  bool trust = false;
  data::DeviceChoice device;
  data::RankTimeout rank_timeout;

  Form form() const { return json ? Form::json : tsv ? Form::tsv : Form::text; }
};

/// A full disk or a closed pipe ends the work, instead of going on for nobody.
void check_written() { check(std::cout.flush().good(), "standard output cannot be written"); }

/// Exit code 1 only where no query could be answered.
int search_files(const Searcher& searcher, const Arguments& arguments) {
  std::cout << header_of(arguments.form());
  std::size_t failed = 0;
  for (const std::string& file : arguments.files) {
    const Answer answer = searcher.answer(fs::path(file));
    if (!answer.error.empty()) {
      ++failed;
      std::cerr << "search: " << data::printable_sentence(answer.error) << '\n';
    }
    write_answer(std::cout, arguments.form(), answer);
    check_written();
  }
  return failed == arguments.files.size() ? 1 : 0;
}

void complain(const std::string& message) { std::cerr << "search: " << data::printable_sentence(message) << '\n'; }

void write_rows(const std::ostringstream& rows, const Arguments& arguments) {
  if (arguments.out.empty()) {
    std::cout << rows.str();
  } else {
    write_file_atomically(arguments.out, std::string_view(rows.view()));
  }
}

/// Exit code 1 only where no query could be answered.
int list_code(int failed, std::size_t queries) { return failed > 0 && failed == static_cast<int>(queries) ? 1 : 0; }

int search_list(const Searcher& searcher, const Arguments& arguments) {
  const std::vector<ListedQuery> queries = read_query_list(arguments.list);
  std::ostringstream rows;
  const int failed = answer_query_list(searcher, queries, rows, !arguments.out.empty(), complain);
  write_rows(rows, arguments);
  return list_code(failed, queries.size());
}

data::AudioStream open_stream(const Arguments& arguments, int sample_rate) {
  const data::DecodeOptions options{sample_rate, data::Channel::mean, false};
  if (arguments.monitor != "-") {
    return data::AudioStream(arguments.monitor, options);
  }
  return arguments.raw ? data::AudioStream::raw_s16le(STDIN_FILENO, kRawRate, options)
                       : data::AudioStream(STDIN_FILENO, "standard input", options);
}

int monitor_stream(const Searcher& searcher, const Arguments& arguments, int sample_rate) {
  data::AudioStream stream = open_stream(arguments, sample_rate);
  std::cout << header_of(arguments.form());
  check_written();
  const auto report = [&](bool ended) {
    return [&, ended](const Stretch& stretch) {
      write_stretch(std::cout, arguments.form(), stretch, ended);
      check_written();
    };
  };
  // A TSV row has both ends, so it is written when the stretch is over.
  const bool at_end = arguments.ends || arguments.tsv;
  searcher.recognizer().follow(stream, at_end ? StretchFinder::Report() : report(false),
                               at_end ? report(true) : StretchFinder::Report());
  if (!stream.problem().empty()) {
    std::cerr << "search: " << data::printable_sentence(stream.problem()) << '\n';
  }
  return 0;
}

void add_matcher_options(CLI::App& app, MatcherOptions& options) {
  app.add_option_function<std::string>(
         "--method", [&](const std::string& text) { options.method = parse_method(text); },
         "How nearest fingerprints are found")
      ->check(CLI::IsMember({"exact", "lsh"}))
      ->default_str("exact");
  app.add_option_function<std::string>(
         "--ranking", [&](const std::string& text) { options.ranking = parse_ranking(text); },
         "How they become an answer")
      ->check(CLI::IsMember({"scored", "vote", "vote-track", "sequence"}))
      ->default_str("scored");
  app.add_option("--top", options.top, "Tracks shown per query")->check(CLI::Range(1, 1000))->capture_default_str();
  app.add_option("--threshold", options.threshold, "Confidence above which an answer is a match (default: calibrated)");
  app.add_option("--neighbours", options.neighbours, "Nearest fingerprints per query fingerprint")
      ->check(CLI::Range(1, 1000))
      ->default_str("5; 20 for sequence");
}

void add_lsh_options(CLI::App& app, LshOptions& options) {
  app.add_option("--lsh-tables", options.tables, "Hash tables")->capture_default_str();
  app.add_option("--lsh-bits", options.bits, "Bits of a bucket number; 0: by the index's size")->capture_default_str();
  app.add_option("--lsh-rotations", options.rotations, "Rounds of the pseudo-rotation")->capture_default_str();
  app.add_option("--lsh-probes", options.probes, "Buckets looked into per fingerprint")->capture_default_str();
  app.add_option("--lsh-candidates", options.max_candidates,
                 "Fingerprints compared per fingerprint; 0: all that are found")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_option("--lsh-entries", options.max_entries, "Bucket entries looked at per fingerprint at most; 0: no limit")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
}

void add_query_options(CLI::App& app, Arguments& arguments) {
  app.add_option("--query-hop", arguments.query_hop_s,
                 "Seconds between the query's fingerprints: 0.05 finds a little "
                 "more at twice the cost (default: the index's)");
  app.add_option("--whole", arguments.query.whole_s, "Longer queries (seconds) are searched piece by piece")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--window", arguments.query.stretch.window_s, "Length of such a piece, seconds")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_flag("--trust", arguments.trust, "Do not compare the index's checksums first");
}

void add_options(CLI::App& app, Arguments& arguments) {
  app.add_option("INDEX", arguments.index, "Folder of the index")->required();
  app.add_option("FILE", arguments.files, "Recordings to find");
  CLI::Option* list = app.add_option("--list", arguments.list, "CSV with at least the columns query_id,path");
  app.add_option("--out", arguments.out, "TSV for the answers of --list (default: standard output)")->needs(list);
  CLI::Option* monitor =
      app.add_option("--monitor", arguments.monitor, "Follow a long recording, or standard input (-)");
  app.add_flag("--raw", arguments.raw, "Standard input is raw 16-bit mono samples at 16 kHz")->needs(monitor);
  app.add_flag("--ends", arguments.ends, "Report when a stretch is over, with both ends, not when it begins")
      ->needs(monitor);
  CLI::Option* json =
      app.add_flag("--json", arguments.json, "One JSON object per line; not with --list")->excludes(list);
  app.add_flag("--tsv", arguments.tsv, "Tab-separated values; not with --list, which has a table of its own")
      ->excludes(json)
      ->excludes(list);
  arguments.device.add_option(app);
  arguments.device.add_fp32_option(app);
  arguments.rank_timeout.add_option(app);
  add_query_options(app, arguments);
  add_matcher_options(app, arguments.matcher);
  add_lsh_options(app, arguments.matcher.lsh);
}

/// What says how fingerprints are compared says nothing to an index of landmarks.
void check_fits(const CLI::App& app, const IndexStore& store) {
  for (const char* option : {"--method", "--ranking", "--neighbours", "--query-hop", "--lsh-tables", "--lsh-bits",
                             "--lsh-rotations", "--lsh-probes", "--lsh-candidates", "--lsh-entries"}) {
    if (store.format().landmarks && app.count(option) > 0) {
      data::fail_usage(data::printable(store.folder().string()) + ": an index of landmarks, to which " + option +
                       " means nothing");
    }
  }
}

/// What all ranks must be told alike: what is asked, of which index, and how.
std::string question(const Arguments& arguments, const IndexStore& store, const std::vector<ListedQuery>& queries) {
  const MatcherOptions& options = arguments.matcher;
  const LshOptions& lsh = options.lsh;
  std::string text =
      str(std::setprecision(17), store.content_key(), ' ', static_cast<int>(options.method), ' ',
          static_cast<int>(options.ranking), ' ', options.neighbours, ' ', options.threshold.value_or(-1), ' ',
          arguments.query_hop_s, ' ', arguments.query.whole_s, ' ', arguments.query.stretch.window_s, ' ', lsh.tables,
          ' ', lsh.bits, ' ', lsh.rotations, ' ', lsh.probes, ' ', lsh.max_candidates, ' ', lsh.max_entries, '\n');
  for (const ListedQuery& query : queries) {
    text += query.id + '\t' + query.file.string() + '\n';
  }
  return text;
}

/// --list by one of several processes, which answer it together.
int search_list_beside_ranks(const CLI::App& app, Arguments& arguments, const Rank& rank) {
  data::share_processors(rank, app.count("--threads") > 0);
  const Device device = arguments.device.choose(rank);
  const std::shared_ptr<Communicator> ranks = make_communicator(rank, arguments.rank_timeout.value());
  check_devices(*ranks, device);
  std::vector<ListedQuery> queries;
  std::optional<IndexStore> store;
  std::unique_ptr<SharedSearch> shared;
  std::unique_ptr<Searcher> searcher;
  const auto open = [&] {
    queries = read_query_list(arguments.list);
    // One process on each machine compares the checksums.
    const bool verify = !arguments.trust && rank.local_rank == 0;
    store = IndexStore::open(arguments.index, {.verify = verify, .device = device});
    check_fits(app, *store);
    MatcherOptions options = arguments.matcher;
    if (options.method == Method::exact && !store->format().landmarks) {
      shared = std::make_unique<SharedSearch>(ranks->another(), store->database(), options.neighbours);
      options.search = [&shared](const Tensor& fingerprints) { return shared->search(fingerprints); };
    }
    searcher = std::make_unique<Searcher>(*store, options, arguments.query, arguments.query_hop_s);
  };
  for (const bool first : {true, false}) {  // hash tables that rank 0 has to make are there for the others
    work_beside_ranks(*ranks, [&] {
      if (first == (rank.rank == 0 || arguments.matcher.method == Method::exact)) {
        open();
      }
    });
  }
  check_same(*ranks, question(arguments, *store, queries), "another index, other queries or other options");
  if (rank.rank == 0 && !store->format().landmarks) {
    arguments.device.announce();
  }
  if (shared) {
    shared->start();
  }
  std::ostringstream rows;
  const int failed =
      answer_query_list(*searcher, queries, rows, !arguments.out.empty(), complain, *ranks, shared.get());
  if (rank.rank == 0) {
    write_rows(rows, arguments);
  }
  return list_code(failed, queries.size());
}

int run(const CLI::App& app, Arguments& arguments) {
  const int kinds =
      (arguments.files.empty() ? 0 : 1) + (arguments.list.empty() ? 0 : 1) + (arguments.monitor.empty() ? 0 : 1);
  if (kinds != 1) {
    data::fail_usage("give either FILEs, --list or --monitor");
  }
  if (arguments.raw && arguments.monitor != "-") {
    data::fail_usage("--raw goes with --monitor -");
  }
  if (app.count("--neighbours") == 0) {
    arguments.matcher.neighbours = default_neighbours(arguments.matcher.ranking);
  }
  if (!arguments.list.empty()) {
    if (const Rank rank = rank_from_environment(); rank.size > 1) {
      return search_list_beside_ranks(app, arguments, rank);
    }
  }
  const IndexStore store =
      IndexStore::open(arguments.index, {.verify = !arguments.trust, .device = arguments.device.choose()});
  check_fits(app, store);
  const Searcher searcher(store, arguments.matcher, arguments.query, arguments.query_hop_s);
  if (!store.format().landmarks) {
    arguments.device.announce();
  }
  if (!arguments.list.empty()) {
    return search_list(searcher, arguments);
  }
  return arguments.monitor.empty() ? search_files(searcher, arguments)
                                   : monitor_stream(searcher, arguments, store.format().sample_rate);
}

}  // namespace

int main(int argc, char** argv) {
  Arguments arguments;
  CLI::App app("Finds recordings in an index of music.", "search");
  add_options(app, arguments);
  return data::run_program(app, argc, argv, [&] { return run(app, arguments); });
}
