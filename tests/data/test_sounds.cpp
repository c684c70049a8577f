#include "tests/data/test_sounds.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <iterator>
#include <memory>
#include <numbers>
#include <stdexcept>

#include "data/wav.h"
#include "kernels/random.h"

extern "C" {
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/channel_layout.h>
}

namespace earmark::testing {

std::vector<float> sine(double hz, double seconds, int rate) {
  std::vector<float> x(static_cast<std::size_t>(seconds * rate));
  for (std::size_t i = 0; i < x.size(); ++i) {
    x[i] = static_cast<float>(0.5 * std::sin(2 * std::numbers::pi * hz * static_cast<double>(i) / rate));
  }
  return x;
}

std::vector<float> melody(double seconds, int rate, std::uint64_t seed) {
  RandomStream random(seed, 0x6d656c);
  std::vector<float> x(static_cast<std::size_t>(seconds * rate));
  for (float& v : x) {
    v = static_cast<float>(0.005 * random.normal());
  }
  const auto note = static_cast<std::size_t>(0.12 * rate);
  for (std::size_t begin = 0; begin < x.size(); begin += note) {
    const double hz = 220 * std::pow(2, static_cast<double>(random.below(36)) / 12);
    for (std::size_t i = begin; i < std::min(x.size(), begin + 4 * note); ++i) {
      const double t = static_cast<double>(i - begin) / rate;
      x[i] += static_cast<float>(0.2 * std::exp(-8 * t) * std::sin(2 * std::numbers::pi * hz * t));
    }
  }
  return x;
}

std::vector<std::int16_t> to_pcm(std::span<const float> samples) {
  std::vector<std::int16_t> pcm(samples.size());
  std::transform(samples.begin(), samples.end(), pcm.begin(), data::to_int16);
  return pcm;
}

namespace {

void require(bool ok, const char* what) {
  if (!ok) {
    throw std::runtime_error(std::string("encoding for a test: ") + what);
  }
}

struct Encoder {
  AVFormatContext* format = nullptr;
  AVCodecContext* codec = nullptr;
  AVPacket* packet = av_packet_alloc();
  AVFrame* frame = av_frame_alloc();
  ~Encoder() {
    avcodec_free_context(&codec);
    if (format != nullptr) {
      avio_closep(&format->pb);
      avformat_free_context(format);
    }
    av_packet_free(&packet);
    av_frame_free(&frame);
  }

  void send(const AVFrame* input) {
    require(avcodec_send_frame(codec, input) >= 0, "send");
    while (avcodec_receive_packet(codec, packet) >= 0) {
      packet->stream_index = 0;
      av_packet_rescale_ts(packet, codec->time_base, format->streams[0]->time_base);
      require(av_interleaved_write_frame(format, packet) >= 0, "write");
    }
  }
};

void fill_frame(AVFrame& frame, std::span<const float> samples, std::size_t first, int channels) {
  for (int i = 0; i < frame.nb_samples; ++i) {
    for (int c = 0; c < channels; ++c) {
      const std::size_t at =
          (first + static_cast<std::size_t>(i)) * static_cast<std::size_t>(channels) + static_cast<std::size_t>(c);
      const float value = at < samples.size() ? samples[at] : 0.0F;
      const bool planar = av_sample_fmt_is_planar(static_cast<AVSampleFormat>(frame.format)) != 0;
      std::uint8_t* to = frame.extended_data[planar ? c : 0];
      const int at_sample = planar ? i : i * channels + c;
      switch (av_get_packed_sample_fmt(static_cast<AVSampleFormat>(frame.format))) {
        case AV_SAMPLE_FMT_FLT:
          reinterpret_cast<float*>(to)[at_sample] = value;
          break;
        case AV_SAMPLE_FMT_S32:
          reinterpret_cast<std::int32_t*>(to)[at_sample] = data::to_int16(value) * 65536;
          break;
        default:
          require(av_get_packed_sample_fmt(static_cast<AVSampleFormat>(frame.format)) == AV_SAMPLE_FMT_S16, "format");
          reinterpret_cast<std::int16_t*>(to)[at_sample] = data::to_int16(value);
      }
    }
  }
}

}  // namespace

bool encode(const std::filesystem::path& path, const std::string& codec_name, std::span<const float> samples, int rate,
            int channels, const std::map<std::string, std::string>& tags) {
  const AVCodec* codec = avcodec_find_encoder_by_name(codec_name.c_str());
  if (codec == nullptr) {
    return false;
  }
  Encoder encoder;
  require(avformat_alloc_output_context2(&encoder.format, nullptr, nullptr, path.c_str()) >= 0, "container");
  encoder.codec = avcodec_alloc_context3(codec);
  encoder.codec->sample_rate = rate;
  encoder.codec->sample_fmt = codec->sample_fmts[0];
  encoder.codec->bit_rate = 128000;
  encoder.codec->time_base = {1, rate};
  av_channel_layout_default(&encoder.codec->ch_layout, channels);
  if ((encoder.format->oformat->flags & AVFMT_GLOBALHEADER) != 0) {
    encoder.codec->flags |= AV_CODEC_FLAG_GLOBAL_HEADER;
  }
  require(avcodec_open2(encoder.codec, codec, nullptr) >= 0, "codec");
  AVStream* stream = avformat_new_stream(encoder.format, nullptr);
  require(avcodec_parameters_from_context(stream->codecpar, encoder.codec) >= 0, "parameters");
  stream->time_base = encoder.codec->time_base;
  for (const auto& [key, value] : tags) {
    av_dict_set(&encoder.format->metadata, key.c_str(), value.c_str(), 0);
  }
  require(avio_open(&encoder.format->pb, ("file:" + path.string()).c_str(), AVIO_FLAG_WRITE) >= 0, "file");
  require(avformat_write_header(encoder.format, nullptr) >= 0, "header");
  const std::size_t total = samples.size() / static_cast<std::size_t>(channels);
  const std::size_t block = encoder.codec->frame_size > 0 ? static_cast<std::size_t>(encoder.codec->frame_size) : 1024;
  for (std::size_t first = 0; first < total; first += block) {
    encoder.frame->nb_samples = static_cast<int>(std::min(block, total - first));
    encoder.frame->format = encoder.codec->sample_fmt;
    encoder.frame->sample_rate = rate;
    encoder.frame->pts = static_cast<std::int64_t>(first);
    require(av_channel_layout_copy(&encoder.frame->ch_layout, &encoder.codec->ch_layout) >= 0, "layout");
    require(av_frame_get_buffer(encoder.frame, 0) >= 0, "frame");
    fill_frame(*encoder.frame, samples, first, channels);
    encoder.send(encoder.frame);
    av_frame_unref(encoder.frame);
  }
  encoder.send(nullptr);
  require(av_write_trailer(encoder.format) >= 0, "trailer");
  return true;
}

void truncate_file(const std::filesystem::path& path, std::uintmax_t bytes) {
  std::filesystem::resize_file(path, bytes);
}

void write_text(const std::filesystem::path& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}

std::string read_text(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

Alignment align(std::span<const float> a, std::span<const float> b, int most) {
  Alignment best{0, -1};
  for (int shift = -most; shift <= most; ++shift) {
    double ab = 0;
    double aa = 0;
    double bb = 0;
    for (int i = most; i + most < static_cast<int>(std::min(a.size(), b.size())); ++i) {
      const double x = static_cast<double>(a[static_cast<std::size_t>(i)]);
      const double y = static_cast<double>(b[static_cast<std::size_t>(i + shift)]);
      ab += x * y;
      aa += x * x;
      bb += y * y;
    }
    const double correlation = ab / std::sqrt(std::max(aa * bb, 1e-30));
    if (correlation > best.correlation) {
      best = {shift, correlation};
    }
  }
  return best;
}

}  // namespace earmark::testing
