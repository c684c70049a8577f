#include "data/decode.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <utility>

#include "data/audio_files.h"
#include "data/demuxer.h"
#include "kernels/error.h"
#include "kernels/life_signs.h"

namespace earmark::data {
namespace {

/// Raw little-endian 16-bit mono samples.
class RawReader {
 public:
  RawReader(int descriptor, int rate) : descriptor_(descriptor), rate_(rate) {}

  bool next(MonoChunk& chunk) {
    std::array<unsigned char, 8192> bytes;
    bytes[0] = odd_;
    std::size_t got = has_odd_ ? 1 : 0;
    while (got < 2) {
      const ssize_t count = ::read(descriptor_, bytes.data() + got, bytes.size() - got);
      if (count <= 0 && !(count < 0 && errno == EINTR)) {
        return false;
      }
      got += static_cast<std::size_t>(std::max<ssize_t>(0, count));
    }
    chunk.rate = rate_;
    chunk.samples.resize(got / 2);
    for (std::size_t i = 0; i < got / 2; ++i) {
      const auto value = static_cast<std::int16_t>(bytes[2 * i] | bytes[2 * i + 1] << 8);
      chunk.samples[i] = static_cast<float>(value) / 32768.0F;
    }
    has_odd_ = got % 2 == 1;
    odd_ = bytes[got - 1];
    return true;
  }

 private:
  int descriptor_;
  int rate_;
  bool has_odd_ = false;
  unsigned char odd_ = 0;
};

int open_file(const std::filesystem::path& path) {
  const std::string name = printable(path.string());
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  check(descriptor >= 0, name, ": ", std::strerror(errno));
  struct stat status {};
  const bool known = ::fstat(descriptor, &status) == 0;
  const bool empty = S_ISREG(status.st_mode) && status.st_size == 0;
  if (!known || S_ISDIR(status.st_mode) || empty) {
    ::close(descriptor);
    fail(name, empty ? ": the file is empty" : ": not a file");
  }
  return descriptor;
}

}  // namespace

class AudioStream::Impl {
 public:
  Impl(int descriptor, bool owns, const std::string& name, const DecodeOptions& options)
      : demuxer_(std::make_unique<Demuxer>(descriptor, owns, name, options.channel)),
        resampler_(options.sample_rate),
        rate_(options.sample_rate) {}
  Impl(RawReader raw, const DecodeOptions& options)
      : raw_(raw), resampler_(options.sample_rate), rate_(options.sample_rate) {}

  std::size_t read_some(std::span<float> out) {
    while (position_ == ready_.size() && !ended_) {
      refill();
    }
    const std::size_t count = std::min(out.size(), ready_.size() - position_);
    std::copy_n(ready_.begin() + static_cast<std::ptrdiff_t>(position_), count, out.begin());
    position_ += count;
    return count;
  }

  const std::string& problem() const { return problem_.empty() && demuxer_ ? demuxer_->problem() : problem_; }
  const Tags& tags() const { return demuxer_ ? demuxer_->tags() : no_tags_; }
  double claimed_seconds() const { return demuxer_ ? demuxer_->claimed_seconds() : 0; }

 private:
  void refill() {
    show_life();
    ready_.clear();
    position_ = 0;
    if (demuxer_ ? demuxer_->next(chunk_) : raw_.next(chunk_)) {
      resampler_.add(chunk_, ready_);
    } else {
      resampler_.flush(ready_);
      ended_ = true;
    }
    made_ += ready_.size();
    if (ended_) {
      compare_with_claim();
    }
  }

  // A second and a tenth of tolerance: headers round, and encoders pad.
  void compare_with_claim() {
    const double seconds = static_cast<double>(made_) / rate_;
    if (demuxer_ && demuxer_->claim_is_exact() && seconds < 0.9 * demuxer_->claimed_seconds() - 1) {
      problem_ = str("truncated: ", std::round(seconds * 10) / 10, " s of the ",
                     std::round(demuxer_->claimed_seconds() * 10) / 10, " s it claims");
    }
  }

  std::unique_ptr<Demuxer> demuxer_;
  RawReader raw_{-1, 0};
  Resampler resampler_;
  int rate_;
  MonoChunk chunk_;
  std::vector<float> ready_;
  std::size_t position_ = 0;
  std::size_t made_ = 0;
  bool ended_ = false;
  std::string problem_;
  Tags no_tags_;
};

AudioStream::AudioStream(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
AudioStream::AudioStream(const std::filesystem::path& path, const DecodeOptions& options)
    : impl_(std::make_unique<Impl>(open_file(path), true, printable(path.string()), options)) {}
AudioStream::AudioStream(int descriptor, const std::string& name, const DecodeOptions& options)
    : impl_(std::make_unique<Impl>(descriptor, false, name, options)) {}
AudioStream::~AudioStream() = default;
AudioStream::AudioStream(AudioStream&&) noexcept = default;
AudioStream& AudioStream::operator=(AudioStream&&) noexcept = default;

AudioStream AudioStream::raw_s16le(int descriptor, int input_rate, const DecodeOptions& options) {
  check(input_rate > 0, "raw samples: expected a positive rate, got ", input_rate);
  return AudioStream(std::make_unique<Impl>(RawReader(descriptor, input_rate), options));
}

std::size_t AudioStream::read_some(std::span<float> out) { return out.empty() ? 0 : impl_->read_some(out); }

std::size_t AudioStream::read(std::span<float> out) {
  std::size_t done = 0;
  while (done < out.size()) {
    const std::size_t got = impl_->read_some(out.subspan(done));
    if (got == 0) {
      break;
    }
    done += got;
  }
  return done;
}

const std::string& AudioStream::problem() const { return impl_->problem(); }
const Tags& AudioStream::tags() const { return impl_->tags(); }
double AudioStream::claimed_seconds() const { return impl_->claimed_seconds(); }

DecodedAudio decode_file(const std::filesystem::path& path, const DecodeOptions& options) {
  check(options.sample_rate > 0, "sample rate: expected a positive number, got ", options.sample_rate);
  AudioStream stream(path, options);
  DecodedAudio audio;
  // What the header claims only sizes the first block, within reason.
  constexpr double kMostSeconds = 1200;
  const double expected = std::clamp(stream.claimed_seconds(), 1.0, kMostSeconds) * options.sample_rate;
  std::size_t filled = 0;
  audio.samples.resize(static_cast<std::size_t>(expected) + 4096);
  while (true) {
    const std::size_t got = stream.read(std::span(audio.samples).subspan(filled));
    filled += got;
    if (filled < audio.samples.size()) {
      break;
    }
    audio.samples.resize(audio.samples.size() * 2);
  }
  audio.samples.resize(filled);
  audio.tags = stream.tags();
  audio.problem = stream.problem();
  check(filled > 0, printable(path.string()), ": no sound could be decoded",
        audio.problem.empty() ? "" : ": " + audio.problem);
  if (options.peak_normalize) {
    float peak = 0;
    for (const float x : audio.samples) {
      peak = std::max(peak, std::fabs(x));
    }
    if (peak > 0) {
      for (float& x : audio.samples) {
        x /= peak;
      }
    }
  }
  return audio;
}

std::vector<float> decode_audio(const std::filesystem::path& path, int sample_rate, Channel channel) {
  return decode_file(path, {.sample_rate = sample_rate, .channel = channel}).samples;
}

Tags read_tags(const std::filesystem::path& path) {
  try {
    return AudioStream(path).tags();
  } catch (const Error&) {
    return {};
  }
}

}  // namespace earmark::data
