// Answers that come in a file count for the queries they were made of, and for no others.
#include "experiments/known_answers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "kernels/error.h"
#include "tests/program.h"

namespace earmark::experiments {
namespace {

using earmark::testing::bytes_of;
using ::testing::HasSubstr;

QuerySet two_queries() {
  QuerySet set;
  for (const char* id : {"0000-clean", "0001-clean"}) {
    Query query;
    query.id = id;
    query.track = "a/one.ogg";
    query.start_s = 12.5;
    query.condition = "clean";
    set.queries.push_back(query);
  }
  return set;
}

class KnownAnswersFile : public ::testing::Test {
 protected:
  void SetUp() override {
    write_known_answers(file_, set_, {1, 2, 5},
                        {{{"a/one.ogg", 12.5}, {}}, {}, {{"b two.ogg", 0.12344}, {"a/one.ogg", 1234.5678}}});
  }
  void replace(const std::string& what, const std::string& with) {
    std::string text = bytes_of(file_);
    const std::size_t at = text.find(what);
    ASSERT_NE(at, std::string::npos) << text;
    text.replace(at, what.size(), with);
    std::ofstream(file_) << text;
  }
  std::string complaint() const {
    try {
      read_known_answers(file_);
    } catch (const Error& error) {
      return error.what();
    }
    return "none";
  }

  earmark::testing::TemporaryFolder folder_;
  std::filesystem::path file_ = folder_ / "answers.tsv";
  QuerySet set_ = two_queries();
};

TEST_F(KnownAnswersFile, ComesBackAsItWasAtTheLengthsItHas) {
  EXPECT_TRUE(holds_known_answers(file_));
  const FittedAnswers fitted = fit(read_known_answers(file_), set_, {1, 2, 3, 5});
  EXPECT_EQ(fitted.left_out, "");
  ASSERT_EQ(fitted.places.size(), 4U);
  EXPECT_TRUE(fitted.places[1].empty());
  EXPECT_TRUE(fitted.places[2].empty());
  ASSERT_EQ(fitted.places[0].size(), 2U);
  EXPECT_EQ(fitted.places[0][0].track, "a/one.ogg");
  EXPECT_EQ(fitted.places[0][0].start_s, 12.5);
  EXPECT_EQ(fitted.places[0][1].track, "");
  ASSERT_EQ(fitted.places[3].size(), 2U);
  EXPECT_EQ(fitted.places[3][0].track, "b two.ogg");
  EXPECT_NEAR(fitted.places[3][0].start_s, 0.1234, 1e-9);
  EXPECT_NEAR(fitted.places[3][1].start_s, 1234.5678, 1e-9);
}

TEST_F(KnownAnswersFile, AnyNameComesBack) {
  set_.queries[0].id = "tab\tand \xff";
  write_known_answers(file_, set_, {1}, {{{"two\nlines.wav", 1}, {"two\\x0alines.wav", 2}}});
  const FittedAnswers fitted = fit(read_known_answers(file_), set_, {1});
  ASSERT_EQ(fitted.places.size(), 1U) << fitted.left_out;
  EXPECT_EQ(fitted.places[0][0].track, "two\nlines.wav");
  EXPECT_EQ(fitted.places[0][1].track, "two\\x0alines.wav");
}

TEST_F(KnownAnswersFile, IsLeftOutWhereTheQueriesAreOthers) {
  const KnownAnswers known = read_known_answers(file_);
  const auto reason = [&](const auto& change) {
    QuerySet other = set_;
    change(other);
    return fit(known, other, {1}).left_out;
  };
  EXPECT_EQ(reason([](QuerySet&) {}), "");
  const std::string others = "they are to other queries";
  EXPECT_EQ(reason([](QuerySet& set) { set.queries[1].start_s += 0.001; }), others);
  EXPECT_EQ(reason([](QuerySet& set) { set.queries[0].track = "b two.ogg"; }), others);
  EXPECT_EQ(reason([](QuerySet& set) { set.queries[0].id = "0002-clean"; }), others);
  EXPECT_EQ(reason([](QuerySet& set) { set.queries[0].snr_db = 5; }), others);
  EXPECT_EQ(reason([](QuerySet& set) { set.queries.pop_back(); }), others);
  EXPECT_EQ(fit(known, set_, {3}).left_out, "there are none of any length that is asked");
}

TEST_F(KnownAnswersFile, IsLeftOutWhereAQueryIsMissing) {
  replace("0001-clean", "0007-clean");
  EXPECT_EQ(fit(read_known_answers(file_), set_, {5}).left_out, "there is none to query 0001-clean");
}

TEST_F(KnownAnswersFile, MistakesAreNamedWithTheirLine) {
  replace("0:12.5", "9:12.5");
  EXPECT_THAT(complaint(), HasSubstr("answers.tsv:4: there is no track \"9\""));
  replace("9:12.5", "0:soon");
  EXPECT_THAT(complaint(), HasSubstr("answers.tsv:4: expected a number, got \"soon\""));
  replace("0:soon", "12.5");
  EXPECT_THAT(complaint(), HasSubstr("answers.tsv:4: expected TRACK:START, got \"12.5\""));
  replace("\t12.5", "");
  EXPECT_THAT(complaint(), HasSubstr("answers.tsv:4: expected 3 fields, got 2"));
  replace("query_id", "id");
  EXPECT_THAT(complaint(), HasSubstr("answers.tsv:3: expected \"query_id\" and lengths"));
  std::ofstream(file_) << "query_id\ttrack\tstart_s\n";
  EXPECT_FALSE(holds_known_answers(file_));
  EXPECT_THAT(complaint(), HasSubstr("answers.tsv:1: expected \"answers\", 1 and a digest"));
}

}  // namespace
}  // namespace earmark::experiments
