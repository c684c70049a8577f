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

constexpr double kWidth = 480;
constexpr double kHeight = 300;
constexpr double kLeft = 44;
constexpr double kRight = 20;
constexpr double kTop = 58;
constexpr double kBottom = 40;
constexpr double kLegendStep = 78;
constexpr std::size_t kColours = 5;

constexpr const char* kStyle = R"(
:root { color-scheme: light dark; --ink: #1d2329; --pale: #5d6873; --line: #dde2e6; --paper: #ffffff; --shade: #f3f5f7;
  --c0: #2f6f9f; --c1: #c8553d; --c2: #4f7f4e; --c3: #8e6c8a; --c4: #a07c3f; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e4e8eb; --pale: #9aa5af; --line: #303840; --paper: #15191d; --shade: #1d2329;
    --c0: #6cb0e0; --c1: #f0866e; --c2: #8cc48a; --c3: #c9a3c5; --c4: #d9b673; } }
* { box-sizing: border-box; }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 68rem;
  margin: 0 auto; padding: 2rem 1.5rem 4rem; }
h1 { font-size: 1.6rem; margin: 0 0 .4rem; } h3 { font-size: 1rem; line-height: 1.35; margin: 2.6rem 0 .6rem; }
.lead, .note { color: var(--pale); max-width: 46rem; overflow-wrap: anywhere; } .note { font-size: .87rem; }
.charts { display: flex; flex-wrap: wrap; gap: 1.5rem; } figure { margin: 1rem 0 0; flex: 1 1 20rem; max-width: 34rem; }
svg { width: 100%; height: auto; display: block; } svg text { fill: var(--ink); font: 12px system-ui, sans-serif; }
svg .axis { stroke: var(--line); } svg .pale { fill: var(--pale); } svg polyline { fill: none; stroke-width: 2; }
svg .dashed { stroke-dasharray: 2 4; stroke-width: 1.5; }
.c0 { stroke: var(--c0); } .c1 { stroke: var(--c1); } .c2 { stroke: var(--c2); } .c3 { stroke: var(--c3); }
.c4 { stroke: var(--c4); }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .9rem; }
th, td { text-align: right; padding: .3rem .75rem; border-bottom: 1px solid var(--line); white-space: nowrap; }
thead th { font-weight: 600; vertical-align: bottom; border-bottom: 2px solid var(--line); }
tbody th { font-weight: 400; } tr > :first-child { text-align: left; padding-left: 0; position: sticky; left: 0;
  background: var(--paper); }
tr.group th { font-weight: 600; padding-top: .9rem; } tr.group span { position: sticky; left: 0; }
tr.pale > * { color: var(--pale); } small { color: var(--pale); font-size: .8em;
  display: inline-block; min-width: 5.6em; text-align: left; }
@media (max-width: 40rem) {
  body { padding: 1.2rem 1rem 3rem; } table { font-size: .85rem; width: 100%; }
  th, td { padding: .3rem 0 .3rem .6rem; } thead th, tbody th { white-space: normal; }
  small { display: block; min-width: 0; text-align: right; line-height: 1.2; }
  svg text { font-size: 14px; } }
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

std::vector<double> round_marks(const Axis& axis) {
  std::vector<double> out;
  const double step = round_step(axis.high - axis.low);
  for (double mark = std::ceil(axis.low / step) * step; mark <= axis.high + 1e-9; mark += step) {
    out.push_back(std::abs(mark) < step / 1e6 ? 0 : mark);
  }
  return out;
}

// Where the horizontal axis is marked: at the points where they are few.
std::vector<double> marks_of(const std::vector<Curve>& curves, const Axis& x) {
  constexpr std::size_t kFew = 8;
  std::vector<double> out;
  for (const auto& point : curves.front().points) {
    out.push_back(point.first);
  }
  return out.empty() || out.size() > kFew ? round_marks(x) : out;
}

std::string grid(const Axis& x, const Axis& y, const std::vector<double>& x_marks) {
  std::string out;
  for (const double mark : x_marks) {
    out += text_at(x.place(mark), kHeight - kBottom + 16, "middle", number(mark), "pale");
  }
  for (const double mark : round_marks(y)) {
    const double at = y.place(mark);
    out += line_at(kLeft, at, kWidth - kRight, at) + text_at(kLeft - 6, at + 4, "end", number(mark), "pale");
  }
  return out;
}

std::string polyline(const Curve& curve, const Axis& x, const Axis& y, std::size_t colour) {
  std::string out = str("<polyline class=\"c", colour, curve.dashed ? " dashed" : "", "\" points=\"");
  for (const auto& [px, py] : curve.points) {
    out += pixel(x.place(px)) + ',' + pixel(y.place(py)) + ' ';
  }
  return out + "\"/>";
}

std::string legend_entry(const std::string& name, std::size_t number, std::size_t colour) {
  const double left = kLeft + kLegendStep * static_cast<double>(number);
  return str("<line class=\"c", colour, "\" stroke-width=\"3\" x1=\"", left, "\" x2=\"", left + 14,
             "\" y1=\"33\" y2=\"33\"/>") +
         text_at(left + 19, 37, "start", escaped_html(name));
}

// Hit rate by SNR for each length: the picture of Table 1.
std::string hit_rate_chart(const Results& results) {
  const std::size_t ours = headline_system(results.evaluation);
  std::vector<Curve> curves;
  for (std::size_t length = 0; length < results.evaluation.lengths_s.size(); ++length) {
    Curve curve{str(results.evaluation.lengths_s[length], " s"), {}};
    Curve paper{"", {}, true};
    const std::vector<PaperRow> figures = paper_table_1(results.evaluation.lengths_s[length]);
    for (std::size_t i = 0; i < kSnrsDb.size(); ++i) {
      const double snr = kSnrsDb.at(i);
      const Rate rate = hit_rate(results.set, results.verdicts[ours][length], Level::place, [&](const Query& q) {
        return q.condition == "noise+reverb" && q.snr_db == std::optional(snr);
      });
      if (rate.count > 0) {
        curve.points.emplace_back(snr, rate.percent());
        if (!figures.empty()) {
          paper.points.emplace_back(snr, figures.front().percent.at(i));
        }
      }
    }
    curves.push_back(std::move(curve));
    curves.push_back(std::move(paper));
  }
  return chart_svg("Table 1: ours, and the paper's dotted", "SNR, dB", "%", curves);
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
  std::string out =
      str("<svg viewBox=\"0 0 ", kWidth, ' ', kHeight, "\" role=\"img\" aria-label=\"", escaped_html(title), "\">");
  out += text_at(kLeft, 14, "start", escaped_html(title + ", " + y_label)) +
         text_at(kWidth - kRight, kHeight - 6, "end", x_label, "pale") + grid(x, y, marks_of(curves, x));
  std::size_t number = 0;
  std::size_t colour = 0;
  for (const Curve& curve : curves) {
    if (!curve.dashed) {
      colour = number % kColours;
      out += legend_entry(curve.name, number++, colour);
    }
    out += polyline(curve, x, y, colour);
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
  std::string out = "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Earmark: Tables 1 and 2";
  out += "</title>\n<meta name=\"viewport\" content=\"width=device-width\"><style>" + std::string(kStyle);
  out += "</style></head><body>\n<h1>Tables 1 and 2</h1>\n<p class=\"lead\">" + escaped_html(setting_text(results));
  out += "</p>\n<div class=\"charts\">\n";
  std::vector<std::string> charts = {hit_rate_chart(results)};
  if (!training_run.empty()) {
    charts.push_back(chart_svg("Training loss", "step", "NT-Xent", training_curves(training_run, {"loss"})));
  }
  for (const std::string& chart : charts) {
    out += chart.empty() ? "" : "<figure>" + chart + "</figure>\n";
  }
  out += "</div>\n";
  for (const Table& table : all_tables(results)) {
    out += to_html(table);
  }
  return out + "</body></html>\n";
}

}  // namespace earmark::experiments
