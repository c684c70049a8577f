// Samplers of training pairs for tests: melodies, pink noise, three simulated rooms.
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "data/pair_sampler.h"
#include "data/room.h"
#include "tests/data/test_sounds.h"

namespace earmark::testing {

/// A melody of each length.
inline std::shared_ptr<const data::PcmStore> store_of(const std::vector<double>& seconds) {
  std::vector<std::vector<std::int16_t>> tracks;
  for (std::size_t i = 0; i < seconds.size(); ++i) {
    tracks.push_back(to_pcm(melody(seconds[i], 16000, i + 1)));
  }
  return std::make_shared<data::PcmStore>(data::PcmStore::in_memory(std::move(tracks)));
}

inline std::shared_ptr<const data::NoiseBank> pink_noise() {
  auto bank = std::make_shared<data::NoiseBank>();
  bank->add_colored(data::NoiseColor::pink, 3);
  return bank;
}

inline data::PairSampler sampler_of(const std::shared_ptr<const data::PcmStore>& store,
                                    const data::PairOptions& options, FeatureOptions features = {}) {
  return {store, pink_noise(), data::simulate_rooms(3, 1), features, options};
}

}  // namespace earmark::testing
