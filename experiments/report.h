// One self-contained HTML page: the tables, hit rates as curves, and how training went.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "experiments/tables.h"

namespace earmark::experiments {

/// A line in a chart.
struct Curve {
  std::string name;
  std::vector<std::pair<double, double>> points;
  bool dashed = false;  ///< To compare with the curve before it: in its colour, and not in the legend.
};
/// Curves as an SVG element, axes from the points; empty where there is no point.
std::string chart_svg(const std::string& title, const std::string& x_label, const std::string& y_label,
                      const std::vector<Curve>& curves);

/// Columns `columns` of a run's log.csv against its step, smoothed over about 1 % of the run.
std::vector<Curve> training_curves(const std::filesystem::path& run, const std::vector<std::string>& columns);

/// `training_run` empty: without its curves.
std::string report_html(const Results& results, const std::filesystem::path& training_run);

}  // namespace earmark::experiments
