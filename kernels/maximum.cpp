#include "kernels/maximum.h"

#include "kernels/dispatch.h"
#include "kernels/error.h"

namespace earmark::kernels {

void maximum(const MaximumOf& args) {
  check(args.x && args.x.dtype() == DType::f32, "maximum: expected x in f32");
  check(args.out && args.out.shape() == Shape({1}) && args.out.dtype() == DType::f32,
        "maximum: expected out (1) in f32, got ", args.out.shape());
  check(args.out.device() == args.x.device(), "maximum: x on ", args.x.device(), ", out on ", args.out.device());
  run_on<cpu::maximum, cuda::maximum>(args.x.device(), args);
}

}  // namespace earmark::kernels
