#include "search/query_list.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <sstream>

#include "data/audio_files.h"
#include "data/csv.h"
#include "data/progress.h"
#include "kernels/error.h"
#include "kernels/rank_work.h"
#include "search/pipeline.h"
#include "search/rank_exchange.h"

namespace earmark::search {
namespace {

std::size_t column(const std::vector<std::string>& header, const std::string& name, const std::string& file) {
  const auto found = std::find(header.begin(), header.end(), name);
  check(found != header.end(), file, ": no column '", name, "'; expected at least query_id,path");
  return static_cast<std::size_t>(found - header.begin());
}

/// Of a long query the stretch that covers most of it.
Match best_of(const Answer& answer) {
  if (!answer.matches.empty()) {
    return answer.matches.front();
  }
  const auto longest =
      std::max_element(answer.stretches.begin(), answer.stretches.end(), [](const Stretch& a, const Stretch& b) {
        return a.query_end_s - a.query_begin_s < b.query_end_s - b.query_begin_s;
      });
  if (longest == answer.stretches.end()) {
    return {};
  }
  Match match;
  match.track_id = longest->track_id;
  match.track = longest->track;
  match.start_s = longest->track_begin_s - longest->query_begin_s;
  match.score = longest->score;
  match.matched = true;
  return match;
}

void write_row(std::ostream& out, const std::string& id, const Match& match) {
  std::array<char, 96> numbers{};
  std::snprintf(numbers.data(), numbers.size(), "\t%.4f\t%.5f\t%d\n", match.start_s, match.score,
                match.matched ? 1 : 0);
  out << data::printable(id) << '\t' << data::printable(match.track)
      << (match.track_id < 0 ? "\t\t\t0\n" : numbers.data());
}

constexpr const char* kHeaderLine = "query_id\ttrack\tstart_s\tscore\tmatched\n";

std::string complaint_about(const ListedQuery& query, const Answer& answer) {
  return "query " + data::printable(query.id) + ": " + answer.error;
}

/// Answers in parallel; `take` hears of them in the order of the queries.
void answer_all(const Searcher& searcher, const std::vector<ListedQuery>& queries, bool progress,
                const std::function<void(const ListedQuery&, const Answer&)>& take) {
  constexpr std::size_t kWindow = 64;
  data::Progress bar("searching", static_cast<std::int64_t>(queries.size()), "queries", progress);
  const std::size_t together = searcher.files_at_once(queries.size());
  const auto answers_from = [&](std::size_t group) {
    std::vector<std::filesystem::path> files;
    for (std::size_t i = group * together; i < std::min(queries.size(), (group + 1) * together); ++i) {
      files.push_back(queries[i].file);
    }
    return searcher.answer(files);
  };
  Pipeline<std::vector<Answer>> pipeline((queries.size() + together - 1) / together, kWindow / together, answers_from);
  std::vector<Answer> answers;
  for (std::size_t i = 0; i < queries.size(); ++i) {
    if (i % together == 0) {
      answers = pipeline.take();
    }
    take(queries[i], answers[i % together]);
    bar.add();
  }
}

}  // namespace

std::vector<ListedQuery> read_query_list(const std::filesystem::path& list) {
  const std::string name = data::printable(list.string());
  check(!std::filesystem::is_directory(list), name, ": cannot be read: a folder, expected a CSV file");
  std::ifstream in(list, std::ios::binary);
  check(in.good(), name, ": cannot be read: ", std::strerror(errno));
  data::CsvReader reader(in, name);
  std::vector<std::string> fields;
  check(reader.next(fields), name, ": the list is empty");
  const std::size_t id = column(fields, "query_id", name);
  const std::size_t path = column(fields, "path", name);
  std::vector<ListedQuery> queries;
  while (reader.next(fields)) {
    if (fields.size() == 1 && fields[0].empty()) {
      continue;
    }
    check(fields.size() > std::max(id, path), name, ":", reader.line(), ": ", fields.size(),
          " fields, expected at least ", std::max(id, path) + 1);
    queries.push_back({fields[id], list.parent_path() / fields[path]});
  }
  return queries;
}

int answer_query_list(const Searcher& searcher, const std::vector<ListedQuery>& queries, std::ostream& out,
                      bool progress, const std::function<void(const std::string&)>& complain) {
  out << kHeaderLine;
  int failed = 0;
  answer_all(searcher, queries, progress, [&](const ListedQuery& query, const Answer& answer) {
    if (!answer.error.empty()) {
      ++failed;
      complain(complaint_about(query, answer));
    }
    write_row(out, query.id, best_of(answer));
  });
  return failed;
}

int answer_query_list(const Searcher& searcher, const std::vector<ListedQuery>& queries, std::ostream& out,
                      bool progress, const std::function<void(const std::string&)>& complain, Communicator& ranks,
                      SharedSearch* shared) {
  const auto size = static_cast<std::size_t>(ranks.size());
  std::vector<ListedQuery> share;
  for (auto i = static_cast<std::size_t>(ranks.rank()); i < queries.size(); i += size) {
    share.push_back(queries[i]);
  }
  nlohmann::json lines = nlohmann::json::array();  // of each query what is written, and what is complained about
  const auto answer_share = [&](const CheckRanks& check_ranks) {
    answer_all(searcher, share, progress && ranks.rank() == 0, [&](const ListedQuery& query, const Answer& answer) {
      check_ranks();
      std::ostringstream row;
      write_row(row, query.id, best_of(answer));
      lines.push_back({row.str(), answer.error.empty() ? "" : complaint_about(query, answer)});
    });
  };
  if (shared != nullptr) {
    answer_share([shared] { shared->check_ranks(); });
    shared->finish();
  } else {
    work_beside_ranks(ranks, answer_share);
  }
  const std::vector<nlohmann::json> all = gathered(ranks, lines);
  int failed = 0;
  out << (ranks.rank() == 0 ? kHeaderLine : "");
  for (std::size_t i = 0; i < queries.size(); ++i) {
    const nlohmann::json& line = all[i % size][i / size];
    const auto complaint = line[1].get<std::string>();
    failed += complaint.empty() ? 0 : 1;
    if (ranks.rank() == 0) {
      out << line[0].get<std::string>();
      if (!complaint.empty()) {
        complain(complaint);
      }
    }
  }
  return failed;
}

}  // namespace earmark::search
