#include <unistd.h>

#include <atomic>
#include <ostream>

#include "data/decode.h"
#include "experiments/bench_search.h"
#include "experiments/clock.h"
#include "kernels/conv.h"
#include "kernels/error.h"
#include "kernels/parallel.h"
#include "search/index_writer.h"
#include "search/indexer.h"
#include "search/query.h"

namespace earmark::experiments {
namespace {

namespace fs = std::filesystem;

struct Speed {
  double audio_s = 0;
  double wall_s = 0;
  double times_real_time() const { return audio_s / wall_s; }
};

Speed decode_all(const std::vector<search::AudioSource>& sources) {
  std::atomic<std::int64_t> samples = 0;
  const double begun = now_s();
  parallel_for(static_cast<std::int64_t>(sources.size()), [&](std::int64_t i) {
    try {
      samples += static_cast<std::int64_t>(data::decode_file(sources[static_cast<std::size_t>(i)].file).samples.size());
    } catch (const Error&) {
      // The indexer skips it as well.
    }
  });
  return {static_cast<double>(samples.load()) / 16000, now_s() - begun};
}

Speed index_all(const IndexBenchOptions& options, const nn::Fingerprinter& fingerprinter,
                const std::vector<search::AudioSource>& sources, const fs::path& folder) {
  fs::remove_all(folder);
  const double begun = now_s();
  search::IndexReport report;
  {
    search::IndexWriter writer = search::IndexWriter::create(
        folder, options.model,
        search::format_of(fingerprinter.model(), 0, search::Precision::fp32, search::ScaleMode::row));
    report = search::add_audio(writer, sources,
                               [&](std::span<const float> pcm) { return fingerprinter.fingerprints(pcm); }, {});
  }
  const Speed speed{report.audio_seconds, now_s() - begun};
  fs::remove_all(folder);
  return speed;
}

}  // namespace

BenchResult bench_index(const IndexBenchOptions& options, std::ostream& log) {
  const kernels::Bf16ProductsScope products(true);  // as the programs do
  const nn::Fingerprinter fingerprinter(nn::load_model(options.model));
  const std::vector<search::AudioSource> sources = search::find_sources({options.music});
  check(!sources.empty(), options.music.string(), ": no sound files");
  const fs::path folder = fs::temp_directory_path() / str("earmark-bench-index-", ::getpid());
  std::vector<double> indexing;
  std::vector<double> decoding;
  for (int i = 0; i < options.repetitions; ++i) {
    const Speed peer = decode_all(sources);
    const Speed ours = index_all(options, fingerprinter, sources, folder);
    decoding.push_back(peer.times_real_time());
    indexing.push_back(ours.times_real_time());
    log << "run " << i + 1 << ": " << ours.audio_s / 3600 << " h indexed at " << indexing.back()
        << " x real time; decoding alone " << decoding.back() << " x\n";
  }
  return {"index", median(indexing), "x real time", "decoding alone, same threads",
          median(indexing) / median(decoding)};
}

}  // namespace earmark::experiments
