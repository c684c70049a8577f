// Which queries a cell of the tables is about: those of one condition of the paper.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "experiments/protocol.h"
#include "experiments/query_set.h"

namespace earmark::experiments {

/// In the order of the tables.
inline constexpr std::array kKinds = {data::DistortionKind::none, data::DistortionKind::noise,
                                      data::DistortionKind::noise_reverb, data::DistortionKind::reverb};

/// Picks the queries of one condition.
struct Asked {
  std::string heading;  ///< "10 dB"
  std::string condition;
  std::optional<double> snr_db;
  std::optional<double> rt60_s;

  bool operator()(const Query& query) const;
};

/// The columns of one kind of distortion.
std::vector<Asked> asked_of(data::DistortionKind kind);
/// "noise + reverb"
const char* title_of(data::DistortionKind kind);
/// Those of one kind alone.
QuerySet queries_with(const QuerySet& set, data::DistortionKind kind);
/// Whether a set has queries of this kind.
bool any_query(const QuerySet& set, data::DistortionKind kind);

}  // namespace earmark::experiments
