// Benchmarks of indexing and searching. The peers here are parts of the same work (decoding alone, the other search
// method), measured in the same run: what other systems reach on the same music is in docs and README, measured apart.
#pragma once

#include <cstdint>
#include <filesystem>
#include <iosfwd>
#include <string>
#include <vector>

#include "experiments/bench.h"

namespace earmark::experiments {

struct IndexBenchOptions {
  std::filesystem::path model = "demo-out/run/model.safetensors";
  std::filesystem::path music = "demo-out/music/test";
  int repetitions = 3;
};
/// Sound files to a committed index, in multiples of real time; the peer is decoding alone, on as many threads. Throws
/// Error where there is no model or no music.
BenchResult bench_index(const IndexBenchOptions& options, std::ostream& log);

struct QueryBenchOptions {
  bool lsh = false;
  std::filesystem::path model = "demo-out/run/model.safetensors";  ///< Where there is none: a fresh one of width 8.
  std::filesystem::path index;                                     ///< Empty: fingerprints are made up.
  std::filesystem::path program;                                   ///< `search`; empty: without the whole program.
  int fingerprints = 150000;
  double seconds = 5;          ///< Of the query.
  std::string device = "cpu";  ///< Where answers are computed, as parse_device() takes it.
  int repetitions = 40;
};
/// A sound file to its answer in milliseconds, in one process that has the index open; the peer is the other method.
/// The log has the whole program as well, and where the time goes.
BenchResult bench_query(const QueryBenchOptions& options, std::ostream& log);

struct LshBenchOptions {
  std::filesystem::path results = "demo-out/results.json";
};
/// Points of hit rate that LSH loses against exact search, mean over the cells of both tables, from the figures that
/// `reproduce` wrote; the log names the worst cell.
BenchResult bench_lsh(const LshBenchOptions& options, std::ostream& log);

struct LandmarkBenchOptions {
  std::string setting = "best";  ///< As landmark_setting() takes it.
  std::filesystem::path music = "demo-out/music/test";
  double minutes = 60;             ///< Of it, whole tracks; 0: all.
  int queries = 20;                ///< Parts of them, in noise.
  double seconds = 5;              ///< Of a query.
  int repetitions = 3;             ///< Of each side.
  std::string python = "python3";  ///< One that has audfprint2; empty: no peer.
  std::filesystem::path peers = "experiments/peers";
  std::string original;  ///< Folder of audfprint's own program, which is the peer then; empty: audfprint2.
};
/// Indexing by landmarks on one core in multiples of real time, against audfprint itself, both from decoded samples in
/// memory and with the table filled; the log has the time of a query too. Throws Error where the peer cannot be run.
BenchResult bench_landmark(const LandmarkBenchOptions& options, std::ostream& log);

struct ConfidenceBenchOptions {
  std::filesystem::path index = "demo-out/index";
  std::filesystem::path music = "demo-out/music/test";    ///< What is in the index.
  std::filesystem::path absent = "demo-out/music/train";  ///< Music that is not.
  std::filesystem::path speech = "demo-out/music/speech/test";
  std::filesystem::path out = "demo-out/confidence";  ///< Keeps both query sets.
  int excerpts = 100;                                 ///< Each in all 14 conditions.
  std::uint64_t seed = 77;
  std::vector<double> lengths_s = {0.96, 2, 3, 5, 10};
};
/// How often a query that is not in the index is called a match, clean and distorted, at the worst length (1 % is
/// allowed); the log has all lengths and conditions, and how many right answers are called matches.
BenchResult bench_confidence(const ConfidenceBenchOptions& options, std::ostream& log);

}  // namespace earmark::experiments
