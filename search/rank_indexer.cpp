#include "search/rank_indexer.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <span>
#include <string>
#include <utility>

#include "data/audio_files.h"
#include "data/progress.h"
#include "kernels/error.h"
#include "kernels/parallel.h"
#include "kernels/rank_work.h"
#include "search/audio_adder.h"
#include "search/catalogue.h"
#include "search/pipeline.h"
#include "search/prepared_audio.h"
#include "search/rank_exchange.h"
#include "search/segment_parts.h"

namespace earmark::search {
namespace {

/// What rank 0 has all work on.
nlohmann::json plan_of(const std::filesystem::path& folder, const std::vector<AudioSource>& sources) {
  const auto now = std::chrono::system_clock::now().time_since_epoch().count();
  nlohmann::json files = nlohmann::json::array();
  for (const AudioSource& source : sources) {
    files.push_back({source.file.string(), source.folder, source.path, source.title, source.artist});
  }
  return {{"index", std::filesystem::canonical(folder).string()},
          {"name", str(::getpid(), "-", now)},
          {"files", std::move(files)}};
}

std::vector<AudioSource> sources_in(const nlohmann::json& plan) {
  std::vector<AudioSource> sources;
  for (const nlohmann::json& file : plan.at("files")) {
    sources.push_back({file[0].get<std::string>(), file[1].get<std::string>(), file[2].get<std::string>(),
                       file[3].get<std::string>(), file[4].get<std::string>()});
  }
  return sources;
}

std::string name_of_parts(const nlohmann::json& plan, int rank) {
  return str(plan.at("name").get<std::string>(), "-", rank);
}

/// Position of the first of `count` files that are rank `rank`'s.
std::size_t first_of_share(std::size_t count, int rank, int size) {
  return count * static_cast<std::size_t>(rank) / static_cast<std::size_t>(size);
}

std::set<std::string> contents_of(Catalogue& catalogue) {
  std::set<std::string> contents;
  for (const TrackEntry& entry : catalogue.tracks()) {
    contents.insert(entry.track.content_hash);
  }
  return contents;
}

/// A prepared file, without its rows: where they are.
nlohmann::json note_of(const PreparedAudio& prepared, SegmentParts::Place place, std::int64_t rows) {
  return {{"hash", prepared.hash},       {"problem", prepared.problem},  {"damage", prepared.damage},
          {"seconds", prepared.seconds}, {"title", prepared.tags.title}, {"artist", prepared.tags.artist},
          {"part", place.part},          {"first_row", place.first_row}, {"rows", rows}};
}

PreparedAudio prepared_in(const nlohmann::json& note) {
  PreparedAudio prepared;
  prepared.hash = note.at("hash");
  prepared.problem = note.at("problem");
  prepared.damage = note.at("damage");
  prepared.seconds = note.at("seconds");
  prepared.tags.title = note.at("title");
  prepared.tags.artist = note.at("artist");
  return prepared;
}

/// Prepares the files of a share and writes their rows. What rank 0 must know of it.
nlohmann::json index_share(std::span<const AudioSource> share, const std::set<std::string>& known,
                           const IndexFormat& format, const Embedder& embedder, const IndexerOptions& options,
                           SegmentParts& parts, const CheckRanks& check_ranks) {
  nlohmann::json notes = nlohmann::json::array();
  std::set<std::string> seen;
  bool interrupted = false;
  data::Progress progress("indexing", static_cast<std::int64_t>(share.size()), "files", options.progress);
  Pipeline<PreparedAudio> pipeline(share.size(), static_cast<std::size_t>(std::max(options.window, 2 * num_threads())),
                                   [&](std::size_t i) { return prepare_audio(share[i], known, format, embedder); });
  for (std::size_t i = 0; i < share.size(); ++i) {
    interrupted = options.stop != nullptr && *options.stop;
    if (interrupted) {
      break;
    }
    const PreparedAudio prepared = pipeline.take();
    check_ranks();
    const bool is_new = prepared.problem.empty() && prepared.fingerprints && seen.insert(prepared.hash).second;
    notes.push_back(note_of(prepared, is_new ? parts.add(prepared.fingerprints) : SegmentParts::Place{},
                            is_new ? prepared.fingerprints.dim(0) : 0));
    progress.add();
  }
  parts.finish();
  nlohmann::json written = nlohmann::json::array();
  for (const SegmentInfo& info : parts.written()) {
    written.push_back({info.rows, info.bytes, info.hash});
  }
  return {{"notes", std::move(notes)}, {"written", std::move(written)}, {"interrupted", interrupted}};
}

/// Puts what all ranks have written into the index.
IndexReport commit_shares(IndexWriter& writer, const nlohmann::json& plan, const std::vector<AudioSource>& sources,
                          const std::vector<nlohmann::json>& shares) {
  using Part = std::pair<int, std::int64_t>;  // rank, number
  std::map<Part, std::vector<IndexWriter::Written>> tracks;
  int rank = 0;
  const nlohmann::json* note = nullptr;
  AudioAdder adder(writer, [&](std::int64_t replaced, Track track, const PreparedAudio& /*prepared*/) {
    track.first_row = note->at("first_row");
    track.rows = note->at("rows");
    check(track.rows > 0, data::printable(track.path), ": rank ", rank, " wrote no fingerprints of it");
    tracks[{rank, note->at("part").get<std::int64_t>()}].push_back({std::move(track), replaced});
  });
  const int size = static_cast<int>(shares.size());
  for (; rank < size; ++rank) {
    std::size_t i = first_of_share(sources.size(), rank, size);
    const nlohmann::json& share = shares[static_cast<std::size_t>(rank)];
    for (const nlohmann::json& of_file : share.at("notes")) {
      note = &of_file;
      adder.add(sources[i++], prepared_in(of_file));
    }
    adder.report.interrupted = adder.report.interrupted || share.at("interrupted").get<bool>();
  }
  for (auto& [part, written] : tracks) {
    const nlohmann::json& info =
        shares[static_cast<std::size_t>(part.first)].at("written")[static_cast<std::size_t>(part.second)];
    writer.adopt(part_path(writer.folder(), name_of_parts(plan, part.first), part.second),
                 {info[0].get<std::int64_t>(), info[1].get<std::uint64_t>(), info[2].get<std::uint64_t>()},
                 std::move(written));
  }
  writer.commit();
  return adder.report;
}

}  // namespace

IndexReport add_audio(IndexWriter* writer, const std::filesystem::path& folder, const std::vector<AudioSource>& sources,
                      const Embedder& embedder, const IndexerOptions& options, Communicator& ranks) {
  const auto start = std::chrono::steady_clock::now();
  const nlohmann::json plan = gathered(ranks, writer != nullptr ? plan_of(folder, sources) : nlohmann::json()).front();
  const std::vector<AudioSource> all = sources_in(plan);
  Catalogue catalogue(folder / "catalogue.sqlite", Sqlite::Mode::read);
  SegmentParts parts(folder, catalogue.format(), name_of_parts(plan, ranks.rank()));
  nlohmann::json own;
  work_beside_ranks(ranks, [&](const CheckRanks& check_ranks) {
    check(std::filesystem::canonical(folder).string() == plan.at("index").get<std::string>(), "rank ", ranks.rank(),
          " was given another index, ", data::printable(folder.string()), ", than rank 0");
    const std::size_t first = first_of_share(all.size(), ranks.rank(), ranks.size());
    const std::size_t end = first_of_share(all.size(), ranks.rank() + 1, ranks.size());
    own = index_share(std::span(all).subspan(first, end - first), contents_of(catalogue), catalogue.format(), embedder,
                      options, parts, check_ranks);
  });
  const std::vector<nlohmann::json> shares = gathered(ranks, own);
  IndexReport report;
  work_beside_ranks(ranks, [&] {
    if (writer != nullptr) {
      report = commit_shares(*writer, plan, all, shares);
    }
  });
  report.interrupted =
      std::ranges::any_of(shares, [](const nlohmann::json& share) { return share.at("interrupted").get<bool>(); });
  report.wall_seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return report;
}

}  // namespace earmark::search
