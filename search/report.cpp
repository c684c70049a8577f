#include "search/report.h"

#include <array>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "data/audio_files.h"

namespace earmark::search {
namespace {

using Json = nlohmann::ordered_json;

std::string number(double value, int digits) {
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), "%.*f", digits, value);
  return text.data();
}

double rounded(double value, double step) {
  const double steps = std::round(1 / step);
  return std::round(value * steps) / steps;
}

bool fits_json(const std::string& bytes) {
  try {
    static_cast<void>(Json(bytes).dump());
    return true;
  } catch (const Json::exception&) {
    return false;
  }
}

/// The name itself where JSON can hold it and nobody could take it for the printable form of another, else that form.
std::string json_name(const std::string& name) {
  return data::from_printable(name) == name && fits_json(name) ? name : data::printable(name);
}

std::string json_sentence(const std::string& sentence) {
  return fits_json(sentence) ? sentence : data::printable_sentence(sentence);
}

Json match_json(const Match& match, double length_s) {
  return {{"track", json_name(match.track)},
          {"track_id", match.track_id},
          {"start_s", rounded(match.start_s, 1e-3)},
          {"end_s", rounded(match.start_s + length_s, 1e-3)},
          {"score", rounded(match.score, 1e-4)},
          {"confidence", rounded(match.confidence, 1e-4)},
          {"matched", match.matched}};
}

Json stretch_json(const Stretch& stretch) {
  return {{"track", json_name(stretch.track)},
          {"track_id", stretch.track_id},
          {"query_begin_s", rounded(stretch.query_begin_s, 1e-3)},
          {"query_end_s", rounded(stretch.query_end_s, 1e-3)},
          {"track_begin_s", rounded(stretch.track_begin_s, 1e-3)},
          {"track_end_s", rounded(stretch.track_end_s, 1e-3)},
          {"score", rounded(stretch.score, 1e-4)},
          {"confidence", rounded(stretch.confidence, 1e-4)}};
}

void write_json(std::ostream& out, const Answer& answer) {
  Json json = {{"query", json_name(answer.path)}, {"length_s", rounded(answer.length_s, 1e-3)}};
  if (!answer.error.empty()) {
    json["error"] = json_sentence(answer.error);
  }
  if (!answer.note.empty()) {
    json["note"] = json_sentence(answer.note);
  }
  Json found = Json::array();
  for (const Match& match : answer.matches) {
    found.push_back(match_json(match, answer.length_s));
  }
  for (const Stretch& stretch : answer.stretches) {
    found.push_back(stretch_json(stretch));
  }
  json[answer.whole ? "matches" : "stretches"] = std::move(found);
  out << json.dump() << '\n';
}

/// query, begin and end in it, track, begin and end in it, score, matched
void write_tsv_row(std::ostream& out, const Answer& answer, const Stretch& stretch, bool matched) {
  out << data::printable(answer.path) << '\t' << number(stretch.query_begin_s, 2) << '\t'
      << number(stretch.query_end_s, 2) << '\t' << data::printable(stretch.track) << '\t'
      << number(stretch.track_begin_s, 3) << '\t' << number(stretch.track_end_s, 3) << '\t' << number(stretch.score, 4)
      << '\t' << (matched ? 1 : 0) << '\n';
}

void write_tsv(std::ostream& out, const Answer& answer) {
  for (const Match& match : answer.matches) {
    write_tsv_row(out, answer,
                  {match.track_id, match.track, 0, answer.length_s, match.start_s, match.start_s + answer.length_s,
                   match.score, match.confidence},
                  match.matched);
  }
  for (const Stretch& stretch : answer.stretches) {
    write_tsv_row(out, answer, stretch, true);
  }
  if (answer.matches.empty() && answer.stretches.empty()) {
    out << data::printable(answer.path) << "\t0.00\t" << number(answer.length_s, 2) << "\t\t\t\t\t0\n";
  }
}

void write_text_stretch(std::ostream& out, const Stretch& stretch) {
  out << format_time(stretch.query_begin_s) << " - " << format_time(stretch.query_end_s) << "  "
      << data::printable(stretch.track) << "  " << format_time(stretch.track_begin_s) << " - "
      << format_time(stretch.track_end_s) << "  score " << number(stretch.score, 3) << '\n';
}

void write_text(std::ostream& out, const Answer& answer) {
  out << data::printable(answer.path) << ":\n";
  if (!answer.error.empty()) {
    out << "  " << data::printable_sentence(answer.error) << '\n';
    return;
  }
  if (!answer.note.empty()) {
    out << "  (" << data::printable_sentence(answer.note) << ")\n";
  }
  if (answer.matches.empty() && answer.stretches.empty()) {
    out << "  no match\n";
  }
  for (const Match& match : answer.matches) {
    out << "  " << (match.matched ? "match   " : "no match") << "  " << data::printable(match.track) << "  at "
        << format_time(match.start_s) << " - " << format_time(match.start_s + answer.length_s) << "  score "
        << number(match.score, 3) << "  confidence " << number(match.confidence, 3) << '\n';
  }
  for (const Stretch& stretch : answer.stretches) {
    out << "  ";
    write_text_stretch(out, stretch);
  }
}

}  // namespace

std::string_view header_of(Form form) {
  return form == Form::tsv ? "query\tquery_begin_s\tquery_end_s\ttrack\ttrack_begin_s\ttrack_end_s\tscore\tmatched\n"
                           : "";
}

void write_answer(std::ostream& out, Form form, const Answer& answer) {
  switch (form) {
    case Form::json:
      return write_json(out, answer);
    case Form::tsv:
      return write_tsv(out, answer);
    default:
      return write_text(out, answer);
  }
}

void write_stretch(std::ostream& out, Form form, const Stretch& stretch, bool has_ended) {
  if (form == Form::json) {
    Json json = {{"event", has_ended ? "end" : "begin"}};
    json.update(stretch_json(stretch));
    out << json.dump() << '\n';
  } else if (form == Form::tsv) {
    write_tsv_row(out, {}, stretch, true);
  } else if (has_ended) {
    write_text_stretch(out, stretch);
  } else {
    out << format_time(stretch.query_begin_s) << "  " << data::printable(stretch.track) << "  from "
        << format_time(stretch.track_begin_s) << "  score " << number(stretch.score, 3) << '\n';
  }
}

std::string format_time(double seconds) {
  const auto tenths = std::llround(std::abs(seconds) * 10);
  const long long whole = tenths / 10;
  std::array<char, 64> text{};
  const char* sign = seconds < 0 && tenths > 0 ? "-" : "";
  if (whole >= 3600) {
    std::snprintf(text.data(), text.size(), "%s%lld:%02lld:%02lld.%lld", sign, whole / 3600, whole / 60 % 60,
                  whole % 60, tenths % 10);
  } else {
    std::snprintf(text.data(), text.size(), "%s%lld:%02lld.%lld", sign, whole / 60, whole % 60, tenths % 10);
  }
  return text.data();
}

std::string json_string(const std::string& bytes) { return Json(json_name(bytes)).dump(); }

}  // namespace earmark::search
