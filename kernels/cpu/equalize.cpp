#include "kernels/equalize.h"

#include "kernels/parallel.h"

namespace earmark::kernels::cpu {
namespace {

struct FilterState {
  double s1 = 0, s2 = 0;
};

double step(const FilterSection& f, FilterState& state, double x) {
  const double y = f.b0 * x + state.s1;
  state.s1 = f.b1 * x - f.a1 * y + state.s2;
  state.s2 = f.b2 * x - f.a2 * y;
  return y;
}

void equalize_row(const Equalizer& row, std::span<float> x) {
  if (row.gain != 1) {
    for (float& v : x) {
      v *= row.gain;
    }
  }
  if (!row.filters) {
    return;
  }
  std::array<FilterState, 4> states{};
  for (float& v : x) {
    auto y = static_cast<double>(v);
    for (std::size_t i = 0; i < states.size(); ++i) {
      y = step(row.sections[i], states[i], y);
    }
    v = static_cast<float>(y);
  }
}

}  // namespace

void equalize(const Equalize& args) {
  const auto samples = static_cast<std::size_t>(args.x.dim(1));
  parallel_for(args.x.dim(0), [&](std::int64_t row) {
    equalize_row(args.rows[static_cast<std::size_t>(row)],
                 {args.x.mutable_data<float>() + row * args.x.dim(1), samples});
  });
}

}  // namespace earmark::kernels::cpu
