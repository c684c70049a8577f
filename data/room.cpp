#include "data/room.h"

#include <algorithm>
#include <cmath>
#include <iomanip>
#include <numbers>
#include <sstream>
#include <utility>
#include <vector>

#include "kernels/error.h"
#include "kernels/parallel.h"
#include "kernels/random.h"

namespace earmark::data {
namespace {

constexpr double kSpeedOfSound = 343;      // m/s
constexpr double kImageSeconds = 0.08;     // single reflections up to here, dense noise after
constexpr double kDirectSeconds = 0.0025;  // as direct_to_reverberant_db counts
constexpr int kHalfTaps = 16;              // of the windowed sinc that delays by fractions of a sample
constexpr int kSubdivisions = 64;

using Point = std::array<double, 3>;

struct Room {
  Point size;
  Point source;
  Point microphone;
  double reflection = 0;  // amplitude kept at a wall
};

double distance(const Point& a, const Point& b) { return std::hypot(a[0] - b[0], a[1] - b[1], a[2] - b[2]); }

/// Windowed sincs for kSubdivisions fractional delays, low-passed a little below half the rate.
class FractionalDelay {
 public:
  FractionalDelay() : taps_((kSubdivisions + 1) * 2 * kHalfTaps) {
    constexpr double kCutoff = 0.95;
    for (int s = 0; s <= kSubdivisions; ++s) {
      for (int t = 0; t < 2 * kHalfTaps; ++t) {
        const double x = t - (kHalfTaps - 1) - static_cast<double>(s) / kSubdivisions;
        const double window = 0.5 + 0.5 * std::cos(std::numbers::pi * std::clamp(x / kHalfTaps, -1.0, 1.0));
        const double phase = std::numbers::pi * kCutoff * x;
        taps_[static_cast<std::size_t>(s * 2 * kHalfTaps + t)] =
            static_cast<float>(window * kCutoff * (phase == 0 ? 1 : std::sin(phase) / phase));
      }
    }
  }

  void add(std::vector<float>& out, double position, float amplitude) const {
    const double whole = std::floor(position);
    const auto s = static_cast<std::int64_t>(std::lround((position - whole) * kSubdivisions));
    const std::int64_t first = static_cast<std::int64_t>(whole) - (kHalfTaps - 1);
    const auto size = static_cast<std::int64_t>(out.size());
    const float* taps = taps_.data() + s * 2 * kHalfTaps;
    const std::int64_t begin = std::max<std::int64_t>(0, -first);
    const std::int64_t end = std::min<std::int64_t>(2 * kHalfTaps, size - first);
    for (std::int64_t t = begin; t < end; ++t) {
      out[static_cast<std::size_t>(first + t)] += amplitude * taps[t];
    }
  }

 private:
  std::vector<float> taps_;
};

// Image positions along one axis within `reach`: 2·i·L ± s, with the number of walls passed (Allen and Berkley, eq.
// 6-9).
struct Image {
  double offset;  // from the microphone
  int walls;
};
std::vector<Image> images_along(double length, double source, double microphone, double reach) {
  std::vector<Image> images;
  const int most = static_cast<int>(std::ceil(reach / (2 * length))) + 1;
  for (int i = -most; i <= most; ++i) {
    images.push_back({2 * i * length + source - microphone, std::abs(2 * i)});
    images.push_back({2 * i * length - source - microphone, std::abs(2 * i - 1)});
  }
  std::erase_if(images, [=](const Image& image) { return std::fabs(image.offset) > reach; });
  return images;
}

// All paths up to kImageSeconds after the direct one. Walls reflect with a negative sign now and then (random per
// image, fixed by the seed): it breaks up the sweeps that a perfect box's regular lattice of images makes.
std::vector<float> image_response(const Room& room, std::int64_t samples, int rate, std::uint64_t seed) {
  static const FractionalDelay kDelay;
  const double reach = static_cast<double>(samples) / rate * kSpeedOfSound;
  std::array<std::vector<Image>, 3> axes;
  for (std::size_t a = 0; a < 3; ++a) {
    axes[a] = images_along(room.size[a], room.source[a], room.microphone[a], reach);
  }
  std::vector<float> out(static_cast<std::size_t>(samples));
  RandomStream random(seed, 0x696d61676573);
  for (const Image& x : axes[0]) {
    for (const Image& y : axes[1]) {
      const double flat = x.offset * x.offset + y.offset * y.offset;
      if (flat > reach * reach) {
        continue;
      }
      for (const Image& z : axes[2]) {
        const double path = std::sqrt(flat + z.offset * z.offset);
        const int walls = x.walls + y.walls + z.walls;
        const bool flip = walls > 1 && random.bits() % 2 == 0;
        if (path <= reach) {
          const double amplitude = std::pow(room.reflection, walls) / std::max(path, 0.1);
          kDelay.add(out, path / kSpeedOfSound * rate, static_cast<float>(flip ? -amplitude : amplitude));
        }
      }
    }
  }
  return out;
}

double energy(std::span<const float> x) {
  double sum = 0;
  for (const float v : x) {
    sum += static_cast<double>(v) * static_cast<double>(v);
  }
  return sum;
}

// Gaussian noise decaying by 60 dB in rt60, at the level of the last reflections, fading in over them.
void add_tail(std::vector<float>& response, std::int64_t from, double rt60_s, int rate, std::uint64_t seed) {
  const auto fade = static_cast<std::int64_t>(0.02 * rate);
  const double decay = std::log(1000.0) / (rt60_s * rate);  // amplitude, per sample
  const auto begin = static_cast<std::size_t>(from - fade);
  const double middle_energy = energy(std::span(response).subspan(begin, static_cast<std::size_t>(fade)));
  const double level =
      std::sqrt(middle_energy / static_cast<double>(fade)) * std::exp(decay * static_cast<double>(fade) / 2);
  RandomStream random(seed, 0x7461696c);
  for (std::size_t i = begin; i < response.size(); ++i) {
    const auto t = static_cast<double>(i - begin);
    const double in = std::min(1.0, t / static_cast<double>(fade));
    const double out = std::max(0.0, 1 - t / static_cast<double>(fade));
    response[i] = static_cast<float>(std::sqrt(out) * static_cast<double>(response[i]) +
                                     std::sqrt(in) * level * std::exp(-decay * t) * random.normal());
  }
}

// Everything after the direct path times gain · exp(-bend · t).
void reshape(std::vector<float>& response, std::size_t direct_end, double gain, double bend) {
  for (std::size_t i = direct_end; i < response.size(); ++i) {
    response[i] *= static_cast<float>(gain * std::exp(-bend * static_cast<double>(i - direct_end)));
  }
}

Room draw_room(const RoomOptions& options, RandomStream& random) {
  Room room{};
  // Longer reverberation, larger rooms, as in life.
  const double scale = std::clamp(0.7 + options.rt60_s, 0.8, 2.0);
  room.size = {scale * random.uniform(3, 7), scale * random.uniform(2.5, 5), random.uniform(2.4, 2.6 + scale)};
  const double volume = room.size[0] * room.size[1] * room.size[2];
  const double surface = 2 * (room.size[0] * room.size[1] + room.size[1] * room.size[2] + room.size[0] * room.size[2]);
  // Eyring: rt60 = 0.161·V / (-S·ln(1 - absorption)).
  room.reflection = std::exp(-0.5 * 0.161 * volume / (surface * options.rt60_s));
  // The distance at which such a room has the wanted ratio: critical distance · 10^(-ratio / 20).
  const double critical = 0.057 * std::sqrt(volume / options.rt60_s);
  const double ratio = options.drr_db ? *options.drr_db : random.uniform(-6, 6);
  const double wanted = std::clamp(critical * std::pow(10, -ratio / 20), 0.2, 0.8 * room.size[0]);
  constexpr double kWall = 0.3;
  for (int attempt = 0; attempt < 1000; ++attempt) {
    for (std::size_t a = 0; a < 3; ++a) {
      room.microphone[a] = random.uniform(kWall, room.size[a] - kWall);
    }
    const double height = random.uniform(-0.5, 0.5);
    const double around = random.uniform(0, 2 * std::numbers::pi);
    const double flat = std::sqrt(1 - height * height) * wanted;
    room.source = {room.microphone[0] + flat * std::cos(around), room.microphone[1] + flat * std::sin(around),
                   room.microphone[2] + height * wanted};
    const bool inside = room.source[0] > kWall && room.source[0] < room.size[0] - kWall && room.source[1] > kWall &&
                        room.source[1] < room.size[1] - kWall && room.source[2] > kWall &&
                        room.source[2] < room.size[2] - kWall;
    if (inside) {
      break;
    }
  }
  return room;
}

// Bends and scales what follows the direct path until both wishes are met: each moves the other's measure a little.
std::vector<float> brought_to(const RoomOptions& options, std::vector<float> response, std::size_t direct_end) {
  const int rate = options.sample_rate;
  for (int round = 0; round < 8; ++round) {
    if (options.drr_db) {
      const double direct = energy(std::span(response).first(direct_end));
      const double after = energy(std::span(response).subspan(direct_end));
      reshape(response, direct_end, std::sqrt(direct / (after * std::pow(10, *options.drr_db / 10))), 0);
    }
    const double got = measure_rt60(response, rate);
    if (std::fabs(got / options.rt60_s - 1) < 0.02) {
      break;
    }
    reshape(response, direct_end, 1, std::log(1000.0) / rate * (1 / options.rt60_s - 1 / got));
  }
  return response;
}

/// One drawn room brought to the wishes; empty when it cannot be (its loudest sample is no longer the direct path).
std::vector<float> shaped_response(const RoomOptions& options, std::uint64_t seed) {
  RandomStream random(options.seed, seed, 0x726f6f6d);
  const int rate = options.sample_rate;
  const Room room = draw_room(options, random);
  const double arrival = distance(room.source, room.microphone) / kSpeedOfSound;
  const auto image_end = static_cast<std::int64_t>((arrival + std::min(kImageSeconds, options.rt60_s)) * rate);
  const auto length = static_cast<std::int64_t>((arrival + 1.1 * options.rt60_s + 0.03) * rate);
  const std::uint64_t noise_seed = options.seed * 0x9E3779B97F4A7C15U + seed;
  std::vector<float> plain = image_response(room, image_end, rate, noise_seed);
  plain.resize(static_cast<std::size_t>(length));
  add_tail(plain, image_end, options.rt60_s, rate, noise_seed);
  const Rir first = make_rir(plain, "");
  if (std::fabs(static_cast<double>(first.delay) / rate - arrival) > 0.001) {
    return {};
  }
  const auto direct_end = static_cast<std::size_t>(first.delay + std::lround(kDirectSeconds * rate) + 1);
  return brought_to(options, std::move(plain), direct_end);
}

bool meets(const std::vector<float>& response, const RoomOptions& options) {
  const double rt60 = measure_rt60(response, options.sample_rate);
  const double ratio = direct_to_reverberant_db(response, options.sample_rate);
  return std::fabs(rt60 / options.rt60_s - 1) < 0.08 && std::fabs(ratio - options.drr_db.value_or(ratio)) < 0.5;
}

}  // namespace

Rir simulate_room(const RoomOptions& options) {
  check(options.rt60_s >= 0.05 && options.rt60_s <= 3, "room: expected a reverberation time of 0.05 to 3 s, got ",
        options.rt60_s);
  const double drr = options.drr_db.value_or(0);
  check(drr >= -15 && drr <= 20, "room: expected a direct-to-reverberant ratio of -15 to 20 dB, got ", drr);
  constexpr std::uint64_t kAttempts = 50;
  for (std::uint64_t attempt = 0; attempt < kAttempts; ++attempt) {
    std::vector<float> response = shaped_response(options, attempt);
    if (!response.empty() && meets(response, options)) {
      std::ostringstream name;
      name << std::fixed << std::setprecision(2) << "room of " << options.rt60_s << " s, " << std::setprecision(1)
           << direct_to_reverberant_db(response, options.sample_rate) << " dB direct";
      return make_rir(std::move(response), name.str());
    }
  }
  fail("room: no response with a reverberation time of ", options.rt60_s, " s and a direct-to-reverberant ratio of ",
       drr, " dB");
}

RirBank simulate_rooms(int count, std::uint64_t seed, const RoomRange& range, int sample_rate) {
  check(count >= 0, "rooms: expected a count of at least 0, got ", count);
  std::vector<Rir> rirs(static_cast<std::size_t>(count));
  parallel_for(count, [&](std::int64_t i) {
    RandomStream random(seed, static_cast<std::uint64_t>(i), 0x726f6f6d73);
    RoomOptions options;
    options.rt60_s = random.uniform(range.rt60_min_s, range.rt60_max_s);
    options.drr_db = random.uniform(range.drr_min_db, range.drr_max_db);
    options.seed = (static_cast<std::uint64_t>(random.bits()) << 32U) | random.bits();
    options.sample_rate = sample_rate;
    rirs[static_cast<std::size_t>(i)] = simulate_room(options);
  });
  RirBank bank;
  for (Rir& r : rirs) {
    bank.add(std::move(r));
  }
  return bank;
}

}  // namespace earmark::data
