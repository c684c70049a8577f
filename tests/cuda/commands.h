// Each program with what makes it compute, in the smallest that makes sense: what it says about a device is what
// counts.
#pragma once

#include <filesystem>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "tests/search/composed.h"

namespace earmark::testing {

/// Name and arguments, but for --device. `search` needs the index.
inline std::vector<std::pair<std::string, std::vector<std::string>>> commands(const search::Composed& composed) {
  const std::string index = composed.index().string();
  const std::string model = composed.model().string();
  const std::string music = composed.music().string();
  const std::string config = (composed.folder / "tiny.yaml").string();
  std::ofstream(config)
      << "train: {steps: 1}\n"
         "data: {music: [music], colored_noise: [pink], store: pcm, workers: 0}\n"
         "features: {mel_bands: 16, frames: 24}\n"
         "encoder: {width: 2, embedding: 16, head_hidden: 4}\n"
         "pairs: {count: 2, reverb_probability: 0, both_probability: 0}\n"
         "validation: {interval: 0}\n"
         "reproduce: {database: music, excerpts: 1, lengths_s: [1], track_lengths_s: [1], rooms: 1, lsh_bits: 6}\n";
  return {{"index", {"build", index + "-new", "--model", model, music}},
          {"search", {index, (composed.music() / search::Composed::name(0)).string()}},
          {"train", {config, "--out", (composed.folder / "run").string()}},
          {"reproduce", {config, "--model", model, "--out", (composed.folder / "tables").string()}}};
}

/// Removes what the programs above have made: each can be run again.
inline void forget_results(const search::Composed& composed) {
  for (const char* made : {"index-new", "run", "tables", "pcm"}) {
    std::filesystem::remove_all(composed.folder / made);
  }
}

}  // namespace earmark::testing
