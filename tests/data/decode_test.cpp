#include "data/decode.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <thread>
#include <vector>

#include "data/wav.h"
#include "kernels/error.h"
#include "kernels/random.h"
#include "tests/data/test_sounds.h"
#include "tests/test_support.h"

namespace earmark::data {
namespace {

using testing::align;
using testing::encode;
using testing::melody;
using testing::sine;
using testing::TemporaryFolder;

std::string error_of(const std::filesystem::path& path) {
  try {
    decode_file(path);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

double amplitude_at(std::span<const float> x, double hz, int rate = 16000) {
  double re = 0;
  double im = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double angle = 2 * M_PI * hz * static_cast<double>(i) / rate;
    re += static_cast<double>(x[i]) * std::cos(angle);
    im += static_cast<double>(x[i]) * std::sin(angle);
  }
  return 2 * std::hypot(re, im) / static_cast<double>(x.size());
}

TEST(Decode, WavComesBackAsItWas) {
  const TemporaryFolder folder;
  const std::vector<float> x = melody(2);
  write_wav(folder / "pcm.wav", x);
  write_wav(folder / "float.wav", x, 16000, WavFormat::float32);
  const std::vector<float> pcm = decode_audio(folder / "pcm.wav");
  const std::vector<float> exact = decode_audio(folder / "float.wav");
  ASSERT_EQ(pcm.size(), x.size());
  ASSERT_EQ(exact.size(), x.size());
  for (std::size_t i = 0; i < x.size(); ++i) {
    EXPECT_NEAR(pcm[i], x[i], 5e-5);
    EXPECT_EQ(exact[i], x[i]);
  }
}

TEST(Decode, ChannelsAreAveragedOrTheFirstIsTaken) {
  const TemporaryFolder folder;
  const std::vector<float> left = sine(440, 0.5);
  std::vector<float> stereo;
  for (const float v : left) {
    stereo.push_back(v);
    stereo.push_back(-0.5F * v);
  }
  write_wav(folder / "stereo.wav", stereo, 16000, WavFormat::float32, 2);
  const std::vector<float> mean = decode_audio(folder / "stereo.wav");
  const std::vector<float> first = decode_audio(folder / "stereo.wav", 16000, Channel::left);
  ASSERT_EQ(mean.size(), left.size());
  for (std::size_t i = 0; i < left.size(); ++i) {
    EXPECT_NEAR(mean[i], 0.25F * left[i], 1e-6);
    EXPECT_EQ(first[i], left[i]);
  }
}

TEST(Decode, EightChannelsAndHighRates) {
  const TemporaryFolder folder;
  const std::vector<float> mono = sine(1000, 1, 192000);
  std::vector<float> eight;
  for (const float v : mono) {
    eight.insert(eight.end(), 8, v);
  }
  write_wav(folder / "eight.wav", eight, 192000, WavFormat::pcm16, 8);
  const std::vector<float> x = decode_audio(folder / "eight.wav");
  EXPECT_NEAR(static_cast<double>(x.size()), 16000, 40);
  EXPECT_NEAR(amplitude_at(std::span(x).subspan(1600, 12800), 1000), 0.5, 0.005);
}

TEST(Decode, ResamplingKeepsTimeAndPassband) {
  const TemporaryFolder folder;
  for (const int rate : {8000, 11025, 22050, 44100, 48000, 96000}) {
    std::vector<float> x = sine(440, 2, rate);
    const std::vector<float> more = sine(3000, 2, rate);
    std::transform(x.begin(), x.end(), more.begin(), x.begin(), std::plus<>());
    write_wav(folder / "x.wav", x, rate, WavFormat::float32);
    const std::vector<float> y = decode_audio(folder / "x.wav");
    std::vector<float> wanted = sine(440, 2);
    const std::vector<float> wanted_more = sine(3000, 2);
    std::transform(wanted.begin(), wanted.end(), wanted_more.begin(), wanted.begin(), std::plus<>());
    EXPECT_NEAR(static_cast<double>(y.size()), 32000, 50) << rate;
    const auto middle = std::span(y).subspan(1600, 28000);
    const testing::Alignment found = align(std::span(wanted).subspan(1600, 28000), middle, 3);
    EXPECT_EQ(found.shift, 0) << rate;
    EXPECT_GT(found.correlation, 0.999) << rate;
  }
}

TEST(Decode, WhatLiesAboveHalfTheRateIsGone) {
  const TemporaryFolder folder;
  write_wav(folder / "high.wav", sine(10000, 1, 44100), 44100, WavFormat::float32);
  write_wav(folder / "low.wav", sine(7000, 1, 44100), 44100, WavFormat::float32);
  const std::vector<float> high = decode_audio(folder / "high.wav");
  const std::vector<float> low = decode_audio(folder / "low.wav");
  EXPECT_LT(amplitude_at(std::span(high).subspan(1600, 12800), 6000), 0.5e-3);
  EXPECT_GT(amplitude_at(std::span(low).subspan(1600, 12800), 7000), 0.47);  // half a decibel
}

struct Format {
  const char* codec;
  const char* file;
  double correlation;
};

class Formats : public ::testing::TestWithParam<Format> {};

TEST_P(Formats, KeepSoundAndTime) {
  const TemporaryFolder folder;
  const int rate = 44100;
  const std::vector<float> mono = melody(3, rate);
  std::vector<float> stereo;
  for (const float v : mono) {
    stereo.insert(stereo.end(), 2, v);
  }
  if (!encode(folder / GetParam().file, GetParam().codec, stereo, rate, 2,
              {{"title", "A Title"}, {"artist", "Somebody"}, {"album", "B"}})) {
    GTEST_SKIP() << "this FFmpeg has no encoder " << GetParam().codec;
  }
  write_wav(folder / "reference.wav", mono, rate, WavFormat::float32);
  const std::vector<float> wanted = decode_audio(folder / "reference.wav");
  const DecodedAudio got = decode_file(folder / GetParam().file);
  EXPECT_EQ(got.problem, "");
  EXPECT_NEAR(static_cast<double>(got.samples.size()), static_cast<double>(wanted.size()), 800);
  const testing::Alignment found = align(wanted, got.samples, 40);
  EXPECT_LE(std::abs(found.shift), 1);  // encoders' delays are taken out
  EXPECT_GT(found.correlation, GetParam().correlation);
  EXPECT_EQ(got.tags.title, "A Title");
  EXPECT_EQ(got.tags.artist, "Somebody");
  EXPECT_EQ(read_tags(folder / GetParam().file).album, "B");
}

TEST_P(Formats, CutFilesGiveTheirBeginning) {
  const TemporaryFolder folder;
  const auto path = folder / GetParam().file;
  if (!encode(path, GetParam().codec, melody(10, 44100), 44100)) {
    GTEST_SKIP() << "this FFmpeg has no encoder " << GetParam().codec;
  }
  testing::truncate_file(path, std::filesystem::file_size(path) / 2);
  if (std::string(GetParam().file).ends_with(".m4a")) {  // its index is at the end: nothing can be had
    EXPECT_NE(error_of(path), "");
    return;
  }
  const DecodedAudio got = decode_file(path);
  EXPECT_GT(got.samples.size(), 3U * 16000);
  EXPECT_LT(got.samples.size(), 7U * 16000);
  testing::truncate_file(path, 40);  // not even the header is whole
  EXPECT_NE(error_of(path), "");
}

INSTANTIATE_TEST_SUITE_P(Codecs, Formats,
                         ::testing::Values(Format{"flac", "x.flac", 0.9999}, Format{"libvorbis", "x.ogg", 0.99},
                                           Format{"libmp3lame", "x.mp3", 0.98}, Format{"aac", "x.m4a", 0.97},
                                           Format{"pcm_s24le", "x.mka", 0.9999}));

TEST(Decode, CutFilesAreReported) {
  const TemporaryFolder folder;
  const auto whole = folder / "whole.wav";
  write_wav(whole, melody(10));
  write_wav(folder / "cut.wav", melody(10));
  testing::truncate_file(folder / "cut.wav", 44 + 2 * 16000 * 4);
  const DecodedAudio got = decode_file(folder / "cut.wav");
  EXPECT_EQ(got.samples.size(), 4U * 16000);
  EXPECT_EQ(got.problem, "truncated: 4 s of the 10 s it claims");
  EXPECT_EQ(decode_file(whole).problem, "");
  if (encode(folder / "cut.flac", "flac", melody(10), 16000)) {
    testing::truncate_file(folder / "cut.flac", std::filesystem::file_size(folder / "cut.flac") / 2);
    EXPECT_NE(decode_file(folder / "cut.flac").problem, "");
  }
}

TEST(Decode, CutMp3FilesAreReportedWhereTheirHeaderTellsTheirLength) {
  const TemporaryFolder folder;
  const auto path = folder / "x.mp3";
  if (!encode(path, "libmp3lame", melody(10, 44100), 44100)) {
    GTEST_SKIP() << "this FFmpeg has no MP3 encoder";
  }
  const std::string whole = testing::read_text(path);
  const std::size_t mark = std::min(whole.find("Xing"), whole.find("Info"));
  ASSERT_NE(mark, std::string::npos);
  std::string bare = whole;  // without that header: its frame is silence like any other
  bare.replace(mark, 4, 4, '\0');
  const auto decoded = [&](const std::string& bytes) {
    testing::write_text(path, bytes);
    return decode_file(path);
  };
  EXPECT_EQ(decoded(whole).problem, "");
  EXPECT_EQ(decoded(bare).problem, "");
  EXPECT_EQ(decoded(whole.substr(0, whole.size() / 2)).problem, "truncated: 5 s of the 10 s it claims");
  // A bare one says nowhere how long it should be: its beginning is all there is.
  const DecodedAudio half = decoded(bare.substr(0, bare.size() / 2));
  EXPECT_EQ(half.problem, "");
  EXPECT_NEAR(static_cast<double>(half.samples.size()), 5.0 * 16000, 1000);
}

TEST(Decode, DamageInTheMiddleLosesLittle) {
  const TemporaryFolder folder;
  if (!encode(folder / "x.mp3", "libmp3lame", melody(10, 44100), 44100)) {
    GTEST_SKIP() << "this FFmpeg has no MP3 encoder";
  }
  std::string bytes = testing::read_text(folder / "x.mp3");
  RandomStream random(1);
  for (std::size_t i = bytes.size() / 2; i < bytes.size() / 2 + 3000; ++i) {
    bytes[i] = static_cast<char>(random.bits());
  }
  testing::write_text(folder / "x.mp3", bytes);
  EXPECT_GT(decode_file(folder / "x.mp3").samples.size(), 9U * 16000);
}

TEST(Decode, OneSampleIsASound) {
  const TemporaryFolder folder;
  const std::vector<float> one = {0.5F};
  write_wav(folder / "one.wav", one);
  EXPECT_EQ(decode_audio(folder / "one.wav").size(), 1U);
  write_wav(folder / "one-44100.wav", one, 44100);
  // At 16 kHz it lasts less than a sample.
  EXPECT_EQ(error_of(folder / "one-44100.wav"), (folder / "one-44100.wav").string() + ": no sound could be decoded");
}

TEST(Decode, WhatIsNoSoundIsRefusedByName) {
  const TemporaryFolder folder;
  testing::write_text(folder / "empty.mp3", "");
  testing::write_text(folder / "text.mp3", "This is not music.\nAt all.\n");
  std::string garbage(100000, ' ');
  RandomStream random(3);
  std::generate(garbage.begin(), garbage.end(), [&] { return static_cast<char>(random.bits()); });
  testing::write_text(folder / "garbage.wav", garbage);
  write_wav(folder / "silent-header.wav", {});
  std::filesystem::create_directory(folder / "folder.ogg");
  for (const char* name : {"empty.mp3", "text.mp3", "garbage.wav", "silent-header.wav", "folder.ogg", "missing.flac"}) {
    EXPECT_NE(error_of(folder / name).find(name), std::string::npos) << name << ": " << error_of(folder / name);
  }
  EXPECT_NE(error_of(folder / "empty.mp3").find("empty"), std::string::npos);
  EXPECT_NE(error_of(folder / "missing.flac").find("No such file"), std::string::npos);
}

TEST(Decode, SamplesThatAreNotNumbersBecomeZero) {
  const TemporaryFolder folder;
  std::vector<float> x = sine(440, 0.1);
  x[100] = std::numeric_limits<float>::quiet_NaN();
  x[200] = std::numeric_limits<float>::infinity();
  x[300] = 1e30F;
  write_wav(folder / "nan.wav", x, 16000, WavFormat::float32);
  const DecodedAudio got = decode_file(folder / "nan.wav");
  EXPECT_EQ(got.samples[100], 0);
  EXPECT_EQ(got.samples[200], 0);
  EXPECT_LE(got.samples[300], 1e4F);
  EXPECT_EQ(got.samples[400], x[400]);
  EXPECT_NE(got.problem.find("not numbers"), std::string::npos);
}

TEST(Decode, AnyFileNameWorks) {
  const TemporaryFolder folder;
  const std::vector<float> x = melody(0.5);
  for (const char* name :
       {"with space.wav", "it's \"quoted\".wav", "new\nline.wav", "\xff\xfe not utf8.wav", "-dash.wav",
        "http:..example.wav", "pipe:0", "concat:a|b.wav", "100%d.wav", "a,b;c.wav", "[x]*?.wav"}) {
    const auto path = folder.path() / name;
    write_wav(path, x);
    EXPECT_EQ(decode_audio(path).size(), x.size()) << name;
  }
  const auto before = std::filesystem::current_path();
  std::filesystem::current_path(folder.path());
  EXPECT_EQ(decode_audio("-dash.wav").size(), x.size());
  EXPECT_EQ(decode_audio("pipe:0").size(), x.size());
  std::filesystem::current_path(before);
}

TEST(Decode, PlaylistsOpenNothing) {
  const TemporaryFolder folder;
  write_wav(folder / "secret.wav", melody(1));
  testing::write_text(folder / "list.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:1,\n" +
                                                (folder / "secret.wav").string() + "\n#EXT-X-ENDLIST\n");
  testing::write_text(folder / "list.ffconcat", "ffconcat version 1.0\nfile secret.wav\n");
  EXPECT_NE(error_of(folder / "list.m3u8"), "");
  EXPECT_NE(error_of(folder / "list.ffconcat"), "");
}

TEST(Decode, PeakNormalisation) {
  const TemporaryFolder folder;
  write_wav(folder / "x.wav", sine(440, 0.5));
  const DecodedAudio got = decode_file(folder / "x.wav", {.peak_normalize = true});
  EXPECT_FLOAT_EQ(*std::max_element(got.samples.begin(), got.samples.end()), 1.0F);
}

TEST(AudioStream, PiecesOfAnySizeMakeTheWhole) {
  const TemporaryFolder folder;
  write_wav(folder / "x.wav", melody(1, 44100), 44100);
  const std::vector<float> whole = decode_audio(folder / "x.wav");
  for (const std::size_t size : {1U, 7U, 1000U, 100000U}) {
    AudioStream stream(folder / "x.wav");
    std::vector<float> pieces;
    std::vector<float> piece(size);
    for (std::size_t got = 1; got > 0;) {
      got = stream.read(piece);
      pieces.insert(pieces.end(), piece.begin(), piece.begin() + static_cast<std::ptrdiff_t>(got));
    }
    EXPECT_EQ(pieces, whole) << size;
  }
}

// What arrives through a pipe must be had while the pipe is still open.
template <class Open>
std::vector<float> through_pipe(const std::string& bytes, Open open) {
  int ends[2];
  EXPECT_EQ(::pipe(ends), 0);
  std::thread writer([&] {
    for (std::size_t i = 0; i < bytes.size(); i += 1001) {
      const std::size_t count = std::min<std::size_t>(1001, bytes.size() - i);
      EXPECT_EQ(::write(ends[1], bytes.data() + i, count), static_cast<ssize_t>(count));
    }
    ::close(ends[1]);
  });
  std::vector<float> out;
  try {
    AudioStream stream = open(ends[0]);
    std::vector<float> piece(3000);
    for (std::size_t got = 1; got > 0;) {
      got = stream.read_some(piece);
      out.insert(out.end(), piece.begin(), piece.begin() + static_cast<std::ptrdiff_t>(got));
    }
  } catch (...) {
    writer.join();
    ::close(ends[0]);
    throw;
  }
  writer.join();
  ::close(ends[0]);
  return out;
}

TEST(AudioStream, ReadsPipes) {
  const TemporaryFolder folder;
  const std::vector<float> x = melody(2);
  write_wav(folder / "x.wav", x);
  const std::string bytes = testing::read_text(folder / "x.wav");
  EXPECT_EQ(through_pipe(bytes, [](int fd) { return AudioStream(fd, "pipe"); }), decode_audio(folder / "x.wav"));
}

TEST(AudioStream, ReadsRawSamplesInOddPieces) {
  const std::vector<std::int16_t> pcm = testing::to_pcm(melody(1));
  std::string bytes(reinterpret_cast<const char*>(pcm.data()), pcm.size() * 2);
  bytes += 'x';  // half a sample at the end is dropped
  const std::vector<float> got = through_pipe(bytes, [](int fd) { return AudioStream::raw_s16le(fd); });
  ASSERT_EQ(got.size(), pcm.size());
  for (std::size_t i = 0; i < pcm.size(); ++i) {
    ASSERT_EQ(got[i], static_cast<float>(pcm[i]) / 32768.0F) << i;
  }
}

TEST(AudioStream, AnEmptyPipeIsRefusedAndEmptyRawIsEmpty) {
  EXPECT_THROW(through_pipe("", [](int fd) { return AudioStream(fd, "pipe"); }), Error);
  EXPECT_TRUE(through_pipe("", [](int fd) { return AudioStream::raw_s16le(fd); }).empty());
}

}  // namespace
}  // namespace earmark::data
