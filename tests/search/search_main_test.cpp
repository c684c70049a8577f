// The program `search` as a user meets it: one answer in three forms, long recordings, lists, bad queries.
#include <algorithm>
#include <iterator>
#include <limits>
#include <span>

#include "kernels/device_choice.h"
#include "kernels/random.h"
#include "tests/search/search_program.h"

namespace earmark::search {
namespace {

using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

class SearchProgramWhole : public SearchProgram {};

TEST_F(SearchProgramWhole, AllFormsAndMethodsGiveTheSameAnswer) {
  const std::string file = query("excerpt.wav", 1, 6.5).string();
  for (const std::string method : {"exact", "lsh"}) {
    const Ended text = search({file, "--method", method});
    EXPECT_EQ(text.code, 0) << text.err;
    EXPECT_THAT(text.out, StartsWith(file + ":\n  match     track-1.wav  at 0:06.5 - 0:11.5  score "));
    EXPECT_EQ(text.err, "");

    const Ended json = search({file, "--method", method, "--json"});
    EXPECT_EQ(json.code, 0) << json.err;
    const std::vector<nlohmann::json> objects = json_lines(json.out);
    ASSERT_EQ(objects.size(), 1U);
    EXPECT_EQ(objects[0].at("query"), file);
    EXPECT_EQ(objects[0].at("length_s"), 5);
    ASSERT_EQ(objects[0].at("matches").size(), 1U);
    const nlohmann::json& match = objects[0].at("matches")[0];
    EXPECT_EQ(match.at("track"), "track-1.wav");
    EXPECT_NEAR(match.at("start_s").get<double>(), 6.5, 0.05);
    EXPECT_NEAR(match.at("end_s").get<double>(), match.at("start_s").get<double>() + 5, 0.002);
    EXPECT_EQ(match.at("matched"), true);

    const Ended tsv = search({file, "--method", method, "--tsv"});
    EXPECT_EQ(tsv.code, 0) << tsv.err;
    const std::vector<std::string> rows = lines_in(tsv.out);
    ASSERT_EQ(rows.size(), 2U);
    EXPECT_EQ(rows[0], "query\tquery_begin_s\tquery_end_s\ttrack\ttrack_begin_s\ttrack_end_s\tscore\tmatched");
    const std::vector<std::string> fields = split(rows[1], '\t');
    ASSERT_EQ(fields.size(), 8U);
    EXPECT_EQ(fields[0], file);
    EXPECT_EQ(fields[3], "track-1.wav");
    EXPECT_NEAR(std::stod(fields[4]), match.at("start_s").get<double>(), 0.001);
    EXPECT_NEAR(std::stod(fields[5]) - std::stod(fields[4]), 5, 0.002);
    EXPECT_NEAR(std::stod(fields[6]), match.at("score").get<double>(), 0.001);
    EXPECT_EQ(fields[7], "1");
  }
}

TEST_F(SearchProgramWhole, RankingsAgreeAndMoreTracksAreShown) {
  const std::string file = query("excerpt.wav", 2, 11).string();
  for (const std::string ranking : {"scored", "vote", "vote-track", "sequence"}) {
    const Ended ended = search({file, "--ranking", ranking, "--json", "--top", "3"});
    EXPECT_EQ(ended.code, 0) << ended.err;
    const nlohmann::json matches = json_lines(ended.out).at(0).at("matches");
    ASSERT_EQ(matches.size(), 3U) << ranking;
    EXPECT_EQ(matches[0].at("track"), "track-2.wav");
    EXPECT_NEAR(matches[0].at("start_s").get<double>(), 11, 0.1);
  }
}

TEST_F(SearchProgramWhole, SeveralMatchesInALongQuery) {
  const std::string file = composed_->write("medley.wav", medley()).string();
  const Ended text = search({file}, "0.7");
  EXPECT_EQ(text.code, 0) << text.err;
  const std::vector<std::string> lines = lines_in(text.out);
  ASSERT_EQ(lines.size(), 3U) << text.out;
  EXPECT_THAT(lines[1], AllOf(StartsWith("  0:00."), HasSubstr("  track-0.wav  0:01.")));
  EXPECT_THAT(lines[2], AllOf(HasSubstr(" - 0:28.0  track-1.wav  0:0"), HasSubstr(" - 0:22.0  score ")));

  const nlohmann::json object = json_lines(search({file, "--json"}, "0.7").out).at(0);
  EXPECT_FALSE(object.contains("matches"));
  const nlohmann::json& stretches = object.at("stretches");
  ASSERT_EQ(stretches.size(), 2U);
  const auto expect_at = [&](std::size_t i, const std::string& key, double seconds, double within) {
    EXPECT_NEAR(stretches[i].at(key).get<double>(), seconds, within) << i << ' ' << key;
  };
  EXPECT_EQ(stretches[0].at("track"), "track-0.wav");
  expect_at(0, "query_begin_s", 0, 0.5);
  expect_at(0, "query_end_s", 14, 1);  // an untrained encoder is vague about ends
  expect_at(0, "track_begin_s", 1, 0.5);
  expect_at(0, "track_end_s", 15, 1);
  EXPECT_EQ(stretches[1].at("track"), "track-1.wav");
  expect_at(1, "query_begin_s", 14, 1);
  expect_at(1, "query_end_s", 28, 0.3);
  expect_at(1, "track_begin_s", 8, 1);
  expect_at(1, "track_end_s", 22, 0.3);

  const std::vector<std::string> rows = lines_in(search({file, "--tsv"}, "0.7").out);
  ASSERT_EQ(rows.size(), 3U);
  for (std::size_t i = 0; i < 2; ++i) {
    const std::vector<std::string> fields = split(rows[i + 1], '\t');
    ASSERT_EQ(fields.size(), 8U);
    EXPECT_EQ(fields[3], stretches[i].at("track"));
    EXPECT_NEAR(std::stod(fields[1]), stretches[i].at("query_begin_s").get<double>(), 0.006);
    EXPECT_NEAR(std::stod(fields[5]), stretches[i].at("track_end_s").get<double>(), 0.001);
    EXPECT_EQ(fields[7], "1");
  }
}

TEST_F(SearchProgramWhole, WhatIsNotInTheIndexIsNoMatch) {
  const std::vector<float> sound = data::compose(500, 20);
  const std::string whole = composed_->write("whole.wav", std::span(sound).first(16000 * 6)).string();
  const Ended calibrated = run({composed_->index().string(), whole});
  EXPECT_EQ(calibrated.code, 0) << calibrated.err;
  EXPECT_THAT(calibrated.out, StartsWith(whole + ":\n  no match  track-"));
  const std::string long_one = composed_->write("long.wav", sound).string();
  EXPECT_EQ(search({long_one}, "0.7").out, long_one + ":\n  no match\n");
  const Ended tsv = search({whole, long_one, "--tsv"}, "0.7");
  EXPECT_EQ(tsv.code, 0) << tsv.err;
  const std::vector<std::string> rows = lines_in(tsv.out);
  ASSERT_EQ(rows.size(), 3U);
  EXPECT_TRUE(rows[1].ends_with("\t0")) << rows[1];
  EXPECT_EQ(rows[2], long_one + "\t0.00\t20.00\t\t\t\t\t0");
}

TEST_F(SearchProgramWhole, ListOfQueries) {
  query("listed one, \"a\".wav", 1, 6.5);
  composed_->write("medley.wav", medley());
  composed_->write("unknown.wav", data::compose(500, 6));
  const std::string track = (composed_->music() / "track-2.wav").string();
  write_bytes(composed_->folder / "queries.csv",
              "\xEF\xBB\xBFnote,path,query_id\r\n"
              "x,\"listed one, \"\"a\"\".wav\",first\r\n"
              "x,missing.wav,second\r\n"
              "x,unknown.wav,third\r\n"
              "x,medley.wav,fourth\r\n"
              "x,\"" +
                  track + "\",fifth\r\n\r\n");
  const std::string list = (composed_->folder / "queries.csv").string();
  const fs::path out = composed_->folder / "results.tsv";
  const Ended ended = search({"--list", list, "--out", out.string()}, "0.7");
  EXPECT_EQ(ended.code, 0) << ended.err;
  EXPECT_EQ(ended.out, "");
  EXPECT_THAT(ended.err, HasSubstr("search: query second: "));
  EXPECT_THAT(ended.err, HasSubstr("missing.wav: No such file or directory\n"));
  const std::string results = earmark::testing::bytes_of(out);
  const std::vector<std::string> rows = lines_in(results);
  ASSERT_EQ(rows.size(), 6U) << results;
  EXPECT_EQ(rows[0], "query_id\ttrack\tstart_s\tscore\tmatched");
  EXPECT_THAT(rows[1], StartsWith("first\ttrack-1.wav\t6.5"));
  EXPECT_EQ(rows[2], "second\t\t\t\t0");
  EXPECT_THAT(rows[3], AllOf(StartsWith("third\ttrack-"), ::testing::EndsWith("\t0")));
  EXPECT_THAT(rows[4], AllOf(StartsWith("fourth\ttrack-"), ::testing::EndsWith("\t1")));
  EXPECT_THAT(rows[5], AllOf(StartsWith("fifth\ttrack-2.wav\t"), ::testing::EndsWith("\t1")));
  for (const std::string& row : rows) {
    EXPECT_EQ(split(row, '\t').size(), 5U) << row;
  }
  const Ended printed = search({"--list", list}, "0.7");
  EXPECT_EQ(printed.code, 0);
  EXPECT_EQ(printed.out, results);
}

TEST_F(SearchProgramWhole, TracksInSubfoldersAreNamedByTheirPathInTheCollection) {
  const fs::path library = composed_->folder / "library";
  fs::create_directories(library / "artist" / "disc 1");
  fs::copy_file(composed_->music() / "track-1.wav", library / "artist" / "disc 1" / "first, \"live\".wav");
  fs::copy_file(composed_->music() / "track-2.wav", library / "single.wav");
  const std::string index = (composed_->folder / "library index").string();
  const Ended built = earmark::testing::run(
      "index", {"build", index, "--model", composed_->model().string(), library.string(), "--threads", "1"});
  ASSERT_EQ(built.code, 0) << built.err;
  const std::string deep = query("deep.wav", 1, 6.5).string();
  query("single.wav", 2, 3.2);
  const fs::path list = composed_->folder / "nested.csv";
  write_bytes(list, "query_id,path\ndeep,deep.wav\nflat,single.wav\n");
  const std::vector<std::string> rows = lines_in(run({index, "--list", list.string(), "--threshold", "0.2"}).out);
  ASSERT_EQ(rows.size(), 3U);
  EXPECT_THAT(rows[1], StartsWith("deep\tartist/disc 1/first, \"live\".wav\t6.5"));
  EXPECT_THAT(rows[2], StartsWith("flat\tsingle.wav\t3."));
  const nlohmann::json object = json_lines(run({index, deep, "--json", "--threshold", "0.2"}).out).at(0);
  EXPECT_EQ(object.at("matches").at(0).at("track"), "artist/disc 1/first, \"live\".wav");
}

TEST_F(SearchProgramWhole, BadListsAreSentencesAndLeaveTheResultsAlone) {
  const fs::path list = composed_->folder / "bad.csv";
  const fs::path out = composed_->folder / "kept.tsv";
  write_bytes(out, "results of before");
  const std::vector<std::pair<std::string, std::string>> lists = {
      {"", "bad.csv: the list is empty"},
      {"id,path\na,b.wav\n", "bad.csv: no column 'query_id'; expected at least query_id,path"},
      {"query_id,file\na,b.wav\n", "bad.csv: no column 'path'"},
      {"query_id,path\na,b.wav\nc\n", "bad.csv:3: 1 fields, expected at least 2"},
      {"query_id,path\na,\"b.wav\n", "a quote is never closed"}};
  for (const auto& [content, sentence] : lists) {
    write_bytes(list, content);
    const Ended ended = search({"--list", list.string(), "--out", out.string()});
    EXPECT_EQ(ended.code, 1) << content;
    EXPECT_THAT(ended.err, HasSubstr(sentence));
    EXPECT_EQ(ended.out, "");
    EXPECT_EQ(earmark::testing::bytes_of(out), "results of before");
  }
  const Ended missing = search({"--list", (composed_->folder / "nowhere.csv").string()});
  EXPECT_EQ(missing.code, 1);
  EXPECT_THAT(missing.err, HasSubstr("nowhere.csv: cannot be read: No such file or directory"));
  const Ended folder = search({"--list", composed_->music().string()});
  EXPECT_EQ(folder.code, 1);
  EXPECT_THAT(folder.err, HasSubstr("music: cannot be read: a folder, expected a CSV file"));
  write_bytes(list, "query_id,path\na,missing.wav\n");
  EXPECT_EQ(search({"--list", list.string()}).code, 1) << "not one query could be answered";
  const Ended nowhere = search({"--list", list.string(), "--out", (composed_->folder / "no" / "where.tsv").string()});
  EXPECT_EQ(nowhere.code, 1);
  EXPECT_THAT(nowhere.err, HasSubstr("where.tsv"));
}

TEST_F(SearchProgramWhole, BadQueriesAreNamedAndTheGoodOnesAnswered) {
  const std::string good = query("good.wav", 1, 6.5).string();
  write_bytes(composed_->folder / "empty.wav", "");
  write_bytes(composed_->folder / "text.mp3", "no sound at all");
  std::string garbage(50000, ' ');
  RandomStream random(4);
  std::generate(garbage.begin(), garbage.end(), [&] { return static_cast<char>(random.bits()); });
  write_bytes(composed_->folder / "garbage.flac", garbage);
  composed_->write("no samples.wav", {});
  fs::create_directories(composed_->folder / "folder.ogg");
  const std::vector<std::pair<std::string, std::string>> bad = {{"missing.wav", ": No such file or directory"},
                                                                {"empty.wav", ": the file is empty"},
                                                                {"text.mp3", ": "},
                                                                {"garbage.flac", ": "},
                                                                {"no samples.wav", ": "},
                                                                {"folder.ogg", ": not a file"}};
  std::vector<std::string> files;
  for (const auto& [name, reason] : bad) {
    files.push_back((composed_->folder / name).string());
  }
  files.insert(files.begin() + 3, good);
  const Ended mixed = search(files);
  EXPECT_EQ(mixed.code, 0) << mixed.err;
  EXPECT_THAT(mixed.out, HasSubstr(good + ":\n  match     track-1.wav  at 0:06.5"));
  for (const auto& [name, reason] : bad) {
    const std::string sentence = (composed_->folder / name).string() + reason;
    EXPECT_THAT(mixed.err, HasSubstr("search: " + sentence));
    EXPECT_THAT(mixed.out, HasSubstr("\n  " + sentence));
  }
  EXPECT_EQ(lines_in(mixed.err).size(), bad.size()) << mixed.err;

  files.erase(files.begin() + 3);
  const Ended all_bad = search(files);
  EXPECT_EQ(all_bad.code, 1) << "not one query could be answered";
  files.push_back(good);
  const std::vector<nlohmann::json> objects = json_lines(search([&] {
                                                           std::vector<std::string> arguments = files;
                                                           arguments.emplace_back("--json");
                                                           return arguments;
                                                         }())
                                                             .out);
  ASSERT_EQ(objects.size(), files.size());
  for (std::size_t i = 0; i < bad.size(); ++i) {
    EXPECT_THAT(objects[i].at("error").get<std::string>(), HasSubstr(bad[i].first));
    EXPECT_THAT(objects[i].at("matches"), IsEmpty());
  }
  EXPECT_EQ(objects.back().at("matches").at(0).at("track"), "track-1.wav");
}

TEST_F(SearchProgramWhole, OddSoundsAreAnsweredAndSaidToBeOdd) {
  const std::span<const float> sound = composed_->part(1, 6.5, 5);
  const fs::path folder = composed_->folder.path();
  std::vector<float> fast_and_wide;  // 192 kHz in eight channels
  for (const float x : sound) {
    fast_and_wide.insert(fast_and_wide.end(), std::size_t{12} * 8, x);
  }
  data::write_wav(folder / "wide.wav", fast_and_wide, 192000, data::WavFormat::pcm16, 8);
  std::vector<float> holes(sound.begin(), sound.end());
  for (std::size_t i = 0; i < holes.size(); i += 8000) {
    holes[i] = std::numeric_limits<float>::quiet_NaN();
    holes[i + 1] = std::numeric_limits<float>::infinity();
  }
  data::write_wav(folder / "nan.wav", holes, 16000, data::WavFormat::float32);
  composed_->write("cut.wav", composed_->part(1, 6.5, 10));
  fs::resize_file(folder / "cut.wav", 44 + 5 * 32000);
  const Ended ended =
      search({(folder / "wide.wav").string(), (folder / "nan.wav").string(), (folder / "cut.wav").string(), "--json"});
  EXPECT_EQ(ended.code, 0) << ended.err;
  EXPECT_EQ(ended.err, "");
  const std::vector<nlohmann::json> objects = json_lines(ended.out);
  ASSERT_EQ(objects.size(), 3U);
  for (const nlohmann::json& object : objects) {
    EXPECT_EQ(object.at("matches").at(0).at("track"), "track-1.wav") << object;
    EXPECT_NEAR(object.at("matches").at(0).at("start_s").get<double>(), 6.5, 0.1) << object;
  }
  EXPECT_FALSE(objects[0].contains("note")) << objects[0];
  EXPECT_THAT(objects[1].at("note").get<std::string>(), HasSubstr("not numbers"));
  EXPECT_THAT(objects[2].at("note").get<std::string>(), HasSubstr("truncated: 5 s of the 10 s"));
}

TEST_F(SearchProgramWhole, ShortAndSilentQueriesSaySo) {
  const std::string short_one = query("short.wav", 0, 3, 0.5).string();
  const std::string one = query("one.wav", 0, 3, 1.0 / 16000).string();
  const std::string silent = composed_->write("silent.wav", std::vector<float>(48000, 0.0F)).string();
  const Ended ended = run({composed_->index().string(), short_one, one, silent});
  EXPECT_EQ(ended.code, 0) << ended.err;
  EXPECT_EQ(ended.err, "");
  const std::string note = ":\n  (shorter than one fingerprint (0.96 s): ";
  EXPECT_THAT(ended.out, AllOf(HasSubstr(short_one + note), HasSubstr(one + note)));
  EXPECT_THAT(ended.out, HasSubstr(silent + ":\n  (silent: nothing to recognise)\n  no match\n"));
  EXPECT_THAT(ended.out, Not(HasSubstr("  match ")));
}

TEST_F(SearchProgramWhole, AnyFileNameIsPrintedSafely) {
  const fs::path folder = composed_->folder.path();
  const std::string strange = (folder / "with space, it's \"q\"\n\xff.wav").string();
  data::write_wav(strange, composed_->part(1, 6.5, 5));
  const std::string printed = (folder / "with space, it's \"q\"\\x0a\\xff.wav").string();
  const Ended text = search({strange, strange + "x"});
  EXPECT_EQ(text.code, 0) << text.err;
  EXPECT_THAT(text.out, StartsWith(printed + ":\n  match     track-1.wav  at 0:06.5"));
  EXPECT_THAT(text.err, StartsWith("search: " + printed + "x: No such file or directory\n"));
  const nlohmann::json object = json_lines(search({strange, "--json"}).out).at(0);
  EXPECT_EQ(object.at("query"), printed);
  EXPECT_THAT(search({strange, "--tsv"}).out, HasSubstr("\n" + printed + "\t0.00\t5.00\ttrack-1.wav\t"));
  EXPECT_EQ(lines_in(search({"--monitor", strange}).out).size(), 1U);
}

TEST_F(SearchProgramWhole, NoTwoFileNamesAreToldAlike) {
  const fs::path folder = composed_->folder.path();
  const std::string newline = (folder / "c\nd.wav").string();
  const std::string backslash = (folder / "c\\x0ad.wav").string();
  const std::string plain = (folder / "c\\d.wav").string();
  for (const std::string& name : {newline, backslash, plain}) {
    data::write_wav(name, composed_->part(1, 6.5, 5));
  }
  const std::vector<std::string> printed = {(folder / "c\\x0ad.wav").string(), (folder / "c\\x5cx0ad.wav").string(),
                                            (folder / "c\\x5cd.wav").string()};
  const std::string text = search({newline, backslash, plain}).out;
  const std::vector<std::string> tsv = lines_in(search({newline, backslash, plain, "--tsv"}).out);
  const std::vector<nlohmann::json> json = json_lines(search({newline, backslash, plain, "--json"}).out);
  ASSERT_EQ(tsv.size(), 4U);
  ASSERT_EQ(json.size(), 3U);
  for (std::size_t i = 0; i < printed.size(); ++i) {
    EXPECT_THAT(text, HasSubstr(printed[i] + ":\n"));
    EXPECT_THAT(tsv[i + 1], StartsWith(printed[i] + "\t"));
  }
  EXPECT_EQ(json[0].at("query"), newline);
  EXPECT_EQ(json[1].at("query"), printed[1]);
  EXPECT_EQ(json[2].at("query"), plain);
  // A sentence that names a file names it as everything else does.
  EXPECT_EQ(search({backslash + "x"}).err, "search: " + printed[1] + "x: No such file or directory\n");
}

TEST_F(SearchProgramWhole, MisuseIsExitCodeTwoAndASentence) {
  const std::string index = composed_->index().string();
  const std::vector<std::pair<std::vector<std::string>, std::string>> misuses = {
      {{}, "INDEX is required"},
      {{index}, "give either FILEs, --list or --monitor"},
      {{index, "a.wav", "--list", "b.csv"}, "give either FILEs, --list or --monitor"},
      {{index, "a.wav", "--nonsense"}, "--nonsense"},
      {{index, "a.wav", "--method", "magic"}, "magic"},
      {{index, "a.wav", "--ranking", "magic"}, "magic"},
      {{index, "a.wav", "--top", "0"}, "--top"},
      {{index, "a.wav", "--threshold", "high"}, "high"},
      {{index, "a.wav", "--window", "-1"}, "--window"},
      {{index, "a.wav", "--json", "--tsv"}, "--json"},
      {{index, "--list", "b.csv", "--json"}, "--list excludes --json"},
      {{index, "--list", "b.csv", "--tsv"}, "--list excludes --tsv"},
      {{index, "a.wav", "--out", "b.tsv"}, "--list"},
      {{index, "a.wav", "--raw"}, "--monitor"},
      {{index, "--monitor", "a.wav", "--raw"}, "--raw goes with --monitor -"},
      {{index, "a.wav", "--threads", "0"}, "threads"}};
  for (const auto& [arguments, sentence] : misuses) {
    const Ended ended = earmark::testing::run("search", arguments);
    EXPECT_EQ(ended.code, 2) << ::testing::PrintToString(arguments);
    EXPECT_THAT(ended.err, HasSubstr(sentence));
    EXPECT_EQ(ended.out, "");
  }
  const Ended help = earmark::testing::run("search", {"--help"});
  EXPECT_EQ(help.code, 0);
  EXPECT_THAT(help.out, HasSubstr("--monitor"));
}

TEST_F(SearchProgramWhole, WhatCannotBeDoneIsExitCodeOneAndASentence) {
  const std::string good = query("good.wav", 1, 6.5).string();
  const fs::path broken = composed_->folder / "broken";
  fs::copy(composed_->index(), broken, fs::copy_options::recursive);
  fs::resize_file(broken / "segments" / "00000001.ear", 30000);
  fs::create_directories(composed_->folder / "no index");
  const std::vector<std::pair<std::vector<std::string>, std::string>> impossible = {
      {{"nowhere", good}, "nowhere: no such folder"},
      {{good, good}, "expected the folder of an index"},
      {{(composed_->folder / "no index").string(), good}, "not an index"},
      {{broken.string(), good}, "00000001.ear"},
      {{broken.string(), good, "--trust"}, "00000001.ear"},
      {{composed_->index().string(), good, "--query-hop", "0.03"}, "0.03"},
      {{composed_->index().string(), good, "--method", "lsh", "--lsh-bits", "99"}, "bits"}};
  for (const auto& [arguments, sentence] : impossible) {
    const Ended ended = run(arguments);
    EXPECT_EQ(ended.code, 1) << ::testing::PrintToString(arguments);
    EXPECT_THAT(ended.err, AllOf(StartsWith("search: "), HasSubstr(sentence)));
    EXPECT_EQ(ended.out, "");
  }
  const Ended full = search({good}, "0.2", {.output = "/dev/full"});
  EXPECT_EQ(full.code, 1);
  EXPECT_THAT(full.err, HasSubstr("standard output cannot be written"));
}

TEST_F(SearchProgramWhole, AFolderThatMayOnlyBeReadIsEnough) {
  const std::string reason = earmark::testing::reason_against_nobody("search");
  if (!reason.empty()) {
    GTEST_SKIP() << reason;
  }
  const std::string file = query("excerpt.wav", 1, 6.5).string();
  const fs::path index = composed_->folder / "read only";
  fs::copy(composed_->index(), index, fs::copy_options::recursive);
  fs::remove(index / "lsh.cache");
  fs::permissions(composed_->folder.path(), fs::perms::others_read | fs::perms::others_exec, fs::perm_options::add);
  for (const std::string method : {"exact", "lsh"}) {
    const Ended ended = run({index.string(), file, "--method", method, "--threshold", "0.2"}, {.as_nobody = true});
    EXPECT_EQ(ended.code, 0) << ended.err;
    EXPECT_EQ(ended.err, "");
    EXPECT_EQ(ended.out, search({file, "--method", method}).out);
    EXPECT_THAT(ended.out, HasSubstr("  match     track-1.wav  at 0:06.5"));
  }
  EXPECT_FALSE(fs::exists(index / "lsh.cache"));
  write_bytes(composed_->folder / "one.csv", "query_id,path\none,excerpt.wav\n");
  const Ended nowhere = run(
      {index.string(), "--list", (composed_->folder / "one.csv").string(), "--out", (index / "results.tsv").string()},
      {.as_nobody = true});
  EXPECT_EQ(nowhere.code, 1);
  EXPECT_THAT(nowhere.err, AllOf(HasSubstr("results.tsv"), HasSubstr("Permission denied")));
}

TEST_F(SearchProgramWhole, AFullDiskKeepsTheResultsOfBefore) {
  const earmark::testing::SmallDisk disk(1 << 20U);
  if (!disk.problem().empty()) {
    GTEST_SKIP() << disk.problem();
  }
  query("excerpt.wav", 1, 6.5);
  const fs::path list = composed_->folder / "full.csv";
  write_bytes(list, "query_id,path\none,excerpt.wav\n");
  const fs::path out = disk / "results.tsv";
  ASSERT_EQ(search({"--list", list.string(), "--out", out.string()}).code, 0);
  const std::string before = earmark::testing::bytes_of(out);
  write_bytes(list, "query_id,path\none,excerpt.wav\ntwo,excerpt.wav\n");
  disk.fill(0);
  const Ended full = search({"--list", list.string(), "--out", out.string()});
  EXPECT_EQ(full.code, 1);
  EXPECT_THAT(full.err, AllOf(HasSubstr("results.tsv"), HasSubstr("No space left on device")));
  EXPECT_EQ(earmark::testing::bytes_of(out), before);
  disk.free_space();
  EXPECT_EQ(search({"--list", list.string(), "--out", out.string()}).code, 0);
  EXPECT_EQ(lines_in(earmark::testing::bytes_of(out)).size(), 3U);
  EXPECT_EQ(std::distance(fs::directory_iterator(out.parent_path()), {}), 1) << "nothing unfinished is left";
}

TEST_F(SearchProgramWhole, GpusOfABuildWithoutCudaAreRefused) {
  if (has_cuda_backend()) {
    GTEST_SKIP() << "this build has CUDA";
  }
  const std::string why = ": device 'cuda': this build has no CUDA backend; use --device cpu\n";
  const std::string index = (composed_->folder / "index-of-a-gpu").string();
  for (const Ended& refused : {search({query("gpu.wav", 0, 1).string(), "--device", "cuda"}),
                               earmark::testing::run("index", {"build", index, "--model", composed_->model().string(),
                                                               composed_->music().string(), "--device", "cuda"})}) {
    EXPECT_EQ(refused.code, 1);
    EXPECT_EQ(refused.out, "");
    EXPECT_THAT(refused.err, AnyOf("search" + why, "index" + why));
  }
  EXPECT_FALSE(fs::exists(index)) << "nothing is left of what was not done";
}

}  // namespace
}  // namespace earmark::search
