#include "data/wav.h"

#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <vector>

#include "kernels/atomic_file.h"
#include "kernels/error.h"

namespace earmark::data {
namespace {

struct Header {
  std::array<char, 4> riff{'R', 'I', 'F', 'F'};
  std::uint32_t riff_bytes = 0;
  std::array<char, 8> wave_fmt{'W', 'A', 'V', 'E', 'f', 'm', 't', ' '};
  std::uint32_t fmt_bytes = 16;
  std::uint16_t format = 1;
  std::uint16_t channels = 1;
  std::uint32_t rate = 0;
  std::uint32_t bytes_per_second = 0;
  std::uint16_t block_bytes = 0;
  std::uint16_t bits = 16;
  std::array<char, 4> data{'d', 'a', 't', 'a'};
  std::uint32_t data_bytes = 0;
};
static_assert(sizeof(Header) == 44 && std::endian::native == std::endian::little);

}  // namespace

std::int16_t to_int16(float sample) {
  const float scaled = std::fmin(std::fmax(sample * 32767.0F, -32768.0F), 32767.0F);
  return sample == sample ? static_cast<std::int16_t>(std::lrintf(scaled)) : std::int16_t{0};
}

void write_wav(const std::filesystem::path& path, std::span<const float> samples, int sample_rate, WavFormat format,
               int channels) {
  check(sample_rate > 0 && channels >= 1 && channels <= 64, path.string(), ": ", channels, " channels at ", sample_rate,
        " Hz");
  check(samples.size() % static_cast<std::size_t>(channels) == 0, path.string(), ": ", samples.size(), " samples in ",
        channels, " channels");
  const std::size_t width = format == WavFormat::pcm16 ? 2 : 4;
  const std::size_t bytes = samples.size() * width;
  check(bytes < 0xffffff00U, path.string(), ": too long for a WAV file");
  Header header;
  header.format = format == WavFormat::pcm16 ? 1 : 3;
  header.channels = static_cast<std::uint16_t>(channels);
  header.rate = static_cast<std::uint32_t>(sample_rate);
  header.block_bytes = static_cast<std::uint16_t>(width * static_cast<std::size_t>(channels));
  header.bits = static_cast<std::uint16_t>(8 * width);
  header.bytes_per_second = header.rate * header.block_bytes;
  header.data_bytes = static_cast<std::uint32_t>(bytes);
  header.riff_bytes = static_cast<std::uint32_t>(36 + bytes);
  write_file_atomically(path, [&](AtomicFile& file) {
    file.write(std::as_bytes(std::span(&header, 1)));
    if (format == WavFormat::float32) {
      file.write(std::as_bytes(samples));
      return;
    }
    std::vector<std::int16_t> pcm(samples.size());
    for (std::size_t i = 0; i < pcm.size(); ++i) {
      pcm[i] = to_int16(samples[i]);
    }
    file.write(std::as_bytes(std::span(pcm)));
  });
}

}  // namespace earmark::data
