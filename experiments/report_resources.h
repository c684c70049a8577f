// The files in experiments/report, which the build turns into these constants (cmake/report_resources.cmake).
#pragma once

namespace earmark::experiments::report_resources {

extern const char* const kPage;      // report.html
extern const char* const kStyle;     // report.css
extern const char* const kCharts;    // charts.js
extern const char* const kExamples;  // examples.js
extern const char* const kScript;    // report.js

/// Of the source that was built: "1a2b3c4d5e6f", with "-dirty" where it had changes; "unknown" without git.
extern const char* const kCommit;

}  // namespace earmark::experiments::report_resources
