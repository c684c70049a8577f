// The FFmpeg side of decoding: opens what a descriptor delivers and hands out mono float samples at the sound's own
// rate. Internal to data/decode.cpp.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "data/decode.h"

struct AVFormatContext;
struct AVIOContext;
struct AVCodecContext;
struct AVPacket;
struct AVFrame;
struct SwrContext;

namespace earmark::data {

/// Samples of one channel at one rate.
struct MonoChunk {
  std::vector<float> samples;
  int rate = 0;
};

/// Demultiplexes and decodes the first sound stream. All I/O goes through the one descriptor: no file name or URL
/// inside the data is ever opened.
class Demuxer {
 public:
  /// Takes the descriptor over when `owns`. Throws Error when there is no sound.
  Demuxer(int descriptor, bool owns, std::string name, Channel channel);
  ~Demuxer();
  Demuxer(const Demuxer&) = delete;
  Demuxer& operator=(const Demuxer&) = delete;

  /// The next decoded piece (at least one sample); false at the end, or where the data is damaged beyond repair.
  bool next(MonoChunk& chunk);
  const std::string& problem() const { return problem_; }
  const Tags& tags() const { return tags_; }
  /// Seconds claimed by a header that knows (not guessed from the bit rate); 0 when unknown.
  double claimed_seconds() const { return claimed_seconds_; }
  bool claim_is_exact() const { return claim_is_exact_; }

 private:
  void release();
  void open();
  void open_decoder();
  void read_metadata();
  bool feed();  // one packet; false when there are none left

  int descriptor_;
  bool owns_;
  std::string name_;
  Channel channel_;
  AVIOContext* io_ = nullptr;
  AVFormatContext* format_ = nullptr;
  AVCodecContext* decoder_ = nullptr;
  AVPacket* packet_ = nullptr;
  AVFrame* frame_ = nullptr;
  int stream_ = -1;
  bool drained_ = false;
  int bad_packets_ = 0;
  std::string problem_;
  Tags tags_;
  double claimed_seconds_ = 0;
  bool claim_is_exact_ = false;
};

/// Mono samples from one rate to another (libswresample), piece by piece.
class Resampler {
 public:
  explicit Resampler(int rate) : rate_(rate) {}
  ~Resampler();
  Resampler(const Resampler&) = delete;
  Resampler& operator=(const Resampler&) = delete;

  /// Appends the resampled chunk to `out`. The rate may change from chunk to chunk.
  void add(const MonoChunk& chunk, std::vector<float>& out);
  /// Appends what is still inside. The next chunk starts anew.
  void flush(std::vector<float>& out);

 private:
  void restart(int input_rate);
  void convert(const float* in, int count, std::vector<float>& out);

  int rate_;
  int input_rate_ = 0;
  SwrContext* context_ = nullptr;
};

}  // namespace earmark::data
