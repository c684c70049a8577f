// That a program gives back the GPU's memory, but for one thing: the tables of the spectrogram, which are kept for good
// (spectrogram.cu). In a process of its own, in which no test has made anything before.
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <thread>

#include "cudasim/control.h"
#include "data/composer.h"
#include "data/loader.h"
#include "nn/fingerprinter.h"
#include "search/matcher.h"
#include "tests/cuda/gpu.h"
#include "tests/cuda/simulated/failures.h"
#include "tests/search/planted.h"
#include "tests/train/example_run.h"
#include "train/trainer.h"
#include "train/validation.h"

namespace earmark::testing {
namespace {

void train_and_validate() {
  train::TrainOptions options = train::tiny_options();
  options.pairs.pairs = 2;
  options.validation.queries = 2;
  const train::TrainingData data = train::tiny_data(options);
  for (const bool cuda_graph : {false, true}) {
    nn::Model model = nn::make_model(options.features, options.encoder, 1);
    model.encoder->to(kGpu);
    train::Trainer trainer(model, options.optimizer, 0.1, {.cuda_graph = cuda_graph});
    data::Loader loader(data.training, 0, 1, 2, kGpu);
    for (int step = 0; step < 3; ++step) {
      trainer.step(loader.next(), 1e-3);
    }
    model.encoder->set_training(false);
    train::validate(model, *data.validation);
  }
}

void fingerprint_and_search() {
  const train::TrainOptions options = train::tiny_options();
  const nn::Fingerprinter fingerprinter(nn::make_model(options.features, options.encoder, 1), kGpu);
  const Tensor queries = fingerprinter.fingerprints(data::compose(1, 2));
  const search::Database database =
      search::planted_database(search::random_fingerprints(60, queries.dim(1), 1), 15, {1, 3})
          .on(kGpu, 30 * static_cast<std::size_t>(queries.dim(1)) * sizeof(float));
  for (const search::Method method : {search::Method::exact, search::Method::lsh}) {
    search::MatcherOptions matching;
    matching.method = method;
    matching.lsh = {3, 4, 1, 10, 3, 0, 0};
    static_cast<void>(search::Matcher(database, matching).match(queries));
  }
}

/// What threads keep goes with them, here as at the end of a program's workers.
[[noreturn]] void end_with_what_is_left() {
  for (void (*work)() : {train_and_validate, fingerprint_and_search}) {
    std::thread(work).join();
  }
  const cudasim::LiveMemory left = cudasim::live_memory();
  std::fprintf(stderr, "left: %zu allocations, %zu bytes, %zu page-locked blocks, %zu reports\n", left.allocations,
               left.bytes, left.pinned, cudasim::take_reports().size());
  std::_Exit(cudasim::calls().allocations > 100 && cudasim::calls().host_allocations > 0 ? 0 : 1);
}

class GpuLeaks : public FailingGpu {};

TEST_F(GpuLeaks, TheSpectrogramsTablesAreAllThatIsLeft) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(end_with_what_is_left(), ::testing::ExitedWithCode(0),
              "left: 4 allocations, 4060 bytes, 0 page-locked blocks, 0 reports");
}

}  // namespace
}  // namespace earmark::testing
