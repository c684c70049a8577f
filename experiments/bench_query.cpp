#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <optional>
#include <ostream>

#include "data/composer.h"
#include "data/decode.h"
#include "data/wav.h"
#include "experiments/bench_search.h"
#include "kernels/conv.h"
#include "kernels/device.h"
#include "kernels/error.h"
#include "kernels/random.h"
#include "search/index_writer.h"
#include "search/query.h"

namespace earmark::experiments {
namespace {

namespace fs = std::filesystem;

double now_ms() {
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// A folder that is gone at the end.
class Scratch {
 public:
  Scratch() : path_(fs::temp_directory_path() / str("earmark-bench-query-", ::getpid())) {
    fs::create_directories(path_);
  }
  ~Scratch() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

// Unit vectors that drift as those of music do: neighbours in time are alike.
Tensor drifting_rows(std::int64_t rows, std::int64_t dimension, std::uint64_t seed) {
  RandomStream random(seed, 0x64726966);
  Tensor out({rows, dimension});
  std::vector<double> state(static_cast<std::size_t>(dimension), 0);
  for (std::int64_t row = 0; row < rows; ++row) {
    double square = 0;
    for (double& x : state) {
      x = (row == 0 ? 0 : 0.9 * x) + 0.44 * random.normal();
      square += x * x;
    }
    for (std::int64_t d = 0; d < dimension; ++d) {
      out.mutable_data<float>()[row * dimension + d] =
          static_cast<float>(state[static_cast<std::size_t>(d)] / std::sqrt(square));
    }
  }
  return out;
}

// An index with the query's own track in it and made-up ones around it.
void make_index(const fs::path& folder, const fs::path& model_file, const nn::Fingerprinter& fingerprinter,
                const std::vector<float>& music, int fingerprints) {
  search::IndexWriter writer = search::IndexWriter::create(
      folder, model_file, search::format_of(fingerprinter.model(), 0, search::Precision::fp32, search::ScaleMode::row));
  const Tensor own = fingerprinter.fingerprints(music);
  search::Track track;
  track.path = "query.wav";
  track.content_hash = "query";
  track.duration_s = static_cast<double>(music.size()) / 16000;
  writer.add(track, own);
  std::int64_t left = fingerprints - own.dim(0);
  for (std::uint64_t number = 1; left > 0; ++number) {
    const std::int64_t rows = std::min<std::int64_t>(2000, left);
    track.path = str("made-up-", number);
    track.content_hash = track.path;
    track.duration_s = static_cast<double>(rows) / 10;
    writer.add(track, drifting_rows(rows, own.dim(1), number));
    left -= rows;
  }
  writer.commit();
}

std::vector<double> answer_times(const search::Searcher& searcher, const fs::path& query, int repetitions) {
  std::vector<double> times;
  for (int i = 0; i < repetitions + 3; ++i) {
    const double begun = now_ms();
    const search::Answer answer = searcher.answer(query);
    const double taken = now_ms() - begun;
    check(answer.error.empty() && !answer.matches.empty(), "the benchmark's query has no answer: ", answer.error);
    if (i >= 3) {  // The first ones warm caches.
      times.push_back(taken);
    }
  }
  return times;
}

double program_ms(const QueryBenchOptions& options, const fs::path& index, const fs::path& query) {
  std::vector<double> times;
  std::vector<std::string> words = {options.program.string(),      index.string(), query.string(), "--method",
                                    options.lsh ? "lsh" : "exact", "--json",       "--device",     options.device};
  std::vector<char*> arguments;
  arguments.reserve(words.size() + 1);
  for (std::string& word : words) {
    arguments.push_back(word.data());
  }
  arguments.push_back(nullptr);
  posix_spawn_file_actions_t quiet;
  posix_spawn_file_actions_init(&quiet);
  posix_spawn_file_actions_addopen(&quiet, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
  for (int i = 0; i < 7; ++i) {
    const double begun = now_ms();
    pid_t pid = 0;
    int status = 0;
    const int failed = ::posix_spawn(&pid, words[0].c_str(), &quiet, nullptr, arguments.data(), environ);
    check(failed == 0 && ::waitpid(pid, &status, 0) == pid && status == 0, options.program.string(),
          ": cannot be run on the benchmark's index");
    times.push_back(now_ms() - begun);
  }
  posix_spawn_file_actions_destroy(&quiet);
  return median(times);
}

}  // namespace

BenchResult bench_query(const QueryBenchOptions& options, std::ostream& log) {
  const kernels::Bf16ProductsScope products(true);  // as the programs do
  const Scratch scratch;
  const std::vector<float> music = data::compose(1, 60);
  const auto length = static_cast<std::size_t>(options.seconds * 16000);
  data::write_wav(scratch.path() / "query.wav", std::span(music).subspan(16000 * 20 + 777, length));
  fs::path index = options.index;
  if (index.empty()) {
    index = scratch.path() / "index";
    fs::path model_file = options.model;
    if (!fs::exists(model_file)) {
      model_file = scratch.path() / "model.safetensors";
      nn::EncoderOptions encoder;
      encoder.width = 8;
      nn::save_model(model_file, nn::make_model({}, encoder));
      log << options.model.string() << " is not there: an untrained encoder of width 8 stands in (as fast)\n";
    }
    make_index(index, model_file, nn::Fingerprinter(nn::load_model(model_file)), music, options.fingerprints);
  }
  const search::IndexStore store = search::IndexStore::open(index, {.device = parse_device(options.device)});
  std::vector<double> medians;
  for (const search::Method method : {search::Method::exact, search::Method::lsh}) {
    search::MatcherOptions matching;
    matching.method = method;
    const search::Searcher searcher(store, matching);
    medians.push_back(median(answer_times(searcher, scratch.path() / "query.wav", options.repetitions)));
    log << (method == search::Method::lsh ? "LSH" : "exact") << ": " << medians.back() << " ms from a "
        << options.seconds << " s file to its answer among " << store.database().rows() << " fingerprints\n";
  }
  if (!options.program.empty()) {
    log << "whole program: " << program_ms(options, index, scratch.path() / "query.wav")
        << " ms, opening and checking the index included\n";
  }
  const double ours = medians.at(options.lsh ? 1 : 0);
  const double other = medians.at(options.lsh ? 0 : 1);
  return {"query", ours, "ms", options.lsh ? "exact search" : "LSH", other / ours};
}

}  // namespace earmark::experiments
