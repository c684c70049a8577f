// Answers of a system that was asked earlier, at every length, in a file that is small enough to come with the project:
//   answers <tab> 1 <tab> digest of the queries
//   tracks <tab> path <tab> path ...
//   query_id <tab> length, s <tab> length ...
//   0000-clean <tab> track's number:start in s <tab> ... (a line for each query; empty: no answer)
// Names are printable (data::printable()). They are good for the queries they were made of and for no others, which the
// digest tells.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "experiments/query_set.h"

namespace earmark::experiments {

struct KnownAnswers {
  std::string digest;             ///< Of the queries (digest_of()).
  std::vector<double> lengths_s;  ///< Ascending.
  /// By query: an answer for each length; no score.
  std::map<std::string, std::vector<Answer>> by_query;
};

/// Known answers in the order of a set's queries, or why there are none.
struct FittedAnswers {
  std::vector<std::vector<Answer>> places;  ///< [length][query]; of a length that is not known, an empty list.
  std::string left_out;                     ///< Empty: they fit.
};

/// Of what is asked and what is right: each query's name, track, start and distortion. 16 hexadecimal digits.
std::string digest_of(const QuerySet& set);

/// Whether a file begins as known answers do.
bool holds_known_answers(const std::filesystem::path& file);
/// Throws Error naming file and line where one is not as above.
KnownAnswers read_known_answers(const std::filesystem::path& file);
/// `places` is [length][query], as SystemAnswers has them; lengths without a list are left out.
void write_known_answers(const std::filesystem::path& file, const QuerySet& set, const std::vector<double>& lengths_s,
                         const std::vector<std::vector<Answer>>& places);

/// What is known of the queries of `set` at `lengths_s`: all of a length or nothing.
FittedAnswers fit(const KnownAnswers& known, const QuerySet& set, const std::vector<double>& lengths_s);

}  // namespace earmark::experiments
