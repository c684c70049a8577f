#include "experiments/report.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <limits>

#include "data/csv.h"
#include "kernels/error.h"

namespace earmark::experiments {
namespace {

constexpr double kWidth = 640;
constexpr double kHeight = 300;
constexpr double kLeft = 56;
constexpr double kRight = 16;
constexpr double kTop = 34;
constexpr double kBottom = 44;
constexpr std::array kColours = {"#2f6f9f", "#c8553d", "#5b8c5a", "#8e6c8a", "#b08d57"};

constexpr const char* kStyle = R"(
:root { color-scheme: light dark; --ink: #1d2329; --pale: #66717c; --line: #d9dee3; --paper: #ffffff; --shade: #f5f7f8; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e4e8eb; --pale: #97a2ac; --line: #333b43; --paper: #15191d; --shade: #1c2227; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 72rem;
  margin: 2.5rem auto; padding: 0 1.5rem; }
h1 { font-size: 1.6rem; margin: 0 0 .4rem; } h3 { font-size: 1rem; margin: 2.2rem 0 .6rem; }
.lead, .note { color: var(--pale); max-width: 60rem; } .note { font-size: .87rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .88rem; display: block; overflow-x: auto; }
th, td { text-align: left; padding: .28rem .9rem .28rem 0; border-bottom: 1px solid var(--line); white-space: nowrap; }
th { font-weight: 600; } tr.paper td { color: var(--pale); }
figure { display: inline-block; margin: 1.5rem 1.5rem 0 0; } svg text { fill: var(--ink); font: 12px system-ui, sans-serif; }
svg .axis { stroke: var(--line); } svg .pale { fill: var(--pale); }
)";

std::string number(double value) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.4g", value);
  return text.data();
}

std::string pixel(double value) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.1f", value);
  return text.data();
}

struct Axis {
  double low, high, from, to;
  double place(double value) const { return from + (value - low) / (high - low) * (to - from); }
};

// The round step that gives about five marks: 1, 2 or 5 times a power of ten.
double round_step(double span) {
  const double raw = span / 5;
  const double power = std::pow(10, std::floor(std::log10(raw)));
  const double mantissa = raw / power;
  return power * (mantissa < 1.5 ? 1 : mantissa < 3.5 ? 2 : mantissa < 7.5 ? 5 : 10);
}

Axis axis_of(const std::vector<Curve>& curves, bool horizontal) {
  double low = std::numeric_limits<double>::infinity();
  double high = -low;
  for (const Curve& curve : curves) {
    for (const auto& [x, y] : curve.points) {
      low = std::min(low, horizontal ? x : y);
      high = std::max(high, horizontal ? x : y);
    }
  }
  if (high - low < 1e-9) {
    high = low + 1;
  }
  if (!horizontal) {
    const double step = round_step(high - low);
    low = std::floor(low / step) * step;
    high = std::ceil(high / step) * step;
  }
  return horizontal ? Axis{low, high, kLeft, kWidth - kRight} : Axis{low, high, kHeight - kBottom, kTop};
}

std::string text_at(double x, double y, const std::string& anchor, const std::string& text, const char* kind = "") {
  return "<text x=\"" + pixel(x) + "\" y=\"" + pixel(y) + "\" text-anchor=\"" + anchor + "\" class=\"" + kind + "\">" +
         text + "</text>";
}

std::string line_at(double x1, double y1, double x2, double y2) {
  return "<line class=\"axis\" x1=\"" + pixel(x1) + "\" y1=\"" + pixel(y1) + "\" x2=\"" + pixel(x2) + "\" y2=\"" +
         pixel(y2) + "\"/>";
}

std::string grid(const Axis& x, const Axis& y) {
  std::string out;
  for (const bool horizontal : {true, false}) {
    const Axis& axis = horizontal ? x : y;
    const double step = round_step(axis.high - axis.low);
    for (double mark = std::ceil(axis.low / step) * step; mark <= axis.high + 1e-9; mark += step) {
      const double at = axis.place(mark);
      const std::string label = number(std::abs(mark) < step / 1e6 ? 0 : mark);
      out += horizontal ? text_at(at, kHeight - kBottom + 16, "middle", label, "pale")
                        : line_at(kLeft, at, kWidth - kRight, at) + text_at(kLeft - 6, at + 4, "end", label, "pale");
    }
  }
  return out;
}

std::string polyline(const Curve& curve, const Axis& x, const Axis& y, const char* colour) {
  std::string out = std::string("<polyline fill=\"none\" stroke-width=\"2\" stroke-linejoin=\"round\" stroke=\"") +
                    colour + "\" points=\"";
  for (const auto& [px, py] : curve.points) {
    out += pixel(x.place(px)) + ',' + pixel(y.place(py)) + ' ';
  }
  return out + "\"/>";
}

// Hit rate by SNR for each length: the picture of Table 1.
std::string hit_rate_chart(const Results& results) {
  std::size_t best = 0;
  for (std::size_t s = 0; s < results.evaluation.systems.size(); ++s) {
    best = results.evaluation.systems[s].name == "exact, scored" ? s : best;
  }
  std::vector<Curve> curves;
  for (std::size_t length = 0; length < results.evaluation.lengths_s.size(); ++length) {
    Curve curve{str(results.evaluation.lengths_s[length], " s"), {}};
    for (const double snr : kSnrsDb) {
      const Rate rate = hit_rate(results.set, results.verdicts[best][length], Level::same_sound, [&](const Query& q) {
        return q.condition == "noise+reverb" && q.snr_db == std::optional(snr);
      });
      if (rate.count > 0) {
        curve.points.emplace_back(snr, rate.percent());
      }
    }
    curves.push_back(std::move(curve));
  }
  return chart_svg("Segment level, noise + reverb, repeats as hits", "SNR, dB", "%", curves);
}

}  // namespace

std::string chart_svg(const std::string& title, const std::string& x_label, const std::string& y_label,
                      const std::vector<Curve>& curves) {
  const bool empty = std::all_of(curves.begin(), curves.end(), [](const Curve& c) { return c.points.empty(); });
  if (empty) {
    return "";
  }
  const Axis x = axis_of(curves, true);
  const Axis y = axis_of(curves, false);
  std::string out = "<svg width=\"" + number(kWidth) + "\" height=\"" + number(kHeight) + "\" role=\"img\">";
  out += text_at(kLeft, 16, "start", title) + text_at(kWidth - kRight, kHeight - 8, "end", x_label, "pale") +
         text_at(8, kTop - 6, "start", y_label, "pale") + grid(x, y);
  for (std::size_t i = 0; i < curves.size(); ++i) {
    const char* colour = kColours.at(i % kColours.size());
    out += polyline(curves[i], x, y, colour);
    out += text_at(kLeft + 16 + 120 * static_cast<double>(i), kHeight - 8, "start",
                   std::string("<tspan fill=\"") + colour + "\">&#9644;</tspan> " + curves[i].name);
  }
  return out + "</svg>";
}

std::vector<Curve> training_curves(const std::filesystem::path& run, const std::vector<std::string>& columns) {
  std::ifstream in(run / "log.csv");
  std::vector<std::string> header;
  data::CsvReader reader(in, (run / "log.csv").string());
  std::vector<Curve> out;
  if (!in.is_open() || !reader.next(header)) {
    return out;
  }
  std::vector<std::vector<double>> values(header.size());
  for (std::vector<std::string> row; reader.next(row) && row.size() == header.size(); row.clear()) {
    for (std::size_t i = 0; i < row.size(); ++i) {
      values[i].push_back(row[i].empty() ? std::numeric_limits<double>::quiet_NaN() : std::atof(row[i].c_str()));
    }
  }
  const std::size_t window = std::max<std::size_t>(1, values.front().size() / 100);
  for (const std::string& column : columns) {
    const auto at = static_cast<std::size_t>(std::find(header.begin(), header.end(), column) - header.begin());
    Curve curve{column, {}};
    double sum = 0;
    std::size_t count = 0;
    for (std::size_t i = 0; at < values.size() && i < values[at].size(); ++i) {
      if (std::isfinite(values[at][i])) {
        sum += values[at][i];
        ++count;
      }
      if ((i + 1) % window == 0 && count > 0) {
        curve.points.emplace_back(values.front()[i], sum / static_cast<double>(count));
        sum = 0;
        count = 0;
      }
    }
    out.push_back(std::move(curve));
  }
  return out;
}

std::string report_html(const Results& results, const std::filesystem::path& training_run) {
  const Setting& setting = results.setting;
  std::string out = "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Earmark: Tables 1 and 2";
  out += "</title>\n<meta name=\"viewport\" content=\"width=device-width\"><style>" + std::string(kStyle);
  out += "</style></head><body>\n<h1>Tables 1 and 2</h1>\n<p class=\"lead\">";
  out += str(setting.tracks, " tracks, ", number(setting.hours), " h, ", setting.fingerprints, " fingerprints. Model ",
             setting.model, ". ", setting.queries,
             ". The paper's figures are for the Free Music Archive, a larger database of other music.</p>\n");
  out += "<figure>" + hit_rate_chart(results) + "</figure>\n";
  if (!training_run.empty()) {
    out += "<figure>" + chart_svg("Training loss", "step", "NT-Xent", training_curves(training_run, {"loss"})) +
           "</figure>\n";
  }
  std::vector<Table> tables = {table_1(results)};
  const std::vector<Table> second = table_2(results);
  tables.insert(tables.end(), second.begin(), second.end());
  if (!results.repeats.empty()) {
    tables.push_back(repeats_table(results));
  }
  tables.push_back(speed_table(results));
  for (const Table& table : tables) {
    out += to_html(table);
  }
  return out + "</body></html>\n";
}

}  // namespace earmark::experiments
