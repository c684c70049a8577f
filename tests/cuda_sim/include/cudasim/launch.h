// cudaLaunchKernelEx: the kernel and its arguments, by value, become a piece of work of a stream.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <memory>
#include <tuple>
#include <type_traits>
#include <utility>

namespace cudasim {

/// A kernel with its arguments, its types forgotten.
struct KernelCall {
  const void* kernel = nullptr;
  void (*call)(const void* parameters) = nullptr;
  std::shared_ptr<const void> parameters{};  ///< What a thread may read: a GPU's parameter space.
  std::size_t bytes = 0;
};

/// Queues the call on the configuration's stream.
cudaError_t enqueue_kernel(const cudaLaunchConfig_t& config, KernelCall call);

template <class... P, class... A>
cudaError_t launch_kernel(const cudaLaunchConfig_t* config, void (*kernel)(P...), A&&... arguments) {
  static_assert(sizeof...(P) == sizeof...(A), "as many arguments as the kernel has parameters");
  struct Parameters {
    void (*kernel)(P...);
    std::tuple<std::remove_cv_t<P>...> arguments;
  };
  const auto call = [](const void* p) {
    const Parameters& parameters = *static_cast<const Parameters*>(p);
    std::apply(parameters.kernel, parameters.arguments);
  };
  return enqueue_kernel(
      *config,
      {reinterpret_cast<const void*>(kernel), call,
       std::make_shared<const Parameters>(Parameters{kernel, {std::forward<A>(arguments)...}}), sizeof(Parameters)});
}

}  // namespace cudasim

#define cudaLaunchKernelEx ::cudasim::launch_kernel

template <class Kernel>
cudaError_t cudaFuncSetAttribute(Kernel* kernel, cudaFuncAttribute attribute, int value) {
  return ::cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel), attribute, value);
}
