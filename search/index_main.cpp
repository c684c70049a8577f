// index build|add|remove|list|info|verify|merge|calibrate INDEX ...: makes and changes an index of music; index files
// PATH... lists what there is to add. `build` and `add` may be done by several processes together (kernels/rank.h).
#include <fnmatch.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "data/audio_files.h"
#include "data/decode.h"
#include "data/program.h"
#include "data/progress.h"
#include "data/stop_signal.h"
#include "kernels/communicator.h"
#include "kernels/error.h"
#include "kernels/rank.h"
#include "kernels/rank_work.h"
#include "nn/shipped_model.h"
#include "search/calibrate_index.h"
#include "search/catalogue.h"
#include "search/index_description.h"
#include "search/index_store.h"
#include "search/index_writer.h"
#include "search/indexer.h"
#include "search/landmark_rows.h"
#include "search/query.h"
#include "search/rank_indexer.h"
#include "search/report.h"

namespace fs = std::filesystem;
using namespace earmark;          // NOLINT(google-build-using-namespace): a program, not a header.
using namespace earmark::search;  // NOLINT(google-build-using-namespace)

namespace {

struct Arguments {
  std::string index;
  std::string method = "model";
  std::string landmark;  // setting; empty: not given
  std::string model;
  std::vector<std::string> paths;
  std::vector<std::string> lists;
  std::vector<std::int64_t> ids;
  std::vector<std::string> queries;
  std::string precision = "fp32";
  std::string scale = "row";
  int hop_frames = 0;
  double rate = 0.01;
  bool json = false;
  bool null = false;
  bool calibrate = true;
  bool lsh = false;
  bool threads_given = false;
  data::DeviceChoice device;
  data::RankTimeout rank_timeout;
};

void say_waiting(const std::string& message) { std::cerr << "index: " << message << '\n'; }

std::vector<AudioSource> sources_of(const Arguments& arguments) {
  std::vector<fs::path> inputs(arguments.paths.begin(), arguments.paths.end());
  inputs.insert(inputs.end(), arguments.lists.begin(), arguments.lists.end());
  if (inputs.empty()) {
    data::fail_usage("no sound files, folders or lists given");
  }
  std::vector<AudioSource> sources = find_sources(inputs);
  check(!sources.empty(), "no sound files found");
  return sources;
}

void print_report(const IndexReport& report) {
  for (const auto& [path, reason] : report.skipped) {
    std::cerr << "skipped " << data::printable(path) << ": " << data::printable_sentence(reason) << '\n';
  }
  for (const auto& [path, reason] : report.damaged) {
    std::cerr << "damaged " << data::printable(path) << ": " << data::printable_sentence(reason) << '\n';
  }
  std::cout << "added " << report.added << ", replaced " << report.replaced << ", renamed " << report.renamed
            << ", unchanged " << report.unchanged << ", skipped " << report.skipped.size() << "; "
            << data::format_duration(report.audio_seconds) << " of audio in "
            << data::format_duration(report.wall_seconds) << " ("
            << std::lround(report.audio_seconds / std::max(1e-3, report.wall_seconds)) << " x real time)\n";
}

/// How sound becomes rows of an index.
struct Embedding {
  Embedder embedder;
  Device device;  // where
};

Embedding fingerprints_by(nn::Model model, const IndexFormat& format, Device device) {
  const int hop = hop_frames_of(model, format);
  const auto fingerprinter = std::make_shared<nn::Fingerprinter>(std::move(model), device);
  return {[fingerprinter, hop](std::span<const float> pcm) { return fingerprinter->fingerprints(pcm, hop); }, device};
}

Embedding landmarks_by(const LandmarkOptions& options) {
  return {[options](std::span<const float> pcm) { return rows_of(landmarks(pcm, options)); }, Device{}};
}

/// What `build` and `add` fill.
struct Opened {
  IndexWriter writer;
  std::vector<AudioSource> sources;
  Embedding embedding;
};

/// Adds what is not there yet. What goes wrong leaves what was committed before, and says so. `ranks`: null where this
/// process is by itself.
IndexReport add_sources(Opened& opened, Communicator* ranks) {
  IndexerOptions options;
  options.progress = true;
  options.stop = &data::watch_stop_signals();
  IndexWriter& writer = opened.writer;
  const Embedder& embedder = opened.embedding.embedder;
  try {
    return ranks == nullptr ? add_audio(writer, opened.sources, embedder, options)
                            : add_audio(&writer, writer.folder(), opened.sources, embedder, options, *ranks);
  } catch (const Error& error) {
    fail(error.what(), "; ", writer.folder().string(), " keeps the ", writer.tracks().size(),
         " tracks that were committed before");
  }
}

int fill(Opened opened, const Arguments& arguments, Communicator* ranks) {
  IndexWriter& writer = opened.writer;
  const Device device = opened.embedding.device;
  if (!writer.format().landmarks) {
    arguments.device.announce();
  }
  const IndexReport report = add_sources(opened, ranks);
  print_report(report);
  if (report.interrupted) {
    std::cerr << "index: interrupted; what was added is kept, and the same command goes on\n";
    return 1;
  }
  const bool changed = report.added + report.replaced > 0;
  if (arguments.calibrate && (changed || !is_calibrated(writer))) {  // not yet, where one that was killed has added all
    calibrate_index(writer, {.device = device});
  }
  if (arguments.lsh) {
    static_cast<void>(IndexStore::open(writer.folder(), {.verify = false, .device = device}).lsh());
  }
  if (changed || report.renamed + report.unchanged > 0) {
    return 0;
  }
  if (report.duplicates > 0) {
    std::cout << "nothing to add: what could be read is in the index already\n";
    return 0;
  }
  std::cerr << "index: none of the files could be indexed\n";
  return 1;
}

Opened open_landmarks(const Arguments& arguments) {
  if (!arguments.model.empty() || arguments.hop_frames > 0 || arguments.precision != "fp32" ||
      arguments.scale != "row" || arguments.lsh) {
    data::fail_usage("--model, --hop, --precision, --scale and --lsh mean nothing to landmarks");
  }
  std::vector<AudioSource> sources = sources_of(arguments);
  const LandmarkOptions options = landmark_setting(arguments.landmark.empty() ? "default" : arguments.landmark);
  return {IndexWriter::create(arguments.index, {}, landmark_format(options), say_waiting), std::move(sources),
          landmarks_by(options)};
}

Opened open_to_build(Arguments& arguments) {
  if (arguments.method == "landmark") {
    return open_landmarks(arguments);
  }
  if (!arguments.landmark.empty()) {
    data::fail_usage("--landmark goes with --method landmark");
  }
  std::vector<AudioSource> sources = sources_of(arguments);  // complains before anything is made
  const fs::path file = arguments.model.empty() ? nn::shipped_model() : fs::path(arguments.model);
  nn::Model model = nn::load_model(file);
  const Device device = arguments.device.choose(rank_from_environment());
  const IndexFormat format = format_of(model, arguments.hop_frames, parse_precision(arguments.precision),
                                       arguments.scale == "global" ? ScaleMode::global : ScaleMode::row);
  Embedding embedding = fingerprints_by(std::move(model), format, device);
  return {IndexWriter::create(arguments.index, file, format, say_waiting), std::move(sources), std::move(embedding)};
}

Embedding embedding_of(Arguments& arguments, const IndexFormat& format) {
  if (format.landmarks) {
    return landmarks_by(*format.landmarks);
  }
  const Device device = arguments.device.choose(rank_from_environment());
  return fingerprints_by(load_model_of(arguments.index, format), format, device);
}

Opened open_to_add(Arguments& arguments) {
  std::vector<AudioSource> sources = sources_of(arguments);
  IndexWriter writer = IndexWriter::open(arguments.index, say_waiting);
  const IndexFormat format = writer.format();
  if (format.landmarks && (!arguments.model.empty() || arguments.lsh)) {
    data::fail_usage("--model and --lsh mean nothing to an index of landmarks");
  }
  Embedding embedding = embedding_of(arguments, format);
  if (!format.landmarks && !arguments.model.empty()) {
    const std::string given = nn::model_hash(nn::load_model(arguments.model));
    check(given == format.model_hash, data::printable(arguments.index), ": made with another model (",
          format.model_hash, ") than ", arguments.model, " (", given, ")");
  }
  return {std::move(writer), std::move(sources), std::move(embedding)};
}

/// Rank 0 opens and commits, speaks and calibrates; the others prepare their shares beside it.
int fill_beside_ranks(Arguments& arguments, const Rank& rank, Opened (*open)(Arguments&)) {
  data::share_processors(rank, arguments.threads_given);
  const std::shared_ptr<Communicator> ranks = make_communicator(rank, arguments.rank_timeout.value());
  const bool first = rank.rank == 0;
  if (open == open_to_build && arguments.method != "landmark") {
    check_devices(*ranks, arguments.device.choose(rank));  // before an index is made
  }
  std::optional<Opened> opened;
  work_beside_ranks(*ranks, [&] {
    if (first) {
      opened.emplace(open(arguments));
    }
  });
  if (first) {
    check_devices(*ranks, opened->embedding.device);
    return fill(std::move(*opened), arguments, ranks.get());
  }
  const Embedding embedding =
      embedding_of(arguments, Catalogue(fs::path(arguments.index) / "catalogue.sqlite", Sqlite::Mode::read).format());
  check_devices(*ranks, embedding.device);
  IndexerOptions options;
  options.stop = &data::watch_stop_signals();
  return add_audio(nullptr, arguments.index, {}, embedding.embedder, options, *ranks).interrupted ? 1 : 0;
}

int open_and_fill(Arguments& arguments, Opened (*open)(Arguments&)) {
  const Rank rank = rank_from_environment();
  return rank.size > 1 ? fill_beside_ranks(arguments, rank, open) : fill(open(arguments), arguments, nullptr);
}

int build(Arguments& arguments) { return open_and_fill(arguments, open_to_build); }
int add(Arguments& arguments) { return open_and_fill(arguments, open_to_add); }

std::string whole_path(const Track& track) { return (fs::path(track.folder) / track.path).string(); }

/// Numbers of the tracks whose path `list` shows so; where there are none, of those with this path or whole path, and
/// only then of those that it matches as a pattern. What is shown of one name may be the whole of another.
std::vector<std::int64_t> tracks_named(const std::vector<Track>& tracks, const std::string& name) {
  std::vector<std::int64_t> shown;
  std::vector<std::int64_t> exact;
  std::vector<std::int64_t> alike;
  for (const Track& track : tracks) {
    const std::string whole = whole_path(track);
    if (name == data::printable(track.path)) {
      shown.push_back(track.id);
    } else if (name == track.path || name == whole) {
      exact.push_back(track.id);
    } else if (fnmatch(name.c_str(), track.path.c_str(), 0) == 0 || fnmatch(name.c_str(), whole.c_str(), 0) == 0) {
      alike.push_back(track.id);
    }
  }
  return !shown.empty() ? shown : !exact.empty() ? exact : alike;
}

int remove(Arguments& arguments) {
  if (arguments.paths.empty() && arguments.ids.empty()) {
    data::fail_usage("nothing to remove: give paths, patterns or --id");
  }
  IndexWriter writer = IndexWriter::open(arguments.index, say_waiting);
  std::vector<std::int64_t> ids = arguments.ids;
  const std::vector<Track> tracks = writer.tracks();
  for (const std::string& name : arguments.paths) {
    const std::vector<std::int64_t> named = tracks_named(tracks, name);
    check(!named.empty(), "no track matches '", data::printable(name), "'");
    ids.insert(ids.end(), named.begin(), named.end());
  }
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  writer.remove(ids);
  std::cout << "removed " << ids.size() << " of " << tracks.size() << " tracks\n";
  return 0;
}

int list(Arguments& arguments) {
  const IndexStore store = IndexStore::open(arguments.index, {false});
  for (const Track& track : store.tracks()) {
    write_track(std::cout, arguments.json ? Form::json : Form::text, track);
  }
  return 0;
}

/// The sound files that `build` and `add` would be given.
int files(Arguments& arguments) {
  const std::vector<fs::path> inputs(arguments.paths.begin(), arguments.paths.end());
  for (const data::AudioFile& file : data::list_audio_files(inputs)) {
    if (arguments.null) {
      std::cout << file.path.string() << '\0';
    } else {
      std::cout << data::printable(file.path.string()) << '\n';
    }
  }
  return 0;
}

int info(Arguments& arguments) {
  const nlohmann::ordered_json json = describe(IndexStore::open(arguments.index, {false}));
  if (arguments.json) {
    std::cout << json.dump() << '\n';
    return 0;
  }
  for (const auto& [key, value] : json.items()) {
    std::cout << key << ": " << (value.is_string() ? value.get<std::string>() : value.dump()) << '\n';
  }
  return 0;
}

int verify(Arguments& arguments) {
  const std::vector<std::string> problems = verify_index(arguments.index);
  for (const std::string& problem : problems) {
    std::cerr << "index: " << problem << '\n';
  }
  if (problems.empty()) {
    std::cout << data::printable(arguments.index) << ": sound\n";
  }
  return problems.empty() ? 0 : 1;
}

int merge(Arguments& arguments) {
  IndexWriter writer = IndexWriter::open(arguments.index, say_waiting);
  bool added = false;
  for (const std::string& other : arguments.paths) {
    check(!fs::equivalent(other, arguments.index), "an index cannot be merged with itself");
    const MergeReport report = writer.merge(IndexStore::open(other));
    std::cout << data::printable(other) << ": added " << report.added << ", already there " << report.present
              << ", left out " << report.conflicts.size() << '\n';
    for (const std::string& path : report.conflicts) {
      std::cerr << "left out " << data::printable(path) << ": another track has this folder and path\n";
    }
    added = added || report.added > 0;
  }
  if (added && arguments.calibrate) {
    const bool landmarks = writer.format().landmarks.has_value();
    const Device device = landmarks ? Device{} : arguments.device.choose();
    if (!landmarks) {
      arguments.device.announce();
    }
    calibrate_index(writer, {.device = device});
  }
  return 0;
}

int calibrate(Arguments& arguments) {
  IndexWriter writer = IndexWriter::open(arguments.index, say_waiting);
  const IndexFormat format = writer.format();
  IndexCalibration options;
  if (!format.landmarks) {
    options.device = arguments.device.choose();
    arguments.device.announce();
  }
  options.false_match_rate = arguments.rate;
  options.absent.assign(arguments.queries.begin(), arguments.queries.end());
  options.complain = [](const std::string& message) { std::cerr << message << '\n'; };
  const std::optional<Calibration> calibration = calibrate_index(writer, options);
  check(calibration.has_value(), format.landmarks
                                     ? "the index keeps no excerpts of its tracks, since none was added by "
                                       "a program that does: give --queries"
                                     : "too little sound to calibrate on");
  std::cout << data::printable(calibration->source) << ":\n";
  for (const Calibration::Point& point : calibration->points) {
    std::cout << (format.landmarks ? point.rows * format.hop_seconds()
                                   : format.segment_seconds() + (point.rows - 1) * format.hop_seconds())
              << " s: confidence above " << point.threshold << " is a match\n";
  }
  return 0;
}

CLI::App* command(CLI::App& app, Arguments& arguments, const std::string& name, const std::string& what) {
  CLI::App* sub = app.add_subcommand(name, what)->fallthrough();
  sub->add_option("INDEX", arguments.index, "Folder of the index")->required();
  return sub;
}

void add_input_options(CLI::App* sub, Arguments& arguments) {
  sub->add_option("PATH", arguments.paths, "Sound files, folders of them, or lists (.txt, .m3u: one path per line)");
  sub->add_option("--list", arguments.lists, "File with one path per line, relative to it")->check(CLI::ExistingFile);
  sub->add_flag("!--no-calibrate", arguments.calibrate, "Keep the thresholds for \"is in the index\" as they are");
  sub->add_flag("--lsh", arguments.lsh, "Also make the hash tables now, not at the first search");
  arguments.device.add_option(*sub);
  arguments.device.add_fp32_option(*sub);
  arguments.rank_timeout.add_option(*sub);
}

void add_build(CLI::App& app, Arguments& arguments) {
  CLI::App* sub = command(app, arguments, "build", "Make an index, or go on making it");
  sub->add_option("--method", arguments.method,
                  "What finds recordings: fingerprints of a model, or landmarks (audfprint's, which need none)")
      ->check(CLI::IsMember({"model", "landmark"}))
      ->capture_default_str();
  sub->add_option("--landmark", arguments.landmark,
                  "How landmarks are made: default is audfprint's, dense and best find more and take more room")
      ->check(CLI::IsMember(landmark_settings()));
  sub->add_option("--model", arguments.model,
                  "Encoder (model.safetensors of a run; default: the one that comes with Earmark)");
  sub->add_option("--precision", arguments.precision, "How fingerprints are stored")
      ->check(CLI::IsMember({"fp32", "fp16", "int8"}))
      ->capture_default_str();
  sub->add_option("--scale", arguments.scale, "int8: one scale per fingerprint (row) or per file (global)")
      ->check(CLI::IsMember({"row", "global"}))
      ->capture_default_str();
  sub->add_option("--hop", arguments.hop_frames, "Frames of 10 ms between fingerprints (default: the model's)")
      ->check(CLI::Range(1, 1000));
  add_input_options(sub, arguments);
}

void add_commands(CLI::App& app, Arguments& arguments) {
  add_build(app, arguments);
  CLI::App* add_command =
      command(app, arguments, "add", "Add sound files; those that are there already are left alone");
  add_command->add_option("--model", arguments.model, "Refuse unless the index was made with this model");
  add_input_options(add_command, arguments);
  CLI::App* remove_command = command(app, arguments, "remove", "Remove tracks");
  remove_command->add_option(
      "TRACK", arguments.paths,
      "Paths as `list` shows them, whole paths, or, where no track has one, patterns with * ? []");
  remove_command->add_option("--id", arguments.ids, "Track numbers as `list` shows them");
  CLI::App* list_command = command(app, arguments, "list", "List the tracks");
  list_command->add_flag("--json", arguments.json, "One JSON object per line");
  CLI::App* files_command =
      app.add_subcommand("files", "List the sound files of folders and lists, as build and add find them")
          ->fallthrough();
  files_command->add_option("PATH", arguments.paths, "Sound files, folders of them, or lists")->required();
  files_command->add_flag("--null,-0", arguments.null,
                          "A zero byte behind each, not a line break: for names of any bytes");
  CLI::App* info_command = command(app, arguments, "info", "Describe the index");
  info_command->add_flag("--json", arguments.json, "As one JSON object");
  command(app, arguments, "verify", "Check every file of the index; exit code 1 where one is damaged");
  CLI::App* merge_command =
      command(app, arguments, "merge", "Add all tracks of other indexes made with the same model");
  merge_command->add_option("OTHER", arguments.paths, "Other indexes")->required();
  arguments.device.add_option(*merge_command);
  arguments.device.add_fp32_option(*merge_command);
  CLI::App* calibrate_command =
      command(app, arguments, "calibrate", "Find the thresholds for \"is in the index\" again");
  calibrate_command->add_option("--queries", arguments.queries,
                                "Sound that is certainly not in the index (default: the index's own tracks, each "
                                "searched among the others)");
  calibrate_command->add_option("--rate", arguments.rate, "False matches allowed")->check(CLI::Range(1e-5, 0.25));
  arguments.device.add_option(*calibrate_command);
  arguments.device.add_fp32_option(*calibrate_command);
}

}  // namespace

int main(int argc, char** argv) {
  Arguments arguments;
  CLI::App app("Makes and changes an index of music.", "index");
  app.require_subcommand(1);
  add_commands(app, arguments);
  return data::run_program(app, argc, argv, [&] {
    arguments.threads_given = app.count("--threads") > 0;
    const std::string name = app.get_subcommands().front()->get_name();
    const std::vector<std::pair<std::string, int (*)(Arguments&)>> commands = {
        {"build", build}, {"add", add},       {"remove", remove}, {"list", list},          {"files", files},
        {"info", info},   {"verify", verify}, {"merge", merge},   {"calibrate", calibrate}};
    return std::find_if(commands.begin(), commands.end(), [&](const auto& c) { return c.first == name; })
        ->second(arguments);
  });
}
