#include "search/landmark_excerpts.h"

#include <xxhash.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdlib>
#include <cstring>

#include "kernels/error.h"
#include "kernels/random.h"

namespace earmark::search {
namespace {

static_assert(std::endian::native == std::endian::little, "excerpts are stored as they lie in memory");

constexpr std::uint64_t kPlaceSeed = 0x65786365;
constexpr std::uint32_t kHashMask = (1U << LandmarkOptions::kHashBits) - 1U;
constexpr std::int32_t kMostFrames = 1 << (32 - LandmarkOptions::kHashBits);

using Checksum = std::uint64_t;
Checksum checksum_of(const std::string& bytes, std::size_t size) { return XXH3_64bits(bytes.data(), size); }

/// A content hash as a number in [0, 1).
double fraction_of(const std::string& content_hash) {
  constexpr std::size_t kDigits = 8;
  return std::ldexp(static_cast<double>(std::strtoul(content_hash.substr(0, kDigits).c_str(), nullptr, 16)), -32);
}

}  // namespace

int wanted_excerpts(const std::string& content_hash, std::size_t files) {
  constexpr double kSpare = 2;  // the smallest content hashes are kept, and files may turn out to be none
  const auto count = static_cast<double>(std::max<std::size_t>(1, files));
  if (fraction_of(content_hash) > kSpare * LandmarkExcerpt::kKept / count) {
    return 0;
  }
  return std::clamp(static_cast<int>(std::ceil(LandmarkExcerpt::kKept / count)), 1, LandmarkExcerpt::kPerTrack);
}

std::vector<std::vector<Landmark>> excerpts_of(std::span<const float> pcm, const LandmarkOptions& options, int most) {
  const auto length = static_cast<std::size_t>(LandmarkExcerpt::kSeconds * LandmarkOptions::kSampleRate);
  const auto fit = static_cast<int>(std::min(pcm.size() / length, std::size_t{LandmarkExcerpt::kPerTrack}));
  std::vector<std::vector<Landmark>> out;
  for (int i = 0; i < std::min(most, std::max(1, fit)); ++i) {
    RandomStream random(kPlaceSeed, pcm.size(), static_cast<std::uint64_t>(i));
    const std::size_t begin = pcm.size() <= length ? 0 : random.below(pcm.size() - length + 1);
    out.push_back(query_landmarks(pcm.subspan(begin, std::min(length, pcm.size())), options));
  }
  return out;
}

std::string bytes_of(std::span<const Landmark> excerpt) {
  std::string bytes;
  for (const Landmark& landmark : excerpt) {
    check(landmark.frame >= 0 && landmark.frame < kMostFrames && landmark.hash <= kHashMask, "an excerpt has no frame ",
          landmark.frame, " with hash ", landmark.hash);
    const std::uint32_t word = static_cast<std::uint32_t>(landmark.frame) << LandmarkOptions::kHashBits | landmark.hash;
    bytes.append(reinterpret_cast<const char*>(&word), sizeof(word));
  }
  const Checksum checksum = checksum_of(bytes, bytes.size());
  bytes.append(reinterpret_cast<const char*>(&checksum), sizeof(checksum));
  return bytes;
}

std::vector<Landmark> excerpt_in(const std::string& bytes) {
  Checksum checksum = 0;
  check(bytes.size() >= sizeof(checksum) && bytes.size() % sizeof(std::uint32_t) == 0,
        "an excerpt of landmarks is cut short");
  const std::size_t size = bytes.size() - sizeof(checksum);
  std::memcpy(&checksum, bytes.data() + size, sizeof(checksum));
  check(checksum == checksum_of(bytes, size), "an excerpt of landmarks is damaged (checksum)");
  std::vector<Landmark> out(size / sizeof(std::uint32_t));
  for (std::size_t i = 0; i < out.size(); ++i) {
    std::uint32_t word = 0;
    std::memcpy(&word, bytes.data() + i * sizeof(word), sizeof(word));
    out[i] = {static_cast<std::int32_t>(word >> LandmarkOptions::kHashBits), word & kHashMask};
  }
  return out;
}

}  // namespace earmark::search
