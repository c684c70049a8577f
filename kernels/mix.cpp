#include "kernels/mix.h"

#include "kernels/dispatch.h"
#include "kernels/error.h"

namespace earmark::kernels {

void mix_at_snr(const MixAtSnr& args) {
  check(args.signal && args.signal.shape().rank() == 2, "mix_at_snr: expected signal (N, samples), got ",
        args.signal.shape());
  check(args.noise && args.noise.shape() == args.signal.shape() && args.out && args.out.shape() == args.signal.shape(),
        "mix_at_snr: expected noise and out ", args.signal.shape());
  check(args.snr_db && args.snr_db.shape() == Shape({args.signal.dim(0)}), "mix_at_snr: expected snr_db (",
        args.signal.dim(0), "), got ", args.snr_db.shape());
  check(args.noise.device() == args.signal.device() && args.out.device() == args.signal.device(),
        "mix_at_snr: signal on ", args.signal.device(), ", noise on ", args.noise.device(), ", out on ",
        args.out.device());
  check(args.begin >= 0 && args.begin < args.end && args.end <= args.signal.dim(1), "mix_at_snr: range ", args.begin,
        " to ", args.end, " of ", args.signal.dim(1), " samples");
  run_on<cpu::mix_at_snr, cuda::mix_at_snr>(args.signal.device(), args);
}

void peak_normalize(const PeakNormalize& args) {
  check(args.x && args.x.shape().rank() == 2, "peak_normalize: expected x (N, samples), got ", args.x.shape());
  run_on<cpu::peak_normalize, cuda::peak_normalize>(args.x.device(), args);
}

}  // namespace earmark::kernels
