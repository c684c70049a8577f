#include "experiments/report.h"

#include <algorithm>
#include <fstream>
#include <iterator>
#include <map>
#include <string_view>

#include "experiments/report_resources.h"
#include "kernels/error.h"

namespace earmark::experiments {
namespace {

namespace fs = std::filesystem;

std::string contents_of(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  check(in.is_open(), path.string(), ": cannot be read");
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

// The template with {{name}} replaced; what is put in is not looked into.
std::string filled(std::string_view page, const std::map<std::string, std::string, std::less<>>& values) {
  std::string out;
  while (true) {
    const std::size_t begin = page.find("{{");
    out += page.substr(0, begin);
    if (begin == std::string_view::npos) {
      return out;
    }
    const std::size_t end = page.find("}}", begin);
    check(end != std::string_view::npos, "report.html: {{ without }}");
    const auto found = values.find(page.substr(begin + 2, end - begin - 2));
    check(found != values.end(), "report.html: nothing is known of ", page.substr(begin, end + 2 - begin));
    out += found->second;
    page.remove_prefix(end + 2);
  }
}

// A script may hold anything but its own end.
std::string without_end_tag(std::string script) {
  for (std::size_t at = script.find("</"); at != std::string::npos; at = script.find("</", at + 2)) {
    script.insert(at + 1, 1, '\\');
  }
  return script;
}

// Tables in the paper's layout first; they have rows to compare with.
struct Tables {
  std::string first;
  std::string more;
};

Tables tables_html(const Results& results) {
  Tables out;
  int number = 0;
  std::vector<Table> paper = table_1(results);
  const std::vector<Table> second = table_2(results);
  paper.insert(paper.end(), second.begin(), second.end());
  for (const Table& table : paper) {
    out.first += table_html(table, str("table-", ++number), true);
  }
  for (const Table& table : all_tables(results)) {
    const bool shown =
        std::any_of(paper.begin(), paper.end(), [&](const Table& other) { return other.title == table.title; });
    if (!shown) {
      out.more += table_html(table, str("table-", ++number), false);
    }
  }
  return out;
}

std::string facts_html(const std::vector<Fact>& facts) {
  std::string out;
  for (const Fact& fact : facts) {
    out += "<dt>" + escaped_html(fact.name) + "</dt><dd>" + escaped_html(fact.value) + "</dd>\n";
  }
  return out;
}

std::string text_details(const std::string& title, const std::string& text) {
  return text.empty() ? ""
                      : "<details><summary>" + title + "</summary><pre tabindex=\"0\">" + escaped_html(text) +
                            "</pre></details>\n";
}

std::vector<Fact> result_facts(const Results& results) {
  const Setting& setting = results.setting;
  return {{"Database", str(setting.database, ": ", setting.tracks, " tracks, ", fixed(setting.hours, 1), " h, ",
                           setting.fingerprints, " fingerprints as ", setting.precision)},
          {"Queries", setting.queries},
          {"Model", setting.model}};
}

std::string configurations_html(const ReportParts& parts) {
  const fs::path training = parts.training_run / "config.yaml";
  const bool trained = !parts.training_run.empty() && fs::exists(training);
  return text_details("Configuration of these tables", parts.configuration) +
         text_details("Configuration of the training", trained ? contents_of(training) : "");
}

}  // namespace

std::string script_safe(const std::string& json) {
  std::string out;
  out.reserve(json.size());
  for (const char c : json) {
    out += c == '<' ? "\\u003c" : std::string(1, c);
  }
  return out;
}

fs::path find_chart_library() {
  for (const char* folder : {"/usr/share/javascript/chart.js", "/usr/share/nodejs/chart.js/dist"}) {
    for (const char* name : {"chart.umd.js", "chart.min.js", "Chart.min.js", "chart.js", "Chart.js"}) {
      if (fs::exists(fs::path(folder) / name)) {
        return fs::path(folder) / name;
      }
    }
  }
  return {};
}

std::string report_html(const Results& results, const ReportParts& parts) {
  const Tables tables = tables_html(results);
  const bool charts = !parts.chart_library.empty();
  const std::string training = parts.training_run.empty() ? "{}" : training_json(parts.training_run);
  std::vector<Fact> facts = result_facts(results);
  facts.insert(facts.end(), parts.facts.begin(), parts.facts.end());
  const auto hidden_unless = [](bool shown) { return std::string(shown ? "" : "hidden"); };
  return filled(report_resources::kPage,
                {{"style", report_resources::kStyle},
                 {"setting", escaped_html(setting_text(results))},
                 {"tables", tables.first},
                 {"more_tables", tables.more},
                 {"no_more_tables", hidden_unless(!tables.more.empty())},
                 {"no_curves", hidden_unless(!table_1(results).empty() || !table_2(results).empty())},
                 {"no_library", hidden_unless(charts)},
                 {"no_missing_library", hidden_unless(!charts)},
                 {"no_training", hidden_unless(charts && training != "{}")},
                 {"no_examples", hidden_unless(!parts.examples.empty())},
                 {"facts", facts_html(facts)},
                 {"configurations", configurations_html(parts)},
                 {"results", script_safe(results_json(results))},
                 {"training", script_safe(training)},
                 {"examples", script_safe(examples_json(parts.examples))},
                 {"library", charts ? without_end_tag(contents_of(parts.chart_library)) : ""},
                 {"script", str(report_resources::kCharts, report_resources::kExamples, report_resources::kScript)}});
}

}  // namespace earmark::experiments
