#include "search/calibration.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "kernels/error.h"

namespace earmark::search {

double Calibration::threshold(int rows) const {
  check(!points.empty(), "calibration: no points");
  if (rows <= points.front().rows) {
    return points.front().threshold;
  }
  for (std::size_t i = 1; i < points.size(); ++i) {
    if (rows <= points[i].rows) {
      const double low = std::log(points[i - 1].rows);
      const double share = (std::log(rows) - low) / (std::log(points[i].rows) - low);
      return points[i - 1].threshold + share * (points[i].threshold - points[i - 1].threshold);
    }
  }
  return points.back().threshold;
}

Calibration default_calibration() {
  // Rounded up from what 64 tracks of music gave.
  return {{{1, 1.15}, {11, 0.7}, {21, 0.5}, {41, 0.35}, {91, 0.25}}, 0.01, "default"};
}

std::string to_json(const Calibration& calibration) {
  nlohmann::json points = nlohmann::json::array();
  for (const Calibration::Point& point : calibration.points) {
    points.push_back({{"rows", point.rows}, {"threshold", point.threshold}});
  }
  return nlohmann::json{
      {"points", points}, {"false_match_rate", calibration.false_match_rate}, {"source", calibration.source}}
      .dump();
}

Calibration calibration_from_json(const std::string& text) {
  Calibration calibration;
  try {
    const nlohmann::json json = nlohmann::json::parse(text);
    for (const nlohmann::json& point : json.at("points")) {
      calibration.points.push_back({point.at("rows").get<int>(), point.at("threshold").get<double>()});
    }
    calibration.false_match_rate = json.at("false_match_rate").get<double>();
    calibration.source = json.at("source").get<std::string>();
  } catch (const nlohmann::json::exception& error) {
    fail("calibration: ", error.what());
  }
  const auto ascending = [](const Calibration::Point& a, const Calibration::Point& b) { return a.rows >= b.rows; };
  check(!calibration.points.empty() && std::adjacent_find(calibration.points.begin(), calibration.points.end(),
                                                          ascending) == calibration.points.end(),
        "calibration: expected points with ascending rows");
  return calibration;
}

}  // namespace earmark::search
