// Mean and sum of squared differences from it, of pieces that are merged in order (Chan, Golub & LeVeque 1979): no
// cancellation, however large the mean.
#pragma once

namespace earmark::kernels::cpu {

struct Moments {
  double count = 0;
  double mean = 0;
  double squares = 0;  // sum of squared differences from the mean

  void merge(double n, double other_mean, double other_squares) {
    const double delta = other_mean - mean;
    const double total = count + n;
    mean += delta * n / total;
    squares += other_squares + delta * delta * count * n / total;
    count = total;
  }
};

}  // namespace earmark::kernels::cpu
