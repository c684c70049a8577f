// What of a machine each of its ranks gets: processors, threads, GPUs.
#pragma once

#include <string>
#include <vector>

namespace earmark::train {

/// Part `index` of `parts`, as equal as may be and in order: items [count * index / parts, count * (index + 1) /
/// parts). Where there are fewer items than parts, each part has one, which it shares.
template <class T>
std::vector<T> part_of(const std::vector<T>& items, int index, int parts) {
  const std::size_t count = items.size();
  const std::size_t begin = count * static_cast<std::size_t>(index) / static_cast<std::size_t>(parts);
  const std::size_t end = count * (static_cast<std::size_t>(index) + 1) / static_cast<std::size_t>(parts);
  const std::size_t shared = end == begin && count > 0 ? begin + 1 : end;
  return {items.begin() + static_cast<std::ptrdiff_t>(begin), items.begin() + static_cast<std::ptrdiff_t>(shared)};
}

/// The same of a number of threads: at least one.
int threads_of_part(int threads, int index, int parts);

/// The processors that this process may run on, so that those of a core come together, and cores of a socket: a part of
/// them does not share its core with another part, as far as that goes. Empty where the system does not tell.
std::vector<int> processors_by_core();

/// The names of the first `count` GPUs, as CUDA_VISIBLE_DEVICES (`visible`; null: not set) knows them.
std::vector<std::string> gpu_names(int count, const char* visible);

}  // namespace earmark::train
