// What the figures cost, and how often nobody could be right.
#include "experiments/table_cells.h"
#include "experiments/tables.h"
#include "kernels/error.h"

namespace earmark::experiments {

Table repeats_table(const std::vector<RepeatShare>& shares) {
  Table table{str("Undecidable queries: the same sound occurs elsewhere in the track, % of ", shares.front().same.count,
                  " excerpts"),
              "",
              "the other place",
              {},
              {{"", "equal (correlation above 0.99)", {}, false}, {"", "similar (above 0.95)", {}, false}},
              {}};
  for (const RepeatShare& share : shares) {
    table.heads.push_back(length_text(share.length_s));
    table.rows[0].cells.push_back(rate_cell(share.same));
    table.rows[1].cells.push_back(rate_cell(share.similar));
  }
  return table;
}

Table speed_table(const SecondsPerQuery& seconds, double length_s) {
  Table table{"Milliseconds per " + length_text(length_s) + " query, many at a time on all threads",
              "",
              "search",
              {"decode and fingerprint", "search", "rank once"},
              {},
              {}};
  for (const auto& [name, search] : {std::pair("exact", seconds.exact), std::pair("LSH", seconds.lsh)}) {
    if (search > 0) {
      table.rows.push_back({"",
                            name,
                            {{fixed(1e3 * seconds.fingerprint, 2), "", false},
                             {fixed(1e3 * search, 2), "", false},
                             {fixed(1e3 * seconds.rank, 2), "", false}},
                            false});
    }
  }
  return table;
}

Table costs_table(const Results& results) {
  Table table{"What every system takes",
              "",
              "system",
              {str("ms per ", length_text(results.evaluation.lengths_s.back()),
                   " query, many at a time on all threads, decoding included"),
               "MB of index per hour of music"},
              {},
              {}};
  for (const SystemAnswers& system : results.evaluation.systems) {
    if (system.seconds > 0) {
      table.rows.push_back(
          {"",
           system.name,
           {{fixed(1e3 * system.seconds, 2), "", false}, {fixed(1e-6 * system.bytes_per_hour, 2), "", false}},
           false});
    }
  }
  return table;
}

Table choices_table(const std::vector<Choice>& choices) {
  Table table{str("What the choices cost: Table 1's queries (0 to 15 dB together, n = ",
                  choices.front().rates.front().count, "), scored, hit rate in %"),
              "stored as, query hop",
              "search",
              {},
              {},
              {}};
  for (const double length_s : choices.front().lengths_s) {
    table.heads.push_back(length_text(length_s));
  }
  table.heads.push_back("ms per " + length_text(choices.front().lengths_s.back()) + " query");
  table.heads.emplace_back("MB per hour");
  for (const Choice& choice : choices) {
    Row row{str(choice.precision, ", ", choice.query_hop_s, " s"), choice.method, {}, false};
    for (const Rate& rate : choice.rates) {
      row.cells.push_back({rate_cell(rate).text, "", false});
    }
    row.cells.push_back({fixed(choice.ms_per_query, 2), "", false});
    row.cells.push_back({fixed(choice.bytes_per_hour / 1e6, 1), "", false});
    table.rows.push_back(std::move(row));
  }
  table.notes.emplace_back(
      "Every row answers the same queries. The time is that of fingerprints, search and one ranking, many queries at a "
      "time; MB are of stored fingerprints.");
  return table;
}

}  // namespace earmark::experiments
