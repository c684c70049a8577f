// Ranges for profilers: parts of the network are named in both passes, and what surrounds it is.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <string>
#include <vector>

#include "autograd/functions.h"
#include "autograd/layer_range.h"
#include "data/loader.h"
#include "search/matcher.h"
#include "search/query.h"
#include "tests/cuda/gpu.h"
#include "tests/cuda/trace_log.h"
#include "tests/search/composed.h"
#include "tests/search/planted.h"
#include "tests/train/example_run.h"
#include "train/trainer.h"

namespace earmark::testing {
namespace {

using ::testing::ElementsAre;

Variable square_in(const char* name, const Variable& x) {
  const LayerRange range(name);
  return mul(x, relu(x));
}

TEST(Trace, BackwardOpensTheRangesOfTheForwardPassFromTheLast) {
  const Variable x(Tensor::full({3}, 2), true);
  const Variable first = square_in("first", x);
  const Variable second = square_in("second", scale(first, 2));
  const Variable total = sum(second);
  const TraceLog log;
  total.backward();
  EXPECT_THAT(log.paths(), ElementsAre("second", "first")) << "one each; what was recorded outside has none";
  EXPECT_EQ(log.depth(), 0U);
  EXPECT_GT(x.grad().data<float>()[0], 0);
}

TEST(Trace, OperationsBelongToTheInnermostRange) {
  const Variable x(Tensor::full({3}, 2), true);
  TraceLog log;
  Variable y;
  {
    const LayerRange outer("outer");
    y = square_in("inner", relu(x));
    EXPECT_STREQ(LayerRange::current(), "outer");
    y = sum(y);
  }
  EXPECT_EQ(LayerRange::current(), nullptr);
  EXPECT_THAT(log.paths(), ElementsAre("outer", "outer/inner"));
  y.backward();
  EXPECT_THAT(log.paths(), ElementsAre("outer", "outer/inner", "outer", "inner", "outer"));
}

TEST(Trace, ABackwardPassThatThrowsClosesItsRange) {
  const Variable x(Tensor::full({3}, 2), true);
  Variable y;
  {
    const LayerRange range("broken");
    y = record("broken", Tensor::full({}, 1), {x}, [](const Tensor&) -> std::vector<Tensor> { fail("broken"); });
  }
  const TraceLog log;
  EXPECT_THROW(y.backward(), Error);
  EXPECT_THAT(log.paths(), ElementsAre("broken"));
  EXPECT_EQ(log.depth(), 0U);
}

std::vector<std::string> inside(const std::vector<std::string>& paths, const std::string& prefix) {
  std::vector<std::string> out;
  for (const std::string& path : paths) {
    if (path.starts_with(prefix)) {
      out.push_back(path.substr(prefix.size()));
    }
  }
  return out;
}

TEST(Trace, ATrainingStepNamesEveryBlockInBothPasses) {
  const train::TrainOptions options = train::tiny_options();
  const train::TrainingData data = train::tiny_data(options);
  train::Trainer trainer(nn::make_model(options.features, options.encoder, 1), options.optimizer, 0.1);
  const data::Batch batch = data.training->batch(0);
  const TraceLog log;
  trainer.step(batch, 1e-3);
  std::vector<std::string> parts = inside(log.paths(), "train step/forward/");
  EXPECT_THAT(parts,
              ElementsAre("front", "block 1", "block 2", "block 3", "block 4", "block 5", "block 6", "head", "loss"));
  std::reverse(parts.begin(), parts.end());
  EXPECT_EQ(inside(log.paths(), "train step/backward/"), parts);
  EXPECT_EQ(inside(log.paths(), "train step/optimizer").size(), 1U);
}

/// The device that a test computes on: a GPU where there is one.
Device device() { return kernels::cuda::device_count() > 0 ? kGpu : Device{}; }

TEST(Trace, BatchesAreNamedWhereverTheyAreMade) {
  train::TrainOptions options = train::tiny_options();
  options.pairs.pairs = 2;
  const train::TrainingData data = train::tiny_data(options);
  data::Loader loader(data.training, 0, 0, 1, device());
  const TraceLog log;
  loader.next();
  EXPECT_THAT(log.paths(), ElementsAre("make batch"));
  EXPECT_EQ(log.depth(), 0U);
}

std::vector<std::string> paths_of_search(search::Method method, search::Ranking ranking) {
  const Tensor rows = search::random_fingerprints(60, 16, 1);
  const search::Database database =
      search::planted_database(rows, 15, {4}).on(device(), std::numeric_limits<std::size_t>::max());
  search::MatcherOptions options;
  options.method = method;
  options.ranking = ranking;
  options.lsh = {3, 4, 1, 10, 3, 0, 0};
  const search::Matcher matcher(database, options);
  const TraceLog log;
  static_cast<void>(matcher.match(search::noisy(rows.slice(10, 20), 0.5, 2)));
  EXPECT_EQ(log.depth(), 0U);
  return log.paths();
}

TEST(Trace, SearchesNameTheirParts) {
  using search::Method;
  using search::Ranking;
  EXPECT_THAT(paths_of_search(Method::exact, Ranking::scored),
              ElementsAre("exact search", "rank", "rank/vote", "rank/score sequences", "rank/score sequences"));
  EXPECT_THAT(paths_of_search(Method::lsh, Ranking::vote),
              ElementsAre("hash search", "hash search/hash candidates", "hash search/compare candidates", "rank",
                          "rank/vote", "rank/score sequences", "rank/score sequences"));
}

TEST(Trace, AnswersNameDecodingAndFingerprints) {
  const search::Composed composed(1, 2);
  composed.add({composed.music()});
  const search::IndexStore store = search::IndexStore::open(composed.index(), {.device = device()});
  const search::Searcher searcher(store, {});
  const TraceLog log;
  const search::Answer answer = searcher.answer(composed.music() / search::Composed::name(0));
  EXPECT_EQ(answer.error, "");
  std::vector<std::string> paths = log.paths();
  std::erase_if(paths, [](const std::string& path) { return path.starts_with("fingerprint/embed/"); });
  EXPECT_THAT(paths, ElementsAre("decode", "fingerprint", "fingerprint/spectrogram", "fingerprint/embed",
                                 "exact search", "rank", "rank/vote", "rank/score sequences", "rank/score sequences"));
  EXPECT_THAT(log.paths(), ::testing::Contains("fingerprint/embed/block 6"));
}

}  // namespace
}  // namespace earmark::testing
