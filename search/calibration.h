// When is the best answer an answer at all? A match's confidence is compared with a threshold that depends on the
// query's length, chosen so that at most `false_match_rate` of queries that are not in the index would pass.
#pragma once

#include <string>
#include <vector>

namespace earmark::search {

struct Calibration {
  /// Threshold for queries of `rows` fingerprints; ascending by rows. Between lengths log(rows) is interpolated.
  struct Point {
    int rows = 1;
    double threshold = 0;
  };
  std::vector<Point> points;
  double false_match_rate = 0.01;
  std::string source;  // "held-out tracks of the index", "absent audio"

  double threshold(int rows) const;
};

/// For indexes that are too small to be calibrated.
Calibration default_calibration();

/// JSON, as stored in the catalogue.
std::string to_json(const Calibration& calibration);
Calibration calibration_from_json(const std::string& text);  ///< Throws Error on anything else.

}  // namespace earmark::search
