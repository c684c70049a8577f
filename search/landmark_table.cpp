#include "search/landmark_table.h"

#include <algorithm>
#include <limits>

#include "kernels/error.h"
#include "kernels/parallel.h"
#include "kernels/random.h"

namespace earmark::search {
namespace {

constexpr std::uint32_t kHashes = 1U << LandmarkOptions::kHashBits;
constexpr std::uint64_t kReservoirSeed = 0x6c616e646d61726b;

/// Where place number `count` of a hash goes, when `size` are kept: behind the others, or in place of one of them, or
/// nowhere (`size` or more).
std::uint64_t slot_of(std::uint32_t hash, std::uint64_t count, std::uint64_t size) {
  return count < size ? count : RandomStream(kReservoirSeed, hash, count).below(count + 1);
}

}  // namespace

LandmarkTable::LandmarkTable(const LandmarkOptions& options, std::span<const std::span<const Landmark>> tracks)
    : time_bits_(static_cast<unsigned>(options.time_bits)), begins_(kHashes + 1, 0) {
  check(tracks.size() <= std::uint64_t{1} << (32U - time_bits_), "a table of landmarks holds ",
        std::uint64_t{1} << (32U - time_bits_), " tracks at most, got ", tracks.size());
  for (const std::span<const Landmark> track : tracks) {
    landmarks_per_track_.push_back(static_cast<std::int64_t>(track.size()));
    for (const Landmark& landmark : track) {
      check(landmark.hash < kHashes, "a landmark's hash has more than ", LandmarkOptions::kHashBits, " bits");
      ++begins_[landmark.hash + 1];
    }
  }
  const auto most = static_cast<std::uint32_t>(options.bucket);
  std::uint64_t end = 0;
  for (std::uint32_t hash = 0; hash < kHashes; ++hash) {
    end += std::min(most, begins_[hash + 1]);
    check(end <= std::numeric_limits<std::uint32_t>::max(), "a table of landmarks has 2^32 places at most");
    begins_[hash + 1] = static_cast<std::uint32_t>(end);
  }
  places_.resize(begins_.back());
  fill(options, tracks);
}

/// Each task has a range of hashes of its own, and sees all landmarks in their order.
void LandmarkTable::fill(const LandmarkOptions& options, std::span<const std::span<const Landmark>> tracks) {
  const std::int64_t grain = even_grain(kHashes, kHashes);
  const std::uint32_t frame_mask = (1U << time_bits_) - 1U;
  parallel_ranges(kHashes, grain, [&](std::int64_t begin, std::int64_t end) {
    std::vector<std::uint32_t> counts(static_cast<std::size_t>(end - begin), 0);
    for (std::uint32_t track = 0; track < tracks.size(); ++track) {
      for (const Landmark& landmark : tracks[track]) {
        if (landmark.hash < begin || landmark.hash >= end) {
          continue;
        }
        const std::uint32_t count = counts[landmark.hash - static_cast<std::uint32_t>(begin)]++;
        const std::uint32_t size = begins_[landmark.hash + 1] - begins_[landmark.hash];
        const std::uint64_t slot = slot_of(landmark.hash, count, static_cast<std::uint64_t>(options.bucket));
        if (slot < size) {
          places_[begins_[landmark.hash] + slot] =
              track << time_bits_ | (static_cast<std::uint32_t>(landmark.frame) & frame_mask);
        }
      }
    }
  });
}

}  // namespace earmark::search
