// `search --monitor`: recordings and streams are followed, and what is recognised is told while they go on.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <memory>
#include <string_view>
#include <utility>

#include "kernels/error.h"
#include "tests/data/test_sounds.h"
#include "tests/search/search_program.h"

namespace earmark::search {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

class SearchMonitorWhole : public SearchProgram {};

TEST_F(SearchMonitorWhole, MonitorsFilesAndStandardInput) {
  const std::string file = composed_->write("medley.wav", medley()).string();
  const Ended begins = search({"--monitor", file}, "0.7");
  EXPECT_EQ(begins.code, 0) << begins.err;
  EXPECT_EQ(begins.err, "");
  const std::vector<std::string> lines = lines_in(begins.out);
  ASSERT_EQ(lines.size(), 2U) << begins.out;
  EXPECT_THAT(lines[0], AllOf(StartsWith("0:00."), HasSubstr("  track-0.wav  from 0:01.")));
  EXPECT_THAT(lines[1], HasSubstr("  track-1.wav  from 0:0"));

  const fs::path raw = raw_medley();
  EXPECT_EQ(search({"--monitor", "-", "--raw"}, "0.7", {.input = raw}).out, begins.out);
  EXPECT_EQ(search({"--monitor", "-"}, "0.7", {.input = file}).out, begins.out);

  const Ended ends = search({"--monitor", "-", "--raw", "--ends"}, "0.7", {.input = raw});
  EXPECT_THAT(ends.out, AllOf(HasSubstr("  track-0.wav  0:01."), HasSubstr(" - 0:28.0  track-1.wav  0:0")));
  EXPECT_EQ(lines_in(ends.out).size(), 2U);
  const std::vector<nlohmann::json> events = json_lines(search({"--monitor", file, "--json"}, "0.7").out);
  ASSERT_EQ(events.size(), 2U);
  EXPECT_EQ(events[0].at("event"), "begin");
  EXPECT_EQ(events[1].at("track"), "track-1.wav");
  const std::vector<std::string> rows = lines_in(search({"--monitor", file, "--tsv"}, "0.7").out);
  ASSERT_EQ(rows.size(), 3U);
  EXPECT_THAT(rows[0], StartsWith("query\tquery_begin_s\t"));
  // However the sound comes, the answer is the whole recording's.
  const std::vector<std::string> whole = lines_in(search({file, "--tsv"}, "0.7").out);
  ASSERT_EQ(whole.size(), 3U);
  EXPECT_EQ(file + rows[1], whole[1]);
  EXPECT_EQ(file + rows[2], whole[2]);
}

/// `search --monitor -` beside what is written to its standard input, a pipe, bit by bit.
class Listening {
 public:
  Listening(const fs::path& pipe, const fs::path& index, const std::vector<std::string>& more)
      : program_(start(pipe, index, more)) {
    std::signal(SIGPIPE, SIG_IGN);  // where the program is gone, writing fails
    // Opening fails until the program has opened its side.
    program_->wait_until([&] { return (pipe_ = ::open(pipe.c_str(), O_WRONLY | O_CLOEXEC | O_NONBLOCK)) >= 0; });
    ::fcntl(pipe_, F_SETFL, 0);
  }
  ~Listening() { hang_up(); }
  Listening(const Listening&) = delete;
  Listening& operator=(const Listening&) = delete;

  bool hear(std::string_view bytes) const {
    while (!bytes.empty()) {
      const ssize_t written = ::write(pipe_, bytes.data(), bytes.size());
      if (written < 0) {
        return false;
      }
      bytes.remove_prefix(static_cast<std::size_t>(written));
    }
    return true;
  }
  /// Whether so many lines are printed while there is nothing more to hear; it gives up after a minute.
  bool prints(std::size_t lines) const {
    const auto end = std::chrono::steady_clock::now() + std::chrono::minutes(1);
    program_->wait_until(
        [&] { return lines_in(program_->out()).size() >= lines || std::chrono::steady_clock::now() > end; });
    return lines_in(program_->out()).size() >= lines;
  }
  std::string printed() const { return program_->out(); }
  void hang_up() {
    if (pipe_ >= 0) {
      ::close(std::exchange(pipe_, -1));
    }
  }
  int wait() { return program_->wait(); }

 private:
  static std::unique_ptr<Program> start(const fs::path& pipe, const fs::path& index,
                                        const std::vector<std::string>& more) {
    fs::remove(pipe);
    check(::mkfifo(pipe.c_str(), 0600) == 0, pipe.string(), ": cannot be made");
    std::vector<std::string> arguments = {index.string(), "--monitor", "-", "--threshold", "0.7", "--threads", "1"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return std::make_unique<Program>("search", arguments, Surroundings{.input = pipe});
  }

  std::unique_ptr<Program> program_;
  int pipe_ = -1;
};

TEST_F(SearchMonitorWhole, MonitorTellsWhileTheSoundStillComes) {
  const fs::path folder = composed_->folder.path();
  const fs::path wav = composed_->write("medley.wav", medley());
  std::vector<std::pair<fs::path, std::vector<std::string>>> sounds = {{raw_medley(), {"--raw"}}, {wav, {}}};
  // Twice as many samples a second, and two channels: what is looked at before the sound begins must be few seconds.
  std::vector<float> wide;
  for (const float x : medley()) {
    wide.insert(wide.end(), 6, x);
  }
  data::write_wav(folder / "wide.wav", wide, 48000, data::WavFormat::pcm16, 2);
  sounds.push_back({folder / "wide.wav", {}});
  for (const auto& [file, codec] : {std::pair("medley.ogg", "libvorbis"), std::pair("medley.mp3", "libmp3lame")}) {
    if (earmark::testing::encode(folder / file, codec, wide, 48000, 2)) {
      sounds.push_back({folder / file, {}});
    }
  }
  for (const auto& [file, more] : sounds) {
    const std::string bytes = earmark::testing::bytes_of(file);
    const std::string_view all = bytes;
    const std::size_t some = all.size() * 30 / 100;  // 8 s: a window is 5 s
    Listening listening(folder / "pipe", composed_->index(), more);
    EXPECT_TRUE(listening.hear(all.substr(0, some)));  // only the first track, and the pipe stays open
    EXPECT_TRUE(listening.prints(1)) << file << ": nothing is told before the sound ends";
    EXPECT_THAT(listening.printed(),
                AllOf(StartsWith("0:00."), HasSubstr("  track-0.wav  from 0:01."), Not(HasSubstr("track-1"))));
    EXPECT_TRUE(listening.hear(all.substr(some)));
    listening.hang_up();
    EXPECT_EQ(listening.wait(), 0);
    const fs::path whole = more.empty() ? file : wav;
    EXPECT_EQ(listening.printed(), search({"--monitor", whole.string()}, "0.7").out) << file;
  }
}

TEST_F(SearchMonitorWhole, MonitoringNothing) {
  const Ended silence = search({"--monitor", "-", "--raw"});  // standard input is empty
  EXPECT_EQ(silence.code, 0) << silence.err;
  EXPECT_EQ(silence.all(), "");
  const Ended empty = search({"--monitor", "-"});
  EXPECT_EQ(empty.code, 1);
  EXPECT_THAT(empty.err, HasSubstr("standard input"));
  const Ended missing = search({"--monitor", "missing.wav"});
  EXPECT_EQ(missing.code, 1);
  EXPECT_THAT(missing.err, HasSubstr("missing.wav: No such file or directory"));
  EXPECT_EQ(missing.out, "");
}

}  // namespace
}  // namespace earmark::search
