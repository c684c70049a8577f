// A run's log.csv as curves.
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>

#include "data/csv.h"
#include "experiments/report.h"

namespace earmark::experiments {
namespace {

constexpr std::size_t kPoints = 100;  // of a curve: enough to see, and smooth

// Columns of numbers, NaN where a field is empty. A line that is being written is left out.
struct Log {
  std::vector<std::string> names;
  std::vector<std::vector<double>> columns;
};

Log read_log(const std::filesystem::path& file) {
  Log log;
  std::ifstream in(file);
  data::CsvReader reader(in, file.string());
  if (!in.is_open() || !reader.next(log.names)) {
    return {};
  }
  log.columns.resize(log.names.size());
  for (std::vector<std::string> row; reader.next(row) && row.size() == log.names.size(); row.clear()) {
    for (std::size_t i = 0; i < row.size(); ++i) {
      log.columns[i].push_back(row[i].empty() ? std::numeric_limits<double>::quiet_NaN() : std::atof(row[i].c_str()));
    }
  }
  return log;
}

// Means over windows of steps, at the window's last value.
nlohmann::json smoothed(const std::vector<double>& steps, const std::vector<double>& values) {
  const std::size_t window = std::max<std::size_t>(1, (steps.size() + kPoints - 1) / kPoints);
  nlohmann::json out = nlohmann::json::array();
  double sum = 0;
  int count = 0;
  double step = 0;
  for (std::size_t i = 0; i < steps.size(); ++i) {
    if (std::isfinite(values[i])) {
      sum += values[i];
      step = steps[i];
      ++count;
    }
    if (((i + 1) % window == 0 || i + 1 == steps.size()) && count > 0) {
      out.push_back({step, sum / count});
      sum = 0;
      count = 0;
    }
  }
  return out;
}

}  // namespace

std::string training_json(const std::filesystem::path& run) {
  const Log log = read_log(run / "log.csv");
  nlohmann::json out = nlohmann::json::object();
  for (std::size_t i = 1; i < log.names.size() && !log.columns.front().empty(); ++i) {
    out[log.names[i]] = smoothed(log.columns.front(), log.columns[i]);
  }
  return out.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace earmark::experiments
