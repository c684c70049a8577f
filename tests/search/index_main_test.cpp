// The program `index` as a user meets it: a whole life of an index, misuse, bad files.
#include <algorithm>

#include "tests/search/index_program.h"

namespace earmark::search {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::UnorderedElementsAre;
using ::testing::UnorderedElementsAreArray;

class IndexProgramWhole : public IndexProgram {};

TEST_F(IndexProgramWhole, LifeOfAnIndex) {
  const Ended built = build(index_, {track(0), track(1), track(2)});
  ASSERT_EQ(built.code, 0) << built.err;
  EXPECT_THAT(built.out, HasSubstr("added 3, replaced 0, renamed 0, unchanged 0, skipped 0; 0:18 of audio"));
  EXPECT_THAT(files_in(index_),
              ElementsAre("catalogue.sqlite", "lock", "model.safetensors", "segments", "segments/00000001.ear"));
  expect_sound(index_);

  const Ended more = run({"add", index_.string(), composed_.music().string()});
  ASSERT_EQ(more.code, 0) << more.err;
  EXPECT_THAT(more.out, HasSubstr("added 1, replaced 0, renamed 0, unchanged 3"));
  const std::set<std::string> files = files_in(index_);
  const Ended again = run({"add", index_.string(), composed_.music().string()});
  EXPECT_EQ(again.code, 0) << again.err;
  EXPECT_THAT(again.out, HasSubstr("added 0, replaced 0, renamed 0, unchanged 4"));
  EXPECT_EQ(files_in(index_), files);

  const Ended list = run({"list", index_.string()});
  EXPECT_THAT(list.out, HasSubstr("1\t0:06.0\ttrack-0.wav\n"));
  EXPECT_EQ(std::count(list.out.begin(), list.out.end(), '\n'), 4);
  const nlohmann::json info = nlohmann::json::parse(run({"info", index_.string(), "--json"}).out);
  EXPECT_EQ(info.at("tracks"), 4);
  EXPECT_EQ(info.at("fingerprints"), 4 * 51);
  EXPECT_EQ(info.at("precision"), "fp32");
  EXPECT_EQ(info.at("segment_files"), 2);
  EXPECT_TRUE(info.contains("calibration"));
  EXPECT_THAT(run({"info", index_.string()}).out, HasSubstr("tracks: 4\n"));

  EXPECT_THAT(run({"remove", index_.string(), "track-1.wav", "--id", "3"}).out, HasSubstr("removed 2 of 4 tracks"));
  EXPECT_THAT(listed(index_), UnorderedElementsAre("track-0.wav", "track-3.wav"));
  const Ended absent = run({"remove", index_.string(), "track-1.wav"});
  EXPECT_EQ(absent.code, 1);
  EXPECT_THAT(absent.err, HasSubstr("no track matches 'track-1.wav'"));
  EXPECT_EQ(run({"remove", index_.string(), "--id", "77"}).code, 1);
  EXPECT_THAT(run({"remove", index_.string(), "track-*"}).out, HasSubstr("removed 2 of 2 tracks"));
  expect_sound(index_);
  EXPECT_THAT(run({"add", index_.string(), composed_.music().string()}).out, HasSubstr("added 4"));
  expect_sound(index_);
  EXPECT_EQ(listed(index_).size(), 4U);
}

TEST_F(IndexProgramWhole, ATracksPathMeansThatTrackOnlyWhateverPatternItIs) {
  const fs::path folder = composed_.folder / "[live]";
  fs::create_directories(folder);
  const std::vector<std::string> names = {"a1.wav", "a[1].wav", "b.wav",    "c?.wav",
                                          "cd.wav", "*.wav",    "e\\f.wav", "ef.wav"};
  for (std::size_t i = 0; i < names.size(); ++i) {
    data::write_wav(folder / names[i],
                    composed_.part(static_cast<int>(i) % kTracks, 0.1 * static_cast<double>(i), 1.5));
  }
  std::vector<std::string> left = names;
  ASSERT_EQ(build(index_, {folder}).code, 0);
  for (const std::string name : {"a[1].wav", "c?.wav", "*.wav", "e\\f.wav"}) {
    const Ended removed = run({"remove", index_.string(), name});
    EXPECT_EQ(removed.code, 0) << removed.err;
    std::erase(left, name);
    EXPECT_THAT(listed(index_), UnorderedElementsAreArray(left)) << name;
  }
  ASSERT_EQ(run({"add", index_.string(), folder.string()}).code, 0);
  EXPECT_THAT(run({"remove", index_.string(), (folder / "a[1].wav").string()}).out, HasSubstr("removed 1 of 8"));
  EXPECT_THAT(run({"remove", index_.string(), "a[1].wav"}).out, HasSubstr("removed 1 of 7")) << "now it is a pattern";
  EXPECT_THAT(listed(index_), UnorderedElementsAre("b.wav", "c?.wav", "cd.wav", "*.wav", "e\\f.wav", "ef.wav"));
  EXPECT_THAT(run({"remove", index_.string(), "c?.wav", "cd.wav"}).out, HasSubstr("removed 2 of 6"));
  EXPECT_THAT(run({"remove", index_.string(), "*f.wav"}).out, HasSubstr("removed 2 of 4"));
}

TEST_F(IndexProgramWhole, MergesAndCalibrates) {
  ASSERT_EQ(build(index_, {track(0), track(1)}).code, 0);
  const fs::path other = composed_.folder / "other";
  std::vector<std::string> compact = build_arguments(other, {track(1), track(2), track(3)});
  compact.insert(compact.end(), {"--precision", "int8", "--no-calibrate"});
  ASSERT_EQ(run(compact).code, 0);
  EXPECT_FALSE(nlohmann::json::parse(run({"info", other.string(), "--json"}).out).contains("calibration"));

  const Ended merged = run({"merge", index_.string(), other.string()});
  EXPECT_EQ(merged.code, 0) << merged.err;
  EXPECT_THAT(merged.out, HasSubstr(": added 2, already there 1, left out 0"));
  EXPECT_THAT(listed(index_), UnorderedElementsAre("track-0.wav", "track-1.wav", "track-2.wav", "track-3.wav"));
  EXPECT_EQ(listed(other).size(), 3U);
  expect_sound(index_);
  const Ended itself = run({"merge", index_.string(), index_.string()});
  EXPECT_EQ(itself.code, 1);
  EXPECT_THAT(itself.err, HasSubstr("cannot be merged with itself"));
  EXPECT_EQ(run({"merge", index_.string(), (composed_.folder / "nowhere").string()}).code, 1);

  const Ended own = run({"calibrate", index_.string()});
  EXPECT_EQ(own.code, 0) << own.err;
  EXPECT_THAT(own.out, HasSubstr("0.96 s: confidence above "));
  data::compose_folder(composed_.folder / "foreign", {.tracks = 3, .seconds = 12, .seed = 77});
  const Ended foreign = run({"calibrate", index_.string(), "--queries", (composed_.folder / "foreign").string()});
  EXPECT_EQ(foreign.code, 0) << foreign.err;
  const nlohmann::json info = nlohmann::json::parse(run({"info", index_.string(), "--json"}).out);
  EXPECT_EQ(info.at("calibration").at("source"), "absent audio");
  EXPECT_GE(info.at("calibration").at("points").size(), 3U);
  write_bytes(composed_.folder / "empty.wav", "");
  const Ended nothing = run({"calibrate", index_.string(), "--queries", (composed_.folder / "empty.wav").string()});
  EXPECT_EQ(nothing.code, 1);
  EXPECT_THAT(nothing.err, HasSubstr("empty.wav: the file is empty"));
}

TEST_F(IndexProgramWhole, MisuseIsExitCodeTwoAndASentence) {
  const std::string index = index_.string();
  const std::vector<std::pair<std::vector<std::string>, std::string>> misuses = {
      {{}, "subcommand is required"},
      {{"nonsense"}, "subcommand is required"},
      {{"list"}, "INDEX is required"},
      {{"files"}, "PATH is required"},
      {{"build", index, "music", "--model", "m", "--precision", "fp8"}, "fp8"},
      {{"build", index, "music", "--model", "m", "--hop", "0"}, "hop"},
      {{"add", index}, "no sound files, folders or lists given"},
      {{"add", index, "--list", "no-such-list"}, "no-such-list"},
      {{"remove", index}, "nothing to remove"},
      {{"merge", index}, "OTHER is required"},
      {{"calibrate", index, "--rate", "2"}, "rate"},
      {{"verify", index, "--nonsense"}, "--nonsense"},
      {{"list", index, "--threads", "0"}, "threads"}};
  for (const auto& [arguments, sentence] : misuses) {
    const Ended ended = earmark::testing::run("index", arguments);
    EXPECT_EQ(ended.code, 2) << ::testing::PrintToString(arguments);
    EXPECT_THAT(ended.err, HasSubstr(sentence));
    EXPECT_EQ(ended.out, "");
  }
  EXPECT_FALSE(fs::exists(index_));
  const Ended help = earmark::testing::run("index", {"build", "--help"});
  EXPECT_EQ(help.code, 0);
  EXPECT_THAT(help.out, HasSubstr("--precision"));
}

TEST_F(IndexProgramWhole, FilesAreThoseThatAddWouldTake) {
  const fs::path folder = composed_.folder / "of all kinds";
  fs::create_directories(folder / "-live");
  const std::vector<std::string> names = {"-live/two\nlines.WAV", "caf\xe9.rf64", "link.wave", "no extension"};
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (names[i] == "link.wave") {
      fs::create_symlink(track(0), folder / names[i]);
    } else {
      data::write_wav(folder / names[i], composed_.part(static_cast<int>(i), 0, 1.5));
    }
  }
  write_bytes(folder / "readme.txt", "no list of what was asked for: the folder was");
  write_bytes(folder / "no sound", "no sound");
  fs::create_symlink("nowhere", folder / "dangling.wav");
  std::string bytes;
  for (const std::string& name : names) {
    bytes += (folder / name).string() + '\0';
  }
  const Ended ended = run({"files", "--null", folder.string()});
  EXPECT_EQ(ended.code, 0) << ended.err;
  EXPECT_EQ(ended.out, bytes);
  const Ended shown = run({"files", folder.string(), track(1).string()});
  EXPECT_THAT(shown.out, HasSubstr("/-live/two\\x0alines.WAV\n"));
  EXPECT_THAT(shown.out, HasSubstr("/caf\\xe9.rf64\n"));
  EXPECT_THAT(shown.out, HasSubstr(track(1).string() + "\n"));
  ASSERT_EQ(build(index_, {folder}).code, 0);
  EXPECT_EQ(listed(index_).size(), names.size());
  const Ended nowhere = run({"files", (composed_.folder / "nowhere").string()});
  EXPECT_EQ(nowhere.code, 1);
  EXPECT_THAT(nowhere.err, HasSubstr("nowhere: no such file or folder"));
}

TEST_F(IndexProgramWhole, WithoutAModelTheOneThatComesWithTheProjectIsTaken) {
  const std::string music = composed_.music().string();
  const earmark::testing::EnvironmentScope ours("EARMARK_MODEL", composed_.model().c_str());
  ASSERT_EQ(run({"build", index_.string(), music}).code, 0);
  const nlohmann::json info = nlohmann::json::parse(run({"info", index_.string(), "--json"}).out);
  EXPECT_EQ(info.at("model_hash"), nn::model_hash(nn::load_model(composed_.model())));
  const earmark::testing::EnvironmentScope none("EARMARK_MODEL", (composed_.folder / "none").c_str());
  const Ended ended = run({"build", (composed_.folder / "other").string(), music});
  EXPECT_EQ(ended.code, 1);
  EXPECT_THAT(ended.err, HasSubstr("none: no such model (EARMARK_MODEL)"));
  EXPECT_FALSE(fs::exists(composed_.folder / "other"));
}

TEST_F(IndexProgramWhole, WhatCannotBeDoneIsExitCodeOneAndASentence) {
  const std::string music = composed_.music().string();
  const std::string model = composed_.model().string();
  const std::string empty = (composed_.folder / "empty").string();
  fs::create_directories(empty);
  write_bytes(composed_.folder / "file", "no folder");
  const std::string file = (composed_.folder / "file").string();
  const std::vector<std::pair<std::vector<std::string>, std::string>> impossible = {
      {{"list", "nowhere"}, "nowhere: no such folder"},
      {{"info", file}, "expected the folder of an index"},
      {{"verify", empty}, "not an index"},
      {{"add", empty, music}, "not an index"},
      {{"merge", empty, empty}, "not an index"},
      {{"build", index_.string(), empty, "--model", model}, "no sound files found"},
      {{"build", index_.string(), "nowhere", "--model", model}, "nowhere: no such file or folder"},
      {{"build", index_.string(), music, "--model", "no-model"}, "no-model"},
      {{"build", index_.string(), music, "--model", file}, "file"},
      {{"build", music, music, "--model", model}, "neither an index nor an empty folder"},
      {{"build", file, music, "--model", model}, "the folder cannot be made"}};
  for (const auto& [arguments, sentence] : impossible) {
    const Ended ended = run(arguments);
    EXPECT_EQ(ended.code, 1) << ::testing::PrintToString(arguments);
    EXPECT_THAT(ended.err, HasSubstr(sentence));
    EXPECT_EQ(ended.out, "");
  }
  EXPECT_FALSE(fs::exists(index_));
  EXPECT_THAT(files_in(empty), IsEmpty());
}

TEST_F(IndexProgramWhole, AnotherModelIsRefused) {
  ASSERT_EQ(build(index_, {track(0)}).code, 0);
  const std::string other = (composed_.folder / "other.safetensors").string();
  nn::save_model(other, tiny_model(2));
  const Ended added = run({"add", index_.string(), "--model", other, track(1).string()});
  EXPECT_EQ(added.code, 1);
  EXPECT_THAT(added.err, HasSubstr("made with another model"));
  const Ended rebuilt = run({"build", index_.string(), "--model", other, track(1).string()});
  EXPECT_EQ(rebuilt.code, 1);
  EXPECT_THAT(rebuilt.err, HasSubstr("made with another model"));
  const fs::path foreign = composed_.folder / "foreign";
  ASSERT_EQ(run({"build", foreign.string(), "--model", other, track(1).string()}).code, 0);
  const Ended merged = run({"merge", index_.string(), foreign.string()});
  EXPECT_EQ(merged.code, 1);
  EXPECT_THAT(merged.err, HasSubstr("fingerprints of different models cannot be compared"));
  EXPECT_THAT(listed(index_), ElementsAre("track-0.wav"));
  expect_sound(index_);
  EXPECT_EQ(run({"add", index_.string(), "--model", composed_.model().string(), track(1).string()}).code, 0);
}

TEST_F(IndexProgramWhole, BadFilesAreReportedAndTheRestIsDone) {
  const fs::path folder = composed_.folder / "mixed";
  fs::create_directories(folder);
  write_bytes(folder / "text.wav", "no sound at all");
  write_bytes(folder / "empty.mp3", "");
  data::write_wav(folder / "silent.wav", std::vector<float>(32000, 0.0F));
  data::write_wav(folder / "short.wav", composed_.part(0, 1, 0.5));
  data::write_wav(folder / "one sample.wav", composed_.part(0, 1, 1.0 / 16000));
  fs::copy_file(track(1), folder / "cut.wav");
  fs::resize_file(folder / "cut.wav", 100000);
  fs::copy_file(track(2), folder / "it's \"2\"\n\xff\\.wav");
  fs::copy_file(track(2), folder / "z-copy.wav");
  write_bytes(composed_.folder / "list.txt", "# a list\nmixed/cut.wav\r\nmusic/track-3.wav\nmusic/missing.wav\n");

  const Ended built = build(index_, {folder});
  EXPECT_EQ(built.code, 0) << built.err;
  EXPECT_THAT(built.out, HasSubstr("added 2, replaced 0, renamed 0, unchanged 0, skipped 6;"));
  for (const std::string reason : {"skipped text.wav: ", "skipped empty.mp3: ", "skipped silent.wav: silent",
                                   "skipped short.wav: too short: 0.5 s", "skipped one sample.wav: too short",
                                   "skipped z-copy.wav: the same content as it's \"2\"\\x0a\\xff\\x5c.wav",
                                   "damaged cut.wav: truncated: 3.1 s of the 6 s"}) {
    EXPECT_THAT(built.err, HasSubstr(reason));
  }
  const Ended list = run({"list", index_.string()});
  EXPECT_THAT(list.out, HasSubstr("\tit's \"2\"\\x0a\\xff\\x5c.wav\n"));
  EXPECT_EQ(std::count(list.out.begin(), list.out.end(), '\n'), 2);

  const Ended listed_files = run({"add", index_.string(), "--list", (composed_.folder / "list.txt").string()});
  EXPECT_EQ(listed_files.code, 0) << listed_files.err;
  EXPECT_THAT(listed_files.out, HasSubstr("added 1"));
  EXPECT_THAT(listed_files.err, HasSubstr("skipped music/missing.wav: "));
  const Ended nothing = run({"add", index_.string(), (folder / "text.wav").string()});
  EXPECT_EQ(nothing.code, 1);
  EXPECT_THAT(nothing.err, HasSubstr("none of the files could be indexed"));
  EXPECT_EQ(run({"remove", index_.string(), "it's \"2\"\n\xff\\.wav"}).code, 0);
  expect_sound(index_);
}

TEST_F(IndexProgramWhole, WhatIsThereAlreadyUnderAnotherNameIsNoFailure) {
  ASSERT_EQ(build(index_, {composed_.music()}).code, 0);
  const fs::path copies = composed_.folder / "copies";
  fs::create_directories(copies);
  fs::copy_file(track(1), copies / "one.wav");
  fs::copy_file(track(2), copies / "two.wav");
  write_bytes(copies / "text.wav", "no sound at all");
  const std::string sentence = "nothing to add: what could be read is in the index already\n";
  for (const std::vector<std::string>& arguments :
       {std::vector<std::string>{"add", index_.string(), (copies / "one.wav").string(), (copies / "two.wav").string()},
        {"add", index_.string(), copies.string()},
        build_arguments(index_, {copies})}) {
    const Ended ended = run(arguments);
    EXPECT_EQ(ended.code, 0) << ended.err;
    EXPECT_THAT(ended.out, HasSubstr(sentence));
    EXPECT_THAT(ended.err, HasSubstr("skipped one.wav: the same content as track-1.wav"));
    EXPECT_THAT(ended.err, Not(HasSubstr("none of the files")));
  }
  const Ended unchanged = run({"add", index_.string(), composed_.music().string()});
  EXPECT_EQ(unchanged.code, 0);
  EXPECT_THAT(unchanged.out, Not(HasSubstr("nothing to add")));
  EXPECT_EQ(listed(index_).size(), 4U);
}

TEST_F(IndexProgramWhole, NoTwoNamesAreShownAlikeAndEachIsRemovedAsItIsShown) {
  const fs::path folder = composed_.folder / "alike";
  fs::create_directory(folder);
  fs::copy_file(track(0), folder / "c\nd.wav");
  fs::copy_file(track(1), folder / "c\\x0ad.wav");
  fs::copy_file(track(2), folder / "c\xff\\.wav");
  ASSERT_EQ(build(index_, {folder}).code, 0);
  const Ended list = run({"list", index_.string()});
  for (const std::string shown : {"\tc\\x0ad.wav\n", "\tc\\x5cx0ad.wav\n", "\tc\\xff\\x5c.wav\n"}) {
    EXPECT_THAT(list.out, HasSubstr(shown));
  }
  const Ended json = run({"list", index_.string(), "--json"});
  for (const std::string shown : {R"("c\nd.wav")", R"("c\\x5cx0ad.wav")", R"("c\\xff\\x5c.wav")"}) {
    EXPECT_THAT(json.out, HasSubstr(shown));
  }
  EXPECT_THAT(run({"remove", index_.string(), "c\\x0ad.wav"}).out, HasSubstr("removed 1 of 3 tracks"));
  EXPECT_THAT(run({"list", index_.string()}).out, AllOf(HasSubstr("c\\x5cx0ad.wav"), HasSubstr("c\\xff\\x5c.wav")));
  EXPECT_THAT(run({"remove", index_.string(), "c\\xff\\x5c.wav"}).out, HasSubstr("removed 1 of 2 tracks"));
  EXPECT_THAT(run({"remove", index_.string(), "c\\x0ad.wav"}).out, HasSubstr("removed 1 of 1 tracks"));
}

TEST_F(IndexProgramWhole, ThreadsChangeNothing) {
  const fs::path music = many_files(8);
  write_bytes(music / "text.wav", "no sound at all");
  std::string answer;
  for (const int threads : {1, 2, 3}) {
    const fs::path index = composed_.folder / ("by " + std::to_string(threads));
    const Ended built = earmark::testing::run("index", with_threads(threads, build_arguments(index, {music})));
    ASSERT_EQ(built.code, 0) << built.err;
    EXPECT_THAT(built.out, HasSubstr("added 8, replaced 0, renamed 0, unchanged 0, skipped 1"));
    expect_sound(index);
    const std::string first = earmark::testing::bytes_of(composed_.folder / "by 1" / "segments" / "00000001.ear");
    EXPECT_EQ(earmark::testing::bytes_of(index / "segments" / "00000001.ear"), first) << threads;
    EXPECT_EQ(listed(index), listed(composed_.folder / "by 1")) << threads;
    const Ended found = earmark::testing::run(
        "search", with_threads(threads, {index.string(), track(2).string(), "--tsv", "--threshold", "0.2"}));
    EXPECT_EQ(found.code, 0) << found.err;
    answer = answer.empty() ? found.out : answer;
    EXPECT_EQ(found.out, answer) << threads;
  }
}

TEST_F(IndexProgramWhole, FullStandardOutputIsAnError) {
  ASSERT_EQ(build(index_, {track(0)}).code, 0);
  const Ended ended = run({"list", index_.string()}, {.output = "/dev/full"});
  EXPECT_EQ(ended.code, 1);
  EXPECT_THAT(ended.err, HasSubstr("standard output cannot be written"));
}

}  // namespace
}  // namespace earmark::search
