#include "experiments/bench.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "kernels/error.h"

namespace earmark::experiments {

std::string to_json(const BenchResult& result) {
  nlohmann::ordered_json line;
  line["name"] = result.name;
  line["value"] = result.value;
  line["unit"] = result.unit;
  line["peer"] = result.peer;
  line["ratio"] = result.ratio;
  return line.dump();
}

double median(std::vector<double> values) {
  check(!values.empty(), "median of nothing");
  std::sort(values.begin(), values.end());
  const std::size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
}

}  // namespace earmark::experiments
