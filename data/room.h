// Simulated box-shaped rooms by image sources (Allen and Berkley, "Image method for efficiently simulating small-room
// acoustics", JASA 1979), with fractional delays and a decaying noise tail once reflections are dense. The response is
// then brought to the wanted reverberation time and direct-to-reverberant ratio, measured as data/rir.h measures.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "data/rir.h"

namespace earmark::data {

struct RoomOptions {
  double rt60_s = 0.5;           ///< Met within 10 %.
  std::optional<double> drr_db;  ///< Direct-to-reverberant ratio, met within 1 dB; none: as the room gives it.
  std::uint64_t seed = 0;        ///< Room size, places of source and microphone.
  int sample_rate = 16000;
};

/// Throws Error for impossible wishes (rt60 outside 0.05 to 3 s, ratio outside -15 to 20 dB).
Rir simulate_room(const RoomOptions& options);

struct RoomRange {
  double rt60_min_s = 0.15, rt60_max_s = 0.9;
  double drr_min_db = -7, drr_max_db = 7;
};
/// `count` random rooms, reverberation time and ratio uniform in the range, simulated on all threads.
RirBank simulate_rooms(int count, std::uint64_t seed, const RoomRange& range = {}, int sample_rate = 16000);

}  // namespace earmark::data
