#include "data/demuxer.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <limits>
#include <mutex>
#include <string_view>
#include <type_traits>
#include <utility>

#include "kernels/error.h"

extern "C" {
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/channel_layout.h>
#include <libavutil/dict.h>
#include <libavutil/log.h>
#include <libavutil/mem.h>
#include <libavutil/opt.h>
#include <libswresample/swresample.h>
}

namespace earmark::data {
namespace {

constexpr int kBufferBytes = 1 << 16;
constexpr int kMaxBadPackets = 200;  // in a row, before a file is given up
constexpr float kLoudest = 1e4F;     // float files may hold anything; beyond this a power would overflow

void silence_ffmpeg() {
  static std::once_flag once;
  std::call_once(once, [] { av_log_set_level(AV_LOG_QUIET); });
}

std::string message_of(int error) {
  char text[AV_ERROR_MAX_STRING_SIZE] = {};
  av_strerror(error, text, sizeof text);
  return text;
}

int descriptor_of(void* opaque) { return static_cast<int>(reinterpret_cast<std::intptr_t>(opaque)); }

int read_bytes(void* opaque, std::uint8_t* out, int count) {
  while (true) {
    const ssize_t got = ::read(descriptor_of(opaque), out, static_cast<std::size_t>(count));
    if (got > 0) {
      return static_cast<int>(got);
    }
    if (got == 0) {
      return AVERROR_EOF;
    }
    if (errno != EINTR) {
      return AVERROR(errno);
    }
  }
}

std::int64_t seek_bytes(void* opaque, std::int64_t offset, int whence) {
  if ((whence & AVSEEK_SIZE) != 0) {
    struct stat status {};
    return ::fstat(descriptor_of(opaque), &status) == 0 ? static_cast<std::int64_t>(status.st_size) : AVERROR(errno);
  }
  const off_t at = ::lseek(descriptor_of(opaque), offset, whence & ~AVSEEK_FORCE);
  return at >= 0 ? static_cast<std::int64_t>(at) : AVERROR(errno);
}

// How many times longer than it is a WAV file says it is: FFmpeg goes by what is there. 1 where nothing is missing or
// nothing is known, as of what was written to a pipe.
double claimed_over_present(int descriptor) {
  std::array<unsigned char, 8> header{};
  struct stat status {};
  const bool riff = ::pread(descriptor, header.data(), header.size(), 0) == static_cast<ssize_t>(header.size()) &&
                    std::memcmp(header.data(), "RIFF", 4) == 0 && ::fstat(descriptor, &status) == 0;
  constexpr std::uint32_t kUnknown = 0x7ffff000;
  std::uint32_t claimed = 0;
  for (int i = 7; i >= 4; --i) {
    claimed = claimed << 8U | header.at(static_cast<std::size_t>(i));
  }
  const bool known = riff && claimed < kUnknown && status.st_size > 0;
  return known ? std::max(1.0, (claimed + 8.0) / static_cast<double>(status.st_size)) : 1;
}

// Playlists and image sequences would open further files or URLs: they may not.
int refuse_to_open(AVFormatContext* /*format*/, AVIOContext** /*io*/, const char* /*url*/, int /*flags*/,
                   AVDictionary** /*options*/) {
  return AVERROR(EACCES);
}

/// The usual containers of lossless and Ogg files by their first bytes, or none: FFmpeg would ask all of its readers in
/// turn, which takes longer than decoding a short query.
const AVInputFormat* format_by_signature(int descriptor) {
  std::array<char, 12> bytes{};
  if (::pread(descriptor, bytes.data(), bytes.size(), ::lseek(descriptor, 0, SEEK_CUR)) != ssize_t{bytes.size()}) {
    return nullptr;
  }
  const std::string_view text(bytes.data(), bytes.size());
  if (text.starts_with("RIFF") && text.ends_with("WAVE")) {
    return av_find_input_format("wav");
  }
  return text.starts_with("fLaC")   ? av_find_input_format("flac")
         : text.starts_with("OggS") ? av_find_input_format("ogg")
                                    : nullptr;
}

std::string text_of(const AVDictionary* dictionary, const char* key) {
  const AVDictionaryEntry* entry = av_dict_get(dictionary, key, nullptr, 0);
  return entry != nullptr ? entry->value : "";
}

template <class T>
float to_float(T value) {
  if constexpr (std::is_same_v<T, float>) {
    return value;
  } else if constexpr (std::is_same_v<T, double>) {
    return static_cast<float>(std::clamp(value, -1e30, 1e30));
  } else if constexpr (std::is_same_v<T, std::uint8_t>) {
    return (static_cast<float>(value) - 128.0F) / 128.0F;
  } else {
    return static_cast<float>(value) * (1.0F / -static_cast<float>(std::numeric_limits<T>::min()));
  }
}

template <class T>
void mix_down(const AVFrame& frame, bool planar, int used, std::vector<float>& out) {
  const auto channels = static_cast<std::size_t>(frame.ch_layout.nb_channels);
  const float scale = 1.0F / static_cast<float>(used);
  out.assign(static_cast<std::size_t>(frame.nb_samples), 0.0F);
  for (int c = 0; c < used; ++c) {
    if (planar) {
      const T* in = reinterpret_cast<const T*>(frame.extended_data[c]);
      for (std::size_t i = 0; i < out.size(); ++i) {
        out[i] += scale * to_float(in[i]);
      }
    } else {
      const T* in = reinterpret_cast<const T*>(frame.extended_data[0]) + c;
      for (std::size_t i = 0; i < out.size(); ++i) {
        out[i] += scale * to_float(in[i * channels]);
      }
    }
  }
}

void to_mono(const AVFrame& frame, Channel channel, std::vector<float>& out) {
  const auto format = static_cast<AVSampleFormat>(frame.format);
  const bool planar = av_sample_fmt_is_planar(format) != 0;
  const int used = channel == Channel::left ? 1 : frame.ch_layout.nb_channels;
  switch (av_get_packed_sample_fmt(format)) {
    case AV_SAMPLE_FMT_U8:
      return mix_down<std::uint8_t>(frame, planar, used, out);
    case AV_SAMPLE_FMT_S16:
      return mix_down<std::int16_t>(frame, planar, used, out);
    case AV_SAMPLE_FMT_S32:
      return mix_down<std::int32_t>(frame, planar, used, out);
    case AV_SAMPLE_FMT_S64:
      return mix_down<std::int64_t>(frame, planar, used, out);
    case AV_SAMPLE_FMT_FLT:
      return mix_down<float>(frame, planar, used, out);
    case AV_SAMPLE_FMT_DBL:
      return mix_down<double>(frame, planar, used, out);
    default:
      out.clear();
  }
}

// Returns whether a sample was not finite.
bool make_finite(std::vector<float>& samples) {
  bool bad = false;
  for (float& x : samples) {
    const bool finite = std::fabs(x) <= std::numeric_limits<float>::max();
    bad |= !finite;
    x = finite ? std::clamp(x, -kLoudest, kLoudest) : 0.0F;
  }
  return bad;
}

}  // namespace

Demuxer::Demuxer(int descriptor, bool owns, std::string name, Channel channel)
    : descriptor_(descriptor), owns_(owns), name_(std::move(name)), channel_(channel) {
  silence_ffmpeg();
  packet_ = av_packet_alloc();
  frame_ = av_frame_alloc();
  check(packet_ != nullptr && frame_ != nullptr, name_, ": out of memory");
  try {
    open();
    open_decoder();
    read_metadata();
  } catch (...) {
    release();
    throw;
  }
}

Demuxer::~Demuxer() { release(); }

void Demuxer::release() {
  avcodec_free_context(&decoder_);
  avformat_close_input(&format_);
  if (io_ != nullptr) {
    av_freep(&io_->buffer);
    avio_context_free(&io_);
  }
  av_packet_free(&packet_);
  av_frame_free(&frame_);
  if (owns_ && descriptor_ >= 0) {
    ::close(std::exchange(descriptor_, -1));
  }
}

void Demuxer::open() {
  const bool seekable = ::lseek(descriptor_, 0, SEEK_CUR) >= 0;
  auto* buffer = static_cast<std::uint8_t*>(av_malloc(kBufferBytes));
  void* opaque = reinterpret_cast<void*>(static_cast<std::intptr_t>(descriptor_));
  io_ = avio_alloc_context(buffer, kBufferBytes, 0, opaque, read_bytes, nullptr, seekable ? seek_bytes : nullptr);
  format_ = avformat_alloc_context();
  check(io_ != nullptr && format_ != nullptr, name_, ": out of memory");
  io_->seekable = seekable ? AVIO_SEEKABLE_NORMAL : 0;
  format_->pb = io_;
  format_->flags |= AVFMT_FLAG_CUSTOM_IO;
  format_->io_open = refuse_to_open;
  // The empty name makes FFmpeg judge by the contents alone.
  const AVInputFormat* known = seekable ? format_by_signature(descriptor_) : nullptr;
  if (known != nullptr && std::string_view(known->name) == "wav") {
    format_->probesize = kBufferBytes / 16;  // Its samples may be something else; one look at them tells.
  }
  int error = avformat_open_input(&format_, "", known, nullptr);
  check(error >= 0, name_, ": not a sound file: ", message_of(error));
  error = avformat_find_stream_info(format_, nullptr);
  check(error >= 0, name_, ": no readable sound: ", message_of(error));
}

void Demuxer::open_decoder() {
  const AVCodec* codec = nullptr;
  stream_ = av_find_best_stream(format_, AVMEDIA_TYPE_AUDIO, -1, -1, &codec, 0);
  check(stream_ >= 0, name_, ": no sound in it");
  for (unsigned i = 0; i < format_->nb_streams; ++i) {
    format_->streams[i]->discard = static_cast<int>(i) == stream_ ? AVDISCARD_DEFAULT : AVDISCARD_ALL;
  }
  decoder_ = avcodec_alloc_context3(codec);
  check(decoder_ != nullptr, name_, ": out of memory");
  int error = avcodec_parameters_to_context(decoder_, format_->streams[stream_]->codecpar);
  decoder_->thread_count = 1;  // Files are decoded side by side instead.
  decoder_->pkt_timebase = format_->streams[stream_]->time_base;
  if (error >= 0) {
    error = avcodec_open2(decoder_, codec, nullptr);
  }
  check(error >= 0, name_, ": cannot be decoded: ", message_of(error));
}

void Demuxer::read_metadata() {
  const AVStream* stream = format_->streams[stream_];
  const auto find = [&](const char* key) {
    const std::string text = text_of(format_->metadata, key);
    return text.empty() ? text_of(stream->metadata, key) : text;
  };
  tags_ = {find("title"), find("artist"), find("album")};
  if (stream->duration != AV_NOPTS_VALUE && stream->duration > 0) {
    claimed_seconds_ = static_cast<double>(stream->duration) * av_q2d(stream->time_base);
  } else if (format_->duration != AV_NOPTS_VALUE && format_->duration > 0) {
    claimed_seconds_ = static_cast<double>(format_->duration) / AV_TIME_BASE;
  }
  claim_is_exact_ = claimed_seconds_ > 0 && format_->duration_estimation_method != AVFMT_DURATION_FROM_BITRATE;
  if (const double longer = claimed_over_present(descriptor_); longer > 1) {
    claimed_seconds_ *= longer;
    claim_is_exact_ = true;
  }
}

// A damaged packet is left out; many in a row end the sound.
bool Demuxer::feed() {
  while (true) {
    int error = av_read_frame(format_, packet_);
    if (error < 0) {
      if (error != AVERROR_EOF) {
        problem_ = "ends early: " + message_of(error);
      }
      avcodec_send_packet(decoder_, nullptr);
      return false;
    }
    error = packet_->stream_index == stream_ ? avcodec_send_packet(decoder_, packet_) : AVERROR(EAGAIN);
    av_packet_unref(packet_);
    if (error >= 0) {
      return true;
    }
    if (error != AVERROR(EAGAIN)) {
      problem_ = "damaged: " + message_of(error);
      if (++bad_packets_ > kMaxBadPackets) {
        return false;
      }
    }
  }
}

bool Demuxer::next(MonoChunk& chunk) {
  while (true) {
    const int error = avcodec_receive_frame(decoder_, frame_);
    if (error == AVERROR(EAGAIN) && !drained_) {
      drained_ = !feed();
      continue;
    }
    if (error < 0) {
      if (error == AVERROR_EOF || error == AVERROR(EAGAIN) || drained_ || ++bad_packets_ > kMaxBadPackets) {
        return false;
      }
      problem_ = "damaged: " + message_of(error);
      drained_ = !feed();
      continue;
    }
    bad_packets_ = 0;
    if (frame_->nb_samples > 0 && frame_->sample_rate > 0 && frame_->ch_layout.nb_channels > 0) {
      to_mono(*frame_, channel_, chunk.samples);
      chunk.rate = frame_->sample_rate;
      av_frame_unref(frame_);
      if (make_finite(chunk.samples)) {
        problem_ = "holds samples that are not numbers: taken as 0";
      }
      if (!chunk.samples.empty()) {
        return true;
      }
    }
    av_frame_unref(frame_);
  }
}

Resampler::~Resampler() { swr_free(&context_); }

void Resampler::restart(int input_rate) {
  swr_free(&context_);
  input_rate_ = input_rate;
  if (input_rate == rate_) {
    return;
  }
  AVChannelLayout mono = AV_CHANNEL_LAYOUT_MONO;
  int error =
      swr_alloc_set_opts2(&context_, &mono, AV_SAMPLE_FMT_FLT, rate_, &mono, AV_SAMPLE_FMT_FLT, input_rate, 0, nullptr);
  if (error >= 0) {
    error = swr_init(context_);
  }
  check(error >= 0, "cannot resample from ", input_rate, " Hz to ", rate_, " Hz: ", message_of(error));
}

void Resampler::convert(const float* in, int count, std::vector<float>& out) {
  const std::size_t before = out.size();
  const int room = swr_get_out_samples(context_, count);
  check(room >= 0, "resampling failed");
  out.resize(before + static_cast<std::size_t>(room));
  auto* destination = reinterpret_cast<std::uint8_t*>(out.data() + before);
  const auto* source = reinterpret_cast<const std::uint8_t*>(in);
  const int made = swr_convert(context_, &destination, room, in != nullptr ? &source : nullptr, count);
  check(made >= 0, "resampling failed: ", message_of(made));
  out.resize(before + static_cast<std::size_t>(made));
}

void Resampler::add(const MonoChunk& chunk, std::vector<float>& out) {
  if (chunk.rate != input_rate_) {
    flush(out);
    restart(chunk.rate);
  }
  if (context_ == nullptr) {
    out.insert(out.end(), chunk.samples.begin(), chunk.samples.end());
  } else {
    convert(chunk.samples.data(), static_cast<int>(chunk.samples.size()), out);
  }
}

void Resampler::flush(std::vector<float>& out) {
  if (context_ != nullptr) {
    convert(nullptr, 0, out);
    swr_free(&context_);
  }
  input_rate_ = 0;
}

}  // namespace earmark::data
