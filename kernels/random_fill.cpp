#include "kernels/random_fill.h"

#include "kernels/dispatch.h"

namespace earmark::kernels {

void random_fill(const RandomFill& args) {
  check(args.out && (args.out.dtype() == DType::f32 || args.out.dtype() == DType::f64),
        "random_fill: expected f32 or f64, got ", args.out ? name_of(args.out.dtype()) : "no tensor");
  run_on<cpu::random_fill, cuda::random_fill>(args.out.device(), args);
}

}  // namespace earmark::kernels
