#include "kernels/permute.h"

#include <algorithm>
#include <cstring>

#include "kernels/cpu/transpose.h"
#include "kernels/dispatch_type.h"
#include "kernels/parallel.h"

namespace earmark::kernels::cpu {
namespace {

constexpr std::int64_t kPermuteBlock = std::int64_t{1} << 15U;  // elements per task

/// Walks the axes of a plan other than its last one and `moved`: the offsets of one transposition or row.
struct Outer {
  const PermutePlan& plan;
  std::size_t moved;  // the plan's rank: none
  std::array<std::int64_t, Shape::kMaxRank> out_stride{};

  Outer(const PermutePlan& p, std::size_t axis) : plan(p), moved(axis) {
    std::int64_t step = 1;
    for (std::size_t i = p.rank; i-- > 0;) {
      out_stride[i] = step;
      step *= p.extent[i];
    }
  }
  std::int64_t count() const {
    std::int64_t n = 1;
    for (std::size_t i = 0; i + 1 < plan.rank; ++i) {
      n *= i == moved ? 1 : plan.extent[i];
    }
    return n;
  }
  struct Offsets {
    std::int64_t x = 0;
    std::int64_t out = 0;
  };
  Offsets at(std::int64_t index) const {
    Offsets o;
    for (std::size_t i = plan.rank - 1; i-- > 0;) {
      if (i != moved) {
        o.x += index % plan.extent[i] * plan.stride[i];
        o.out += index % plan.extent[i] * out_stride[i];
        index /= plan.extent[i];
      }
    }
    return o;
  }
};

/// The innermost axis stays: rows are copied whole.
template <class T>
void copy_rows(const T* x, const PermutePlan& plan, T* out) {
  const Outer outer(plan, plan.rank);
  const std::int64_t row = plan.extent[plan.rank - 1];
  parallel_ranges(outer.count(), std::max<std::int64_t>(1, kPermuteBlock / row),
                  [&](std::int64_t begin, std::int64_t end) {
                    for (std::int64_t r = begin; r < end; ++r) {
                      const auto o = outer.at(r);
                      std::copy_n(x + o.x, row, out + o.out);
                    }
                  });
}

/// A batch of transpositions of x's and out's innermost axes.
template <class T>
void transpose_all(const T* x, const PermutePlan& plan, T* out) {
  const std::size_t moved = plan.innermost;
  const Outer outer(plan, moved);
  const std::int64_t rows = plan.extent[moved];
  const std::int64_t columns = plan.extent[plan.rank - 1];
  constexpr std::int64_t kStrip = 32;  // rows per task
  const std::int64_t strips = (rows + kStrip - 1) / kStrip;
  const std::int64_t grain = std::max<std::int64_t>(1, kPermuteBlock / (std::min(kStrip, rows) * columns));
  parallel_ranges(outer.count() * strips, grain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t task = begin; task < end; ++task) {
      const auto o = outer.at(task / strips);
      const std::int64_t first = task % strips * kStrip;
      transpose(x + o.x + first, plan.stride[plan.rank - 1], columns, std::min(kStrip, rows - first),
                out + o.out + first * outer.out_stride[moved], outer.out_stride[moved]);
    }
  });
}

}  // namespace

void permute(const Tensor& x, const PermutePlan& plan, const Tensor& out) {
  if (x.numel() == 0) {
    return;
  }
  if (plan.rank <= 1) {
    std::memcpy(out.raw(), x.raw(), x.bytes());
    return;
  }
  dispatch_size(x.dtype(), [&]<class T>() {
    const auto* from = reinterpret_cast<const T*>(x.raw());
    auto* to = reinterpret_cast<T*>(out.raw());
    plan.innermost == plan.rank - 1 ? copy_rows(from, plan, to) : transpose_all(from, plan, to);
  });
}

}  // namespace earmark::kernels::cpu
