#include "search/query.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>

#include "kernels/error.h"
#include "search/query_list.h"
#include "search/report.h"
#include "tests/search/composed.h"

namespace earmark::search {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class QueryTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    composed_ = new Composed(3, 25);
    data::write_wav(composed_->music() / "new\nline \xff\".wav", data::compose(77, 10));
    composed_->add({composed_->music()});
    store_ = new IndexStore(IndexStore::open(composed_->index()));
  }
  static void TearDownTestSuite() {
    delete store_;
    delete composed_;
  }
  /// An untrained encoder finds clean excerpts, but is sure of little.
  static MatcherOptions sure() {
    MatcherOptions options;
    options.threshold = 0.2;
    return options;
  }

  static Composed* composed_;
  static IndexStore* store_;
};
Composed* QueryTest::composed_ = nullptr;
IndexStore* QueryTest::store_ = nullptr;

TEST_F(QueryTest, CleanExcerptsFindTheirPlace) {
  const Searcher searcher(*store_, sure());
  for (const double begin : {0.0, 4.27, 19.9}) {
    const Answer answer = searcher.answer(composed_->write("q.wav", composed_->part(1, begin, 5)));
    EXPECT_EQ(answer.error, "");
    ASSERT_EQ(answer.matches.size(), 1U);
    EXPECT_EQ(answer.matches[0].track, Composed::name(1));
    EXPECT_NEAR(answer.matches[0].start_s, begin, 0.05);
    EXPECT_TRUE(answer.matches[0].matched);
  }
}

TEST_F(QueryTest, FinerQueryHop) {
  const Searcher searcher(*store_, sure(), {}, 0.05);
  EXPECT_EQ(query_ratio(store_->format(), 0.05), 2);
  const Answer answer = searcher.answer(composed_->part(2, 7.33, 4));
  ASSERT_EQ(answer.matches.size(), 1U);
  EXPECT_EQ(answer.matches[0].track, Composed::name(2));
  EXPECT_NEAR(answer.matches[0].start_s, 7.33, 0.05);
  EXPECT_THROW(Searcher(*store_, sure(), {}, 0.03), Error);
}

TEST_F(QueryTest, ShortQueriesAreFilledUpAndSaidSo) {
  const Answer answer = Searcher(*store_, sure()).answer(composed_->part(0, 3, 0.5));
  EXPECT_EQ(answer.error, "");
  EXPECT_THAT(answer.note, HasSubstr("shorter than one fingerprint"));
}

TEST_F(QueryTest, BadFilesAreAnswersWithAnError) {
  const Searcher searcher(*store_, sure());
  write_bytes(composed_->folder / "text.wav", "no sound");
  write_bytes(composed_->folder / "empty.wav", "");
  for (const std::string name : {"text.wav", "empty.wav", "missing.wav", "music"}) {
    const Answer answer = searcher.answer(composed_->folder / name);
    EXPECT_NE(answer.error, "") << name;
    EXPECT_TRUE(answer.matches.empty());
  }
  const std::vector<float> silence(48000, 0.0F);
  EXPECT_EQ(searcher.answer(std::span<const float>(silence)).error, "");
}

TEST_F(QueryTest, LongQueriesAreTakenApart) {
  std::vector<float> medley(composed_->part(1, 5, 12).begin(), composed_->part(1, 5, 12).end());
  const std::vector<float> unknown = data::compose(500, 10);
  medley.insert(medley.end(), unknown.begin(), unknown.end());
  medley.insert(medley.end(), composed_->part(2, 2, 15).begin(), composed_->part(2, 2, 15).end());
  MatcherOptions options = sure();
  options.threshold = 0.7;
  const Answer answer = Searcher(*store_, options).answer(std::span<const float>(medley));
  EXPECT_FALSE(answer.whole);
  ASSERT_EQ(answer.stretches.size(), 2U);
  const Stretch& first = answer.stretches[0];
  EXPECT_EQ(first.track, Composed::name(1));
  EXPECT_NEAR(first.query_begin_s, 0, 0.5);
  EXPECT_NEAR(first.query_end_s, 12, 1);
  EXPECT_NEAR(first.track_begin_s - first.query_begin_s, 5, 0.05);
  const Stretch& second = answer.stretches[1];
  EXPECT_EQ(second.track, Composed::name(2));
  EXPECT_NEAR(second.query_begin_s, 22, 2);  // an untrained encoder is vague about ends
  EXPECT_NEAR(second.query_end_s, 37, 0.2);
  EXPECT_NEAR(second.track_begin_s - second.query_begin_s, 2 - 22, 0.05);
}

TEST_F(QueryTest, MonitorReportsWhatTheWholeRecordingHolds) {
  std::vector<float> medley(composed_->part(0, 1, 14).begin(), composed_->part(0, 1, 14).end());
  medley.insert(medley.end(), composed_->part(1, 8, 14).begin(), composed_->part(1, 8, 14).end());
  const fs::path file = composed_->write("medley.wav", medley);
  MatcherOptions options = sure();
  options.threshold = 0.7;
  const Searcher searcher(*store_, options);
  std::vector<std::string> events;
  std::vector<Stretch> ended;
  data::AudioStream stream(file);
  const double seconds = searcher.recognizer().follow(
      stream, [&](const Stretch& s) { events.push_back("begin " + s.track); },
      [&](const Stretch& s) {
        events.push_back("end " + s.track);
        ended.push_back(s);
      });
  EXPECT_NEAR(seconds, 28, 0.1);
  EXPECT_THAT(events,
              ::testing::ElementsAre("begin track-0.wav", "end track-0.wav", "begin track-1.wav", "end track-1.wav"));
  ASSERT_EQ(ended.size(), 2U);
  EXPECT_NEAR(ended[0].query_end_s, 14, 1);
  EXPECT_NEAR(ended[1].query_begin_s, 14, 1);
  EXPECT_NEAR(ended[1].query_end_s, 28, 0.3);
}

TEST_F(QueryTest, MonitorReadsRawSamples) {
  const fs::path file = composed_->folder / "raw";
  {
    std::ofstream out(file, std::ios::binary);
    for (const float x : composed_->part(2, 3, 9)) {
      const std::int16_t sample = data::to_int16(x);
      out.write(reinterpret_cast<const char*>(&sample), sizeof sample);
    }
  }
  const int descriptor = open(file.c_str(), O_RDONLY);
  ASSERT_GE(descriptor, 0);
  data::AudioStream stream = data::AudioStream::raw_s16le(descriptor);
  std::vector<Stretch> ended;
  Searcher(*store_, sure()).recognizer().follow(stream, {}, [&](const Stretch& s) { ended.push_back(s); });
  close(descriptor);
  ASSERT_EQ(ended.size(), 1U);
  EXPECT_EQ(ended[0].track, Composed::name(2));
  EXPECT_NEAR(ended[0].track_begin_s, 3, 0.1);
}

TEST_F(QueryTest, ListOfQueries) {
  composed_->write("q one, \"quoted\".wav", composed_->part(1, 6.5, 3));
  write_bytes(composed_->folder / "list.csv",
              "condition,path,query_id\nclean,\"q one, \"\"quoted\"\".wav\",a\nnone,missing.wav,\"b\tc\"\n");
  const auto queries = read_query_list(composed_->folder / "list.csv");
  ASSERT_EQ(queries.size(), 2U);
  std::ostringstream out;
  std::vector<std::string> complaints;
  EXPECT_EQ(answer_query_list(Searcher(*store_, sure()), queries, out, false,
                              [&](const std::string& text) { complaints.push_back(text); }),
            1);
  EXPECT_EQ(complaints.size(), 1U);
  std::istringstream in(out.str());
  std::string line;
  std::getline(in, line);
  EXPECT_EQ(line, "query_id\ttrack\tstart_s\tscore\tmatched");
  std::getline(in, line);
  EXPECT_THAT(line, StartsWith("a\ttrack-1.wav\t6.5"));
  EXPECT_THAT(line, ::testing::EndsWith("\t1"));
  std::getline(in, line);
  EXPECT_EQ(line, "b\\x09c\t\t\t\t0");
  EXPECT_FALSE(std::getline(in, line));
}

TEST_F(QueryTest, BadListsAreErrors) {
  EXPECT_THROW(read_query_list(composed_->folder / "missing.csv"), Error);
  write_bytes(composed_->folder / "bad.csv", "");
  EXPECT_THROW(read_query_list(composed_->folder / "bad.csv"), Error);
  write_bytes(composed_->folder / "bad.csv", "query_id,file\na,b\n");
  EXPECT_THROW(read_query_list(composed_->folder / "bad.csv"), Error);
  write_bytes(composed_->folder / "bad.csv", "query_id,path\na\n");
  EXPECT_THROW(read_query_list(composed_->folder / "bad.csv"), Error);
}

TEST_F(QueryTest, RefusesAModelThatWasExchangedOrDamaged) {
  const fs::path copy = composed_->folder / "copy";
  fs::remove_all(copy);
  fs::copy(composed_->index(), copy, fs::copy_options::recursive);
  const IndexStore store = IndexStore::open(copy);
  nn::save_model(copy / "model.safetensors", tiny_model(9));
  EXPECT_THROW(Searcher(store, sure()), Error);
  fs::resize_file(copy / "model.safetensors", 5000);
  EXPECT_THROW(Searcher(store, sure()), Error);
  fs::remove(copy / "model.safetensors");
  EXPECT_THROW(Searcher(store, sure()), Error);
}

TEST_F(QueryTest, AnyNameComesOutReadable) {
  const std::vector<float> strange = data::compose(77, 10);
  const Answer answer = Searcher(*store_, sure()).answer(std::span<const float>(strange).subspan(16000, 64000));
  ASSERT_EQ(answer.matches.size(), 1U);
  EXPECT_EQ(answer.matches[0].track, "new\nline \xff\".wav");
  for (const Form form : {Form::text, Form::json, Form::tsv}) {
    std::ostringstream out;
    write_answer(out, form, answer);
    const std::string text = out.str();
    EXPECT_EQ(text.find('\xff'), std::string::npos);
    EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), form == Form::text ? 2 : 1);
    if (form == Form::json) {
      EXPECT_TRUE(nlohmann::json::accept(text));
    } else if (form == Form::tsv) {
      EXPECT_EQ(std::count(text.begin(), text.end(), '\t'),
                std::count(header_of(form).begin(), header_of(form).end(), '\t'));
    }
  }
}

TEST(FormatTimeTest, MinutesAndHours) {
  EXPECT_EQ(format_time(0), "0:00.0");
  EXPECT_EQ(format_time(65.26), "1:05.3");
  EXPECT_EQ(format_time(59.97), "1:00.0");
  EXPECT_EQ(format_time(3725.5), "1:02:05.5");
  EXPECT_EQ(format_time(-0.61), "-0:00.6");
}

}  // namespace
}  // namespace earmark::search
