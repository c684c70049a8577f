// Any sound file to mono float at one rate, through the FFmpeg libraries. File names are never taken for URLs, and what
// a file claims (its duration, further files it refers to) is not trusted. NaN and infinite samples become 0.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace earmark::data {

/// How several channels become one: their mean (default), or the first one.
enum class Channel { mean, left };

struct DecodeOptions {
  int sample_rate = 16000;
  Channel channel = Channel::mean;
  bool peak_normalize = false;  ///< Scales a decoded file to max|x| = 1 (decode_file only).
};

/// What a file's metadata says; empty where it says nothing. Not always UTF-8: to be escaped before it is shown.
struct Tags {
  std::string title;
  std::string artist;
  std::string album;
};

/// A sound being decoded piece by piece: a file, a pipe, standard input.
class AudioStream {
 public:
  /// Throws Error with the reason when there is no sound in the file.
  explicit AudioStream(const std::filesystem::path& path, const DecodeOptions& options = {});
  /// Reads a descriptor (0: standard input), seekable or not, anything FFmpeg reads; the caller keeps the descriptor.
  AudioStream(int descriptor, const std::string& name, const DecodeOptions& options = {});
  ~AudioStream();
  AudioStream(AudioStream&&) noexcept;
  AudioStream& operator=(AudioStream&&) noexcept;

  /// Raw little-endian 16-bit mono samples at `input_rate`.
  static AudioStream raw_s16le(int descriptor, int input_rate = 16000, const DecodeOptions& options = {});

  /// Fills `out` from its beginning with samples at the wanted rate, waiting for input as needed. Returns how many:
  /// fewer than asked only at the end, 0 ever after. A damaged file ends where its damage begins: see problem().
  std::size_t read(std::span<float> out);
  /// What read() has decoded so far without waiting longer than needed for at least one sample; 0 at the end.
  std::size_t read_some(std::span<float> out);
  /// Why the sound ended before its end, or what was wrong with it; empty when all is well. An MP3 file without a Xing
  /// or Info header says nowhere how long it should be: where such a one was cut cannot be seen.
  const std::string& problem() const;
  const Tags& tags() const;
  /// What the file claims, seconds; 0 when unknown.
  double claimed_seconds() const;

 private:
  class Impl;
  explicit AudioStream(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

struct DecodedAudio {
  std::vector<float> samples;
  Tags tags;
  std::string problem;  ///< Not empty: the file is damaged, and `samples` is what could be had (at least one sample).
};

/// Decodes a whole file. Throws Error when nothing can be decoded.
DecodedAudio decode_file(const std::filesystem::path& path, const DecodeOptions& options = {});
/// Only the samples.
std::vector<float> decode_audio(const std::filesystem::path& path, int sample_rate = 16000,
                                Channel channel = Channel::mean);
/// Only the metadata; empty when the file cannot be read.
Tags read_tags(const std::filesystem::path& path);

}  // namespace earmark::data
