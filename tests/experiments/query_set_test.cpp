#include "experiments/query_set.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "tests/test_support.h"

namespace earmark::experiments {
namespace {

using earmark::testing::TemporaryFolder;

std::string query_set_error(const std::filesystem::path& folder) {
  return testing::error_of([&] { read_query_set(folder); });
}

TEST(QuerySet, ComesBackAsItWasWritten) {
  const TemporaryFolder folder;
  QuerySet set{folder.path(), {}};
  set.queries.push_back({"0000-clean", "0000-clean.wav", "a, \"b\"/c\nd.ogg", 12.3456875, 5, "clean", {}, {}, "", {}});
  set.queries.push_back({"0000-x",
                         "0000-x.wav",
                         "e.mp3",
                         0,
                         0.96,
                         "noise+reverb",
                         10,
                         0.5,
                         "babble",
                         {{7.25, 0.995}, {9.5, 0.96}},
                         {{0.96, 0.9971}, {2, 0}}});
  write_query_set(set);
  const QuerySet back = read_query_set(folder.path());
  ASSERT_EQ(back.queries.size(), 2U);
  EXPECT_EQ(back.queries[0].track, set.queries[0].track);
  EXPECT_EQ(back.queries[0].start_s, 12.3456875) << "sample-accurate";
  EXPECT_FALSE(back.queries[0].snr_db.has_value());
  EXPECT_EQ(back.queries[1].snr_db, 10);
  EXPECT_EQ(back.queries[1].rt60_s, 0.5);
  ASSERT_EQ(back.queries[1].equivalents.size(), 2U);
  EXPECT_EQ(back.queries[1].equivalents[0].start_s, 7.25);
  EXPECT_EQ(back.queries[1].equivalents[0].correlation, 0.995);
  EXPECT_TRUE(back.queries[0].repeats.empty());
  ASSERT_EQ(back.queries[1].repeats.size(), 2U);
  EXPECT_EQ(back.queries[1].repeats[0].length_s, 0.96);
  EXPECT_EQ(back.queries[1].repeats[0].correlation, 0.9971);
  EXPECT_EQ(back.queries[1].repeats[1].correlation, 0);
}

TEST(QuerySet, ReadsSetsFromElsewhere) {
  const TemporaryFolder folder;
  std::ofstream(folder / "queries.csv") << "query_id,path,track,start_s,length_s,condition,snr_db\n"
                                        << "q1,q1.flac,music/x.ogg,28.9,5.0,noise,0\n";
  const QuerySet set = read_query_set(folder.path());
  ASSERT_EQ(set.queries.size(), 1U);
  EXPECT_EQ(set.queries[0].track, "music/x.ogg");
  EXPECT_EQ(set.queries[0].snr_db, 0);
}

TEST(QuerySet, NamesWhatIsWrong) {
  const TemporaryFolder folder;
  EXPECT_THAT(query_set_error(folder.path()), ::testing::HasSubstr("queries.csv: cannot be opened"));
  std::ofstream(folder / "queries.csv") << "query_id,path,start_s\nq1,q1.wav,1\n";
  EXPECT_THAT(query_set_error(folder.path()), ::testing::HasSubstr("expected a column track"));
  std::ofstream(folder / "queries.csv") << "query_id,path,track,start_s\nq1,q1.wav,x,soon\n";
  EXPECT_THAT(query_set_error(folder.path()),
              ::testing::HasSubstr("queries.csv:2: start_s: expected a number, got \"soon\""));
}

TEST(Answers, FirstRowOfAQueryCounts) {
  const TemporaryFolder folder;
  QuerySet set{folder.path(), {}};
  for (const char* id : {"a", "b", "c"}) {
    set.queries.push_back({id, "", "t", 0, 5, "clean", {}, {}, "", {}});
  }
  std::ofstream(folder / "answers.tsv") << "query_id\ttrack\tstart_s\tscore\tmatched\n"
                                        << "b\tright\t1.5\t0.9\t1\nb\tsecond\t3\t0.1\t0\na\t\t\t\t0\n";
  const std::vector<Answer> answers = read_answers(folder / "answers.tsv", set);
  ASSERT_EQ(answers.size(), 3U);
  EXPECT_EQ(answers[0].track, "");
  EXPECT_EQ(answers[1].track, "right");
  EXPECT_EQ(answers[1].start_s, 1.5);
  EXPECT_EQ(answers[2].track, "");
}

TEST(Answers, NamesAreReadAsSearchWritesThem) {
  const TemporaryFolder folder;
  QuerySet set{folder.path(), {}};
  set.queries.push_back({"a\tb", "", "two\nlines", 0, 5, "clean", {}, {}, "", {}});
  std::ofstream(folder / "answers.tsv") << "query_id\ttrack\tstart_s\na\\x09b\ttwo\\x0alines\t1\n";
  EXPECT_EQ(read_answers(folder / "answers.tsv", set)[0].track, "two\nlines");
}

}  // namespace
}  // namespace earmark::experiments
