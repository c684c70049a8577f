#include "search/rank_indexer.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
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

/// Files of the plan that are indexed together and committed at once: [first, end).
struct Round {
  int number = 0;
  std::size_t first = 0;
  std::size_t end = 0;

  /// The first of them that is rank `rank`'s.
  std::size_t first_of(int rank, int size) const {
    return first + (end - first) * static_cast<std::size_t>(rank) / static_cast<std::size_t>(size);
  }
};

std::string name_of_parts(const nlohmann::json& plan, const Round& round, int rank) {
  return str(plan.at("name").get<std::string>(), "-", round.number, "-", rank);
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
  nlohmann::json excerpts = nlohmann::json::array();
  for (const std::string& excerpt : prepared.excerpts) {
    excerpts.push_back(nlohmann::json::binary({excerpt.begin(), excerpt.end()}));
  }
  return {{"hash", prepared.hash},
          {"problem", prepared.problem},
          {"damage", prepared.damage},
          {"seconds", prepared.seconds},
          {"title", prepared.tags.title},
          {"artist", prepared.tags.artist},
          {"part", place.part},
          {"first_row", place.first_row},
          {"rows", rows},
          {"excerpts", std::move(excerpts)}};
}

PreparedAudio prepared_in(const nlohmann::json& note) {
  PreparedAudio prepared;
  prepared.hash = note.at("hash");
  prepared.problem = note.at("problem");
  prepared.damage = note.at("damage");
  prepared.seconds = note.at("seconds");
  prepared.tags.title = note.at("title");
  prepared.tags.artist = note.at("artist");
  for (const nlohmann::json& excerpt : note.at("excerpts")) {
    prepared.excerpts.emplace_back(excerpt.get_binary().begin(), excerpt.get_binary().end());
  }
  return prepared;
}

/// Prepares the files of a share and writes their rows. What rank 0 must know of it.
nlohmann::json index_share(std::span<const AudioSource> share, std::size_t files, const std::set<std::string>& known,
                           const IndexFormat& format, const Embedder& embedder, const IndexerOptions& options,
                           SegmentParts& parts, data::Progress& progress, const CheckRanks& check_ranks) {
  const auto start = std::chrono::steady_clock::now();
  nlohmann::json notes = nlohmann::json::array();
  std::set<std::string> seen;
  bool interrupted = false;
  Pipeline<PreparedAudio> pipeline(
      share.size(), static_cast<std::size_t>(std::max(options.window, 2 * num_threads())),
      [&](std::size_t i) { return prepare_audio(share[i], known, format, embedder, files); });
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
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return {
      {"notes", std::move(notes)}, {"written", std::move(written)}, {"interrupted", interrupted}, {"seconds", seconds}};
}

/// Puts what all ranks have written into the index, round by round.
class JointCommit {
 public:
  explicit JointCommit(IndexWriter& writer)
      : writer_(writer), adder_(writer, [this](std::int64_t replaced, Track track, const PreparedAudio& prepared) {
          take(replaced, std::move(track), prepared.excerpts);
        }) {}

  void commit(const nlohmann::json& plan, const Round& round, const std::vector<AudioSource>& sources,
              const std::vector<nlohmann::json>& shares) {
    tracks_.clear();
    const int size = static_cast<int>(shares.size());
    for (rank_ = 0; rank_ < size; ++rank_) {
      std::size_t i = round.first_of(rank_, size);
      for (const nlohmann::json& of_file : shares[static_cast<std::size_t>(rank_)].at("notes")) {
        note_ = &of_file;
        adder_.add(sources[i++], prepared_in(of_file));
      }
    }
    for (auto& [part, written] : tracks_) {
      const nlohmann::json& info =
          shares[static_cast<std::size_t>(part.first)].at("written")[static_cast<std::size_t>(part.second)];
      writer_.adopt(part_path(writer_.folder(), name_of_parts(plan, round, part.first), part.second),
                    {info[0].get<std::int64_t>(), info[1].get<std::uint64_t>(), info[2].get<std::uint64_t>()},
                    std::move(written));
    }
    writer_.commit();
  }
  const IndexReport& report() const { return adder_.report; }

 private:
  using Part = std::pair<int, std::int64_t>;  // rank, number

  void take(std::int64_t replaced, Track track, const IndexWriter::Excerpts& excerpts) {
    track.first_row = note_->at("first_row");
    track.rows = note_->at("rows");
    check(track.rows > 0, data::printable(track.path), ": rank ", rank_, " wrote no fingerprints of it");
    tracks_[{rank_, note_->at("part").get<std::int64_t>()}].push_back({std::move(track), replaced, excerpts});
  }

  IndexWriter& writer_;
  AudioAdder adder_;
  std::map<Part, std::vector<IndexWriter::Written>> tracks_;
  int rank_ = 0;  // whose note it is
  const nlohmann::json* note_ = nullptr;
};

/// How many files the next round has: as many as take about `wanted_s`, by how long the last one took, but not more
/// than twice as many as it had.
std::size_t next_count(const Round& last, const std::vector<nlohmann::json>& shares, std::size_t least,
                       double wanted_s) {
  double seconds = 1e-3;
  for (const nlohmann::json& share : shares) {
    seconds = std::max(seconds, share.at("seconds").get<double>());
  }
  const auto count = static_cast<double>(last.end - last.first);
  return std::max(least, static_cast<std::size_t>(count * std::clamp(wanted_s / seconds, 0.25, 2.0)));
}

bool any_interrupted(const std::vector<nlohmann::json>& shares) {
  return std::ranges::any_of(shares, [](const nlohmann::json& share) { return share.at("interrupted").get<bool>(); });
}

void learn_contents(std::set<std::string>& known, const std::vector<nlohmann::json>& shares) {
  for (const nlohmann::json& share : shares) {
    for (const nlohmann::json& note : share.at("notes")) {
      if (note.at("problem").get<std::string>().empty()) {
        known.insert(note.at("hash").get<std::string>());
      }
    }
  }
}

}  // namespace

IndexReport add_audio(IndexWriter* writer, const std::filesystem::path& folder, const std::vector<AudioSource>& sources,
                      const Embedder& embedder, const IndexerOptions& options, Communicator& ranks) {
  const auto start = std::chrono::steady_clock::now();
  const nlohmann::json plan = gathered(ranks, writer != nullptr ? plan_of(folder, sources) : nlohmann::json()).front();
  const std::vector<AudioSource> all = sources_in(plan);
  std::optional<JointCommit> commit;
  if (writer != nullptr) {
    commit.emplace(*writer);
  }
  Catalogue catalogue(folder / "catalogue.sqlite", Sqlite::Mode::read);
  std::set<std::string> known = contents_of(catalogue);
  const int size = ranks.size();
  const std::size_t least = static_cast<std::size_t>(size) * static_cast<std::size_t>(std::max(1, options.window));
  data::Progress progress("indexing", static_cast<std::int64_t>(all.size()), "files", options.progress);
  bool interrupted = false;
  for (Round round{0, 0, std::min(all.size(), least)}; round.first < all.size() && !interrupted;) {
    SegmentParts parts(folder, catalogue.format(), name_of_parts(plan, round, ranks.rank()));
    nlohmann::json own;
    work_beside_ranks(ranks, [&](const CheckRanks& check_ranks) {
      check(std::filesystem::canonical(folder).string() == plan.at("index").get<std::string>(), "rank ", ranks.rank(),
            " was given another index, ", data::printable(folder.string()), ", than rank 0");
      const std::size_t first = round.first_of(ranks.rank(), size);
      const std::size_t end = round.first_of(ranks.rank() + 1, size);
      own = index_share(std::span(all).subspan(first, end - first), all.size(), known, catalogue.format(), embedder,
                        options, parts, progress, check_ranks);
    });
    const std::vector<nlohmann::json> shares = gathered(ranks, own);
    work_beside_ranks(ranks, [&] {
      if (commit) {
        commit->commit(plan, round, all, shares);
      }
    });
    interrupted = any_interrupted(shares);
    learn_contents(known, shares);
    progress.set(static_cast<std::int64_t>(round.end));
    round = {round.number + 1, round.end,
             std::min(all.size(), round.end + next_count(round, shares, least, options.commit_every_s))};
  }
  IndexReport report = commit ? commit->report() : IndexReport{};
  report.interrupted = interrupted;
  report.wall_seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return report;
}

}  // namespace earmark::search
