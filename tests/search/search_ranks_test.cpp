// The program `search --list` as several processes: their answers are one process's, byte for byte.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <memory>

#include "tests/ranks.h"
#include "tests/search/search_program.h"

namespace earmark::search {
namespace {

using ::testing::HasSubstr;

class SearchRanksWhole : public SearchProgram {
 protected:
  using Programs = std::vector<std::unique_ptr<Program>>;

  static Programs start(int size, std::vector<std::string> arguments) {
    arguments.insert(arguments.end(), {"--threads", "2", "--trust"});
    return programs_as_ranks("search", size, arguments);
  }
  /// Clean, short, long, unknown, silent and missing ones.
  static fs::path make_list() {
    query("first.wav", 1, 6.5);
    query("second.wav", 0, 2, 3);
    query("short.wav", 2, 4, 0.5);
    composed_->write("medley.wav", medley());
    composed_->write("unknown.wav", data::compose(500, 6));
    composed_->write("silent.wav", std::vector<float>(32000));
    write_bytes(composed_->folder / "ranks.csv",
                "query_id,path\na,first.wav\nb,medley.wav\nc,missing.wav\nd,second.wav\ne,short.wav\nf,unknown.wav\n"
                "g,silent.wav\nh,first.wav\ni,second.wav\n");
    return composed_->folder / "ranks.csv";
  }
  /// The lines about queries; those about progress come with time.
  static std::string complaints_in(const std::string& err) {
    std::string complaints;
    for (const std::string& line : lines_in(err)) {
      complaints += line.starts_with("search: ") ? line + "\n" : "";
    }
    return complaints;
  }
  /// `arguments` as one process and as many give the same file and the same complaints.
  static void expect_same_answers(const std::vector<std::string>& arguments, const std::vector<int>& sizes) {
    const auto with_out = [&](const fs::path& out) {
      std::vector<std::string> all = arguments;
      all.insert(all.end(), {"--out", out.string()});
      return all;
    };
    const fs::path one = composed_->folder / "one.tsv";
    const Ended alone = run(with_out(one));
    ASSERT_EQ(alone.code, 0) << alone.err;
    EXPECT_THAT(alone.err, HasSubstr("query c: "));
    for (const int size : sizes) {
      const fs::path out = composed_->folder / "of_ranks.tsv";
      fs::remove(out);
      const Programs ranks = start(size, with_out(out));
      for (const std::unique_ptr<Program>& rank : ranks) {
        EXPECT_EQ(rank->wait(), 0) << rank->err();
      }
      EXPECT_EQ(earmark::testing::bytes_of(out), earmark::testing::bytes_of(one)) << size << " ranks";
      EXPECT_EQ(complaints_in(ranks[0]->err()), complaints_in(alone.err));
      for (std::size_t r = 1; r < ranks.size(); ++r) {
        EXPECT_EQ(ranks[r]->out() + ranks[r]->err(), "") << "rank 0 speaks for all";
      }
    }
  }
};

TEST_F(SearchRanksWhole, ExactSearchAnswersAsOneProcess) {
  const std::string list = make_list().string();
  const std::vector<std::string> arguments{composed_->index().string(), "--list", list, "--threshold", "0.7"};
  expect_same_answers(arguments, {2, 4});  // 4: there are 3 tracks
  std::vector<std::string> by_vote = arguments;
  by_vote.insert(by_vote.end(), {"--ranking", "vote"});
  expect_same_answers(by_vote, {4});
  expect_same_answers({composed_->index().string(), "--list", list, "--query-hop", "0.05"}, {3});
}

TEST_F(SearchRanksWhole, LshAndLandmarksAnswerAsOneProcess) {
  const std::string list = make_list().string();
  expect_same_answers({composed_->index().string(), "--list", list, "--method", "lsh", "--threshold", "0.7"}, {4});
  const std::string index = (composed_->folder / "landmarks").string();
  const Ended built = earmark::testing::run(
      "index", {"build", index, "--method", "landmark", "--landmark", "best", composed_->music().string()});
  ASSERT_EQ(built.code, 0) << built.err;
  expect_same_answers({index, "--list", list}, {2});
}

TEST_F(SearchRanksWhole, ARankThatDiesEndsAllAndNothingIsWritten) {
  query("first.wav", 1, 6.5);
  const fs::path pipe = composed_->folder / "pipe.wav";  // who reads it waits for ever
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  const fs::path list = composed_->folder / "pipe.csv";
  write_bytes(list, "query_id,path\na,first.wav\nb,pipe.wav\nc,first.wav\n");
  const fs::path out = composed_->folder / "never.tsv";
  for (const std::string method : {"exact", "lsh"}) {
    const Programs ranks = start(3, {composed_->index().string(), "--list", list.string(), "--out", out.string(),
                                     "--method", method, "--rank-timeout", "60"});
    int writing = -1;  // can be opened when somebody reads
    EXPECT_TRUE(ranks[1]->wait_until([&] { return (writing = ::open(pipe.c_str(), O_WRONLY | O_NONBLOCK)) >= 0; }));
    ranks[1]->kill(SIGKILL);
    EXPECT_EQ(ranks[1]->wait(), -SIGKILL);
    ::close(writing);
    EXPECT_EQ(ranks[0]->wait(), 1);
    EXPECT_EQ(ranks[2]->wait(), 1);
    EXPECT_THAT(ranks[0]->err() + ranks[2]->err(), HasSubstr("rank 1 of 3 has ended"));
    EXPECT_FALSE(fs::exists(out));
  }
}

TEST_F(SearchRanksWhole, ARankThatHangsEndsTheOthersInTime) {
  query("first.wav", 1, 6.5);
  const fs::path pipe = composed_->folder / "endless.wav";  // who reads it waits for ever
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  const fs::path list = composed_->folder / "endless.csv";
  write_bytes(list, "query_id,path\na,first.wav\nb,endless.wav\nc,first.wav\n");
  const fs::path out = composed_->folder / "endless.tsv";
  for (const std::string method : {"exact", "lsh"}) {
    const Programs ranks = start(3, {composed_->index().string(), "--list", list.string(), "--out", out.string(),
                                     "--method", method, "--rank-timeout", "4"});
    EXPECT_EQ(ranks[0]->wait(), 1);
    EXPECT_EQ(ranks[2]->wait(), 1);
    EXPECT_THAT(ranks[0]->err() + ranks[2]->err(),
                HasSubstr("rank 1 of 3 answers, but has got nowhere for 4 s: it hangs"));
    EXPECT_FALSE(fs::exists(out));
  }
}

TEST_F(SearchRanksWhole, RanksThatWereAskedDifferentThingsSaySo) {
  const std::string list = make_list().string();
  const std::string port = std::to_string(free_port());
  const earmark::testing::EnvironmentScope group[] = {
      {"WORLD_SIZE", "2"}, {"LOCAL_WORLD_SIZE", "2"}, {"MASTER_ADDR", "127.0.0.1"}, {"MASTER_PORT", port.c_str()}};
  Programs ranks;
  for (const std::string rank : {"0", "1"}) {
    const earmark::testing::EnvironmentScope own[] = {{"RANK", rank.c_str()}, {"LOCAL_RANK", rank.c_str()}};
    ranks.push_back(std::make_unique<Program>(
        "search", std::vector<std::string>{composed_->index().string(), "--list", list, "--neighbours", "5" + rank}));
  }
  EXPECT_EQ(ranks[0]->wait(), 1);
  EXPECT_EQ(ranks[1]->wait(), 1);
  EXPECT_THAT(ranks[1]->err(), HasSubstr("rank 1 of 2 has another index, other queries or other options"));
}

}  // namespace
}  // namespace earmark::search
