// Answers that are done, on disk: what a run that was cut off, or one with other options, need not search again. A cell
// is the queries of one condition asked of one database by one method, at all lengths and ranked in all ways; its file
// begins with the text of everything it depends on (the key), and counts only where that is the same.
#pragma once

#include <array>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "experiments/query_set.h"

namespace earmark::experiments {

/// How a cell's hits are ranked: the vote on a place, the vote on a track, the sequence score, and NAFP's sequence
/// search (no answers where it was not asked for).
enum CellRanking : std::size_t { kVote, kVoteTrack, kScored, kSequence, kRankings };

struct AnswerCell {
  /// [ranking][length][query]
  std::array<std::vector<std::vector<Answer>>, kRankings> answers;
  /// Seconds for all its queries on all threads: decoding and embedding, search, all rankings.
  double fingerprint_s = 0;
  double search_s = 0;
  double rank_s = 0;

  AnswerCell() = default;
  AnswerCell(std::size_t lengths, std::size_t queries);
};

/// Of any text, 16 hexadecimal digits: enough to notice that something has changed (XXH3).
std::string short_hash(std::string_view text);

/// The shortest text that reads back as the same number, and the number again. Throws Error on anything else.
std::string exact_number(double value);
double parse_number(const std::string& text);

/// Where a cell of this key lies.
std::filesystem::path cell_file(const std::filesystem::path& folder, const std::string& label, const std::string& key);
/// Nothing where there is no file, or one that is damaged or of another key or size.
std::optional<AnswerCell> read_cell(const std::filesystem::path& file, const std::string& key, std::size_t lengths,
                                    std::size_t queries);
void write_cell(const std::filesystem::path& file, const std::string& key, const AnswerCell& cell);

}  // namespace earmark::experiments
