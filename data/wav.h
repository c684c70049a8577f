// Writes WAV files, whole or not at all.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>

#include "kernels/pcm.h"

namespace earmark::data {

enum class WavFormat { pcm16, float32 };

/// `samples` interleaved, `channels` of them. 16-bit samples are rounded and clipped at ±1. Throws Error.
void write_wav(const std::filesystem::path& path, std::span<const float> samples, int sample_rate = 16000,
               WavFormat format = WavFormat::pcm16, int channels = 1);

/// round(32767 · x), clipped; not a number becomes 0. And back.
std::int16_t to_int16(float sample);
inline float from_int16(std::int16_t sample) { return static_cast<float>(sample) * kernels::kPcmStep; }

}  // namespace earmark::data
