// Room impulse responses (RIR): measured ones from files, or simulated; and how they are measured.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "kernels/reverb.h"
#include "kernels/tensor.h"

namespace earmark::data {

/// Reverberation time from Schroeder's backward integral: the slope of the decay from -5 dB to -5 - `range_db` dB (30:
/// T30, 20: T20), as the time for 60 dB. Throws Error when the response does not decay so far.
double measure_rt60(std::span<const float> rir, int sample_rate = 16000, double range_db = 30);
/// Energy up to 2.5 ms around the largest peak against all that follows, dB.
double direct_to_reverberant_db(std::span<const float> rir, int sample_rate = 16000);

/// One response, ready for convolution.
struct Rir {
  std::vector<float> samples;
  std::string name;
  std::int64_t delay = 0;  ///< argmax|samples|: the direct path.
};
Rir make_rir(std::vector<float> samples, std::string name);
/// The first channel of a sound file, at `sample_rate`. Throws Error when it is silent.
Rir load_rir(const std::filesystem::path& path, int sample_rate = 16000);

/// Several responses, with their spectra for the one length that training uses.
class RirBank {
 public:
  RirBank() = default;
  /// Every sound file under `path` (folder, file or list). Unreadable and silent ones are skipped with their reason in
  /// `skipped()`; throws Error when nothing remains.
  void add_folder(const std::filesystem::path& path, int sample_rate = 16000);
  void add(Rir rir) { rirs_.push_back(std::move(rir)); }
  /// Cuts every response off `samples` after its direct path.
  void shorten(std::int64_t samples);
  /// Samples of the longest response; 0 where there is none.
  std::int64_t longest() const;
  /// Computes the spectra for convolving `samples` samples of which the first `skip` are context.
  void prepare(std::int64_t samples, std::int64_t skip);

  std::int64_t size() const { return static_cast<std::int64_t>(rirs_.size()); }
  bool empty() const { return rirs_.empty(); }
  /// A sentence for each file that add_folder() left out: "rirs/a.wav: a silent room response".
  const std::vector<std::string>& skipped() const { return skipped_; }
  const Rir& rir(std::int64_t i) const { return rirs_.at(static_cast<std::size_t>(i)); }
  /// The prepared spectrum. Throws Error before prepare().
  const Tensor& spectrum(std::int64_t i) const;
  /// The response for convolving on `device`, which keeps a copy of all spectra from the first call on. Thread-safe.
  kernels::RoomResponse response(std::int64_t i, Device device = {}) const;

 private:
  struct Copies;
  std::vector<Rir> rirs_;
  std::vector<std::string> skipped_;
  std::vector<Tensor> spectra_;
  std::shared_ptr<Copies> copies_;
};

}  // namespace earmark::data
