// Sound and bytes as text inside a page.
#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace earmark::experiments {

std::string base64(std::span<const std::uint8_t> bytes);

/// A data: URI that browsers play: MP3 where FFmpeg has an encoder for it, else WAV. Mono samples within ±1. Throws
/// Error where neither can be made.
std::string sound_uri(std::span<const float> pcm, int sample_rate);

}  // namespace earmark::experiments
