// Answers as text for people, JSON and TSV for programs. Names may hold any bytes: text and TSV show backslashes,
// control characters and what is not UTF-8 as \xNN; JSON does so for names that are not UTF-8 or have such a \xNN in
// them.
#pragma once

#include <ostream>
#include <string>
#include <string_view>

#include "search/query.h"

namespace earmark::search {

enum class Form { text, json, tsv };

/// The line that names the columns; empty where the form has none.
std::string_view header_of(Form form);
void write_answer(std::ostream& out, Form form, const Answer& answer);
/// One line for a stretch of a monitored stream.
void write_stretch(std::ostream& out, Form form, const Stretch& stretch, bool has_ended);

/// "1:02:03.4", "4:05.6".
std::string format_time(double seconds);
/// A quoted JSON string.
std::string json_string(const std::string& bytes);

}  // namespace earmark::search
