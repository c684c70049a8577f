#include "kernels/pcm.h"

#include "kernels/dispatch.h"

namespace earmark::kernels {

void widen_pcm(const WidenPcm& args) {
  check(args.pcm && args.out && args.pcm.shape() == args.out.shape() && args.pcm.device() == args.out.device(),
        "widen_pcm: ", args.pcm.shape(), " on ", args.pcm.device(), " into ", args.out.shape(), " on ",
        args.out.device());
  run_on<cpu::widen_pcm, cuda::widen_pcm>(args.pcm.device(), args);
}

}  // namespace earmark::kernels
