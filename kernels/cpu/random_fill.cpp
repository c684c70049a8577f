#include "kernels/random_fill.h"

#include <algorithm>

#include "kernels/dispatch_type.h"
#include "kernels/parallel.h"
#include "kernels/random.h"

namespace earmark::kernels::cpu {
namespace {

/// Blocks of fixed size, each with its own index: any number of threads draws the same.
template <class Draw>
void fill(const RandomFill& args, Draw draw) {
  dispatch_float(args.out.dtype(), [&]<class T>() {
    T* values = args.out.mutable_data<T>();
    parallel_ranges(args.out.numel(), kRandomBlock, [&](std::int64_t begin, std::int64_t end) {
      RandomStream random(args.seed, args.stream, static_cast<std::uint64_t>(begin / kRandomBlock));
      std::generate(values + begin, values + end, [&] { return static_cast<T>(draw(random)); });
    });
  });
}

}  // namespace

void random_fill(const RandomFill& args) {
  const double scale = args.scale;
  if (args.distribution == Distribution::normal) {
    fill(args, [=](RandomStream& random) { return scale * random.normal(); });
  } else {
    fill(args, [=](RandomStream& random) { return random.uniform(-scale, scale); });
  }
}

}  // namespace earmark::kernels::cpu
