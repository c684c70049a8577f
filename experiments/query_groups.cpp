#include "experiments/query_groups.h"

#include <filesystem>
#include <map>
#include <system_error>

#include "experiments/answer_cells.h"
#include "kernels/conv.h"
#include "kernels/error.h"

namespace earmark::experiments {

std::vector<QueryGroup> groups_of(const QuerySet& set) {
  std::vector<QueryGroup> out;
  std::map<std::string, std::size_t> known;
  for (std::size_t q = 0; q < set.queries.size(); ++q) {
    const Query& query = set.queries[q];
    const std::string label = (query.condition.empty() ? "queries" : query.condition) +
                              (query.snr_db ? str("-snr", *query.snr_db) : "") +
                              (query.rt60_s ? str("-rt", *query.rt60_s) : "");
    const auto [at, is_new] = known.emplace(label, out.size());
    if (is_new) {
      out.push_back({label, {}});
    }
    out[at->second].queries.push_back(q);
  }
  return out;
}

std::string queries_key(const QuerySet& set, const QueryGroup& group) {
  std::string text;
  for (const std::size_t q : group.queries) {
    const Query& query = set.queries[q];
    std::error_code error;
    const std::filesystem::path file = set.folder / query.path;
    text += str(query.path.string(), '\t', query.length_s, '\t', std::filesystem::file_size(file, error), '\t',
                std::filesystem::last_write_time(file, error).time_since_epoch().count(), '\n');
  }
  return str(group.queries.size(), ' ', short_hash(text));
}

std::string contents_key(const search::IndexStore& store) {
  std::string tracks;
  for (const search::Track& track : store.tracks()) {
    tracks += str(track.path, '\t', track.first_row, '\n');
  }
  return str(store.content_key(), ' ', search::name_of(store.format().precision), ' ', short_hash(tracks),
             kernels::bf16_products_used() ? " bf16 products" : "", " peaks between hops");
}

}  // namespace earmark::experiments
