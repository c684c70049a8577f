// A speaking voice made from nothing: the composer's source of babble.
#pragma once

#include <span>

#include "kernels/random.h"

namespace earmark::data {

/// Adds one voice to `mix`: syllables (a burst of shaped noise, then a vowel: a glottal pulse train through three
/// formants) with pauses, from the beginning to the end.
void speak(std::span<float> mix, int sample_rate, RandomStream& random);

}  // namespace earmark::data
