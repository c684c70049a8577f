// Sounds and sound files that the data tests make for themselves.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <vector>

namespace earmark::testing {

/// A sine of amplitude 0.5.
std::vector<float> sine(double hz, double seconds, int rate = 16000);
/// Something like music: a few decaying notes a second over soft noise, seeded; no two places alike.
std::vector<float> melody(double seconds, int rate = 16000, std::uint64_t seed = 1);
std::vector<std::int16_t> to_pcm(std::span<const float> samples);

/// Encodes interleaved samples by FFmpeg's `codec` ("flac", "libvorbis", "libmp3lame", "aac") into the container that
/// the file's extension names. Returns false when this FFmpeg has no such encoder.
bool encode(const std::filesystem::path& path, const std::string& codec, std::span<const float> samples, int rate,
            int channels = 1, const std::map<std::string, std::string>& tags = {});

/// The first `bytes` bytes of a file.
void truncate_file(const std::filesystem::path& path, std::uintmax_t bytes);
void write_text(const std::filesystem::path& path, const std::string& text);
std::string read_text(const std::filesystem::path& path);

/// The shift of `b` against `a`, samples within ±most, at which they correlate best; and how well.
struct Alignment {
  int shift;
  double correlation;
};
Alignment align(std::span<const float> a, std::span<const float> b, int most);

}  // namespace earmark::testing
