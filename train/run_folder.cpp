#include "train/run_folder.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <vector>

#include "kernels/atomic_file.h"
#include "kernels/error.h"

namespace earmark::train {

namespace fs = std::filesystem;

namespace {

constexpr const char* kPrefix = "step-";
constexpr const char* kUnfinished = ".unfinished-";

std::string state_text(const RunState& state) {
  return nlohmann::ordered_json{{"step", state.step},
                                {"elapsed_seconds", state.elapsed_seconds},
                                {"best_hit_rate", state.best_hit_rate},
                                {"best_step", state.best_step},
                                {"data_identity", state.data_identity},
                                {"log_bytes", state.log_bytes},
                                {"events_bytes", state.events_bytes}}
             .dump(2) +
         "\n";
}

RunState read_state(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  const nlohmann::json object = nlohmann::json::parse(text, nullptr, false);
  RunState state;
  try {
    state.step = object.at("step").get<std::int64_t>();
    state.elapsed_seconds = object.at("elapsed_seconds").get<double>();
    state.best_hit_rate = object.at("best_hit_rate").get<double>();
    state.best_step = object.at("best_step").get<std::int64_t>();
    state.data_identity = object.at("data_identity").get<std::uint64_t>();
    state.log_bytes = object.at("log_bytes").get<std::uint64_t>();
    state.events_bytes = object.at("events_bytes").get<std::uint64_t>();
  } catch (const nlohmann::json::exception&) {
    fail(path.string(), ": missing or damaged");
  }
  return state;
}

void flush_folder(const fs::path& folder) {
  const int descriptor = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor >= 0) {
    ::fsync(descriptor);
    ::close(descriptor);
  }
}

/// "step-00000500": sorts as the steps do.
std::string checkpoint_name(std::int64_t step) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%s%08lld", kPrefix, static_cast<long long>(step));
  return text.data();
}

std::vector<fs::path> checkpoints_in(const fs::path& folder) {
  std::vector<fs::path> found;
  if (fs::is_directory(folder)) {
    for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
      if (entry.path().filename().string().starts_with(kPrefix)) {
        found.push_back(entry.path());
      }
    }
  }
  std::sort(found.begin(), found.end());
  return found;
}

void make_folder(const fs::path& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  check(!error, folder.string(), ": cannot be created: ", error.message());
}

}  // namespace

AppendedFile::AppendedFile(fs::path path, std::uint64_t keep) : path_(std::move(path)), size_(keep) {
  file_ = std::fopen(path_.c_str(), keep == 0 ? "wb" : "r+b");
  check(file_ != nullptr, path_.string(), ": cannot be written: ", std::strerror(errno));
  const bool cut =
      keep == 0 || (fs::file_size(path_) >= keep && ::ftruncate(::fileno(file_), static_cast<off_t>(keep)) == 0 &&
                    std::fseek(file_, 0, SEEK_END) == 0);
  if (!cut) {
    std::fclose(file_);
    fail(path_.string(), ": is shorter than the checkpoint says (", keep, " bytes), or cannot be written");
  }
}

AppendedFile::~AppendedFile() { std::fclose(file_); }

void AppendedFile::append(std::string_view bytes) {
  const bool written = std::fwrite(bytes.data(), 1, bytes.size(), file_) == bytes.size() && std::fflush(file_) == 0;
  check(written, path_.string(), ": cannot be written: ", std::strerror(errno));
  size_ += bytes.size();
}

void RunFolder::check_free(const fs::path& path) {
  check(!fs::exists(RunFolder(path).config()), path.string(), ": already holds a run; continue it with --resume ",
        path.string(), " or choose another folder with --out");
  fs::path there = fs::absolute(path);
  while (!fs::exists(there) && there.has_relative_path()) {
    there = there.parent_path();
  }
  check(fs::is_directory(there), path.string(), ": cannot be created: ", there.string(), " is not a folder");
  const bool writable = ::access(there.c_str(), W_OK | X_OK) == 0;
  check(writable, path.string(), ": cannot be written: ", std::strerror(errno));
}

RunFolder RunFolder::create(const fs::path& path, const std::string& config) {
  RunFolder run(path);
  make_folder(path);
  run.claim();
  check_free(path);
  run.write_config(config);
  return run;
}

RunFolder RunFolder::open(const fs::path& path) {
  RunFolder run(path);
  check(fs::exists(run.config()), path.string(), ": not the folder of a run (it has no config.yaml)");
  return run;
}

void RunFolder::claim() {
  lock_ = std::make_shared<FileLock>(path_ / "lock",
                                     [this] { fail(path_.string(), ": another process is training in this folder"); });
  remove_unfinished_files(path_);
}

void RunFolder::write_config(const std::string& text) const { write_file_atomically(config(), text); }

void RunFolder::write_skipped(const std::vector<std::string>& lines) const {
  std::string text;
  for (const std::string& line : lines) {
    text += line + "\n";
  }
  if (text.empty()) {
    fs::remove(skipped());
  } else {
    write_file_atomically(skipped(), text);
  }
}

void RunFolder::save_checkpoint(const nn::Model& trained, const nn::SafetensorsFile& optimizer, const RunState& state,
                                int keep) const {
  const fs::path folder = path_ / "checkpoints";
  const fs::path name = checkpoint_name(state.step);
  if (fs::exists(folder / name)) {
    return;  // Resumed and stopped again before another step.
  }
  const fs::path unfinished = folder / (kUnfinished + name.string());
  fs::remove_all(unfinished);
  make_folder(unfinished);
  nn::save_model(unfinished / "model.safetensors", trained);
  nn::write_safetensors(unfinished / "optimizer.safetensors", optimizer);
  write_file_atomically(unfinished / "state.json", state_text(state));
  fs::rename(unfinished, folder / name);
  flush_folder(folder);
  remove_old_checkpoints(keep);
}

void RunFolder::remove_old_checkpoints(int keep) const {
  const std::vector<fs::path> all = checkpoints_in(path_ / "checkpoints");
  for (std::size_t i = 0; i + static_cast<std::size_t>(keep) < all.size(); ++i) {
    fs::remove_all(all[i]);
  }
}

std::optional<fs::path> RunFolder::latest_checkpoint() const {
  const std::vector<fs::path> all = checkpoints_in(path_ / "checkpoints");
  return all.empty() ? std::nullopt : std::optional(all.back());
}

RunState RunFolder::load_checkpoint(const fs::path& checkpoint, const nn::Model& trained, Adam& adam) {
  const fs::path weights = checkpoint / "model.safetensors";
  const fs::path moments = checkpoint / "optimizer.safetensors";
  const nn::Model saved = nn::load_model(weights);
  check(saved.options == trained.options && saved.features == trained.features, weights.string(),
        ": has other encoder or feature options than the configuration");
  nn::load_weights(nn::read_safetensors(weights), *trained.encoder, weights.string());
  adam.load_state(nn::read_safetensors(moments), moments.string());
  const RunState state = read_state(checkpoint / "state.json");
  check(adam.steps_done() == state.step, moments.string(), ": is of step ", adam.steps_done(), ", expected ",
        state.step);
  return state;
}

}  // namespace earmark::train
