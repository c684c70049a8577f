// A small seeded synthesiser: music and speech-like babble made from nothing, for machines without a network or a
// collection and for tests. Each track has its own tempo, key, chords, instruments and room; its bars are drawn one by
// one, so that it has the structure of music and yet no two places of it are equal.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

namespace earmark::data {

/// Composes a piece: drums, bass, pads, a melody and sometimes an arpeggio, in a simulated hall, peak 0.8.
/// Returns round(seconds * sample_rate) samples; a pure function of its arguments. Throws Error unless both are > 0.
std::vector<float> compose(std::uint64_t seed, double seconds, int sample_rate = 16000);

/// One voice talking nonsense: syllables of vowels and consonants with pauses; for babble noise without recordings.
/// Same length and determinism as compose().
std::vector<float> compose_speech(std::uint64_t seed, double seconds, int sample_rate = 16000);

/// What `compose` writes into a folder.
struct ComposeOptions {
  int tracks = 20;
  double seconds = 180;
  std::uint64_t seed = 1;
  int sample_rate = 16000;
  bool speech = false;  ///< Voices instead of music.
};

/// Writes track-0000.wav ... (voice-0000.wav ... for speech) into `folder`, in parallel; files that are there already
/// are kept. Returns the number of files written. Throws Error if the folder cannot be made or written.
int compose_folder(const std::filesystem::path& folder, const ComposeOptions& options);

}  // namespace earmark::data
