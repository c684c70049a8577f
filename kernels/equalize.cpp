#include "kernels/equalize.h"

#include "kernels/dispatch.h"

namespace earmark::kernels {

void equalize(const Equalize& args) {
  check(args.x && args.x.shape().rank() == 2, "equalize: expected x (N, samples), got ", args.x.shape());
  check(static_cast<std::int64_t>(args.rows.size()) == args.x.dim(0), "equalize: ", args.rows.size(),
        " equalizers for ", args.x.dim(0), " rows");
  run_on<cpu::equalize, cuda::equalize>(args.x.device(), args);
}

}  // namespace earmark::kernels
