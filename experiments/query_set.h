// A set of queries on disk: queries.csv (one row per query, with the truth) and the sound files it names. Sets made
// elsewhere are read too, as long as they have query_id, path, the track (track_id or track) and start_s.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace earmark::experiments {

/// Another place of the same track whose clean sound equals the query's.
struct Equivalent {
  double start_s = 0;
  double correlation = 0;  ///< Of the two places' log-mel spectrograms.
};

/// How often a query's own track repeats it: the most similar other place, for the query's first `length_s`.
struct Repeat {
  double length_s = 0;
  double correlation = 0;  ///< As above; 0 where no place comes near.
};

struct Query {
  std::string id;
  std::filesystem::path path;  ///< Relative to the set's folder.
  std::string track;           ///< Path relative to the folder that is indexed.
  double start_s = 0;          ///< Where in the track the query's first sample lies.
  double length_s = 0;
  std::string condition;  ///< clean, noise, noise+reverb, reverb or any other word.
  std::optional<double> snr_db;
  std::optional<double> rt60_s;
  std::string noise_kind;
  std::vector<Equivalent> equivalents;
  std::vector<Repeat> repeats = {};  ///< By length; empty: not known.
};

/// Whether a query is long enough to be asked as one of `length_s` (an unknown length is).
bool has_length(const Query& query, double length_s);

struct QuerySet {
  std::filesystem::path folder;
  std::vector<Query> queries;
};

/// Reads folder/queries.csv. Throws Error naming file, line and column where something is missing or no number.
QuerySet read_query_set(const std::filesystem::path& folder);
/// Writes folder/queries.csv; the sound files are the caller's.
void write_query_set(const QuerySet& set);
/// The same for some of a set's queries, in a file of any name.
std::vector<Query> read_queries(const std::filesystem::path& csv);
void write_queries(const std::filesystem::path& csv, const std::vector<Query>& queries);

/// What some system answered to a query.
struct Answer {
  std::string track;  ///< Empty: no answer.
  double start_s = 0;
  double score = 0;
  bool matched = true;
};

/// One answer per query of the set, in its order, from a TSV with query_id, track, start_s and perhaps score and
/// matched, as `search --list --out` writes it (names printable); the first row of a query counts, a query without a
/// row has no answer.
std::vector<Answer> read_answers(const std::filesystem::path& tsv, const QuerySet& set);

}  // namespace earmark::experiments
