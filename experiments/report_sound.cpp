#include "experiments/report_sound.h"

#include <algorithm>
#include <memory>
#include <vector>

#include "data/wav.h"
#include "kernels/error.h"

extern "C" {
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/base64.h>
#include <libavutil/channel_layout.h>
}

namespace earmark::experiments {
namespace {

constexpr std::int64_t kBitRate = 48000;  // of mono at 16 kHz: one hears the distortion, not the codec
constexpr int kDefaultFrame = 1152;       // samples, for encoders that take any number

struct Free {
  void operator()(AVCodecContext* codec) const { avcodec_free_context(&codec); }
  void operator()(AVFrame* frame) const { av_frame_free(&frame); }
  void operator()(AVPacket* packet) const { av_packet_free(&packet); }
  void operator()(AVFormatContext* format) const {
    if (format->pb != nullptr) {
      std::uint8_t* bytes = nullptr;
      avio_close_dyn_buf(format->pb, &bytes);
      av_free(bytes);
    }
    avformat_free_context(format);
  }
};

struct Kind {
  const char* encoder;
  const char* container;
  const char* media_type;
  AVSampleFormat samples;  // 16 bits; of one channel, planar or not is the same
};
constexpr Kind kMp3{"libmp3lame", "mp3", "audio/mpeg", AV_SAMPLE_FMT_S16P};
constexpr Kind kWav{"pcm_s16le", "wav", "audio/wav", AV_SAMPLE_FMT_S16};

// A file of one stream, written to memory.
class Writer {
 public:
  Writer(const Kind& kind, int sample_rate) : kind_(kind) {
    const AVCodec* encoder = avcodec_find_encoder_by_name(kind.encoder);
    require(encoder != nullptr, "no such encoder");
    codec_.reset(avcodec_alloc_context3(encoder));
    codec_->sample_fmt = kind.samples;
    codec_->sample_rate = sample_rate;
    codec_->bit_rate = kBitRate;
    codec_->time_base = {1, sample_rate};
    codec_->flags |= AV_CODEC_FLAG_BITEXACT;
    av_channel_layout_default(&codec_->ch_layout, 1);
    require(avcodec_open2(codec_.get(), encoder, nullptr) >= 0, "the encoder cannot be opened");
    open_container();
  }

  std::vector<std::uint8_t> write(std::span<const float> pcm) {
    std::vector<std::int16_t> samples(pcm.size());
    std::transform(pcm.begin(), pcm.end(), samples.begin(), data::to_int16);
    const std::size_t step =
        codec_->frame_size > 0 ? static_cast<std::size_t>(codec_->frame_size) : std::size_t{kDefaultFrame};
    for (std::size_t begin = 0; begin < samples.size(); begin += step) {
      send(std::span(samples).subspan(begin, std::min(step, samples.size() - begin)), begin);
    }
    require(avcodec_send_frame(codec_.get(), nullptr) >= 0, "the encoder does not end");
    drain();
    require(av_write_trailer(format_.get()) >= 0, "the file cannot be ended");
    std::uint8_t* bytes = nullptr;
    const int size = avio_close_dyn_buf(format_->pb, &bytes);
    format_->pb = nullptr;
    std::vector<std::uint8_t> out(bytes, bytes + size);
    av_free(bytes);
    return out;
  }

 private:
  void require(bool holds, const char* why) const { check(holds, "sound as ", kind_.container, ": ", why); }

  void open_container() {
    AVFormatContext* format = nullptr;
    require(avformat_alloc_output_context2(&format, nullptr, kind_.container, nullptr) >= 0, "no such container");
    format_.reset(format);
    format_->flags |= AVFMT_FLAG_BITEXACT;
    stream_ = avformat_new_stream(format_.get(), nullptr);
    require(stream_ != nullptr && avcodec_parameters_from_context(stream_->codecpar, codec_.get()) >= 0,
            "no stream can be made");
    stream_->time_base = codec_->time_base;
    require(avio_open_dyn_buf(&format_->pb) >= 0 && avformat_write_header(format_.get(), nullptr) >= 0,
            "no header can be written");
  }

  void send(std::span<std::int16_t> samples, std::size_t begin) {
    const std::unique_ptr<AVFrame, Free> frame(av_frame_alloc());
    frame->format = kind_.samples;
    frame->sample_rate = codec_->sample_rate;
    frame->nb_samples = static_cast<int>(samples.size());
    frame->pts = static_cast<std::int64_t>(begin);
    av_channel_layout_default(&frame->ch_layout, 1);
    frame->data[0] = reinterpret_cast<std::uint8_t*>(samples.data());
    frame->linesize[0] = static_cast<int>(samples.size_bytes());
    require(avcodec_send_frame(codec_.get(), frame.get()) >= 0, "the encoder refuses samples");
    drain();
  }

  void drain() {
    const std::unique_ptr<AVPacket, Free> packet(av_packet_alloc());
    while (avcodec_receive_packet(codec_.get(), packet.get()) >= 0) {
      av_packet_rescale_ts(packet.get(), codec_->time_base, stream_->time_base);
      packet->stream_index = stream_->index;
      require(av_write_frame(format_.get(), packet.get()) >= 0, "the file cannot be written");
      av_packet_unref(packet.get());
    }
  }

  const Kind& kind_;
  std::unique_ptr<AVCodecContext, Free> codec_;
  std::unique_ptr<AVFormatContext, Free> format_;
  AVStream* stream_ = nullptr;  // format_'s
};

std::string uri(const Kind& kind, std::span<const float> pcm, int sample_rate) {
  return str("data:", kind.media_type, ";base64,", base64(Writer(kind, sample_rate).write(pcm)));
}

}  // namespace

std::string base64(std::span<const std::uint8_t> bytes) {
  std::string out(static_cast<std::size_t>(AV_BASE64_SIZE(bytes.size())), '\0');
  const bool encoded = av_base64_encode(out.data(), static_cast<int>(out.size()), bytes.data(),
                                        static_cast<int>(bytes.size())) != nullptr;
  check(encoded, bytes.size(), " bytes are too many for base64");
  out.pop_back();  // C's end of a string
  return out;
}

std::string sound_uri(std::span<const float> pcm, int sample_rate) {
  return uri(avcodec_find_encoder_by_name(kMp3.encoder) != nullptr ? kMp3 : kWav, pcm, sample_rate);
}

}  // namespace earmark::experiments
